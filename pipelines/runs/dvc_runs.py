"""Runs of DVC: stages and experiments of the current folder, each in a process group of its own, and how each ended."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from prefect.runtime import flow_run

from banet.errors import BanetError
from banet.tracking.addresses import without_password

STOPPED = tuple(128 + number for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM))  # by somebody, on purpose
TERMINATION_GRACE_S = 5.0  # from SIGTERM to SIGKILL; Prefect itself kills a cancelled flow after 30 s


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one `dvc repro` ended."""

    succeeded: bool
    line: str  # why it failed; empty on success
    worth_a_retry: bool  # the stage itself ran and failed, not because of bad input


class ProcessGroups:
    """The running process groups, one per stage: DVC, its stage, and the stage's own children.

    DVC does not pass SIGTERM on to its stage: to stop early, the whole group has to be ended.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._live: set[subprocess.Popen[str]] = set()
        self._stopped = False

    @contextmanager
    def start(self, command: list[str], env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
        """Run a command as the leader of its own group, with stdout and stderr in one stream of text."""
        with self._lock:
            if self._stopped:
                raise RuntimeError("the flow is being stopped")
            process = subprocess.Popen(  # noqa: S603  (our interpreter and a stage's name from dvc.yaml, no shell)
                command,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
            self._live.add(process)
        try:
            with process:
                yield process
        finally:
            with self._lock:
                self._live.discard(process)

    def stop(self) -> None:
        """End every running group, first with SIGTERM and then with SIGKILL, and let no other start."""
        with self._lock:
            self._stopped = True
            live = list(self._live)
        for process in live:
            _signal_group(process, signal.SIGTERM)
        deadline = time.monotonic() + TERMINATION_GRACE_S
        while any(_signal_group(process, 0) for process in live) and time.monotonic() < deadline:
            time.sleep(0.05)
        for process in live:
            _signal_group(process, signal.SIGKILL)


def _signal_group(process: subprocess.Popen[str], number: int) -> bool:
    """Send a signal to a whole group (0 only checks); false if no process is left in it."""
    process.poll()  # a dead leader counts as a member until it is waited for
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
        return True
    return False


def reproduce(stage: str, *, force: bool, groups: ProcessGroups, log: Callable[[str], None]) -> Outcome:
    """Run one stage by DVC in the current folder; each non-empty line of its output goes to `log` at once."""
    return _run(["--wait-for-lock", "repro", "--single-item", *["--force"] * force, stage], groups, log)


def experiment(
    name: str,
    settings: Sequence[str],
    stages: Sequence[str],
    *,
    force: bool,
    groups: ProcessGroups,
    log: Callable[[str], None],
) -> Outcome:
    """Run stages with other parameters as a DVC experiment in a temporary copy of the checkout; `log` as above."""
    chosen = [word for setting in settings for word in ("--set-param", setting)]
    return _run(["exp", "run", "--temp", "--name", name, *chosen, *["--force"] * force, *stages], groups, log)


def _run(arguments: list[str], groups: ProcessGroups, log: Callable[[str], None]) -> Outcome:
    command, lines = [sys.executable, "-m", "dvc", *arguments], []
    with groups.start(command, _environment()) as process:
        for text in process.stdout or ():
            if line := text.rstrip():
                lines.append(line)
                log(line)
    return judge(lines, process.returncode)


def _environment() -> dict[str, str]:
    """Make `python` in `dvc.yaml` this interpreter, printing without delay; name this run of Prefect's to stages."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    url = without_password(flow_run.ui_url or "")
    this = {"BANET_FLOW_RUN": flow_run.id, "BANET_FLOW_RUN_URL": url}  # for pipelines/run_tags.py
    named = {variable: str(value) for variable, value in this.items() if value}
    return {**os.environ, **named, "PATH": path, "PYTHONUNBUFFERED": "1"}


def judge(lines: Sequence[str], dvc_status: int) -> Outcome:
    """Tell from the output of `dvc repro` and its exit status how a stage ended.

    DVC exits with 255 whatever the status of the stage, and its last line is
    `ERROR: failed to reproduce 'train': failed to run: python …, exited with 2`.
    """
    if dvc_status == 0:
        return Outcome(succeeded=True, line="", worth_a_retry=False)
    own = [line for line in lines if line.startswith("error: ")]  # of the stage
    dvc = [line for line in lines if line.startswith("ERROR: ")]
    if dvc and dvc[-1].endswith(":"):  # a lock: who holds it is on the next line
        dvc += [" ".join((dvc[-1], *lines[lines.index(dvc[-1]) + 1 :][:1]))]
    line = (own or dvc or [f"error: dvc ended with status {dvc_status}"])[-1]
    exits = [found for text in lines if (found := re.search(r", exited with (-?\d+)$", text))]  # none: nothing was run
    final = (BanetError.exit_status, *STOPPED)
    return Outcome(succeeded=False, line=line, worth_a_retry=bool(exits) and int(exits[-1][1]) not in final)
