"""The stages' commands: bad input is one line and status 2, a silent server status 1, as a user sees it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
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


@pytest.mark.slow
def test_a_mistyped_parameter_is_one_line(checkout: Path) -> None:
    params = checkout / "params.yaml"
    params.write_text(params.read_text().replace("seed: 0", "sed: 0"))
    status, lines = stage(checkout, "train", "--shards", "nowhere")
    assert status == 2
    assert len(lines) == 1
    assert lines[0].startswith("error: params.yaml: recipe.sed is unknown: the keys here are name, seed")


def test_an_empty_folder_is_named(checkout: Path) -> None:
    (checkout / "raw").mkdir()
    status, lines = stage(checkout, "shard", "--benchmark", "mini", "--raw", "raw", "--out", "shards", "--reports", "r")
    assert (status, lines) == (
        2,
        ["error: raw/mini.zip cannot be read (No such file or directory): run the fetch stage"],
    )


@pytest.mark.slow
def test_a_tracking_server_that_does_not_answer_is_a_failure(checkout: Path) -> None:
    with socket.socket() as held:  # bound and never listening: every connection is refused
        held.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{held.getsockname()[1]}"
        status, lines = stage(checkout, "train", "--shards", "nowhere", MLFLOW_TRACKING_URI=uri)
    assert status == 1
    assert len(lines) == 1
    assert lines[0].startswith(f"error: tracking server {uri} does not answer")


@pytest.mark.slow
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


STAGE = """
import sys, time
from pathlib import Path
from pipelines.stages.entrypoint import run_command

def work(item: int) -> None:
    time.sleep(600)

def main(out: Path) -> None:
    'Wait.'
    if out.name == "ray":
        from banet.cluster.ray_session import map_here, start_ray
        start_ray()
    try:
        print("started", flush=True)
        if out.name == "ray":
            list(map_here(work, range(4)))
        time.sleep(600)
    except KeyboardInterrupt:
        if out.name == "slow":
            print("ending", flush=True)
            time.sleep(600)
        raise

if __name__ == "__main__":
    run_command(main, kept="half is kept")
"""


def started(folder: Path, out: str) -> "subprocess.Popen[str]":
    """A stage that waits; its own process group, as a shell gives to a command."""
    (folder / "half.py").write_text(STAGE)
    # else ignored where the tests are: by a shell's `&`, or by `nohup`
    ours = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGINT, signal.SIGHUP)}
    process = subprocess.Popen(
        [sys.executable, "half.py", "--out", out],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    for number, handler in ours.items():
        signal.signal(number, handler)
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    return process


def below(pid: int) -> set[int]:
    """All processes that a process has started, directly or not."""
    table = subprocess.run(["ps", "-eo", "pid=,ppid=,stat="], capture_output=True, text=True, check=True).stdout
    rows = [(int(row[0]), int(row[1])) for row in map(str.split, table.splitlines()) if "Z" not in row[2]]
    found = {pid}
    while new := {child for child, parent in rows if parent in found} - found:
        found |= new
    return found - {pid}


def alive(pids: set[int]) -> set[int]:
    table = subprocess.run(["ps", "-eo", "pid=,stat="], capture_output=True, text=True, check=True).stdout
    return pids & {int(pid) for pid, state in map(str.split, table.splitlines()) if "Z" not in state}


LINE = "half: stopped by {}; half is kept: run the same command again to go on"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_stage_with_one_line(tmp_path: Path, number: signal.Signals) -> None:
    with started(tmp_path, "plain") as process:
        process.send_signal(number)
        rest, _ = process.communicate(timeout=60)
    assert (process.returncode, rest.splitlines()) == (128 + number, [LINE.format(number.name)])


def test_a_second_signal_ends_a_stage_at_once(tmp_path: Path) -> None:
    with started(tmp_path, "slow") as process:
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert process.stdout.readline() == "ending\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == -signal.SIGINT


@pytest.mark.slow
@pytest.mark.distributed
@pytest.mark.parametrize("whole_group", [False, True], ids=["kill", "Ctrl-C"])
def test_a_signal_ends_a_stage_and_its_ray_with_one_line(tmp_path: Path, whole_group: bool) -> None:
    with started(tmp_path, "ray") as process:
        of_ray = below(process.pid)
        assert of_ray
        number = signal.SIGINT if whole_group else signal.SIGTERM
        (os.killpg if whole_group else os.kill)(process.pid, number)
        rest, _ = process.communicate(timeout=120)
    assert (process.returncode, rest.splitlines()) == (128 + number, [LINE.format(number.name)])
    deadline = time.monotonic() + 30  # 10 s where the machine is idle
    while alive(of_ray):
        assert time.monotonic() < deadline, alive(of_ray)
        time.sleep(0.2)
