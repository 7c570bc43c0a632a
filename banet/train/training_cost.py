"""What a recipe costs before it is begun: steps, samples, bytes, and hours at a measured or given time per step."""

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from banet.config import PhaseParams, RecipeParams
from banet.data.shards.pixels import TILE
from banet.model.network import BANet
from banet.model.network_config import BANetConfig
from banet.train.loop import Training, train_step
from banet.train.plan import PlannedPhase, plan

TIMED, WARM_UP = 3, 1  # steps
GOPRO = 720 * 1280  # pixels of an image, where the shards are not known


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseCost:
    """The cost of one phase."""

    phase: PlannedPhase
    seconds_per_step: float | None  # of all workers together; None if it was not measured
    bytes_per_pixel: float  # of the stored images
    pixels: float = GOPRO  # of an image, on average

    @property
    def read(self) -> float:
        """Bytes of the blurred and sharp crops as they are stored; tiles that a crop only touches are left out."""
        return self.phase.samples * 2 * self.phase.params.crop**2 * self.bytes_per_pixel

    @property
    def hours(self) -> float | None:
        """Time of the steps, without validation."""
        return None if self.seconds_per_step is None else self.phase.steps * self.seconds_per_step / 3600

    def from_folder(self, seconds: float) -> tuple[float, float]:
        """Bytes and tiles that all workers read a second from a folder at a step of so many seconds."""
        tiles = ((self.phase.params.crop - 1) / TILE + 1) ** 2  # that a crop at any place touches, on average
        read = min(tiles * TILE**2, self.pixels)
        rate = self.phase.params.batch_size * 2 / seconds
        return rate * read * self.bytes_per_pixel, rate * tiles

    def from_object_store(self, seconds: float) -> tuple[float, float]:
        """Bytes and requests a second from an object store, where each image is read whole."""
        rate = self.phase.params.batch_size * 2 / seconds
        return rate * self.pixels * self.bytes_per_pixel, rate


def recipe_cost(
    recipe: RecipeParams,
    *,
    pairs: int,
    bytes_per_pixel: float,
    seconds_per_step: Sequence[float] | None,
    pixels: float = GOPRO,
) -> list[PhaseCost]:
    """Plan a recipe over a number of training pairs; `seconds_per_step` has one value per phase."""
    phases = plan(recipe.phases, pairs)
    times: Sequence[float | None] = seconds_per_step or [None] * len(phases)
    return [
        PhaseCost(phase=phase, seconds_per_step=seconds, bytes_per_pixel=bytes_per_pixel, pixels=pixels)
        for phase, seconds in zip(phases, times, strict=True)
    ]


def measure_step(config: BANetConfig, recipe: RecipeParams, params: PhaseParams, *, device: str, workers: int) -> float:
    """Return the seconds of a worker's optimizer step on random pixels, without waiting for data or others.

    On a CPU one sample is timed and multiplied by the worker's share of a batch, which takes as long.
    """
    share = params.batch_size // workers
    size = 1 if device == "cpu" else share
    timed = replace(params, steps=TIMED + WARM_UP, epochs=None, constant=0, batch_size=size)
    timed = replace(timed, accumulate=1 if device == "cpu" else params.accumulate)
    model = BANet(config).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    training = Training(model, replace(recipe, phases=(timed,)), plan((timed,), pairs=size))
    generator = torch.Generator().manual_seed(0)
    shape = (size, params.crop, params.crop, 3)
    sharp = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    times = []
    for _ in range(TIMED + WARM_UP):
        begun = time.perf_counter()
        train_step(training, model, (sharp // 2, sharp), training.phases[0])  # it waits for the device
        times.append(time.perf_counter() - begun)
    return statistics.median(times[WARM_UP:]) * share / size


def describe_cost(recipe: RecipeParams, costs: Sequence[PhaseCost], pairs: int) -> Iterator[str]:
    """Yield a line per phase and one for the whole."""
    for number, cost in enumerate(costs, 1):
        params = cost.phase.params
        how = f"crop {params.crop}, batch {params.batch_size}, {params.optimizer}, {params.precision}"
        yield f"phase {number}  {how}: {_amounts(cost.phase.steps, cost.phase.samples, pairs, cost.read, cost.hours)}"
        if cost.seconds_per_step is not None:
            folder, store = cost.from_folder(cost.seconds_per_step), cost.from_object_store(cost.seconds_per_step)
            yield (
                f"         {1000 * cost.seconds_per_step:,.0f} ms per step: reads {folder[0] / 1e6:,.1f} MB in "
                f"{folder[1]:,.0f} tiles a second from a folder, {store[0] / 1e6:,.1f} MB in {store[1]:,.0f} requests "
                "from an object store"
            )
    steps, samples = (sum(values) for values in zip(*((c.phase.steps, c.phase.samples) for c in costs), strict=True))
    hours = [cost.hours for cost in costs if cost.hours is not None]
    total = sum(hours) if len(hours) == len(costs) else None
    yield f"{recipe.name}  {_amounts(steps, samples, pairs, sum(cost.read for cost in costs), total)}"


def _amounts(steps: int, samples: int, pairs: int, read: float, hours: float | None) -> str:
    time_taken = "" if hours is None else f", {hours:,.1f} hours" if hours >= 1 else f", {60 * hours:,.1f} minutes"
    return f"{steps:,} steps, {samples / pairs:,.1f} epochs, {samples:,} samples, {read / 1e9:,.1f} GB read{time_taken}"
