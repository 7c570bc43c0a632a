"""The Prefect flow over DVC's graph: when a stage runs. What it does, and whether it has to, is DVC's.

Each stage is one task that runs `dvc repro --single-item STAGE` in the current folder, after the tasks of the stages it
reads from. The flow never edits `params.yaml`: choose recipes with `dvc exp run`, or commit them.

A process worker runs this code for whoever may talk to the Prefect server. The server listens on loopback; on a machine
shared with others, or before it listens elsewhere, give it a password: PREFECT_SERVER_API_AUTH_STRING=user:password,
and PREFECT_API_AUTH_STRING with the same value for worker and commands.
"""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture, wait
from prefect.states import Completed, Failed

from banet.errors import BanetError, ConfigError
from pipelines.graph import Graph, read_graph

REFUSED = "Refused"  # name of the failed state of a stage that would fail again: bad input, or DVC's own complaint
RETRY_DELAY_S = 10
TERMINATION_GRACE_S = 5.0  # from SIGTERM to SIGKILL; Prefect itself kills a cancelled flow after 30 s


@flow(name="train-banet")
def train_banet(stages: list[str] | None = None, force: bool = False) -> State[None]:
    """Bring the stages of `dvc.yaml` up to date, side by side where the graph allows it.

    Args:
        stages: The stages to end with, such as `evaluate@mini`, or `evaluate` for all its benchmarks; what they read
            from runs before them. None: all of them.
        force: Run them all, also where DVC finds nothing changed, as `dvc repro --force` does.

    """
    try:
        graph = read_graph(Path.cwd())
        if stages is not None:
            graph = graph.upstream(stages)
    except ConfigError as error:
        return Failed(message=f"error: {error}")
    groups = ProcessGroups()
    try:
        ended = _run_all(graph, force=force, groups=groups)
    except BaseException:  # cancelled or killed: the task threads wait for their stages and would not notice
        groups.stop()
        raise
    if unfinished := [state for state in ended if not state.is_completed()]:
        # A stage behind a failed one is still pending: its parent's line says what is wrong.
        telling = [state for state in unfinished if state.is_final()] or unfinished
        return Failed(message="; ".join(state.message or state.name or "failed" for state in telling))
    return Completed(message=f"{len(graph.stages)} stages are up to date")


def _run_all(graph: Graph, *, force: bool, groups: "ProcessGroups") -> list[State[Any]]:
    """Run every stage of the graph that its parents allow, and return the state of each when nothing runs any more."""
    futures: dict[str, PrefectFuture[Any]] = {}
    for stage in graph.stages:
        parents = [futures[parent] for parent in stage.parents]
        futures[stage.name] = run_stage.submit(
            stage.name, force=force, groups=groups, wait_for=parents, return_state=False
        )
    wait(list(futures.values()))
    return [future.state for future in futures.values()]


def _is_worth_a_retry(task: object, task_run: object, state: State[Any]) -> bool:
    return state.name != REFUSED


@task(
    name="stage",
    task_run_name="{stage}",
    retries=1,
    retry_delay_seconds=RETRY_DELAY_S,
    retry_condition_fn=_is_worth_a_retry,
    cache_policy=NO_CACHE,
)
def run_stage(stage: str, *, force: bool, groups: "ProcessGroups") -> State[None]:
    """Run one stage by DVC with its output in the run's log; its state's message is the stage's own line of error."""
    outcome = reproduce(stage, force=force, groups=groups, log=get_run_logger().info)
    if outcome.succeeded:
        return Completed(message=f"{stage} is up to date")
    return Failed(name="Failed" if outcome.worth_a_retry else REFUSED, message=f"{stage}: {outcome.line}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one `dvc repro` ended."""

    succeeded: bool
    line: str  # the one line that tells a person why it failed; empty on success
    worth_a_retry: bool  # the stage itself ran, and it was not its input that was bad


class ProcessGroups:
    """The process groups that are alive now: DVC, its stage, and the stage's own children, one group a stage.

    DVC does not pass SIGTERM on to its stage, so who stops early has to end the whole group.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._live: set[subprocess.Popen[str]] = set()
        self._stopped = False

    @contextmanager
    def start(self, command: list[str], env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
        """Run a command as the head of its own group, stdout and stderr in one stream of text."""
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
        """End every live group, first politely, and let none start after this."""
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
    """Send a signal to a whole group (0 only asks); false when nobody is left in it."""
    process.poll()  # a dead head that nobody has asked for still counts as a member
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
        return True
    return False


def reproduce(stage: str, *, force: bool, groups: ProcessGroups, log: Callable[[str], None]) -> Outcome:
    """Run one stage by DVC in the current folder; each line of its output that has text goes to `log` as it comes."""
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", *["--force"] * force, stage]
    lines = LastWords()
    with groups.start(command, _environment()) as process:
        for text in process.stdout or ():
            if line := text.rstrip():
                lines.hear(line)
                log(line)
    return lines.outcome(process.returncode)


def _environment() -> dict[str, str]:
    """Make `python` in `dvc.yaml` this interpreter, and let it print without delay."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"}


class LastWords:
    """What the output of `dvc repro` says about a failure.

    DVC exits with 255 whatever the stage's status was, and ends with
    `ERROR: failed to reproduce 'train': failed to run: python …, exited with 2`.
    """

    def __init__(self) -> None:
        self._stage = ""  # the line of our own stages, `error: …`
        self._dvc = ""
        self._status: int | None = None  # None: the stage's command did not run

    def hear(self, line: str) -> None:
        """Take in one line of output."""
        if line.startswith("error: "):
            self._stage = line
        elif line.startswith("ERROR: "):
            self._dvc = line
        if found := re.search(r", exited with (-?\d+)$", line):
            self._status = int(found[1])

    def outcome(self, dvc_status: int) -> Outcome:
        """Judge the whole run by what was heard and the exit status of DVC itself."""
        if dvc_status == 0:
            return Outcome(succeeded=True, line="", worth_a_retry=False)
        line = self._stage or self._dvc or f"error: dvc ended with status {dvc_status}"
        bad_input = self._status in (None, BanetError.exit_status)
        return Outcome(succeeded=False, line=line, worth_a_retry=not bad_input)
