"""The Prefect flow over DVC's graph: it decides when a stage runs; DVC decides what it does and whether it has to run.

Each stage is one task that runs `dvc repro --single-item STAGE` in the current folder, after the tasks of the stages it
reads from. The flow never edits `params.yaml`: choose recipes with `dvc exp run`, or commit them.

A process worker runs this code for everyone who can reach the Prefect server, which listens on loopback. On a shared
machine, or before it listens elsewhere, give it a password: PREFECT_SERVER_API_AUTH_STRING=user:password for the
server, and PREFECT_API_AUTH_STRING with the same value for the worker and commands.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.futures import PrefectFuture, wait
from prefect.states import Completed, Failed

from banet.errors import ConfigError
from pipelines.graph import Graph, read_graph
from pipelines.running import running
from pipelines.runs.artifacts import StageProgress, show_result
from pipelines.runs.dvc_runs import ProcessGroups, experiment, reproduce
from pipelines.runs.turns import say_crashed, turn, under_way
from pipelines.runs.variants import BenchmarkName, Hours, ModelName, Override, RecipeName, Seed, settings
from pipelines.runs.watch import Watch
from pipelines.stages.check import forget_lost
from pipelines.stages.stage_results import REPORTS

REFUSED = "Refused"  # the failed state of a stage that would fail again: bad input, or an error of DVC itself
RETRY_DELAY_S = 10


@flow(name="train-banet")
def train_banet(
    stages: list[str] | None = None,
    force: bool = False,
    benchmark: BenchmarkName | None = None,
    model: ModelName | None = None,
    recipe: RecipeName | None = None,
    seed: Seed | None = None,
    overrides: list[Override] | None = None,
    hours: Hours | None = None,
) -> State[None]:
    """Bring the stages of `dvc.yaml` up to date, side by side where the graph allows it.

    In this checkout, one run after another. With a benchmark, model, recipe, seed or overrides, as a DVC experiment
    in a folder of its own, beside other runs: `dvc exp apply NAME` takes its result over, and its name is that of the
    run.

    Args:
        stages: The last stages, such as `evaluate@mini`, or `evaluate` for all its benchmarks; the stages they read
            from run before them. None: all stages.
        force: Run all of them, even if DVC finds nothing changed, as `dvc repro --force` does.
        benchmark: A file of `conf/benchmark`.
        model: A file of `conf/model`.
        recipe: A file of `conf/recipe`.
        seed: Of the recipe.
        overrides: Single parameters, such as `recipe.phases.0.steps=1000`.
        hours: End in order after so many, waiting for a turn included; the next run goes on. None: take any time.

    """
    chosen = settings(benchmark, model, recipe, seed, overrides)
    return _run_watched(stages, force=force, hours=hours, chosen=chosen)


@flow(name="evaluate-banet")
def evaluate_banet(
    benchmarks: list[BenchmarkName] | None = None, force: bool = False, hours: Hours | None = None
) -> State[None]:
    """Score the trained network on benchmarks, after whatever that needs.

    Args:
        benchmarks: Some of `evaluate_on` in `params.yaml`. None: all of them.
        force: Score again what is up to date.
        hours: End in order after so many; the next run goes on.

    """
    stages = [f"evaluate@{name}" for name in benchmarks or []] or ["evaluate"]
    return _run_watched(stages, force=force, hours=hours)


@flow(name="fetch-benchmarks")
def fetch_benchmarks(
    benchmarks: list[BenchmarkName] | None = None, force: bool = False, hours: Hours | None = None
) -> State[None]:
    """Fetch benchmarks and write their shards.

    Args:
        benchmarks: Some of `evaluate_on` in `params.yaml`. None: all of them.
        force: Fetch and write again what is up to date.
        hours: End in order after so many; the next run goes on.

    """
    stages = [f"shard@{name}" for name in benchmarks or []] or ["shard"]
    return _run_watched(stages, force=force, hours=hours)


def _run_watched(
    stages: list[str] | None, *, force: bool, hours: float | None = None, chosen: Sequence[str] = ()
) -> State[None]:
    """Run stages here or, with settings, as an experiment; whatever ends this run ends them."""
    try:
        graph = read_graph(Path.cwd())
        if stages is not None:
            graph = graph.upstream(stages)
    except ConfigError as error:
        return Failed(message=f"error: {error}")
    for line in _left_behind():
        get_run_logger().warning(line)
    groups, context, watch = ProcessGroups(), FlowRunContext.get(), None
    run = context.flow_run if context else None
    try:
        with ExitStack() as stack:
            if run is not None:
                stack.enter_context(under_way(Path.cwd(), run.id))
            if run is not None and run.deployment_id is not None:
                watch = stack.enter_context(Watch(run.id, groups.stop, hours=hours).looking())
            if chosen:
                name = run.name if run is not None else "variant"
                ended = [run_experiment(name, chosen, stages or [], force=force, groups=groups, return_state=True)]
            else:
                stack.enter_context(turn(Path.cwd(), _say, lambda: watch is not None and watch.ended is not None))
                if lost := forget_lost(REPORTS):
                    get_run_logger().warning(lost)
                ended = _run_all(graph, force=force, groups=groups)
    except BaseException:  # cancelled or killed: the task threads wait for their stages and would not notice
        groups.stop()
        raise
    if watch is not None and watch.ended is not None:
        return watch.ended
    if unfinished := [state for state in ended if not state.is_completed()]:
        # A stage after a failed one is still pending; the failed one's line says what is wrong.
        telling = [state for state in unfinished if state.is_final()] or unfinished
        return Failed(message="; ".join(state.message or state.name or "failed" for state in telling))
    if chosen:
        return Completed(message=ended[0].message)
    show_result(Path.cwd())
    return Completed(message=f"{len(graph.stages)} stages are up to date")


def _say(line: str) -> None:
    get_run_logger().info(line)


def _left_behind() -> list[str]:
    """Say what earlier runs left: stages that still run in this checkout, and runs whose machine or worker ended."""
    if (context := FlowRunContext.get()) is None or context.flow_run is None:
        return running(Path.cwd())
    with get_client(sync_client=True) as client:
        return running(Path.cwd()) + say_crashed(Path.cwd(), client)


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
    outcome = reproduce(stage, force=force, groups=groups, log=StageProgress(stage, get_run_logger().info))
    if outcome.succeeded:
        return Completed(message=f"{stage} is up to date")
    return Failed(name="Failed" if outcome.worth_a_retry else REFUSED, message=f"{stage}: {outcome.line}")


@task(
    name="experiment",
    task_run_name="{name}",
    retries=1,
    retry_delay_seconds=RETRY_DELAY_S,
    retry_condition_fn=_is_worth_a_retry,
    cache_policy=NO_CACHE,
)
def run_experiment(
    name: str, chosen: Sequence[str], stages: Sequence[str], *, force: bool, groups: ProcessGroups
) -> State[None]:
    """Run stages with other parameters as the DVC experiment `name`, with their output in the run's log."""
    log = StageProgress(name, get_run_logger().info)
    outcome = experiment(name, chosen, stages, force=force, groups=groups, log=log)
    if outcome.succeeded:
        return Completed(
            message=f"`dvc exp apply {name}` takes over the result, `dvc exp push origin {name}` shares it"
        )
    return Failed(name="Failed" if outcome.worth_a_retry else REFUSED, message=f"{name}: {outcome.line}")
