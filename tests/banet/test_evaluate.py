"""Scores image by image, and their means."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from banet.data.benchmark import ArchiveSource, Benchmark
from banet.data.shards import ShardFolder
from banet.evaluate import ImageScores, Scores, compare, compare_strata, mean, score, score_images
from banet.image import Image
from banet.metrics import psnr, ssim_channel, ssim_matlab3d


@pytest.fixture
def benchmark() -> Benchmark:
    return Benchmark(
        name="tiny",
        title="Tiny",
        licence="-",
        citation="-",
        layout="gopro",
        variants=("blur",),
        archives=(ArchiveSource(name="a.zip", sources=("a.zip",)),),
        counts={},
        strata={"long": "*_long", "short": "*_short"},
    )


def scores(value: float) -> Scores:
    return Scores(psnr=value, ssim_matlab3d=value / 100, ssim_channel=value / 200)


def image_scores(key: str, stratum: str | None, blurred: float, restored: float) -> ImageScores:
    return ImageScores(
        key=key,
        sequence=key.partition("/")[0],
        stratum=stratum,
        variant="blur",
        blurred=scores(blurred),
        restored=scores(restored),
    )


def test_a_score_is_the_three_metrics_restored_first() -> None:
    rng = np.random.default_rng(0)
    sharp, restored = rng.integers(0, 256, (2, 16, 18, 3), dtype=np.uint8)
    found = score(restored, sharp)
    assert found.psnr == psnr(restored, sharp)
    assert found.ssim_matlab3d == ssim_matlab3d(restored, sharp)
    assert found.ssim_channel == ssim_channel(restored, sharp)


def test_images_are_scored_before_and_after_in_the_order_of_the_rows(
    make_shards: Callable[..., Path], benchmark: Benchmark
) -> None:
    shards = ShardFolder(make_shards(("a_long", "b_short", "c"), pairs=2, split="test", size=(16, 20)))
    rows = shards.rows("test")
    seen: list[Image] = []

    def restoring(image: Image) -> Image:
        seen.append(image)
        return 255 - image  # the tiny shards' blur is the negative of their sharp image

    found = score_images(restoring, shards, rows[::-1], benchmark, "blur")
    assert [s.key for s in found] == [row.key for row in rows[::-1]]
    assert [s.stratum for s in found] == [None, None, "short", "short", "long", "long"]
    assert {s.variant for s in found} == {"blur"}
    for s, row, image in zip(found, rows[::-1], seen, strict=True):
        pair = shards.read(row, ("blur", "sharp"))
        assert s.sequence == row.sequence
        assert np.array_equal(image, pair.images["blur"])  # what is restored is the blurred image, once
        assert s.blurred == score(pair.images["blur"], pair.images["sharp"])
        assert s.restored.psnr == math.inf
        assert (s.restored.ssim_matlab3d, s.restored.ssim_channel) == pytest.approx((1, 1))


def test_a_model_that_does_nothing_gains_nothing(make_shards: Callable[..., Path], benchmark: Benchmark) -> None:
    shards = ShardFolder(make_shards(pairs=1, split="test", size=(16, 20)))
    found = compare(score_images(lambda image: image, shards, shards.rows("test"), benchmark, "blur"))
    assert found.images == 3
    assert found.gain == 0
    assert found.blurred == found.restored


def test_means_are_over_images() -> None:
    found = mean([scores(20), scores(26)])
    assert (found.psnr, found.ssim_matlab3d, found.ssim_channel) == pytest.approx((23, 0.23, 0.115))
    comparison = compare([image_scores("a/1", None, 20, 21), image_scores("a/2", None, 26, 29)])
    assert comparison.images == 2
    assert comparison.blurred.psnr == pytest.approx(23)
    assert comparison.restored.psnr == pytest.approx(25)
    assert comparison.gain == pytest.approx(2)


def test_strata_are_compared_apart_in_the_order_in_which_they_come() -> None:
    found = compare_strata(
        [
            image_scores("a/1", "short", 26, 26.5),
            image_scores("b/1", "long", 20, 22),
            image_scores("c/1", None, 0, 90),  # belongs to none
            image_scores("a/2", "short", 28, 27.5),
        ]
    )
    assert list(found) == ["short", "long"]
    assert [comparison.images for comparison in found.values()] == [2, 1]
    assert found["short"].gain == pytest.approx(0)
    assert found["long"].gain == pytest.approx(2)
    assert compare_strata([image_scores("c/1", None, 20, 21)]) == {}
