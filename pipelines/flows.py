"""The Prefect flow over DVC's graph: it decides when a stage runs; DVC decides what it does and whether it has to run.

Each stage is one task that runs `dvc repro --single-item STAGE` in the current folder, after the tasks of the stages it
reads from. The flow never edits `params.yaml`: choose recipes with `dvc exp run`, or commit them.

A process worker runs this code for everyone who can reach the Prefect server, which listens on loopback. On a shared
machine, or before it listens elsewhere, give it a password: PREFECT_SERVER_API_AUTH_STRING=user:password for the
server, and PREFECT_API_AUTH_STRING with the same value for the worker and commands.
"""

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
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.context import FlowRunContext
from prefect.futures import PrefectFuture, wait
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from banet.errors import BanetError, ConfigError
from pipelines.graph import Graph, read_graph
from pipelines.running import running

REFUSED = "Refused"  # the failed state of a stage that would fail again: bad input, or an error of DVC itself
STOPPED = tuple(128 + number for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM))  # by somebody, on purpose
RETRY_DELAY_S = 10
TERMINATION_GRACE_S = 5.0  # from SIGTERM to SIGKILL; Prefect itself kills a cancelled flow after 30 s


@flow(name="train-banet")
def train_banet(stages: list[str] | None = None, force: bool = False) -> State[None]:
    """Bring the stages of `dvc.yaml` up to date, side by side where the graph allows it.

    Args:
        stages: The last stages, such as `evaluate@mini`, or `evaluate` for all its benchmarks; the stages they read
            from run before them. None: all stages.
        force: Run all of them, even if DVC finds nothing changed, as `dvc repro --force` does.

    """
    try:
        graph = read_graph(Path.cwd())
        if stages is not None:
            graph = graph.upstream(stages)
    except ConfigError as error:
        return Failed(message=f"error: {error}")
    for line in _left_behind():
        get_run_logger().warning(line)
    groups = ProcessGroups()
    try:
        ended = _run_all(graph, force=force, groups=groups)
    except BaseException:  # cancelled or killed: the task threads wait for their stages and would not notice
        groups.stop()
        raise
    if unfinished := [state for state in ended if not state.is_completed()]:
        # A stage after a failed one is still pending; the failed one's line says what is wrong.
        telling = [state for state in unfinished if state.is_final()] or unfinished
        return Failed(message="; ".join(state.message or state.name or "failed" for state in telling))
    return Completed(message=f"{len(graph.stages)} stages are up to date")


def _left_behind() -> list[str]:
    """Say what earlier runs left: stages that still run in this checkout, and runs whose worker or machine ended."""
    lines, context = running(Path.cwd()), FlowRunContext.get()
    this = context.flow_run if context else None
    if this is not None and this.deployment_id is not None:
        with get_client(sync_client=True) as client:
            lines += left_in_prefect(client, this)
    return lines


def left_in_prefect(client: SyncPrefectClient, this: FlowRun) -> list[str]:
    """Return a line for each other run of this run's deployment, which has but one place, that seems to be running."""
    runs = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            deployment_id=FlowRunFilterDeploymentId(any_=[this.deployment_id] if this.deployment_id else []),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING])),
        )
    )
    return [
        f"Prefect says that the run {run.name} is running, since {run.start_time:%Y-%m-%d %H:%M:%S %Z}, but its worker "
        f"or machine ended, or this run would wait for it; `prefect flow-run delete {run.id}` removes it"
        for run in runs
        if run.id != this.id
    ]


def _run_all(graph: Graph, *, force: bool, groups: "ProcessGroups") -> list[State[Any]]:
    """Run every stage of the graph whose parents succeed, and return the states of all stages at the end."""
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
    """Run one stage by DVC, with its output in the run's log; the message of a failed state is the stage's own line."""
    outcome = reproduce(stage, force=force, groups=groups, log=get_run_logger().info)
    if outcome.succeeded:
        return Completed(message=f"{stage} is up to date")
    return Failed(name="Failed" if outcome.worth_a_retry else REFUSED, message=f"{stage}: {outcome.line}")


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
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", *["--force"] * force, stage]
    lines = []
    with groups.start(command, _environment()) as process:
        for text in process.stdout or ():
            if line := text.rstrip():
                lines.append(line)
                log(line)
    return judge(lines, process.returncode)


def _environment() -> dict[str, str]:
    """Make `python` in `dvc.yaml` this interpreter, printing without delay; name this run of Prefect's to stages."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    this = {"BANET_FLOW_RUN": flow_run.id, "BANET_FLOW_RUN_URL": flow_run.ui_url}  # for pipelines/run_tags.py
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
