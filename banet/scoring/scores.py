"""The scores of one image, by the protocol of its benchmark."""

from dataclasses import dataclass
from typing import Literal

from banet.data.manifest import Benchmark
from banet.image import Image
from banet.metrics.psnr import psnr
from banet.metrics.realblur import opencv_version, realblur_score
from banet.metrics.ssim import ssim_channel, ssim_matlab3d

Protocol = Literal["gopro", "realblur"]
"""`gopro`: plain PSNR and SSIM, also for HIDE and all others. `realblur`: aligned PSNR and SSIM as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Plain scores of one image, or their means over some."""

    psnr: float  # dB; inf for an image that equals the sharp one
    ssim_matlab3d: float
    ssim_channel: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignedScores:
    """RealBlur's scores of one restored image."""

    psnr: float  # dB; inf for an image that equals the sharp one
    ssim: float  # mean over channels scored separately
    aligned: bool  # False: the alignment did not converge, and the images were compared unaligned
    opencv: str  # version of the OpenCV that aligned; others align a little differently


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageScores:
    """One image before and after restoration: a row of the table."""

    key: str  # sequence/frame, or a file's name
    sequence: str
    stratum: str | None
    variant: str
    blurred: Scores | None  # None if only restored images are scored
    restored: Scores
    filtered: Scores | None = None  # by the best single filter, if one was chosen
    realblur: AlignedScores | None = None  # of the restored image, with the protocol realblur


def protocol_of(benchmark: Benchmark) -> Protocol:
    """Return the protocol with which papers score a benchmark: RealBlur has its own."""
    return "realblur" if benchmark.layout == "realblur" else "gopro"


def score(restored: Image, sharp: Image) -> Scores:
    """Score one image, both uint8 RGB (H, W, 3).

    Raises:
        DataError: unsuitable types, shapes or sizes.
    """
    return Scores(
        psnr=psnr(restored, sharp),
        ssim_matlab3d=ssim_matlab3d(restored, sharp),
        ssim_channel=ssim_channel(restored, sharp),
    )


def score_aligned(restored: Image, sharp: Image, protocol: Protocol) -> AlignedScores | None:
    """Score one image after RealBlur's alignment, which takes seconds; None with another protocol.

    Raises:
        DataError: unsuitable types, shapes or sizes, or the sharp image is black.
        ResourceError: OpenCV is not installed.
    """
    if protocol != "realblur":
        return None
    found = realblur_score(restored, sharp)
    return AlignedScores(psnr=found.psnr, ssim=found.ssim, aligned=found.aligned, opencv=opencv_version())
