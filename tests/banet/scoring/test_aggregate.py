"""Means over images, and what one identical image does to them: nothing but be counted."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from banet.scoring.aggregate import aligned_means, compare, compare_filtered, compare_strata, means
from banet.scoring.scores import AlignedScores, ImageScores, Scores

Row = Callable[..., ImageScores]


def scores(value: float) -> Scores:
    return Scores(psnr=value, ssim_matlab3d=0.5, ssim_channel=0.25)


def test_means_are_over_images(row: Row) -> None:
    found = compare([row("a/1", 20, 21), row("a/2", 26, 29)])
    assert found.images == 2
    assert (found.blurred.psnr, found.blurred.ssim_matlab3d, found.blurred.ssim_channel) == pytest.approx(
        (23, 0.23, 0.115)
    )
    assert found.restored.psnr == pytest.approx(25)
    assert found.gain == pytest.approx(2)
    assert (found.blurred.identical, found.restored.identical) == (0, 0)


def test_identical_images_are_counted_and_left_out_of_the_mean_of_psnr_alone() -> None:
    found = means([scores(20), replace(scores(math.inf), ssim_matlab3d=1.0), scores(30)])
    assert found.psnr == pytest.approx(25)
    assert found.ssim_matlab3d == pytest.approx((0.5 + 1 + 0.5) / 3)
    assert found.identical == 1
    assert means([scores(math.inf)] * 2).psnr == math.inf


@pytest.mark.parametrize(
    ("pairs", "gain"),
    [
        ([(20, 22), (math.inf, math.inf), (30, 30)], 1),  # over the two that have both
        ([(20, 22), (30, math.inf)], 2),
        ([(20, 22), (math.inf, 30)], 2),
        ([(math.inf, math.inf)], 0),  # nothing was lost, nothing gained
        ([(20, math.inf)], math.inf),
        ([(math.inf, 20)], -math.inf),
        ([(20, math.inf), (math.inf, 30)], 10),
    ],
)
def test_a_gain_is_never_nan(row: Row, pairs: list[tuple[float, float]], gain: float) -> None:
    assert compare([row(f"a/{i}", *pair) for i, pair in enumerate(pairs)]).gain == pytest.approx(gain)


def test_strata_are_compared_apart_in_the_order_in_which_they_come(row: Row) -> None:
    found = compare_strata(
        [
            row("a/1", 26, 26.5, stratum="short"),
            row("b/1", 20, 22, stratum="long"),
            row("c/1", 0, 90),  # belongs to none
            row("a/2", 28, 27.5, stratum="short"),
        ]
    )
    assert list(found) == ["short", "long"]
    assert [comparison.images for comparison in found.values()] == [2, 1]
    assert found["short"].gain == pytest.approx(0)
    assert found["long"].gain == pytest.approx(2)
    assert compare_strata([row("c/1", 20, 21)]) == {}


def test_a_filter_is_compared_on_the_rows_that_it_was_scored_on(row: Row) -> None:
    rows = [replace(row("a/1", 20, 25), filtered=scores(21)), row("a/2", 0, 50)]
    found = compare_filtered(rows)
    assert found is not None
    assert found.images == 1
    assert found.gain == pytest.approx(1)
    assert compare_filtered(rows[1:]) is None


def test_realblur_counts_what_was_aligned_and_what_is_identical(row: Row) -> None:
    def aligned(psnr: float, *, converged: bool = True, opencv: str = "5.0.0") -> ImageScores:
        score = AlignedScores(psnr=psnr, ssim=0.5, aligned=converged, opencv=opencv)
        return replace(row("a/1", 20, 25), realblur=score)

    found = aligned_means([aligned(20), aligned(30, converged=False), aligned(math.inf), row("b/1", 1, 2)])
    assert found is not None
    assert (found.psnr, found.ssim, found.images) == (25, 0.5, 3)
    assert (found.aligned, found.identical, found.opencv) == (2, 1, "5.0.0")
    assert aligned_means([aligned(math.inf)]).psnr == math.inf  # type: ignore[union-attr]
    assert aligned_means([aligned(1, opencv="4.1"), aligned(1)]).opencv == "4.1, 5.0.0"  # type: ignore[union-attr]
    assert aligned_means([row("b/1", 1, 2)]) is None
