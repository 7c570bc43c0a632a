"""A stage that is run twice, or was left behind, is named: which process, since when, and how to end it."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from banet.errors import ResourceError
from pipelines.running import claim, end_when_left_alone, running

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
        line = rf"^train is being run by the process {pid} on \S+ since \d{{4}}-\d\d-\d\d \S+: .*`kill {pid}`$"
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


# A flow that runs DVC that runs a stage, each through a shell or not; only the stage prints.
STAGE = """
import os, signal, sys, time
from pipelines.running import end_when_left_alone
told = []
def end(*_):  # slowly: the second signal finds it at work
    told.append(1)
    print("told" if len(told) == 1 else "ended", flush=True)
    if len(told) == 2: os._exit(0)
signal.signal(signal.SIGTERM, end)
end_when_left_alone()
print(os.getpid(), flush=True)
time.sleep(600)
"""
RUNS = "import subprocess, sys; subprocess.run(sys.argv[1:])"


@pytest.mark.slow
@pytest.mark.parametrize(("killed", "prefect"), [("dvc", False), ("dvc", True), ("flow", True)])
def test_a_stage_ends_in_order_when_what_runs_it_is_killed(tmp_path: Path, killed: str, prefect: bool) -> None:
    dvc = tmp_path / "dvc"
    dvc.write_text(RUNS)
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "DVC_STAGE": "train"}
    if prefect:
        env["PREFECT__FLOW_RUN_ID"] = "1"
    stage = ["sh", "-c", f"{sys.executable} -c '{STAGE}'; exit"]
    command = [sys.executable, "-c", RUNS, sys.executable, str(dvc), *stage]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as flow:
        assert flow.stdout is not None
        number = int(flow.stdout.readline())
        above = psutil.Process(number).parents()
        victim = flow.pid if killed == "flow" else next(p.pid for p in above if str(dvc) in p.cmdline())
        os.kill(victim, signal.SIGKILL)
        began = time.monotonic()
        assert [flow.stdout.readline(), flow.stdout.readline()] == ["told\n", "ended\n"]
        assert time.monotonic() - began < 10


def test_a_stage_that_dvc_does_not_run_watches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DVC_STAGE", raising=False)
    before = threading.active_count()
    end_when_left_alone()
    assert threading.active_count() == before
