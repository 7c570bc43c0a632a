"""Ray itself: connecting to it, and work spread over its cores with little in flight."""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import ray
import ray.data
import ray.exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

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
    context.raise_original_map_exception = True  # the class of an error outlives its way
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return context


def use_threads(number: int) -> None:
    """Let OpenCV take this many threads in this process; they change times, not pixels."""
    import cv2

    cv2.setNumThreads(number)


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
        with errors_as_themselves():
            for item in items:
                under_way.append(task.remote(item))
                if len(under_way) >= room:
                    yield ray.get(under_way.popleft())
            while under_way:
                yield ray.get(under_way.popleft())
    finally:
        for left in under_way:
            ray.cancel(left, force=True)


@contextmanager
def errors_as_themselves() -> Iterator[None]:
    """Raise what stopped a worker as the error that it was, where Ray raises an account of it.

    Raises:
        BanetError, OSError: what a worker raised.
    """
    try:
        yield
    except Exception as error:
        found = _original(error)
        if found is None or found is error:
            raise
        if isinstance(found, BanetError):
            found = type(found)(str(found).partition("\n")[0])  # Ray adds lines of its own
        raise found from None


def _original(error: BaseException) -> BanetError | OSError | None:
    """Find an expected error within what Ray has wrapped it in, once or more."""
    waiting = [error]
    for found in waiting:
        if isinstance(found, BanetError | OSError) and not isinstance(found, ray.exceptions.RayError):
            return found
        # of tasks; of `ray.train.WorkerGroupError`; of others
        inside = [getattr(found, "cause", None), *getattr(found, "worker_failures", {}).values(), found.__cause__]
        waiting += [each for each in inside if isinstance(each, BaseException) and each not in waiting]
    return None
