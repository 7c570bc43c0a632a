"""Ray Data streams one rank's samples, in their order, without an end between epochs, however long the run.

A run is cut into segments, each a Ray dataset of its own with a bounded number of tasks, since Ray plans all the tasks
of a dataset before it runs the first. The next segment starts in the background while the present one delivers.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import ray
import torch
from torch import Tensor

from banet.data.stream.order import RankSlice
from banet.data.stream.training_set import TrainingSet
from banet.ray_session import errors_as_themselves, quiet_ray_data, use_threads

TASK_CPUS = 0.5  # logical CPUs of Ray
TASK_SAMPLES = 256  # at most
TASK_BYTES = 32 * 2**20  # of crops, at most: what a task gives is one block of the object store
SEGMENT_TASKS = 64  # starting a segment takes half a second and some milliseconds a task
AHEAD_BYTES = 512 * 2**20  # of crops that a segment may keep in the object store; a rank has two at most
CHUNK_BYTES = 8 * 2**20  # batches are fetched together: Ray's work for each would take the trainer's time
PREFETCHED_CHUNKS = 2
PAUSE_SECONDS = 0.05  # between two looks of Ray Data's scheduler at its tasks
CLOSE_SECONDS = 10.0  # that closing waits, at most, for a segment that is just starting

Batch = tuple[Tensor, Tensor]
"""Blurred and sharp crops, each uint8 (size, crop, crop, 3) in RGB."""
Chunk = dict[str, Tensor]
"""The same for some batches in one: `blurred` and `sharp`."""


def stream(data: TrainingSet, part: RankSlice, *, batches: int, crop: int) -> Iterator[Batch]:
    """Yield batches, contiguous and to be read only, in pinned memory where there is a GPU.

    Every rank builds its own stream from sample numbers alone; no rank waits for another's samples. Closing the
    generator stops all that it has started.

    Raises:
        BanetError, OSError: what a task raised, e.g. DataError for a damaged shard.
    """
    _set_up_ray_data()
    make = partial(_chunks, data, part, crop)
    length = segment_length(part.size, crop)
    bounds = ((first, min(first + length, batches)) for first in range(0, batches, length))
    present, following = None, _Segment(make, *next(bounds)) if batches else None
    try:
        while following:
            present, following = following, None
            half = (present.first + present.end) // 2
            with errors_as_themselves():
                for number, batch in enumerate(present.batches(part.size), start=present.first):
                    if number == half and present.end < batches:
                        following = _Segment(make, *next(bounds))
                    yield batch
            present.close(wait=False)
    finally:
        for segment in (present, following):
            if segment:
                segment.close(wait=True)


def segment_length(size: int, crop: int) -> int:
    """Batches of `size` samples in one segment."""
    return SEGMENT_TASKS * _Cut.of(size, crop).task


class _Segment:
    """Batches `first` to `end` of a stream; a thread starts at once to have them made."""

    def __init__(self, make: Callable[[int, int], Iterator[Chunk]], first: int, end: int) -> None:
        self.first, self.end = first, end
        self._started: Future[tuple[Chunk, Iterator[Chunk]]] = Future()
        self._ending = threading.Thread(target=self._end, name="banet-segment-end", daemon=True)
        threading.Thread(target=self._start, args=(make,), name="banet-segment-start", daemon=True).start()

    def batches(self, size: int) -> Iterator[Batch]:
        """Yield the batches, `size` samples each; what a task raised comes out here."""
        chunk, chunks = self._started.result()
        left = self.end - self.first
        while True:
            yield from zip(*(torch.split(chunk[kind], size) for kind in ("blurred", "sharp")), strict=True)
            left -= len(chunk["sharp"]) // size
            if not left:
                return  # without asking for more: Ray would shut the dataset down in the trainer's time
            chunk = next(chunks)

    def close(self, *, wait: bool) -> None:
        """Stop what makes the batches; one that is just starting stops as soon as it has started."""
        if self._ending.ident is None:
            self._ending.start()
        if wait:
            self._ending.join(CLOSE_SECONDS)

    def _start(self, make: Callable[[int, int], Iterator[Chunk]]) -> None:
        try:
            chunks = make(self.first, self.end)
            self._started.set_result((next(chunks), chunks))
        except BaseException as error:  # for the one who takes the batches
            self._started.set_exception(error)

    def _end(self) -> None:
        if self._started.exception() is None:
            _, chunks = self._started.result()
            chunks.close()  # type: ignore[attr-defined]  # a generator


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cut:
    """How a stream is cut: in batches, so that no batch is put together from two blocks."""

    chunk: int  # batches
    task: int  # batches, whole chunks

    @classmethod
    def of(cls, size: int, crop: int) -> "_Cut":
        """Cut batches of `size` samples of two images each, bytes (crop, crop, 3)."""
        batch = size * 2 * crop * crop * 3  # bytes
        chunk = max(1, min(CHUNK_BYTES // batch, TASK_SAMPLES // size))
        return cls(chunk=chunk, task=chunk * max(1, min(TASK_BYTES // batch, TASK_SAMPLES // size) // chunk))


def _chunks(data: TrainingSet, part: RankSlice, crop: int, first: int, end: int) -> Iterator[Chunk]:
    """Have batches `first` to `end` made by a Ray dataset; nothing starts before the first chunk is asked for."""
    cut = _Cut.of(part.size, crop)

    def samples(block: dict[str, npt.NDArray[np.int64]]) -> dict[str, npt.NDArray[np.uint8]]:
        use_threads(1)  # in Ray's worker: the processes share the cores already
        begin = int(block["item"][0])
        j = np.arange(begin * part.size, min(begin + cut.task, end) * part.size)
        blurred, sharp = data.samples(part.numbers(j), crop)
        return {"blurred": blurred, "sharp": sharp}

    # a row a task, without tasks that read: those would ask for whole CPUs, and be run before the others
    begins = range(first, end, cut.task)
    dataset = ray.data.from_items(list(begins), override_num_blocks=len(begins)).map_batches(
        samples, batch_size=None, num_cpus=TASK_CPUS
    )
    chunks = dataset.iter_torch_batches(
        batch_size=cut.chunk * part.size,
        prefetch_batches=PREFETCHED_CHUNKS,
        dtypes=torch.uint8,
        device="cpu",
        pin_memory=torch.cuda.is_available(),
    )
    return iter(chunks)


def _set_up_ray_data() -> None:
    context = quiet_ray_data()
    context.execution_options.preserve_order = True
    context.execution_options.resource_limits = ray.data.ExecutionResources.for_limits(object_store_memory=AHEAD_BYTES)
    _let_scheduler_rest(context)


def _let_scheduler_rest(context: ray.data.DataContext) -> None:
    """Make Ray Data's scheduler sleep between two looks.

    It spins while its output is full, and takes the trainer's core and lock. A Ray without these hooks spins on.
    """
    try:
        from ray.data._internal.execution.execution_callback import ExecutionCallback
    except ImportError:
        return
    classes = getattr(context, "custom_execution_callback_classes", None)
    if classes is None or any(known.__name__ == "Rest" for known in classes):
        return

    class Rest(ExecutionCallback):  # type: ignore[misc]
        def on_execution_step(self, executor: object) -> None:
            time.sleep(PAUSE_SECONDS)

    classes.append(Rest)
