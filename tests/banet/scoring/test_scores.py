"""One image's scores, by the protocol of its benchmark."""

import math
from pathlib import Path

import numpy as np
import pytest

from banet.data.manifest import Benchmark, read_benchmark
from banet.metrics.psnr import psnr
from banet.metrics.realblur import opencv_version, realblur_score
from banet.metrics.ssim import ssim_channel, ssim_matlab3d
from banet.scoring.scores import protocol_of, score, score_aligned

MANIFESTS = Path(__file__).parents[3] / "data" / "benchmarks"


def test_a_score_is_the_three_metrics_restored_first() -> None:
    rng = np.random.default_rng(0)
    sharp, restored = rng.integers(0, 256, (2, 16, 18, 3), dtype=np.uint8)
    found = score(restored, sharp)
    assert found.psnr == psnr(restored, sharp)
    assert found.ssim_matlab3d == ssim_matlab3d(restored, sharp)
    assert found.ssim_channel == ssim_channel(restored, sharp)


def test_realblur_is_aligned_restored_first_and_its_opencv_is_stored() -> None:
    rng = np.random.default_rng(0)
    sharp = np.kron(rng.integers(40, 200, (8, 9, 3), dtype=np.uint8), np.ones((6, 6, 1), np.uint8))
    restored = np.roll(sharp, 1, axis=1) // 2
    found, direct = score_aligned(restored, sharp, "realblur"), realblur_score(restored, sharp)
    assert found is not None
    assert (found.psnr, found.ssim, found.aligned) == (direct.psnr, direct.ssim, direct.aligned)
    assert found.opencv == opencv_version()
    assert score_aligned(restored, sharp, "gopro") is None


def test_constant_and_identical_images_have_scores() -> None:
    grey = np.full((16, 18, 3), 100, np.uint8)
    found = score(grey + 10, grey)
    assert found.psnr == pytest.approx(20 * math.log10(255 / 10))
    assert 0 < found.ssim_matlab3d < 1  # of the means alone
    assert score(grey, grey).psnr == math.inf
    assert (score(grey, grey).ssim_matlab3d, score(grey, grey).ssim_channel) == pytest.approx((1, 1))
    aligned = score_aligned(grey + 10, grey, "realblur")
    assert aligned is not None
    assert not aligned.aligned  # a constant image has no place


def test_the_protocol_is_that_of_the_manifest(benchmark: Benchmark) -> None:
    names = ("gopro", "hide", "mini", "realblur_j", "realblur_r")
    assert [protocol_of(read_benchmark(MANIFESTS, name)) for name in names] == ["gopro"] * 3 + ["realblur"] * 2
    assert protocol_of(benchmark) == "gopro"
