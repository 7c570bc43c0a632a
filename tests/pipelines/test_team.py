"""Two people, one line: what docs/team.md has them type, in clones of a small line that was run once."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from banet.tracking.registry import find
from banet.tracking.store import connect
from banet.tracking.version_files import RegisteredModel
from pipelines.stages.check import forget_lost
from pipelines.stages.stage_results import read_json
from tests.object_store import KEYS, s3_server

REPO = Path(__file__).parents[2]
TEAM, CI = REPO / "docs/team.md", REPO / "docs/ci-example.yml"
RESTORED = {"fetch@mini", "shard@mini", "train", "evaluate@mini", "promote", "report"}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.server,  # beside test_deployment.py, whose line is run once for both
    pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning"),  # DVC's own use of pygtrie
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning"),  # MLflow's own use of SQLAlchemy
]


class Clone:
    """A checkout, and the environment of the person who types there."""

    def __init__(self, root: Path, **environment: str) -> None:
        self.root = root
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "RAY_"))}
        person = {f"GIT_{role}_{what}": "a@b" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        self.environment = kept | person | KEYS | {"PATH": path, "DVC_NO_ANALYTICS": "1"} | environment

    def type(self, command: str) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def clone(self, root: Path, **environment: str) -> "Clone":
        subprocess.run(["git", "clone", "--quiet", self.root, root], check=True)
        return Clone(root, **environment)

    @property
    def registered(self) -> RegisteredModel:
        return read_json(RegisteredModel, self.root / "reports/registered.json", stage="register")


@pytest.fixture(scope="module")
def finished(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the small line, brought up to date."""
    root = tmp_path_factory.mktemp("team") / "finished"
    shutil.copytree(checkout, root, symlinks=True)
    Clone(root).type("dvc repro")
    return root


