"""A pair that cannot be scored is refused with both sizes, by each of the scores."""

from collections.abc import Callable

import numpy as np
import pytest

from banet.errors import DataError
from banet.image import Image
from banet.metrics.checks import require_same_size
from banet.metrics.psnr import psnr
from banet.metrics.realblur import realblur_score
from banet.metrics.ssim import ssim_channel, ssim_matlab3d

SCORES = [require_same_size, psnr, ssim_matlab3d, ssim_channel, realblur_score]


@pytest.mark.parametrize("score", SCORES)
def test_sizes_must_agree(score: Callable[[Image, Image], object]) -> None:
    with pytest.raises(DataError, match=r"restored image is 20x30 and the sharp one 20x31"):
        score(np.zeros((20, 30, 3), np.uint8), np.zeros((20, 31, 3), np.uint8))


@pytest.mark.parametrize("score", SCORES)
def test_samples_must_be_8_bit(score: Callable[[Image, Image], object]) -> None:
    good = np.zeros((20, 30, 3), np.uint8)
    with pytest.raises(DataError, match=r"sharp image has samples of type float32.*uint8"):
        score(good, good.astype(np.float32))


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 4), (20, 30, 1), (0, 30, 3), (1, 20, 30, 3)])
def test_must_be_rgb(shape: tuple[int, ...]) -> None:
    wrong = np.zeros(shape, np.uint8)
    with pytest.raises(DataError, match=r"restored image has shape .*RGB image of shape \(H, W, 3\)"):
        require_same_size(wrong, wrong)


def test_a_good_pair_passes() -> None:
    require_same_size(np.zeros((1, 7, 3), np.uint8), np.zeros((1, 7, 3), np.uint8))
