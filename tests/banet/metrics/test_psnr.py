"""PSNR, exact, against Python's integers and scikit-image."""

import math

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from banet.metrics.psnr import psnr


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (85, 1), (16, 16), (131, 257)])
def test_exact_over_all_samples(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    restored, sharp = (rng.integers(0, 256, (*size, 3), dtype=np.uint8) for _ in range(2))
    error = sum((int(a) - int(b)) ** 2 for a, b in zip(restored.flat, sharp.flat, strict=True))
    assert psnr(restored, sharp) == 10 * math.log10(255**2 * restored.size / error)
    assert psnr(restored, sharp) == pytest.approx(peak_signal_noise_ratio(sharp, restored, data_range=255), abs=1e-12)


def test_by_hand() -> None:
    sharp = np.full((40, 30, 3), 100, np.uint8)
    assert psnr(sharp + 5, sharp) == pytest.approx(20 * math.log10(255 / 5))
    assert psnr(sharp, sharp + 5) == psnr(sharp + 5, sharp)


def test_one_wrong_sample_in_a_large_image_counts() -> None:
    sharp = np.zeros((720, 1280, 3), np.uint8)
    restored = sharp.copy()
    restored[719, 1279, 2] = 1
    assert psnr(restored, sharp) == 10 * math.log10(255**2 * sharp.size)


def test_black_against_white_does_not_overflow() -> None:
    black, white = np.zeros((720, 1280, 3), np.uint8), np.full((720, 1280, 3), 255, np.uint8)
    assert psnr(black, white) == 0.0


def test_equal_images_are_infinite() -> None:
    sharp = np.random.default_rng(1).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    assert psnr(sharp, sharp.copy()) == math.inf


def test_views_with_any_strides() -> None:
    rng = np.random.default_rng(2)
    restored, sharp = (rng.integers(0, 256, (33, 44, 3), dtype=np.uint8) for _ in range(2))
    assert psnr(restored[::-1, ::2], sharp[::-1, ::2]) == psnr(restored[:, ::2].copy(), sharp[:, ::2].copy())
