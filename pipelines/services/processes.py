"""Servers as processes: found by a mark in their environment, so that nothing is lost when a starter is killed."""

import errno
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from banet.errors import ResourceError, ServiceError

LOGS = "logs"  # below the folder of the servers
MARK = "BANET_SERVER"  # in the environment of a server and of all that it starts: FOLDER:NAME
STARTED_WITHIN = 300.0  # seconds; some 15 on an idle machine with 2 cores, minutes on one that is overloaded
ENDED_WITHIN = 60.0  # seconds: a training that the worker has started saves a checkpoint first
FREED_WITHIN = 2.0  # seconds: a process that was killed holds its port for a moment after it can no longer be found


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A program that listens on loopback, or a worker."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)  # beside this process's
    answers: Callable[[], bool]
    port: int | None = None
    account: str | None = None  # to run as, if not as oneself


def processes(folder: Path, name: str | None = None) -> list[psutil.Process]:
    """Return the processes of a folder's servers, or of one of them, with what they have started."""
    found = []
    for process in psutil.process_iter():
        try:
            mark = process.environ().get(MARK, "")
        except (psutil.Error, OSError):  # somebody else's, or gone
            continue
        if mark.rpartition(":")[0] == str(folder) and name in (None, mark.rpartition(":")[2]):
            found.append(process)
    return found


def start(servers: Iterable[Server], folder: Path) -> None:
    """Start the servers that do not run, and wait until all of them answer; what fails leaves none of the new ones.

    Raises:
        ResourceError: a port is taken.
        ServiceError: a server ends instead, or does not answer in time.
    """
    absent = [server for server in servers if not processes(folder, server.name)]
    for server in absent:
        _require_free_port(server)
    try:
        for server in absent:
            _launch(server, folder)
        _wait(list(servers), folder)
    except BaseException:
        for server in reversed(absent):
            end(folder, server.name)
        raise


def end(folder: Path, name: str | None = None) -> int:
    """End the processes of a folder's servers, or of one of them; return how many there were."""
    ended = 0
    while found := processes(folder, name):
        ended += len(found)
        for process in found:
            _tell(process, name)
        for left in psutil.wait_procs(found, timeout=ENDED_WITHIN)[1]:
            _tell(left, name, signal.SIGKILL)
        psutil.wait_procs(found, timeout=5)
    return ended


def account(name: str | None) -> dict[str, object]:
    """Return what makes `subprocess` run a program as another account."""
    return {} if name is None else {"user": name, "group": name, "extra_groups": []}


def last_line(text: str) -> str:
    """The last line of a program's output that says anything, shortened."""
    return next((line.strip()[:300] for line in reversed(text.splitlines()) if line.strip()), "it said nothing")


def log_of(folder: Path, name: str) -> Path:
    """The file of a server's output."""
    return folder / LOGS / f"{name}.log"


def _tell(process: psutil.Process, name: str | None, number: signal.Signals = signal.SIGTERM) -> None:
    with suppress(psutil.Error):  # it is gone
        # To PostgreSQL, SIGTERM means to wait until the last client goes.
        process.send_signal(signal.SIGINT if name == "postgres" and number == signal.SIGTERM else number)


def _require_free_port(server: Server) -> None:
    limit = time.monotonic() + FREED_WITHIN
    while server.port is not None:
        try:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", server.port))
            return
        except OSError as error:
            if error.errno == errno.EADDRINUSE and time.monotonic() < limit:
                time.sleep(0.05)
                continue
            variable = f"{server.name.upper()}_PORT"
            raise ResourceError(
                f"port {server.port} of {server.name} cannot be used ({error.strerror}): end what listens there, or "
                f"choose another port: make services {variable}={server.port + 1}"
            ) from None


def _launch(server: Server, folder: Path) -> None:
    log = log_of(folder, server.name)
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
    unbuffered = {"PYTHONUNBUFFERED": "1"}  # a log is read while it is written
    environment = {**os.environ, **unbuffered, **server.environment, MARK: f"{folder}:{server.name}"}
    with log.open("wb") as output:
        subprocess.Popen(  # type: ignore[call-overload]  # noqa: S603
            server.command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C in this terminal is not meant for it
            **account(server.account),
        )


def _wait(waiting: list[Server], folder: Path) -> None:
    limit = time.monotonic() + STARTED_WITHIN
    while waiting:
        for server in waiting[:]:
            alive, log = bool(processes(folder, server.name)), log_of(folder, server.name)
            if alive and server.answers():
                waiting.remove(server)
            elif not alive:
                end_of_log = last_line(log.read_text(encoding="utf-8", errors="replace"))
                raise ServiceError(f"{server.name} has ended while it started ({end_of_log}): see {log}")
            elif time.monotonic() > limit:
                raise ServiceError(f"{server.name} does not answer after {STARTED_WITHIN:.0f} s: see {log}")
        time.sleep(0.2)
