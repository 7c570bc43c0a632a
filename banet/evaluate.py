"""Scoring a model on a benchmark: every image in one pass, the mean over images, strata beside it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from banet.data.archive import SHARP
from banet.data.benchmark import Benchmark
from banet.data.shards import Row, ShardFolder
from banet.image import Image
from banet.metrics import psnr, ssim_channel, ssim_matlab3d


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Scores of one image, or their means over some."""

    psnr: float  # dB
    ssim_matlab3d: float
    ssim_channel: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageScores:
    """One image before and after restoration."""

    key: str
    sequence: str
    stratum: str | None
    variant: str
    blurred: Scores
    restored: Scores


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Means over some images before and after restoration."""

    images: int
    blurred: Scores
    restored: Scores
    gain: float  # dB, restored minus blurred


def score(restored: Image, sharp: Image) -> Scores:
    """Score one image."""
    return Scores(
        psnr=psnr(restored, sharp),
        ssim_matlab3d=ssim_matlab3d(restored, sharp),
        ssim_channel=ssim_channel(restored, sharp),
    )


def score_images(
    restoring: Callable[[Image], Image], shards: ShardFolder, rows: Sequence[Row], benchmark: Benchmark, variant: str
) -> list[ImageScores]:
    """Restore and score the blurred images of one variant, in the order of the rows."""
    scores = []
    for row in rows:
        images = shards.read(row, (variant, SHARP)).images
        scores.append(
            ImageScores(
                key=row.key,
                sequence=row.sequence,
                stratum=benchmark.stratum(row.sequence),
                variant=variant,
                blurred=score(images[variant], images[SHARP]),
                restored=score(restoring(images[variant]), images[SHARP]),
            )
        )
    return scores


def compare(scores: Sequence[ImageScores]) -> Comparison:
    """Means over images."""
    blurred, restored = mean(s.blurred for s in scores), mean(s.restored for s in scores)
    return Comparison(images=len(scores), blurred=blurred, restored=restored, gain=restored.psnr - blurred.psnr)


def compare_strata(scores: Sequence[ImageScores]) -> dict[str, Comparison]:
    """Means over the images of each stratum, in the order in which they come."""
    names = dict.fromkeys(s.stratum for s in scores if s.stratum is not None)
    return {name: compare([s for s in scores if s.stratum == name]) for name in names}


def mean(scores: Iterable[Scores]) -> Scores:
    """Means of each score."""
    values = np.array([(s.psnr, s.ssim_matlab3d, s.ssim_channel) for s in scores]).mean(axis=0)
    return Scores(psnr=float(values[0]), ssim_matlab3d=float(values[1]), ssim_channel=float(values[2]))
