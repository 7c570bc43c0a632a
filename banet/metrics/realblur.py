"""RealBlur's score: the restored image is matched in intensity and aligned to the sharp one before the comparison.

RealBlur's two cameras see slightly different pictures, so a perfect restoration still differs from its sharp image by a
small homography and by exposure. Source: Rim et al., "Real-world blur dataset for learning and benchmarking deblurring
algorithms", ECCV 2020, and its public script `evaluation_RealBlur_ecc.py`. Scores depend a little on OpenCV's version:
store `opencv_version()` with them.
"""

import math
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import numpy.typing as npt

from banet.errors import DataError, ResourceError
from banet.image import Image, require_same_size
from banet.metrics.ssim import RADIUS, WINDOW, ssim_of_valid

_ITERATIONS = 100  # the only limit: the script sets the other one, on the change of the correlation, to 0
_SMOOTHING = 5  # side of the Gaussian filter before the alignment, pixels

Float32s = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class RealBlurScore:
    """Scores of one image over the samples covered by the aligned restored image."""

    psnr: float  # dB; inf if nothing differs
    ssim: float  # of each channel apart, averaged: the form of ssim_channel, not of ssim_matlab3d
    aligned: bool  # False: the alignment did not converge, the images are compared unaligned


def realblur_score(restored: Image, sharp: Image) -> RealBlurScore:
    """PSNR and SSIM of one restored image as the RealBlur benchmark computes them.

    Takes uint8 (H, W, 3) of at least 11 x 11 pixels, both of one size. The restored image is scaled by one factor,
    warped by a homography onto the sharp one (cubic, not clipped afterwards), and compared where the warp covers it.
    Identical images score inf and 1. Where no homography is found (a constant image, unrelated images) they are
    compared unaligned, and the result says so. Takes seconds for a photograph and needs OpenCV.

    Raises:
        DataError: types, shapes or sizes do not fit; fewer than 11 rows or columns; the sharp image is black, and
            matching its intensity would turn any image into a perfect restoration.
        ResourceError: OpenCV is not installed.
    """
    restored, sharp = require_same_size(restored, sharp)
    height, width, _ = sharp.shape
    if min(height, width) < WINDOW:
        raise DataError(f"realblur_score needs at least {WINDOW}x{WINDOW} pixels, got {height}x{width}: use psnr")
    if np.array_equal(restored, sharp):
        return RealBlurScore(psnr=math.inf, ssim=1.0, aligned=True)
    if not sharp.any():
        raise DataError("the sharp image is black, every image matches its intensity: leave this pair out")
    restored_HWC, sharp_HWC = _unit(restored), _unit(sharp)
    matched_HWC = intensity_factor(restored_HWC, sharp_HWC) * restored_HWC
    moved_HWC, valid_HW, aligned = _align(matched_HWC, sharp_HWC)
    valid_HW1 = valid_HW[:, :, np.newaxis]
    moved_HWC, sharp_HWC = moved_HWC * valid_HW1, sharp_HWC * valid_HW1
    return RealBlurScore(
        psnr=_psnr(moved_HWC, sharp_HWC, valid_HW), ssim=ssim_of_valid(moved_HWC, sharp_HWC, valid_HW), aligned=aligned
    )


def intensity_factor(restored_HWC: Float32s, sharp_HWC: Float32s) -> np.float32:
    """Return the factor that brings the restored image closest to the sharp one, in least squares.

    1 for a black restored image, which no factor changes. Summed in float32, as in the script: the last digit here
    changes the last digits of the alignment, and the score by millionths of a decibel.
    """
    below = np.sum(restored_HWC * restored_HWC)
    return np.float32(np.sum(sharp_HWC * restored_HWC) / below) if below else np.float32(1)


def opencv_version() -> str:
    """Return the version of OpenCV that aligns; versions differ slightly in their results.

    Raises:
        ResourceError: OpenCV is not installed.
    """
    return str(_opencv().__version__)


def _opencv() -> ModuleType:
    try:
        import cv2
    except ImportError:
        raise ResourceError("RealBlur's score needs OpenCV: pip install 'banet[data]'") from None
    return cv2


def _unit(image_HWC: Image) -> Float32s:
    return np.divide(image_HWC, 255, dtype=np.float32, order="C")


def _align(matched_HWC: Float32s, sharp_HWC: Float32s) -> tuple[Float32s, Mask, bool]:
    """Warp the matched image onto the sharp one; with the mask (H, W) that it covers, and whether it succeeded."""
    warp = _homography(matched_HWC, sharp_HWC)
    if warp is not None:
        moved_HWC, valid_HW = _warped(matched_HWC, warp)
        if valid_HW[RADIUS:-RADIUS, RADIUS:-RADIUS].any():
            return moved_HWC, valid_HW, True
    return matched_HWC, np.ones(matched_HWC.shape[:2], np.bool_), False


def _homography(matched_HWC: Float32s, sharp_HWC: Float32s) -> Float32s | None:
    """Find the 3x3 map from positions in the sharp image to positions in the matched one; None if there is none."""
    cv2 = _opencv()
    gray_sharp_HW, gray_matched_HW = (cv2.cvtColor(x, cv2.COLOR_RGB2GRAY) for x in (sharp_HWC, matched_HWC))
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, _ITERATIONS, 0)
    start, kind, mask = np.eye(3, dtype=np.float32), cv2.MOTION_HOMOGRAPHY, None
    try:
        _, warp = cv2.findTransformECC(gray_sharp_HW, gray_matched_HW, start, kind, criteria, mask, _SMOOTHING)
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:  # not a property of the images
            raise MemoryError(str(error)) from None
        return None
    return warp if np.isfinite(warp).all() else None


def _warped(matched_HWC: Float32s, warp: Float32s) -> tuple[Float32s, Mask]:
    """Warp the image, reflected beyond its sides; with the mask (H, W) of where the nearest sample is inside it."""
    cv2 = _opencv()
    height, width, _ = matched_HWC.shape
    size, inverse = (width, height), cv2.WARP_INVERSE_MAP
    ones_HW = np.ones((height, width), np.float32)
    moved_HWC = cv2.warpPerspective(
        matched_HWC, warp, size, flags=cv2.INTER_CUBIC | inverse, borderMode=cv2.BORDER_REFLECT
    )
    covered_HW = cv2.warpPerspective(
        ones_HW, warp, size, flags=cv2.INTER_NEAREST | inverse, borderMode=cv2.BORDER_CONSTANT, borderValue=0
    )
    return moved_HWC, covered_HW > 0


def _psnr(moved_HWC: Float32s, sharp_HWC: Float32s, valid_HW: Mask) -> float:
    """PSNR over the valid samples, peak 1; both images are 0 elsewhere."""
    error = float(np.square(sharp_HWC - moved_HWC).sum(dtype=np.float64))
    return math.inf if error == 0 else 10 * math.log10(3 * int(valid_HW.sum()) / error)
