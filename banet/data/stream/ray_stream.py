"""Stream the samples of one rank in order through Ray Data, without a pause between epochs.

A run is cut into segments, each a Ray dataset with a limited number of tasks, because Ray plans all tasks of a dataset
before it runs the first. The next segment starts in the background while the current one delivers.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial

import numpy as np
import numpy.typing as npt
import ray
import torch
from torch import Tensor

from banet.cluster.ray_session import errors_as_themselves, quiet_ray_data, use_threads
from banet.data.stream.order import RankSlice
from banet.data.stream.training_set import TrainingSet

TASK_CPUS = 0.5  # logical CPUs of Ray
TASK_SAMPLES = 256  # most samples per task
TASK_BYTES = 32 * 2**20  # most bytes of crops per task, whose result is one block of the object store
SEGMENT_TASKS = 64  # starting a segment takes half a second plus some milliseconds per task
AHEAD_BYTES = 512 * 2**20  # of crops that a segment may keep in the object store; a rank has at most two segments
CHUNK_BYTES = 8 * 2**20  # of batches fetched together, since Ray's work per fetch delays the trainer
PREFETCHED_CHUNKS = 2
PAUSE_SECONDS = 0.05  # between two rounds of Ray Data's scheduler
CLOSE_SECONDS = 10.0  # longest wait, on closing, for a segment that is just starting

Batch = tuple[Tensor, Tensor]
"""Blurred and sharp crops, each uint8 (size, crop, crop, 3) in RGB."""
Chunk = dict[str, Tensor]
"""The images `blurred` and `sharp` of several batches."""


def stream(data: TrainingSet, part: RankSlice, *, batches: int, crop: int) -> Iterator[Batch]:
    """Yield batches: contiguous, read-only, and in pinned memory if there is a GPU.

    Every rank builds its own stream from sample numbers alone and waits for no other rank. Closing the generator stops
    everything it has started.

    Raises:
        BanetError, OSError: raised by a task, e.g. DataError for a damaged shard.
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
    """Return the number of batches of `size` samples in one segment."""
    return SEGMENT_TASKS * _cut(size, crop)[1]


class _Segment:
    """Batches `first` to `end` of a stream, which a thread begins to make at once."""

    def __init__(self, make: Callable[[int, int], Iterator[Chunk]], first: int, end: int) -> None:
        self.first, self.end = first, end
        self._started: Future[tuple[Chunk, Iterator[Chunk]]] = Future()
        self._ending = threading.Thread(target=self._end, name="banet-segment-end", daemon=True)
        threading.Thread(target=self._start, args=(make,), name="banet-segment-start", daemon=True).start()

    def batches(self, size: int) -> Iterator[Batch]:
        """Yield the batches of `size` samples; errors of tasks are raised here."""
        chunk, chunks = self._started.result()
        left = self.end - self.first
        while True:
            yield from zip(*(torch.split(chunk[kind], size) for kind in ("blurred", "sharp")), strict=True)
            left -= len(chunk["sharp"]) // size
            if not left:
                return  # asking for more would make the trainer wait while Ray shuts the dataset down
            chunk = next(chunks)

    def close(self, *, wait: bool) -> None:
        """Stop making batches; a segment that is just starting stops as soon as it has started."""
        if self._ending.ident is None:
            self._ending.start()
        if wait:
            self._ending.join(CLOSE_SECONDS)

    def _start(self, make: Callable[[int, int], Iterator[Chunk]]) -> None:
        try:
            chunks = make(self.first, self.end)
            self._started.set_result((next(chunks), chunks))
        except BaseException as error:  # raised where the batches are taken
            self._started.set_exception(error)

    def _end(self) -> None:
        if self._started.exception() is None:
            _, chunks = self._started.result()
            chunks.close()  # type: ignore[attr-defined]  # a generator


def _cut(size: int, crop: int) -> tuple[int, int]:
    """Return the number of batches per chunk and per task; a task is whole chunks, so no batch spans two blocks."""
    batch = size * 2 * crop * crop * 3  # bytes
    chunk = max(1, min(CHUNK_BYTES // batch, TASK_SAMPLES // size))
    return chunk, chunk * max(1, min(TASK_BYTES // batch, TASK_SAMPLES // size) // chunk)


def _chunks(data: TrainingSet, part: RankSlice, crop: int, first: int, end: int) -> Iterator[Chunk]:
    """Make batches `first` to `end` in a Ray dataset, which starts when the first chunk is requested."""
    chunk, task = _cut(part.size, crop)

    def samples(block: dict[str, npt.NDArray[np.int64]]) -> dict[str, npt.NDArray[np.uint8]]:
        use_threads(1)  # in Ray's worker; the processes already share the cores
        begin = int(block["item"][0])
        j = np.arange(begin * part.size, min(begin + task, end) * part.size)
        blurred, sharp = data.samples(part.numbers(j), crop)
        return {"blurred": blurred, "sharp": sharp}

    # one row per task, and no reading tasks, which would each take a whole CPU and run before the others
    begins = range(first, end, task)
    dataset = ray.data.from_items(list(begins), override_num_blocks=len(begins)).map_batches(
        samples, batch_size=None, num_cpus=TASK_CPUS
    )
    chunks = dataset.iter_torch_batches(
        batch_size=chunk * part.size,
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
    """Make Ray Data's scheduler sleep between two rounds.

    While its output is full it would spin and take the trainer's core and lock. Without these private hooks of Ray,
    which have no public form yet, it keeps spinning.
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
