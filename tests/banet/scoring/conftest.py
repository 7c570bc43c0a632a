"""Rows of scores, and a benchmark of tiny pairs."""

from collections.abc import Callable

import pytest

from banet.data.manifest import ArchiveSource, Benchmark
from banet.scoring.scores import ImageScores, Scores


def scores(value: float) -> Scores:
    return Scores(psnr=value, ssim_matlab3d=value / 100, ssim_channel=value / 200)


@pytest.fixture
def row() -> Callable[..., ImageScores]:
    def make(key: str, blurred: float | None, restored: float, *, stratum: str | None = None) -> ImageScores:
        return ImageScores(
            key=key,
            sequence=key.partition("/")[0],
            stratum=stratum,
            variant="blur",
            blurred=None if blurred is None else scores(blurred),
            restored=scores(restored),
        )

    return make


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


@pytest.fixture
def realblur(benchmark: Benchmark) -> Benchmark:
    from dataclasses import replace

    return replace(benchmark, layout="realblur", root="R", lists={})
