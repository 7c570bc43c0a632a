"""What `dvc.yaml` says a stage depends on is what its code imports, save what changes no result."""

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml

from banet.closure import CHANGES_NOTHING, ROOT, closure, code_digests, deciding
from banet.train.identity import WORKER

PARAMS = "reads params.yaml: what a stage takes of it is a parameter of DVC"
EVERYWHERE = {"pipelines/stages/entrypoint.py": "how a stage is called"}
STORE = "where runs and versions are kept: a version's digest is checked when it is pulled"
ROWS = "how a benchmark's rows are read, not what they are: the shards are a dependency"
NOT_DECIDING = {  # by stage: files, or folders with all below, and why an edit changes no result of this stage
    "fetch": {
        "banet/config.py": PARAMS,
        "banet/data/download/": "how bytes come: their digest is pinned",
        "banet/model/network_config.py": PARAMS,
        "banet/tracking/store.py": "where the main checkout is",
    },
    "shard": {
        "banet/config.py": PARAMS,
        "banet/model/network_config.py": PARAMS,
        "banet/ray_session.py": "who does the work: the same bytes however many processes (tests/banet/data/sharding)",
    },
    "train": {
        "banet/data/images/": "pictures for MLflow",
        "banet/scoring/bootstrap.py": "the type of a field in another stage's result",
        "banet/tracking/": "what remembers the run",
    },
    "register": {
        "banet/config.py": PARAMS,
        "banet/data/images/": "pictures for MLflow",
        "banet/image.py": "pictures for MLflow",
        "banet/scoring/bootstrap.py": "the type of a field in another stage's result",
    },
    "evaluate": {
        "banet/config.py": PARAMS,
        "banet/ray_session.py": "who does the work: the same scores however spread (tests/banet/scoring)",
        "banet/tracking/": STORE,
    },
    "promote": {"banet/config.py": PARAMS, "banet/data/images/": "pictures for MLflow", "banet/tracking/": STORE},
    "report": {
        "banet/config.py": PARAMS,
        "banet/data/": ROWS,
        "banet/image.py": ROWS,
        "banet/inference.py": "evaluations are dependencies",
        "banet/metrics/": "evaluations are dependencies",
        "banet/tracking/": STORE,
    },
}
STAGES = sorted(NOT_DECIDING)


def dependencies(stage: str) -> list[str]:
    graph = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    return [entry for entry in graph["stages"][stage]["deps"] if entry.startswith(("banet", "pipelines"))]


def within(file: str, places: Iterable[str]) -> bool:
    return any(file == place or file.startswith(f"{place.rstrip('/')}/") for place in places)


def deciding_files(stage: str) -> set[str]:
    """The files that decide a stage's result."""
    excepted = EVERYWHERE | NOT_DECIDING[stage]
    named = set(dependencies(stage))
    return {
        file.as_posix()
        for file in deciding(ROOT / f"pipelines/stages/{stage}.py")
        if within(file.as_posix(), named) or not within(file.as_posix(), excepted)
    }


@pytest.mark.parametrize("stage", STAGES)
def test_everything_that_decides_a_stage_is_its_dependency(stage: str) -> None:
    missing = {file for file in deciding_files(stage) if not within(file, dependencies(stage))}
    assert missing == set(), f"add them to deps of {stage} in dvc.yaml, or say in NOT_DECIDING why they change nothing"


@pytest.mark.parametrize("stage", STAGES)
def test_no_dependency_and_no_exception_is_idle(stage: str) -> None:
    files = [file.as_posix() for file in closure(ROOT / f"pipelines/stages/{stage}.py")]
    for place in (*dependencies(stage), *NOT_DECIDING[stage]):
        assert (ROOT / place).exists(), place
        assert any(within(file, [place]) for file in files), f"{stage} imports nothing of {place}"


def test_files_that_change_nothing_exist() -> None:
    assert [file for file in CHANGES_NOTHING if not (ROOT / file).is_file()] == []


def test_the_code_of_a_training_run_is_what_decides_weights_alone(capsys: pytest.CaptureFixture[str]) -> None:
    files = set(code_digests(ROOT / WORKER))
    print(f"{len(files)} files decide the weights:", *sorted(files), sep="\n")  # pytest -rP shows them
    assert {"banet/losses.py", "banet/model/network.py", "banet/data/stream/order.py", "banet/metrics/psnr.py"} <= files
    others = files - {"banet/scoring/bootstrap.py"}  # chooses between the weights and their average
    assert not [file for file in others if file.startswith(("banet/commands", "banet/scoring", "banet/tracking"))]
    assert not files & {"banet/data/manifest.py", "banet/data/sharding/writer.py", "banet/metrics/realblur.py"}
    assert files <= deciding_files("train")
    assert f"{len(files)} files" in capsys.readouterr().out


def test_imports_for_type_checkers_and_names_resolved_later_do_not_count() -> None:
    assert closure(ROOT / "banet/__init__.py") == (Path("banet/__init__.py"),)
    assert Path("banet/metrics/realblur.py") not in closure(ROOT / "banet/metrics/psnr.py")


def test_comments_and_docstrings_are_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("banet.closure.ROOT", tmp_path)
    (tmp_path / "banet").mkdir()
    file = tmp_path / "banet/module.py"

    def digest(text: str) -> dict[str, str]:
        file.write_text(text)
        return code_digests(file)

    before = digest('"""Text."""\n\n\ndef one() -> int:\n    """Other text."""\n    return 1\n')
    assert before.keys() == {"banet/module.py"}
    assert digest("# why\ndef one() -> int:\n    return 1\n") == before
    assert digest("def one() -> int:\n    return 2\n") != before
    assert digest('"""Nothing but text."""\n') == {}


def test_caches_inside_a_dependency_change_no_stage(tmp_path: Path) -> None:
    """Importing a module writes `__pycache__` beside it, which DVC would count as a change without `.dvcignore`."""
    room = tmp_path / "room"
    room.mkdir()
    (room / "module.py").write_text("value = 1\n")
    (tmp_path / ".dvcignore").write_bytes((ROOT / ".dvcignore").read_bytes())
    stage = {"cmd": "echo done > out.txt", "deps": ["room"], "outs": ["out.txt"]}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"one": stage}}))
    env = os.environ | {"DVC_NO_ANALYTICS": "1"}

    def dvc(*arguments: str) -> str:
        command = [sys.executable, "-m", "dvc", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True).stdout

    dvc("init", "--no-scm", "--quiet")
    dvc("repro", "--quiet")
    code = "import sys; sys.dont_write_bytecode = False; sys.pycache_prefix = None; import room.module"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, env=env | {"PYTHONDONTWRITEBYTECODE": ""})
    assert (room / "__pycache__").is_dir()
    assert dvc("status").strip() == "Data and pipelines are up to date."
    (room / "module.py").write_text("value = 2\n")
    assert "modified" in dvc("status")
