"""Part of `training.py`: what precision, memory format and compilation gain, on a GPU if there is one.

Without one, a narrow network takes few steps, so that the script is known to work.
"""

import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import torch

from banet.config import PhaseParams, RecipeParams, read_params
from banet.model.network import BANet
from banet.model.network_config import BANetConfig
from banet.train.loop import Batch, Training, TrainingProgress, ValidationScores, fit
from banet.train.plan import PlannedPhase, plan

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results"
GPU = torch.cuda.is_available()
CURVE_STEPS = 500 if GPU else 20
WIDE = BANetConfig() if GPU else BANetConfig(stem_channels=8, channels=16, modules=1, fusion_channels=4)
CROP, BATCH = (256, 8) if GPU else (64, 2)


def recipe_of(phases: tuple[PhaseParams, ...]) -> RecipeParams:
    """A recipe with these phases that never validates in between."""
    params = read_params(ROOT / "params.yaml")
    return replace(params.recipe, phases=phases, init_from=None, validate_every=10**6)


def precisions() -> dict[str, Any]:
    """Part 4: rate, memory and losses of two ways to compute the same recipe."""
    device = "cuda" if GPU else "cpu"
    plain = PhaseParams(steps=CURVE_STEPS, crop=CROP, batch_size=BATCH, lr_start=1e-4, lr_end=1e-7)
    backend: Literal["inductor", "aot_eager"] = "inductor" if GPU else "aot_eager"
    arms = {
        "float32, eager, NCHW": (plain, torch.contiguous_format),
        "bfloat16, compiled, channels_last": (
            replace(plain, precision="bfloat16", compile=backend),
            torch.channels_last,
        ),
    }
    return {name: curve(phase, memory_format, device) for name, (phase, memory_format) in arms.items()}


def curve(phase: PhaseParams, memory_format: torch.memory_format, device: str) -> dict[str, Any]:
    """Train on made-up pairs; return the rate without the first steps, the peak memory and the losses."""
    torch.manual_seed(0)
    model = BANet(WIDE).to(device, memory_format=memory_format)  # type: ignore[call-overload]
    recipe = replace(recipe_of((phase,)), log_every=1)
    training = Training(model, recipe, plan((phase,), pairs=64))
    generator = torch.Generator().manual_seed(0)
    sharp = torch.nn.functional.interpolate(
        torch.rand(64, 3, CROP // 8, CROP // 8, generator=generator), scale_factor=8
    )
    blurred = torch.nn.functional.avg_pool2d(sharp, 9, stride=1, padding=4)
    pairs = [(255 * x).round().byte().permute(0, 2, 3, 1).contiguous() for x in (blurred, sharp)]

    def batches(_phase: PlannedPhase, step: int) -> Iterator[Batch]:
        for at in range(step, phase.steps or 0):
            chosen = torch.arange(at * BATCH, (at + 1) * BATCH) % 64
            yield pairs[0][chosen], pairs[1][chosen]

    losses: list[float] = []
    stamps: list[float] = []

    def report(progress: TrainingProgress) -> None:
        if GPU:
            torch.cuda.synchronize()
        stamps.append(time.perf_counter())
        losses.append(progress.loss or 0.0)

    if GPU:
        torch.cuda.reset_peak_memory_stats()
    fit(training, model, batches, lambda _: ValidationScores(psnr=[0.0]), report)
    skipped = len(stamps) // 4
    return {
        "samples_per_second": BATCH / statistics.median(np.diff(stamps[skipped:])),
        "memory_gib": torch.cuda.max_memory_allocated() / 2**30 if GPU else None,
        "losses": losses,
    }


def draw(curves: dict[str, Any]) -> None:
    """Both loss curves together."""
    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "banet"
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.5))
    for name, values in curves.items():
        axes.plot(values["losses"], label=name, linewidth=1)
    axes.set(xlabel="step", ylabel="loss, Eq. (8)")
    axes.legend()
    figure.savefig(RESULTS / "training_losses.svg", bbox_inches="tight", metadata={"Date": None})