@pytest.fixture
def first(finished: Path, tmp_path: Path) -> Clone:
    """The checkout of whoever has run the line; its dvc.lock is not committed."""
    shutil.copytree(finished, tmp_path / "first", symlinks=True)
    return Clone(tmp_path / "first", MLFLOW_TRACKING_URI=f"sqlite:///{finished}/mlflow.db")


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The address of an S3 server on this machine, with the bucket `team`."""
    with s3_server("team") as address:
        yield f"http://{address}"


def share(first: Clone, remote: Path) -> None:
    """Commit dvc.lock and the address of a remote."""
    first.type(f"dvc remote add --default team {remote}")
    first.type("git add .dvc/config dvc.lock")
    first.type("git commit --message 'The line, run'")


def test_a_clone_pulls_from_a_folder_and_runs_nothing_but_what_its_store_lacks(
    first: Clone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    share(first, tmp_path / "remote")
    first.type("dvc push --run-cache")
    second = first.clone(tmp_path / "second", MLFLOW_TRACKING_URI=first.environment["MLFLOW_TRACKING_URI"])
    second.type("dvc pull --run-cache")
    said = second.type("dvc repro")
    assert "Running stage" not in said
    assert "Data and pipelines are up to date." in said
    assert second.type("git status --porcelain") == ""
    assert second.registered == first.registered

    del second.environment["MLFLOW_TRACKING_URI"]  # now with a store of its own
    said = second.type("python -m pipelines.stages.check")
    assert said.startswith("banet-mini version 1 of registered.json is not in sqlite:///")
    assert str(second.root) in said
    second.type("dvc repro register")
    store = connect(f"sqlite:///{second.root}/mlflow.db")
    assert find(store, "banet-mini", 1).digest == first.registered.digest
    assert second.registered.run_id != first.registered.run_id
    assert re.findall(r"^(\w+\S*):$", second.type("dvc status"), re.MULTILINE) == ["evaluate@mini", "promote", "report"]

    file = second.root / "reports/registered.json"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert forget_lost(file.parent) is None  # nobody knows
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)
    assert forget_lost(file.parent) is None
    written = json.loads(file.read_text())
    file.unlink()
    assert forget_lost(file.parent) is None
    file.write_text(json.dumps(written | {"digest": "0" * 64}))  # a version of that number with other weights
    assert "banet-mini version 1" in (forget_lost(file.parent) or "")
    assert not file.exists()


def test_without_dvc_lock_a_clone_restores_from_s3_all_but_what_the_store_has(
    first: Clone, bucket: str, tmp_path: Path
) -> None:
    first.type("dvc remote add --default team s3://team/banet")
    first.type(f"dvc remote modify team endpointurl {bucket}")
    first.type("git add .dvc/config && git commit --quiet --message 'A remote'")
    first.type("dvc push --run-cache")
    second = first.clone(tmp_path / "second", MLFLOW_TRACKING_URI=first.environment["MLFLOW_TRACKING_URI"])
    assert not (second.root / "dvc.lock").exists()
    said = second.type("dvc repro --pull")
    assert re.findall(r"Running stage '(.*)'", said) == ["register"]  # it asks the store, and finds the version
    assert set(re.findall(r"Stage '(.*)' is cached", said)) == RESTORED
    assert second.registered == first.registered
    locks = [yaml.safe_load((clone.root / "dvc.lock").read_text()) for clone in (first, second)]
    assert locks[0] == locks[1]


def test_an_experiment_is_shared_by_its_name(first: Clone, tmp_path: Path) -> None:
    share(first, tmp_path / "remote")
    first.type(f"git clone --quiet --bare . {tmp_path / 'origin.git'} && git remote add origin {tmp_path}/origin.git")
    origin = Clone(tmp_path / "origin.git")
    first.type("dvc exp run --temp --name loud-fox --set-param shards.storage=raw shard")
    assert first.type("git status --porcelain") == ""
    first.type("dvc exp push origin loud-fox")
    second = origin.clone(tmp_path / "second")
    assert "loud-fox" in second.type("dvc exp list origin --all-commits")
    second.type("dvc exp pull origin loud-fox")
    second.type("dvc exp apply loud-fox")
    assert yaml.safe_load((second.root / "params.yaml").read_text())["shards"]["storage"] == "raw"
    assert json.loads((second.root / "data/shards/mini/summary.json").read_text())["storage"] == "raw"
    assert "Running stage" not in second.type("dvc repro shard")


def test_the_example_for_ci_says_what_has_changed(first: Clone, tmp_path: Path) -> None:
    share(first, tmp_path / "remote")
    first.type("dvc push --run-cache")
    jobs = yaml.safe_load(CI.read_text())["jobs"]
    steps = {step.get("name", step.get("uses")): step for step in jobs["reproduce"]["steps"]}
    assert set(steps) == {
        *("actions/checkout@v5", "actions/setup-python@v6", "actions/upload-artifact@v5"),
        *("install", "pull", "check", "reproduce", "share", "compare", "comment"),
    }
    base = first.type("git rev-parse HEAD").strip()
    # A pull request with other weights, as far as the metrics say.
    trained = first.root / "reports/train.json"
    values = json.loads(trained.read_text())
    first.type("dvc unprotect reports/train.json")
    trained.write_text(json.dumps(values | {"validation_psnr": values["validation_psnr"] + 1}))
    assert "| 1.0" in first.type("dvc metrics diff --md main")
    first.type("dvc commit --force train && git commit --all --message 'Better' && dvc push --run-cache")

    asked = tmp_path / "bin/gh"  # it needs GitHub: what it is asked is written down
    asked.parent.mkdir()
    asked.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\n')
    asked.chmod(0o755)
    store = first.environment["MLFLOW_TRACKING_URI"]
    runner = first.clone(tmp_path / "runner", MLFLOW_TRACKING_URI=store, BASE=base, NUMBER="7")
    runner.environment["PATH"] = f"{asked.parent}{os.pathsep}{runner.environment['PATH']}"
    said = {name: runner.type(steps[name]["run"]) for name in ("pull", "check", "share", "compare", "comment")}
    assert said["check"] == ""  # the store has the version
    comment = (runner.root / "comment.md").read_text()
    row = re.search(r"^\| reports/train.json +\| validation_psnr +\|.*\| 1\.0", comment, re.MULTILINE)
    assert row, comment
    assert (runner.root / "reports/table.md").read_text() in comment
    assert (tmp_path / "asked").read_text().startswith("pr comment 7 --body-file comment.md")
    for path in steps["actions/upload-artifact@v5"]["with"]["path"].split():
        assert (runner.root / path).exists(), path
    extras = re.findall(r"\.\[(.*)\]", steps["install"]["run"])[0].split(",")
    assert all(re.search(rf"^{extra} = \[", (REPO / "pyproject.toml").read_text(), re.MULTILINE) for extra in extras)


def test_what_the_page_has_you_type_is_typed_here() -> None:
    blocks = re.findall(r"([^\n]*\n)\n```\n(.*?)^```", TEAM.read_text(), re.MULTILINE | re.DOTALL)
    typed = "".join(block for before, block in blocks if "no test" not in before)
    for ours, theirs in (("{remote}", "/srv/banet/remote"), ("{bucket}", "http://127.0.0.1:9000")):
        typed = typed.replace(theirs, ours)
    lines = set(typed.splitlines()) - {"git clone ADDRESS banet && cd banet"}
    assert len(lines) > 15
    assert [line for line in sorted(lines) if line not in Path(__file__).read_text()] == []
