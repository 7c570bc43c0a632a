"""Neighbouring frames: motion of a hand-held camera passes, other scenes and gaps are named with their numbers."""

import cv2
import numpy as np
import pytest

from banet.data.pairs.continuity import Neighbours
from banet.image import Image

RNG = np.random.default_rng(0)


def scene(seed: int) -> Image:
    """Blobs of several sizes, as photographs have."""
    rng = np.random.default_rng(seed)
    layers = [
        cv2.resize(rng.uniform(0, 1, (size, 2 * size, 3)), (640, 320), interpolation=cv2.INTER_CUBIC) / size**0.5
        for size in (4, 16, 64)
    ]
    total = sum(layers)
    return np.asarray(cv2.normalize(total, None, 0, 255, cv2.NORM_MINMAX), np.uint8)


def moving(step: int, count: int = 5) -> list[Image]:
    return [np.ascontiguousarray(scene(0)[:240, i * step : i * step + 320]) for i in range(count)]


def doubts(images: list[Image], steps: list[float | None] | None = None, usual: float | None = None) -> tuple[str, ...]:
    neighbours = Neighbours("clip", "ms", usual)
    for number, (image, step) in enumerate(zip(images, steps or [None] * len(images), strict=True), 1):
        neighbours.add(image, f"frame {number}", step)
    return neighbours.doubts()


@pytest.mark.parametrize("step", [0, 1, 2, 4])  # pixels of 320
def test_motion_and_noise_raise_no_doubt(step: int) -> None:
    noisy = [np.clip(image + RNG.normal(0, 12, image.shape), 0, 255).astype(np.uint8) for image in moving(step)]
    assert doubts(noisy) == ()


def test_frames_of_other_moments_are_named_with_their_psnr() -> None:
    images = moving(1)
    images[3:] = [scene(1)[:240, :320], scene(1)[:240, :320]]
    psnr = cv2.PSNR(images[2], images[3])
    assert doubts(images) == (f"clip: frame 3 and frame 4 are too different ({psnr:.1f} dB)",)
    assert psnr < 20
    assert len(doubts(moving(64))) == 1


def test_dark_and_plain_frames_are_compared_fairly() -> None:
    night = [np.clip(RNG.normal(6, 2, (240, 320, 3)), 0, 255).astype(np.uint8) for _ in range(3)]
    assert doubts(night) == ()
    assert doubts([np.zeros((1, 2000, 3), np.uint8)] * 2) == ()
    black = np.zeros((240, 320, 3), np.uint8)
    assert doubts([black, black]) == ()
    assert "frame 1 and frame 2" in doubts([black, scene(0)[:240, :320]])[0]


def test_the_widest_step_is_named_if_it_is_far_from_the_usual() -> None:
    images = moving(1)
    assert doubts(images, [None, 4, 5, 4, 5]) == ()  # milliseconds of 240 frames a second
    assert doubts(images, [None, 4, 5, 12.5, 4]) == ("clip: frame 3 and frame 4 are 12.5 ms apart, others 5",)
    assert doubts(images, [None, 3, 6, 6, 6], usual=3) == ("clip: frame 2 and frame 3 are 6 ms apart, others 3",)
    assert doubts(images, [None, 0, 0, 0, 0], usual=0) == ()


def test_each_average_is_looked_at_alone() -> None:
    neighbours = Neighbours("clip", "ms")
    for number, step in enumerate([None, 4, 4, 30, 4, 4]):
        neighbours.add(moving(1)[0], str(number), step, "odd" if number == 1 else "")
        if number == 2:
            assert neighbours.doubts() == ("clip: odd",)
    assert neighbours.doubts() == ()  # the gap was between two averages
