"""Ray Data streams one rank's samples, in their order, without an end between epochs."""

import logging
import math
import time
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import ray
import torch
from torch import Tensor

from banet.data.sampling import RankSlice
from banet.data.training import TrainingSet

SAMPLES_PER_TASK = 256
TASK_CPUS = 0.5  # logical CPUs of Ray
CHUNK_BYTES = 8 * 2**20  # batches are fetched together: Ray's work for each would take the trainer's time
PREFETCHED_CHUNKS = 2
PAUSE_SECONDS = 0.05  # between two looks of Ray Data's scheduler at its tasks


def stream(data: TrainingSet, part: RankSlice, *, batches: int, crop: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches of blurred and sharp crops, each uint8 (size, crop, crop, 3) in RGB.

    Every rank builds its own stream from sample numbers alone; no rank waits for another's samples.
    """

    def samples(block: dict[str, npt.NDArray[np.int64]]) -> dict[str, npt.NDArray[np.uint8]]:
        blurred, sharp = data.samples(part.numbers(block["id"]), crop)
        return {"blurred": blurred, "sharp": sharp}

    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    _let_scheduler_rest(context)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    count = batches * part.size
    blocks = math.ceil(count / SAMPLES_PER_TASK)
    dataset = ray.data.range(count, override_num_blocks=blocks).map_batches(
        samples, batch_size=None, num_cpus=TASK_CPUS, zero_copy_batch=True
    )
    together = max(1, min(batches, CHUNK_BYTES // (part.size * 2 * 3 * crop * crop)))
    for chunk in dataset.iter_torch_batches(
        batch_size=together * part.size, prefetch_batches=PREFETCHED_CHUNKS, dtypes=torch.uint8
    ):
        yield from zip(chunk["blurred"].split(part.size), chunk["sharp"].split(part.size), strict=True)


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
