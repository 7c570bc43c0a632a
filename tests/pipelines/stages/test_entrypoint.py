"""The stages' commands: bad input is one line and status 2, a silent server status 1, as a user sees it."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
KNOWN = "gopro, hide, mini, realblur_j, realblur_r"
UNKNOWN = f"error: there is no benchmark 'gopra': data/benchmarks knows {KNOWN}"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What a stage reads of a checkout."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    (tmp_path / "dvc.yaml").touch()
    shutil.copytree(ROOT / "data/benchmarks", tmp_path / "data/benchmarks")
    return tmp_path


def stage(checkout: Path, name: str, *arguments: str, **env: str) -> tuple[int, list[str]]:
    """Run a stage's command; return its status and the lines it printed."""
    command = [sys.executable, "-m", f"pipelines.stages.{name}", *arguments]
    done = subprocess.run(
        command, cwd=checkout, env=os.environ | env, capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, (done.stdout + done.stderr).splitlines()


def test_an_unknown_benchmark_is_named_with_the_known_ones(checkout: Path) -> None:
    status, lines = stage(checkout, "fetch", "--benchmark", "gopra", "--out", "raw")
    assert (status, lines) == (2, [UNKNOWN])
    assert not (checkout / "raw").exists()


def test_a_mistyped_parameter_is_one_line(checkout: Path) -> None:
    params = checkout / "params.yaml"
    params.write_text(params.read_text().replace("seed: 0", "sed: 0"))
    status, lines = stage(checkout, "train", "--shards", "nowhere")
    assert status == 2
    assert len(lines) == 1
    assert lines[0].startswith("error: params.yaml: recipe.sed is unknown: the keys here are name, seed")


def test_an_empty_folder_is_named(checkout: Path) -> None:
    (checkout / "raw").mkdir()
    status, lines = stage(checkout, "shard", "--benchmark", "mini", "--raw", "raw", "--out", "shards")
    assert (status, lines) == (
        2,
        ["error: raw/mini.zip cannot be read (No such file or directory): run the fetch stage"],
    )


def test_a_tracking_server_that_does_not_answer_is_a_failure(checkout: Path) -> None:
    with socket.socket() as held:  # bound and never listening: every connection is refused
        held.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{held.getsockname()[1]}"
        status, lines = stage(checkout, "train", "--shards", "nowhere", MLFLOW_TRACKING_URI=uri)
    assert status == 1
    assert len(lines) == 1
    assert lines[0].startswith(f"error: tracking server {uri} does not answer")


def test_the_line_stays_visible_under_dvc(checkout: Path) -> None:
    for command in (["git", "init", "--quiet"], [sys.executable, "-m", "dvc", "init", "--quiet"]):
        subprocess.run(command, cwd=checkout, check=True)
    python = Path(sys.executable)
    (checkout / "dvc.yaml").write_text(
        "stages:\n  fetch:\n    cmd: python -m pipelines.stages.fetch --benchmark gopra --out raw\n    outs: [raw]\n"
    )
    env = os.environ | {"PATH": f"{python.parent}:{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}
    command = [sys.executable, "-m", "dvc", "repro", "--quiet"]
    done = subprocess.run(command, cwd=checkout, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode != 0
    assert UNKNOWN in done.stderr.splitlines()
