"""Both forms of SSIM against independent float64 computations: scipy's filters and scikit-image."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity

from banet.errors import DataError
from banet.image import Image
from banet.metrics.ssim import ssim_channel, ssim_matlab3d, ssim_of_valid

TOLERANCE = 1e-9  # asked: 1e-6


def matlab3d(restored: Image, sharp: Image) -> float:
    """MATLAB's recipe written out: one volume, five filtered volumes."""

    def mean(volume: np.ndarray) -> np.ndarray:
        return np.asarray(gaussian_filter(volume, 1.5, mode="nearest", radius=5))

    x, y = restored.astype(np.float64), sharp.astype(np.float64)
    mx, my = mean(x), mean(y)
    vx, vy, vxy = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return float(((2 * mx * my + c1) * (2 * vxy + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))).mean())


def channel(restored: Image, sharp: Image) -> float:
    return float(
        structural_similarity(
            sharp,
            restored,
            channel_axis=2,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=255,
        )
    )


def pair(height: int, width: int, noise: float = 20.0) -> tuple[Image, Image]:
    """A smooth coloured picture and the same with noise: neither uncorrelated nor equal."""
    rng = np.random.default_rng(height * 1000 + width)
    sharp = gaussian_filter(rng.uniform(-400, 655, (height, width, 3)), (2, 2, 0.5)).clip(0, 255)
    return (sharp + rng.normal(0, noise, sharp.shape)).clip(0, 255).astype(np.uint8), sharp.astype(np.uint8)


@pytest.mark.parametrize("size", [(11, 11), (12, 45), (67, 31), (129, 83), (64, 64), (32, 33), (75, 1100)])
def test_both_equal_independent_computations(size: tuple[int, int]) -> None:
    restored, sharp = pair(*size)
    assert ssim_matlab3d(restored, sharp) == pytest.approx(matlab3d(restored, sharp), abs=TOLERANCE)
    assert ssim_channel(restored, sharp) == pytest.approx(channel(restored, sharp), abs=TOLERANCE)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (5, 3), (10, 10), (2, 200)])
def test_volume_smaller_than_the_window(size: tuple[int, int]) -> None:
    restored, sharp = pair(*size)
    assert ssim_matlab3d(restored, sharp) == pytest.approx(matlab3d(restored, sharp), abs=TOLERANCE)


def test_channels_refuse_an_image_smaller_than_the_window() -> None:
    with pytest.raises(DataError, match=r"at least 11x11 pixels, got 10x40"):
        ssim_channel(*pair(10, 40))


@pytest.mark.parametrize("values", [(0, 0), (0, 255), (255, 254), (255, 255), (17, 200)])
def test_constant_images(values: tuple[int, int]) -> None:
    restored, sharp = (np.full((37, 41, 3), value, np.uint8) for value in values)
    assert ssim_matlab3d(restored, sharp) == pytest.approx(matlab3d(restored, sharp), abs=TOLERANCE)
    assert ssim_channel(restored, sharp) == pytest.approx(channel(restored, sharp), abs=TOLERANCE)


def test_constant_colour_by_hand() -> None:
    """Black against white: no variance, so only the means' term C1 / (255^2 + C1) is left."""
    black, white = np.zeros((20, 20, 3), np.uint8), np.full((20, 20, 3), 255, np.uint8)
    by_hand = 6.5025 / (255**2 + 6.5025)
    assert ssim_matlab3d(black, white) == pytest.approx(by_hand, abs=1e-12)
    assert ssim_channel(black, white) == pytest.approx(by_hand, abs=1e-12)


def test_equal_images_score_one() -> None:
    _, sharp = pair(50, 61)
    assert ssim_matlab3d(sharp, sharp) == pytest.approx(1, abs=1e-12)
    assert ssim_channel(sharp, sharp.copy()) == pytest.approx(1, abs=1e-12)


def test_extremes_of_contrast() -> None:
    rng = np.random.default_rng(3)
    restored, sharp = (rng.choice([0, 255], (70, 90, 3)).astype(np.uint8) for _ in range(2))
    assert ssim_matlab3d(restored, sharp) == pytest.approx(matlab3d(restored, sharp), abs=TOLERANCE)
    assert ssim_channel(255 - sharp, sharp) == pytest.approx(channel(255 - sharp, sharp), abs=TOLERANCE)


@pytest.mark.parametrize("size", [(11, 11), (40, 33), (50, 1100)])
def test_of_valid_windows_equals_scikit_images_map(size: tuple[int, int]) -> None:
    restored, sharp = (image.astype(np.float32) / 255 for image in pair(*size))
    valid = np.random.default_rng(4).random(size) < 0.3
    valid[5:-5, 5] = True
    _, ssim_map = structural_similarity(
        sharp.astype(np.float64),
        restored.astype(np.float64),
        channel_axis=2,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1,
        full=True,
    )
    expected = ssim_map[5:-5, 5:-5][valid[5:-5, 5:-5]].mean()
    assert ssim_of_valid(restored, sharp, valid) == pytest.approx(expected, abs=TOLERANCE)


def test_with_all_windows_valid_it_is_that_of_the_channels() -> None:
    restored, sharp = pair(50, 60)
    everywhere = np.ones((50, 60), np.bool_)
    assert ssim_of_valid(restored / 255, sharp / 255, everywhere) == pytest.approx(ssim_channel(restored, sharp))


def test_the_two_forms_differ() -> None:
    restored, sharp = pair(80, 80)
    assert abs(ssim_matlab3d(restored, sharp) - ssim_channel(restored, sharp)) > 0.01


def test_views_with_any_strides() -> None:
    restored, sharp = pair(60, 70)
    flipped = restored[::-1, ::-1], sharp[::-1, ::-1]
    assert ssim_matlab3d(*flipped) == pytest.approx(ssim_matlab3d(restored, sharp), abs=1e-12)
    assert ssim_channel(*flipped) == pytest.approx(ssim_channel(restored, sharp), abs=1e-12)
