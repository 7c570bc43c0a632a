"""Servers as processes, on programs that start in no time."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from banet.errors import ResourceError, ServiceError
from pipelines.services.postgres import _forget_killed
from pipelines.services.processes import LOGS, Server, end, processes, start

LISTEN = """
import os, socket, subprocess, sys, time
with socket.create_server(("127.0.0.1", int(sys.argv[1]))):
    subprocess.Popen(["sleep", "600"])  # what a server starts
    time.sleep(600)
"""
pytestmark = pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Callable[[str], Server]]:
    def make(name: str) -> Server:
        port = free_port()
        command = [sys.executable, "-c", LISTEN, str(port)]
        return Server(name=name, command=command, environment={}, answers=lambda: listens(port), port=port)

    yield make
    end(tmp_path)


@pytest.fixture(autouse=True)
def logs(tmp_path: Path) -> None:
    (tmp_path / LOGS).mkdir()


def failing(*command: str) -> Server:
    return Server(name="failing", command=command, environment={}, answers=lambda: False)


def test_a_server_is_started_once_and_ended_with_what_it_has_started(
    tmp_path: Path, listener: Callable[[str], Server]
) -> None:
    server = listener("one")
    start([server], tmp_path)
    running = processes(tmp_path, "one")
    assert len(running) == 2
    start([server], tmp_path)
    assert processes(tmp_path) == running
    assert processes(tmp_path, "two") == processes(tmp_path / "elsewhere") == []
    assert end(tmp_path, "one") == 2
    assert not listens(server.port or 0)
    assert end(tmp_path) == 0


def test_what_was_killed_is_started_again_and_the_rest_left(tmp_path: Path, listener: Callable[[str], Server]) -> None:
    servers = [listener("one"), listener("two")]
    start(servers, tmp_path)
    two = processes(tmp_path, "two")
    killed = processes(tmp_path, "one")
    for process in killed:
        process.kill()
    psutil.wait_procs(killed)
    start(servers, tmp_path)
    assert processes(tmp_path, "two") == two
    assert listens(servers[0].port or 0)


def test_a_server_that_ends_is_told_with_the_end_of_its_log_and_leaves_nothing(
    tmp_path: Path, listener: Callable[[str], Server]
) -> None:
    kept, new = listener("kept"), listener("new")
    start([kept], tmp_path)
    before = processes(tmp_path, "kept")
    with pytest.raises(ServiceError, match=r"^failing .*no such column.*failing\.log$") as error:
        start([kept, new, failing("sh", "-c", "echo first; echo no such column; exit 3")], tmp_path)
    assert "\n" not in str(error.value)
    assert processes(tmp_path) == before


def test_a_server_that_never_answers_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.services.processes.STARTED_WITHIN", 0.5)
    with pytest.raises(ServiceError, match=r"failing does not answer"):
        start([failing("sleep", "600")], tmp_path)
    assert processes(tmp_path) == []


def test_a_taken_port_is_named_with_the_remedy_before_anything_starts(
    tmp_path: Path, listener: Callable[[str], Server]
) -> None:
    first, second = listener("one"), listener("two")
    with socket.create_server(("127.0.0.1", second.port or 0)):
        with pytest.raises(ResourceError, match=f"port {second.port} of two .*TWO_PORT={(second.port or 0) + 1}"):
            start([first, second], tmp_path)
        assert processes(tmp_path) == []


def test_a_port_that_a_killed_process_still_holds_is_waited_for(
    tmp_path: Path, listener: Callable[[str], Server]
) -> None:
    server = listener("one")
    held = socket.create_server(("127.0.0.1", server.port or 0))
    release = threading.Timer(0.5, held.close)
    release.start()
    start([server], tmp_path)
    release.join()
    assert len(processes(tmp_path, "one")) == 2


def test_the_mark_of_a_killed_postgres_is_removed_though_nobody_has_waited_for_it(tmp_path: Path) -> None:
    mark = tmp_path / "postmaster.pid"
    _forget_killed(tmp_path)  # there is none
    with subprocess.Popen(["sleep", "60"]) as process:
        mark.write_text(f"{process.pid}\n{tmp_path}\n")
        _forget_killed(tmp_path)
        assert mark.exists()
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        _forget_killed(tmp_path)
        assert not mark.exists()
