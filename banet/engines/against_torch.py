"""How far an engine's pictures are from torch's, in score, and how much faster they come."""

import statistics
import time
from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from banet.engines.engine_names import Engine
from banet.engines.engine_network import with_engine
from banet.image import Image
from banet.inference import restore
from banet.metrics import psnr
from banet.model.network import BANet


@dataclass(frozen=True, slots=True, kw_only=True)
class AgainstTorch:
    """What separates an engine from torch, over some images."""

    images: int
    largest_difference: float  # of PSNR, dB
    times_as_fast: float  # the median image


def against_torch(network: BANet, engine: Engine, pairs: Iterable[tuple[Image, Image]], *, digest: str) -> AgainstTorch:
    """Restore images by torch and by an engine, in turns.

    Args:
        network: on the CPU, in evaluation mode.
        engine: its name.
        pairs: blurred and sharp images, at least one.
        digest: of the network's weights.

    Raises:
        ResourceError: the engine's packages are not installed.
        ModelError: the network cannot be exported, or the engine does not take the file.
    """
    other = with_engine(network, engine, digest=digest)
    differences: list[float] = []
    ratios: list[float] = []
    for blurred, sharp in pairs:
        if not ratios:  # the first pass of each prepares more than others
            restore(network, blurred), restore(other, blurred)
        by_torch, seconds = _timed(network, blurred)
        by_engine, engine_seconds = _timed(other, blurred)
        scores = psnr(by_torch, sharp), psnr(by_engine, sharp)
        differences.append(0.0 if scores[0] == scores[1] else abs(scores[0] - scores[1]))
        ratios.append(seconds / engine_seconds)
    return AgainstTorch(
        images=len(ratios), largest_difference=max(differences), times_as_fast=statistics.median(ratios)
    )


def _timed(model: nn.Module, image: Image) -> tuple[Image, float]:
    before = time.perf_counter()
    return restore(model, image), time.perf_counter() - before
