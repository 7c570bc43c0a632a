"""Means over images, which a single identical image must not make infinite.

An image that equals its sharp one has an infinite PSNR. It is counted but left out of the mean PSNR, while its SSIM
of 1 is included. A mean PSNR is infinite only if every image is identical.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from banet.scoring.scores import AlignedScores, ImageScores, Scores

SUB_IMAGES = 8  # of Table 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Means(Scores):
    """Means of plain scores over some images; that of PSNR over the images where it is finite."""

    identical: int = 0  # images that equal the sharp one


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignedMeans:
    """Means of RealBlur's scores; images that could not be aligned are included, as compared unaligned."""

    psnr: float  # dB, over the images where it is finite
    ssim: float
    images: int
    aligned: int  # images whose alignment converged
    identical: int  # images that equal the sharp one
    opencv: str  # version that aligned; all versions if the rows come from several


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
    """Means of RealBlur's scores over the rows that have them; None if no row has."""
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
    """Means before and after restoration, over the rows that have both scores; at least one."""
    return _compared([(s.blurred, s.restored) for s in scores if s.blurred is not None])


def compare_filtered(scores: Sequence[ImageScores]) -> Comparison | None:
    """The same with the best single filter in place of the model; None if no filter was chosen."""
    both = [(s.blurred, s.filtered) for s in scores if s.blurred is not None and s.filtered is not None]
    return _compared(both) if both else None


def compare_strata(scores: Sequence[ImageScores]) -> dict[str, Comparison]:
    """Means over the images of each stratum, in order of appearance."""
    names = dict.fromkeys(s.stratum for s in scores if s.stratum is not None)
    return {name: compare([s for s in scores if s.stratum == name]) for name in names}


def _compared(pairs: Sequence[tuple[Scores, Scores]]) -> Comparison:
    before, after = means(pair[0] for pair in pairs), means(pair[1] for pair in pairs)
    return Comparison(images=len(pairs), blurred=before, restored=after, gain=_gain(pairs))


def _gain(pairs: Sequence[tuple[Scores, Scores]]) -> float:
    """Gain in dB, never nan: if no image has two finite PSNRs, the difference of the means, 0 if both are infinite."""
    finite = [pair for pair in pairs if all(math.isfinite(s.psnr) for s in pair)] or pairs
    before, after = means(pair[0] for pair in finite).psnr, means(pair[1] for pair in finite).psnr
    return 0.0 if before == after else after - before


def score_place(benchmark: str, variant: str, *, sub_images: int = 1, local_crop: int | None = None) -> str:
    """The beginning of the names of a run's metrics: everything in which two scores of one model can differ.

    Args:
        benchmark: its name.
        variant: of the blurred images.
        sub_images: number of parts of each image that were restored separately (Table 9); 1 for the whole image.
        local_crop: strips were averaged over windows of this training crop; side in pixels.
    """
    divided = f"/sub_images{sub_images}" if sub_images > 1 else ""
    return f"{benchmark}/{variant}{divided}" + (f"/local{local_crop}" if local_crop is not None else "")


def score_name(place: str) -> str:
    """The name of a run's metric with the mean PSNR of restored test images, dB."""
    return f"{place}/restored_psnr"


def named_means(scores: Sequence[ImageScores], place: str) -> dict[str, float]:
    """Means as a run's metrics, `mini/blur/restored_psnr`, ...; only finite values, which MLflow's charts need."""
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
