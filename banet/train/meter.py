"""What the training loop measures between two points of the training curve."""

import resource
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Step:
    """One step: its losses, Eqs. (8), (6) and (7), and the gradient's norm before clipping; detached scalars."""

    values: Tensor  # these four
    taken: bool  # False: the gradient was not finite, and no weight was changed
    refused: bool = False  # the same, and not because the loss in float16 was scaled too high


class Meter:
    """Means over the steps since the last point of the training curve, and how the time was spent."""

    def __init__(self, samples: int) -> None:
        self.samples = samples  # per step
        self.restart()

    def restart(self) -> None:
        """Begin the next interval."""
        self.values: list[Tensor] = []
        self.steps, self.waited, self.begun = 0, 0.0, time.perf_counter()

    def waiting_for(self, batches: Iterable[T]) -> Iterator[T]:
        """Yield the batches, and measure how long each is waited for."""
        coming = iter(batches)
        while True:
            begun = time.perf_counter()
            batch = next(coming, None)
            if batch is None:
                return
            self.waited += time.perf_counter() - begun
            yield batch

    def add(self, step: Step) -> None:
        """Count a step."""
        self.steps += 1
        if step.taken:
            self.values.append(step.values)

    def read(self) -> dict[str, Any]:
        """Fields of `TrainingProgress`."""
        names = ("loss", "charbonnier", "fft_l1", "gradient_norm")
        means = torch.stack(self.values).mean(dim=0).tolist() if self.values else [None] * len(names)
        spent = time.perf_counter() - self.begun
        return {
            **dict(zip(names, means, strict=True)),
            "samples_per_second": self.samples * self.steps / spent,
            "data_wait": self.waited / spent,
            "memory_gib": _memory_bytes() / 2**30,
        }


def _memory_bytes() -> float:
    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
