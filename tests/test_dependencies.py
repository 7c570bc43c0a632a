"""What `dvc.yaml` says a stage depends on is what its code imports, save what changes no result."""

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml

from banet.closure import CHANGES_NOTHING, ROOT, closure, code_digest, code_digests, deciding
from banet.tracking.pyfunc_package import digests, workspace_sources
from banet.train.identity import WORKER

PARAMS = "reads params.yaml: what a stage takes of it is a parameter of DVC"
EVERYWHERE = {
    "banet/train/journal.py": "the type of what a training tells while it goes on",
    "pipelines/running.py": "that it runs once",
    "pipelines/stages/entrypoint.py": "how a stage is called",
}
STORE = "where runs and versions are kept: a version's digest is checked when it is pulled"
CARD = "the model card, not the decision"
TRACES = "tags by which a version is traced"
ROWS = "how a benchmark's rows are read, not what they are: the shards are a dependency"
NOT_DECIDING = {  # by stage: files, or folders with all below, and why an edit changes no result of this stage
    "fetch": {
        "banet/config.py": PARAMS,
        "banet/data/download/": "how bytes come: their digest is pinned",
        "banet/model/network_config.py": PARAMS,
        "banet/tracking/addresses.py": "where the main checkout is",
        "banet/tracking/store.py": "where the main checkout is",
    },
    "shard": {
        "banet/config.py": PARAMS,
        "banet/model/network_config.py": PARAMS,
        "banet/cluster/": "who does the work: the same bytes however many processes (tests/banet/data/sharding)",
    },
    "train": {
        "banet/data/data_checks.py": "a tag of the run",
        "banet/data/images/": "pictures for MLflow",
        "banet/scoring/bootstrap.py": "the type of a field in another stage's result",
        "banet/tracking/": "what remembers the run",
        "banet/lineage/": "names of tags",
        "pipelines/run_tags.py": "tags of the run",
    },
    "register": {
        "banet/config.py": PARAMS,
        "banet/data/custom_spec.py": TRACES,
        "banet/data/download/": TRACES,
        "banet/data/manifest.py": TRACES,
        "banet/lineage/": TRACES,
        "banet/scoring/bootstrap.py": "the type of a field in another stage's result",
        "pipelines/version_tags.py": TRACES,
    },
    "evaluate": {
        "banet/config.py": PARAMS,
        "banet/cluster/": "who does the work: the same scores however spread (tests/banet/scoring)",
        "banet/tracking/": STORE,
    },
    "promote": {
        "banet/analysis/": CARD,
        "banet/config.py": PARAMS,
        "banet/data/": CARD,
        "banet/lineage/": CARD,
        "banet/scoring/": CARD,
        "banet/tracking/": STORE,
        "pipelines/model_card.py": CARD,
        "pipelines/report/": CARD,
        "pipelines/stages/evaluation_report.py": CARD,
    },
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


def carried(stage: str) -> set[str]:
    """The code that a stage's result carries, all of it: another code is another version of a model."""
    return set(digests(workspace_sources())) if stage == "register" else set()


def deciding_files(stage: str) -> set[str]:
    """The files that decide a stage's result."""
    excepted = EVERYWHERE | NOT_DECIDING[stage]
    named = set(dependencies(stage))
    return carried(stage) | {
        file.as_posix()
        for file in deciding(ROOT / f"pipelines/stages/{stage}.py")
        if within(file.as_posix(), named) or not within(file.as_posix(), excepted)
    }


@pytest.mark.parametrize("stage", STAGES)
def test_everything_that_decides_a_stage_is_its_dependency(stage: str) -> None:
    with_code = {file for file in deciding_files(stage) if code_digest((ROOT / file).read_text()) != code_digest("")}
    missing = {file for file in with_code if not within(file, dependencies(stage))}
    assert missing == set(), f"add them to deps of {stage} in dvc.yaml, or say in NOT_DECIDING why they change nothing"


@pytest.mark.parametrize("stage", STAGES)
def test_no_dependency_and_no_exception_is_idle(stage: str) -> None:
    files = {file.as_posix() for file in closure(ROOT / f"pipelines/stages/{stage}.py")} | carried(stage)
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


LITTER = [
    *("notes.py~", ".module.py.swp", ".module.py.swo", ".#module.py", "#module.py#", "module.py.orig", ".DS_Store"),
    *("._module.py", ".ipynb_checkpoints/module-checkpoint.py", ".mypy_cache/x.json", ".ruff_cache/x", ".nfs0001"),
    *(".pytest_cache/x", ".idea/x.xml", ".coverage.host.1", "banet.egg-info/PKG-INFO", "Thumbs.db"),
]
IMPORT_EVERYTHING = """
import importlib, pathlib, sys
sys.dont_write_bytecode, sys.pycache_prefix = False, None
sys.path.insert(0, "")
for file in sorted(pathlib.Path().glob("[bp]*/**/*.py")):
    importlib.import_module(".".join(file.with_suffix("").parts).removesuffix(".__init__"))
"""


@pytest.mark.slow
def test_a_second_repro_after_importing_everything_runs_nothing(tmp_path: Path) -> None:
    """Python writes `__pycache__` into the folders that stages depend on, and people's tools leave litter there.

    The stages are those of `dvc.yaml` with their dependencies of code; a command that only makes the outputs replaces
    each one's own, and the code does nothing when it is imported.
    """
    whole = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    code = {stage: dependencies(stage) for stage in whole}
    for entry in {entry for entries in code.values() for entry in entries}:
        for file in (ROOT / entry).rglob("*.py") if (ROOT / entry).is_dir() else [ROOT / entry]:
            copy = tmp_path / file.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text("")
            for parent in copy.relative_to(tmp_path).parents[:-1]:
                (tmp_path / parent / "__init__.py").write_text("")
    (tmp_path / ".dvcignore").write_bytes((ROOT / ".dvcignore").read_bytes())
    stages = {
        stage: {"cmd": f"echo {stage} > {stage}.txt", "deps": code[stage], "outs": [f"{stage}.txt"]} for stage in code
    }
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    env |= {"DVC_NO_ANALYTICS": "1"}

    def run(*command: str) -> str:
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
        )
        return done.stdout

    run("-m", "dvc", "init", "--no-scm", "--quiet")
    assert run("-m", "dvc", "repro").count("Running stage") == len(STAGES)
    run("-c", IMPORT_EVERYTHING)
    rooms = {file.parent for file in tmp_path.glob("[bp]*/**/*.py")}
    assert [room for room in rooms if not (room / "__pycache__").is_dir()] == []
    for name in (name for room in rooms for name in (room / litter for litter in LITTER)):
        name.parent.mkdir(exist_ok=True)
        name.write_text("litter")
    again = run("-m", "dvc", "repro")
    assert (again.count("Running stage"), again.count("didn't change, skipping")) == (0, len(STAGES))
    (tmp_path / "banet/model/network.py").write_text("value = 2\n")
    assert "banet/model" in run("-m", "dvc", "status")
