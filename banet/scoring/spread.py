"""Scoring spread over this machine's cores or GPUs by Ray; few small images are done sooner in this process."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

import torch

from banet.data.codec import use_threads
from banet.errors import BanetError, ResourceError

T = TypeVar("T")
R = TypeVar("R")

IN_THIS_PROCESS = 4 * 2**20  # pixels: scored sooner than Ray starts, five 720p frames or 160 of the embedded benchmark

RESTARTS = 2  # of a worker that was killed, and of the item that it had


def workers_for(pixels: int, asked: int | None = None) -> int:
    """Return how many processes score this many pixels: as asked, else one for few, and one a core for more."""
    if asked is not None:
        return asked
    return 1 if pixels <= IN_THIS_PROCESS else len(os.sched_getaffinity(0))


def spread(
    start: Callable[[], Callable[[T], R]], items: Sequence[T], *, workers: int, gpus: float = 0
) -> Iterator[tuple[int, R]]:
    """Yield (number, result) of every item, each as soon as it is done: not in order.

    Each process calls `start` once, which loads what all items need, e.g. a model, and then what it gave for item after
    item. The results must not depend on the process: every worker has one thread for torch and OpenCV, set in its own
    process, and this one's stay as they are.

    Args:
        start: a function of a module, or a partial one; it goes to other processes.
        items: go to other processes, as do the results.
        workers: 1 works in this process, without Ray; more than this node has cores (or GPUs) are not started.
        gpus: that each worker has to itself; `start` is to use them.

    Raises:
        BanetError, OSError: what an item raised.
        ResourceError: Ray has no GPU, or workers die again and again.
    """
    if workers == 1 or len(items) <= 1:
        work = start() if items else None
        for number, item in enumerate(items):
            yield number, work(item)  # type: ignore[misc]
        return
    yield from _spread(start, items, workers, gpus)


class _Worker(Generic[T, R]):
    """Lives in a process of its own."""

    def __init__(self, start: Callable[[], Callable[[T], R]]) -> None:
        torch.set_num_threads(1)
        use_threads(1)
        self.start = start
        self.work: Callable[[T], R] | None = None

    def do(self, item: T) -> R | BanetError | OSError:
        """Return the result, or an expected error, which Ray would wrap."""
        try:
            if self.work is None:
                self.work = self.start()
            return self.work(item)
        except (BanetError, OSError) as error:
            return error


def _spread(
    start: Callable[[], Callable[[T], R]], items: Sequence[T], workers: int, gpus: float
) -> Iterator[tuple[int, R]]:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from banet.data.ray_cluster import start_ray

    start_ray()
    node = ray.get_runtime_context().get_node_id()
    workers = min(workers, len(items), _room(node, gpus))
    near = NodeAffinitySchedulingStrategy(node_id=node, soft=False)  # where the files lie
    worker = ray.remote(_Worker).options(
        num_cpus=1, num_gpus=gpus, scheduling_strategy=near, max_restarts=RESTARTS, max_task_retries=RESTARTS
    )
    actors = [worker.remote(start) for _ in range(workers)]
    waiting = deque(enumerate(items))
    under_way = {}
    try:
        for actor in (*actors, *actors):  # two each: none waits for the next
            if waiting:
                number, item = waiting.popleft()
                under_way[actor.do.remote(item)] = (number, actor)
        while under_way:
            (done, *_), _ = ray.wait(list(under_way))
            number, actor = under_way.pop(done)
            result = ray.get(done)
            if isinstance(result, (BanetError, OSError)):
                raise result
            if waiting:
                following, item = waiting.popleft()
                under_way[actor.do.remote(item)] = (following, actor)
            yield number, result
    except ray.exceptions.RayActorError:
        raise ResourceError(
            "a process that scores was killed again and again: memory may be short, score with fewer workers"
        ) from None
    finally:
        for actor in actors:
            ray.kill(actor)


def _room(node: str, gpus: float) -> int:
    """Workers that this node has cores, or GPUs, for.

    Raises:
        ResourceError: a GPU is asked for and there is none.
    """
    import ray

    there = next(found["Resources"] for found in ray.nodes() if found["NodeID"] == node)
    if gpus and there.get("GPU", 0) < gpus:
        raise ResourceError(f"Ray has {there.get('GPU', 0):g} GPUs here, a worker needs {gpus:g}: score without GPUs")
    return max(1, int(there.get("GPU", 0) / gpus if gpus else there.get("CPU", 1)))
