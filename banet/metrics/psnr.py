"""Peak signal-to-noise ratio as the GoPro protocol computes it."""

import math

import numpy as np
import numpy.typing as npt

from banet.image import Image, require_same_size

_PEAK = 255
_RUN = 256  # samples: 256 * 255**2 < 2**24, so float32 sums of a run are exact, in any order
_PART = 512 * _RUN  # samples computed together, few enough for the cache


def psnr(restored: Image, sharp: Image) -> float:
    """PSNR of one 8-bit RGB image in dB over all samples, peak 255; inf for equal images.

    Takes two uint8 (H, W, 3) of one size, else DataError. The squared errors are summed exactly.
    """
    restored, sharp = require_same_size(restored, sharp)
    error = _squared_error(restored, sharp)
    return math.inf if error == 0 else 10 * math.log10(_PEAK**2 * restored.size / error)


def _squared_error(restored: Image, sharp: Image) -> int:
    """Return the exact sum of squared differences over all samples."""
    x, y = restored.reshape(-1), sharp.reshape(-1)
    return sum(_squared_error_of_part(x[i : i + _PART], y[i : i + _PART]) for i in range(0, x.size, _PART))


def _squared_error_of_part(x: npt.NDArray[np.uint8], y: npt.NDArray[np.uint8]) -> int:
    distance = np.maximum(x, y)
    distance -= np.minimum(x, y)
    exact = distance.astype(np.float32)
    whole = exact.size // _RUN * _RUN
    runs, rest = exact[:whole].reshape(-1, _RUN), exact[whole:]
    return int(np.einsum("ij,ij->i", runs, runs).sum(dtype=np.float64)) + int(np.einsum("j,j->", rest, rest))
