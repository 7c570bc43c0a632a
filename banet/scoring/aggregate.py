"""Means over images, which one identical image must not spoil.

An image that equals its sharp one has an infinite PSNR. It is counted, and left out of the mean of PSNR; its SSIM is
1 and counts. A mean of PSNR is infinite only where every image is identical.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from banet.scoring.scores import AlignedScores, ImageScores, Scores

SUB_IMAGES = 8  # of Table 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Means(Scores):
    """Means of plain scores over some images; of PSNR, over those where it is finite."""

    identical: int = 0  # images that equal the sharp one


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignedMeans:
    """Means of RealBlur's scores; images that could not be aligned count as they were compared."""

    psnr: float  # dB, over the images where it is finite
    ssim: float
    images: int
    aligned: int  # images whose alignment converged
    identical: int  # images that equal the sharp one
    opencv: str  # version that aligned; all of them if rows of several were put together


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Means over some images before and after restoration."""

    images: int
    blurred: Means
    restored: Means
    gain: float  # dB, restored minus blurred, over the images where both are finite


def means(scores: Iterable[Scores]) -> Means:
    """Means of each score over at least one image."""
    values = np.array([(s.psnr, s.ssim_matlab3d, s.ssim_channel) for s in scores])
    finite = np.isfinite(values[:, 0])
    psnr = float(values[finite].mean(axis=0)[0]) if finite.any() else math.inf
    _, matlab3d, channel = (float(value) for value in values.mean(axis=0))
    return Means(psnr=psnr, ssim_matlab3d=matlab3d, ssim_channel=channel, identical=int(np.sum(~finite)))


def aligned_means(scores: Iterable[ImageScores]) -> AlignedMeans | None:
    """Means of RealBlur's scores over the rows that have them; None where none has."""
    found: list[AlignedScores] = [s.realblur for s in scores if s.realblur is not None]
    if not found:
        return None
    psnr = np.array([s.psnr for s in found])
    finite = psnr[np.isfinite(psnr)]
    return AlignedMeans(
        psnr=float(finite.mean()) if finite.size else math.inf,
        ssim=float(np.mean([s.ssim for s in found])),
        images=len(found),
        aligned=sum(s.aligned for s in found),
        identical=len(found) - int(finite.size),
        opencv=", ".join(sorted({s.opencv for s in found})),
    )


def compare(scores: Sequence[ImageScores]) -> Comparison:
    """Means over at least one image, of the rows that have both scores."""
    both = [(s.blurred, s.restored) for s in scores if s.blurred is not None]
    blurred, restored = means(before for before, _ in both), means(after for _, after in both)
    return Comparison(images=len(both), blurred=blurred, restored=restored, gain=_gain(both))


def compare_filtered(scores: Sequence[ImageScores]) -> Comparison | None:
    """The same of the best single filter in the model's place; None where no filter was chosen."""
    both = [(s.blurred, s.filtered) for s in scores if s.blurred is not None and s.filtered is not None]
    if not both:
        return None
    blurred, filtered = means(before for before, _ in both), means(after for _, after in both)
    return Comparison(images=len(both), blurred=blurred, restored=filtered, gain=_gain(both))


def compare_strata(scores: Sequence[ImageScores]) -> dict[str, Comparison]:
    """Means over the images of each stratum, in the order in which they come."""
    names = dict.fromkeys(s.stratum for s in scores if s.stratum is not None)
    return {name: compare([s for s in scores if s.stratum == name]) for name in names}


def _gain(pairs: Sequence[tuple[Scores, Scores]]) -> float:
    """Gain in dB; never nan. Where no image has two finite PSNRs, the means' difference, 0 where both are infinite."""
    finite = [pair for pair in pairs if all(math.isfinite(s.psnr) for s in pair)] or pairs
    before, after = means(pair[0] for pair in finite).psnr, means(pair[1] for pair in finite).psnr
    return 0.0 if before == after else after - before


def score_place(benchmark: str, variant: str, *, sub_images: int = 1, local_crop: int | None = None) -> str:
    """What the names of a run's metrics begin with: all that two scores of one model can differ in.

    Args:
        benchmark: its name.
        variant: of the blurred images.
        sub_images: that each image was restored in, separately (Table 9); 1 for the whole image.
        local_crop: side of the training crop over whose windows strips averaged, pixels.
    """
    divided = f"/sub_images{sub_images}" if sub_images > 1 else ""
    return f"{benchmark}/{variant}{divided}" + (f"/local{local_crop}" if local_crop is not None else "")


def score_name(place: str) -> str:
    """The metric of a run that holds the mean PSNR of restored test images, dB."""
    return f"{place}/restored_psnr"


def named_means(scores: Sequence[ImageScores], place: str) -> dict[str, float]:
    """Means as a run's metrics: `mini/blur/restored_psnr`, ...; finite values alone, as MLflow's charts need them."""
    main = compare(scores)
    values = {f"{place}/blurred_{name}": value for name, value in asdict(main.blurred).items()}
    values |= {f"{place}/restored_{name}": value for name, value in asdict(main.restored).items()}
    values |= {f"{place}/gain_{name}": part.gain for name, part in compare_strata(scores).items()}
    values |= {f"{place}/gain": main.gain}
    aligned = aligned_means(scores)
    if aligned is not None:
        values |= {f"{place}/restored_aligned_{name}": getattr(aligned, name) for name in ("psnr", "ssim")}
        values |= {f"{place}/restored_aligned": aligned.aligned}
    return {name: value for name, value in values.items() if math.isfinite(value)}
