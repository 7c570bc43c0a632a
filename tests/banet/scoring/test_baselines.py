"""Simple filters: they filter what they say, and the best is found."""

import cv2
import numpy as np
import pytest

from banet.image import Image
from banet.metrics.psnr import psnr
from banet.scoring.baselines import AMOUNTS, SIGMAS, Filter, best_filter


def texture(seed: int) -> Image:
    noise = np.random.default_rng(seed).uniform(0, 255, (40, 48, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 1.2)
    return np.asarray(np.clip((smooth - 128) * 3 + 128, 0, 255), dtype=np.uint8)


def gaussian(image: Image, sigma: float) -> Image:
    """The filter written out: a normalised kernel over rows, then over columns."""
    x = np.arange(-int(5 * sigma + 3), int(5 * sigma + 3) + 1)
    kernel = np.exp(-(x**2) / (2 * sigma**2))
    kernel /= kernel.sum()
    radius = len(kernel) // 2
    padded = np.pad(image.astype(np.float64), ((radius, radius), (radius, radius), (0, 0)), mode="reflect")
    rows = np.apply_along_axis(np.convolve, 0, padded, kernel, mode="valid")
    return np.floor(np.apply_along_axis(np.convolve, 1, rows, kernel, mode="valid") + 0.5).astype(np.uint8)


@pytest.mark.parametrize("sigma", [0.75, 1.5, 3.0])
def test_an_amount_of_minus_one_is_the_gaussian_filter(sigma: float) -> None:
    image = texture(0)
    filtered = Filter(sigma=sigma, amount=-1)(image)
    assert np.abs(filtered.astype(int) - gaussian(image, sigma)).max() <= 1


def test_unsharp_masking_adds_detail_back_and_clips() -> None:
    image = texture(0)
    assert np.array_equal(Filter(sigma=1, amount=0)(image), image)
    detail = image.astype(float) - gaussian(image, 1)
    expected = np.clip(image + 0.7 * detail, 0, 255)
    assert np.abs(Filter(sigma=1, amount=0.7)(image) - expected).max() <= 1.3
    edge = np.zeros((8, 8, 3), dtype=np.uint8)
    edge[:, 4:] = 255
    assert np.array_equal(Filter(sigma=1, amount=1.5)(edge), edge)  # overshoot is clipped, not wrapped around


def test_an_even_image_stays_as_it_is() -> None:
    for level in (0, 77, 255):
        image = np.full((9, 9, 3), level, dtype=np.uint8)
        for amount in (-1.0, 1.5):
            assert np.array_equal(Filter(sigma=2, amount=amount)(image), image)


def test_a_smoothed_image_wants_to_be_sharpened() -> None:
    pairs = [(gaussian(texture(seed), 0.8), texture(seed)) for seed in range(2)]
    best = best_filter(pairs)
    assert best.amount > 0
    assert str(best).startswith("unsharp sigma=")
    assert np.mean([psnr(best(b), s) - psnr(b, s) for b, s in pairs]) > 1


def test_a_noisy_image_wants_to_be_smoothed() -> None:
    rng = np.random.default_rng(0)
    sharp = gaussian(texture(0), 3)
    noisy = np.clip(sharp + rng.normal(0, 12, sharp.shape), 0, 255).astype(np.uint8)
    best = best_filter([(noisy, sharp)])
    assert best.amount == -1
    assert str(best) == f"Gaussian sigma={best.sigma:g}"


def test_the_best_filter_is_the_one_of_the_highest_mean() -> None:
    pairs = [(gaussian(texture(0), 0.6), texture(0)), (gaussian(texture(1), 2), texture(1))]
    best = best_filter(iter(pairs))  # they are looked at many times, and may come only once
    means = {
        (sigma, amount): np.mean([psnr(Filter(sigma=sigma, amount=amount)(b), s) for b, s in pairs])
        for sigma in SIGMAS
        for amount in (-1.0, *AMOUNTS)
    }
    assert means[best.sigma, best.amount] == max(means.values())


def test_filters_are_named_by_their_numbers() -> None:
    assert str(Filter(sigma=1.0, amount=0.5)) == "unsharp sigma=1 amount=0.5"
    assert str(Filter(sigma=0.75, amount=-1)) == "Gaussian sigma=0.75"
