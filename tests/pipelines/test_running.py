"""A stage that is run twice, or was left behind, is named: which process, since when, and how to end it."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from banet.errors import ResourceError
from pipelines.running import claim, running

HOLDS = "import sys, time; from pipelines.running import claim; claim(sys.argv[1]); print(flush=True); time.sleep(600)"


@contextmanager
def held(stage: str) -> Iterator[int]:
    """Another process that runs the stage here; its number."""
    command = [sys.executable, "-c", HOLDS, stage]
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.send_signal(signal.SIGKILL)  # the lock ends however its process does


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".dvc").mkdir()
    return tmp_path


def test_a_stage_that_another_process_runs_is_refused_with_what_ends_it(project: Path) -> None:
    with held("train") as pid:
        line = rf"^train is being run by the process {pid} since \d{{4}}-\d\d-\d\d \S+: .*`kill {pid}`$"
        with pytest.raises(ResourceError, match=line):
            claim("train")
        assert [bool(re.match(line, found)) for found in running(project)] == [True]
        with held("shard@mini"):  # another one
            assert len(running(project)) == 2
    assert running(project) == []
    with held("train"):
        assert len(running(project)) == 1


def test_without_a_dvc_project_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    claim("train")
    assert list(tmp_path.iterdir()) == []
    assert running(tmp_path) == []
