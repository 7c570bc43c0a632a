"""One temporary Prefect server and worker and one small whole line a session, and a project small enough to watch."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings

from tests.pipelines.checkouts import REPO, make_checkout

SERVER_START_S = 120  # 12 s on an idle machine with 2 cores, 30 s on a busy one

BIN = Path(sys.executable).parent

TOY_DVC_YAML = """\
stages:
  fetch:
    matrix:
      benchmark: ${evaluate_on}
    cmd: echo ${item.benchmark} > ${item.benchmark}.txt
    outs:
      - ${item.benchmark}.txt
  train:
    cmd: python train.py
    deps:
      - near.txt
      - train.py
    outs:
      - weights.txt
  report:
    cmd: cat weights.txt far.txt > report.txt
    deps:
      - weights.txt
      - far.txt
    outs:
      - report.txt
"""
TOY_TRAIN_PY = """\
from pathlib import Path

print("step 1", flush=True)
Path("weights.txt").write_text("trained")
"""


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new repository with the files of this one that git has or would take, and a training of seconds."""
    root = tmp_path_factory.mktemp("line") / "checkout"
    make_checkout(root)
    return root


@pytest.fixture
def toy_project(tmp_path: Path) -> Path:
    """A DVC project of four stages: fetch@far, fetch@near -> train -> report, which also reads far."""
    root = tmp_path / "toy"
    root.mkdir()
    (root / "dvc.yaml").write_text(TOY_DVC_YAML)
    (root / "params.yaml").write_text("evaluate_on: [far, near]\n")
    (root / "train.py").write_text(TOY_TRAIN_PY)
    subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet", "--no-scm"], cwd=root, check=True)
    return root


@pytest.fixture(scope="session")
def prefect_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment for `prefect` commands against a server of this session alone: our settings, a free port."""
    home = tmp_path_factory.mktemp("prefect")
    port = _free_port()
    ours = {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "true",
        "DVC_NO_ANALYTICS": "1",
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
    }
    elsewhere = ("PREFECT_", "MLFLOW_", "RAY_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(elsewhere)} | ours
    shutil.copy(REPO / "prefect.toml", home)
    command = ["prefect", "server", "start"]
    with background(command, environment, home, home / "server.log") as server:
        _wait_for_server(server, f"{ours['PREFECT_API_URL']}/health", home / "server.log")
        yield environment


@pytest.fixture(scope="session")
def prefect_worker(prefect_environment: dict[str, str]) -> Iterator[Path]:
    """The log of a worker of the pool `local`; it is started far from any checkout."""
    home = Path(prefect_environment["PREFECT_HOME"])
    subprocess.run(
        ["prefect", "work-pool", "create", "local", "--type", "process"],
        env=prefect_environment,
        cwd=home,
        check=True,
        capture_output=True,
    )
    command = ["prefect", "worker", "start", "--pool", "local"]
    with background(command, prefect_environment, home, home / "worker.log"):
        yield home / "worker.log"


@contextmanager
def background(command: list[str], env: dict[str, str], cwd: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A command that runs, its output in a file, until the block ends."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=env, cwd=cwd, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for_server(server: subprocess.Popen[bytes], health: str, log: Path) -> None:
    deadline = time.monotonic() + SERVER_START_S
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        try:
            with urlopen(health, timeout=2):
                return
        except URLError:
            time.sleep(0.2)
    pytest.fail(f"no Prefect server after {SERVER_START_S} s: {log.read_text()}")


@pytest.fixture
def api(prefect_environment: dict[str, str]) -> Iterator[None]:
    with temporary_settings(
        {
            PREFECT_API_URL: prefect_environment["PREFECT_API_URL"],
            PREFECT_HOME: Path(prefect_environment["PREFECT_HOME"]),
            PREFECT_LOGGING_TO_API_ENABLED: False,  # sent in the background, also after the server has gone
        }
    ):
        yield
