import math

import cv2
import numpy as np
import pytest

from banet.data.served.picture_features import PictureFeatures, picture_features
from banet.image import Image


def photograph(size: tuple[int, int] = (48, 64)) -> Image:
    blocks = np.random.default_rng(0).integers(60, 190, (*size, 3), dtype=np.uint8)
    return blocks.repeat(8, axis=0).repeat(8, axis=1)


def noisy(image: Image, deviation: float) -> Image:
    noise = np.random.default_rng(1).normal(0, deviation, (*image.shape[:2], 1))
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


def test_one_pixel_gives_what_a_hand_computes() -> None:
    image = np.full((9, 10, 3), 100, np.uint8)
    flat = PictureFeatures(width=10, height=9, brightness=100.0, sharpness=0.0, noise=0.0)
    assert picture_features(image) == flat
    image[4, 4] = 116
    found = picture_features(image)
    assert found.brightness == pytest.approx(100 + 16 / 90)
    assert found.noise == pytest.approx(
        math.sqrt(math.pi / 2) / 6 * 16 * 16 / (7 * 8)
    )  # the kernel's weights sum to 16


@pytest.mark.parametrize("deviation", [2, 5, 15])
def test_noise_is_its_standard_deviation_and_no_sharpness(deviation: float) -> None:
    found = picture_features(noisy(np.full((200, 300, 3), 128, np.uint8), deviation))
    assert found.noise == pytest.approx(deviation, rel=0.03)
    sharp, unsharp = photograph(), cv2.GaussianBlur(photograph(), (0, 0), 4)
    before, after = picture_features(sharp), picture_features(noisy(sharp, deviation))
    assert after.sharpness == pytest.approx(before.sharpness, rel=0.1)
    assert picture_features(unsharp).sharpness < 0.5 * before.sharpness


def test_exposure_and_size_change_what_they_are_called_and_not_sharpness() -> None:
    image = photograph()
    before = picture_features(image)
    darker = picture_features(image // 2)
    larger = picture_features(image.repeat(2, axis=0).repeat(2, axis=1))
    assert darker.brightness == pytest.approx(before.brightness / 2, abs=0.5)
    assert (larger.width, larger.height) == (2 * before.width, 2 * before.height)
    for other in (darker, larger):
        assert other.sharpness == pytest.approx(before.sharpness, rel=0.05)


def test_every_shape_has_finite_features() -> None:
    for size in ((3, 3), (8, 20000), (20000, 8), (257, 255)):
        found = picture_features(noisy(np.full((*size, 3), 128, np.uint8), 3))
        assert (found.height, found.width) == size
        assert math.isfinite(found.sharpness + found.noise + found.brightness)
