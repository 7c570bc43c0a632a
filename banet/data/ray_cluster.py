"""Ray itself: connecting to it, and work spread over its cores with little in flight."""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import ray
import ray.data
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from banet.data.codec import use_threads
from banet.errors import BanetError, ServiceError

T = TypeVar("T")
R = TypeVar("R")


# Ray ends workers that were idle for a second; a new one imports torch for seconds while the trainer waits.
OWN_CLUSTER = {"idle_worker_killing_time_threshold_ms": 3_600_000}


def start_ray() -> None:
    """Connect to the cluster that RAY_ADDRESS names or that `ray start` runs here, else start one for this process.

    Raises:
        ServiceError: the cluster does not answer.
    """
    if not ray.is_initialized():
        quiet = ray.LoggingConfig(log_level="ERROR")  # the progress is ours to tell
        try:
            ray.init(include_dashboard=False, logging_level="ERROR", logging_config=quiet, _system_config=OWN_CLUSTER)
        except ValueError:  # there is a cluster, whose settings are its own
            _connect(quiet)
        token = Path.home() / ".ray" / "auth_token"  # Ray listens on all interfaces, and lets everybody read this
        if token.is_file():
            token.chmod(0o600)


def _connect(logging: ray.LoggingConfig) -> None:
    try:
        ray.init(logging_level="ERROR", logging_config=logging)
    except ConnectionError as error:
        raise ServiceError(f"the Ray cluster does not answer ({' '.join(str(error).split())}): RAY_ADDRESS") from None


def quiet_ray_data() -> ray.data.DataContext:
    """Return Ray Data's settings of this process, its bars and remarks turned off: the progress is ours to tell."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return context


def map_here(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Yield `work(item)` of every item in order, made in parallel on the cores of this node, where the files lie.

    Two items a core are under way, and no more are taken before one is done: memory does not grow with their number.

    Args:
        work: a function of a module, on one thread.
        items: go to other processes, as do the results.

    Raises:
        BanetError, OSError: what `work` raised, of the first item that failed.
    """
    start_ray()
    node = ray.get_runtime_context().get_node_id()
    near = NodeAffinitySchedulingStrategy(node_id=node, soft=True)

    def alone(item: T) -> R:
        use_threads(1)  # the processes share the cores already
        return work(item)

    task = ray.remote(alone).options(num_cpus=1, scheduling_strategy=near)
    room = 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))
    under_way: deque[ray.ObjectRef[R]] = deque()
    try:
        for item in items:
            under_way.append(task.remote(item))
            if len(under_way) >= room:
                yield _result(under_way.popleft())
        while under_way:
            yield _result(under_way.popleft())
    finally:
        for left in under_way:
            ray.cancel(left, force=True)


def _result(made: "ray.ObjectRef[R]") -> R:  # type: ignore[type-var]
    try:
        return ray.get(made)  # type: ignore[no-any-return]
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        if isinstance(cause, (BanetError, OSError)):
            raise cause from None
        raise
