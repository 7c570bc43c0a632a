"""Scoring spread over this machine's cores or GPUs by Ray Data, or done in this process for a few small images."""

import os
import pickle
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

from banet.errors import ResourceError

T = TypeVar("T")
R = TypeVar("R")
_Row = dict[str, Any]
"""A row of Ray Data: the `number` of an item, and the item or its result, `pickled`."""

IN_THIS_PROCESS = 4 * 2**20  # pixels scored before Ray has started: five 720p frames, or 160 of the benchmark mini

RESTARTS = 2  # of an item whose worker was killed


def workers_for(pixels: int, asked: int | None = None) -> int:
    """Return how many processes score this many pixels: as asked, or else one for few and one per core for many."""
    if asked is not None:
        return asked
    return 1 if pixels <= IN_THIS_PROCESS else len(os.sched_getaffinity(0))


def spread(
    start: Callable[[], Callable[[T], R]], items: Sequence[T], *, workers: int, gpus: float = 0
) -> Iterator[tuple[int, R]]:
    """Yield (number, result) of every item as soon as it is done, in any order.

    Each process calls `start` once, to load what all items need, such as a model, and then calls what it returned for
    item after item. Results must not depend on the process: every worker uses one thread for torch and OpenCV. The
    threads of this process are left alone.

    Args:
        start: a function of a module, or a partial of one; sent to other processes.
        items: sent to other processes; the results are sent back.
        workers: 1 works in this process, without Ray; at most as many as this node has cores (or GPUs) are started.
        gpus: that each worker has to itself; `start` must use them.

    Raises:
        BanetError, OSError: what an item raised.
        ResourceError: Ray has no GPU, or workers die repeatedly.
        ServiceError: Ray has ended on this node.
    """
    if workers == 1 or len(items) <= 1:
        work = start() if items else None
        for number, item in enumerate(items):
            yield number, work(item)  # type: ignore[misc]
        return
    yield from _spread(start, items, workers, gpus)


class _Worker(Generic[T, R]):
    """Runs in its own process; takes and returns rows of Ray Data with pickled content."""

    def __init__(self, start: Callable[[], Callable[[T], R]], tries: Path, restarts: int) -> None:
        from banet.cluster.ray_session import use_threads

        torch.set_num_threads(1)
        use_threads(1)
        self.start = start
        self.tries = tries
        self.restarts = restarts
        self.work: Callable[[T], R] | None = None

    def __call__(self, row: _Row) -> _Row:
        """Do one item."""
        self._count(int(row["number"]))
        if self.work is None:
            self.work = self.start()
        result = self.work(pickle.loads(row["pickled"]))  # noqa: S301  # from the process that started this one
        return {"number": row["number"], "pickled": pickle.dumps(result)}

    def _count(self, number: int) -> None:
        """Count how often an item was begun: Ray Data restarts killed workers indefinitely."""
        with (self.tries / str(number)).open("a") as file:
            if file.tell() > self.restarts:
                raise ResourceError(
                    "a process that scores was killed repeatedly: memory may be short, score with fewer workers"
                )
            file.write(".")


def _spread(
    start: Callable[[], Callable[[T], R]], items: Sequence[T], workers: int, gpus: float
) -> Iterator[tuple[int, R]]:
    import ray.data

    from banet.cluster.node_end import while_this_node_lives
    from banet.cluster.ray_session import errors_as_themselves, quiet_ray_data, start_ray

    start_ray()
    quiet_ray_data()
    node = ray.get_runtime_context().get_node_id()
    pool = ray.data.ActorPoolStrategy(
        size=min(workers, len(items), _room(node, gpus)),
        max_tasks_in_flight_per_actor=2,  # with one, a worker waits 0.2 s for the next (measured by hand)
    )
    rows = [{"number": number, "pickled": pickle.dumps(item)} for number, item in enumerate(items)]
    with tempfile.TemporaryDirectory() as tries, errors_as_themselves():
        results = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            _Worker,
            compute=pool,
            fn_constructor_args=(start, Path(tries), RESTARTS),
            num_cpus=None if gpus else 1,
            num_gpus=gpus or None,
            label_selector={"ray.io/node-id": node},  # which has the files
        )
        for batch in while_this_node_lives(results.iter_batches(batch_size=None, prefetch_batches=0)):
            for number, pickled in zip(batch["number"], batch["pickled"], strict=True):
                yield int(number), pickle.loads(pickled)  # noqa: S301  # from a process that this one started


def _room(node: str, gpus: float) -> int:
    """How many workers this node has cores or GPUs for.

    Raises:
        ResourceError: a GPU is asked for and there is none.
    """
    import ray

    there = next(found["Resources"] for found in ray.nodes() if found["NodeID"] == node)
    if gpus and there.get("GPU", 0) < gpus:
        raise ResourceError(f"Ray has {there.get('GPU', 0):g} GPUs here, a worker needs {gpus:g}: score without GPUs")
    return max(1, int(there.get("GPU", 0) / gpus if gpus else there.get("CPU", 1)))
