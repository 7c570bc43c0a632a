"""Size, brightness, sharpness and noise of a picture; the same figures for served pictures and for shards."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from banet.image import Image

SIDE = 256  # pixels; what is looked at is at most this large, which bounds the time
_LEFT = 13 / 32  # sum of the squares of the kernel of Gaussian and Laplacian: the share of a noise's variance it leaves
_KERNEL = np.array(
    [[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32
)  # blind to planes and straight edges along an axis


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureFeatures:
    """What is kept of a picture: none of its pixels."""

    width: int  # pixels
    height: int  # pixels
    brightness: float  # mean grey level, 0 to 255
    sharpness: float  # at one scale: variance of the Laplacian over that of the grey levels
    noise: float  # of the `SIDE` pixels in its middle: standard deviation, grey levels


def picture_features(image: Image) -> PictureFeatures:
    """Return the features of a picture, uint8 RGB (H, W, 3).

    Noise is estimated as by J. Immerkær, "Fast Noise Variance Estimation", Computer Vision and Image Understanding 64
    (1996), 300-302; fine texture counts as noise. Sharpness is that of the picture reduced to `SIDE`, relative to its
    contrast and less what the noise adds: neither size nor exposure nor noise alone changes it much.
    """
    height, width = image.shape[:2]
    reduction = max(1.0, max(height, width) / SIDE)
    size = (max(1, round(width / reduction)), max(1, round(height / reduction)))
    grey = cv2.cvtColor(cv2.resize(image, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    smooth = cv2.GaussianBlur(grey, (3, 3), 0)
    detail, contrast = (float(cv2.meanStdDev(each)[1][0, 0]) for each in (cv2.Laplacian(smooth, cv2.CV_16S), smooth))
    top, left = max(0, height - SIDE) // 2, max(0, width - SIDE) // 2
    noise = _noise(grey)
    detail_left = max(0.0, detail**2 - _LEFT * noise**2)
    if reduction > 1:
        noise = _noise(cv2.cvtColor(image[top : top + SIDE, left : left + SIDE], cv2.COLOR_RGB2GRAY))
    return PictureFeatures(
        width=width,
        height=height,
        brightness=float(grey.mean()),
        sharpness=detail_left / contrast**2 if contrast else 0.0,
        noise=noise,
    )


def _noise(grey: npt.NDArray[np.uint8]) -> float:
    residual = np.abs(cv2.filter2D(grey, cv2.CV_16S, _KERNEL))
    return math.sqrt(math.pi / 2) / 6 * float(residual[1:-1, 1:-1].mean()) if min(grey.shape) > 2 else 0.0
