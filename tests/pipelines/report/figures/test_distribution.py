"""Figures by image, and Fig. 1: what is drawn is described, in the page's colours, and never more than was measured."""

import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest

from banet.analysis.profile import Latency
from pipelines.report.data.image_rows import ImageRow
from pipelines.report.data.inputs import ReportInputs
from pipelines.report.figures.distribution import distribution_svg, gain_svg
from pipelines.report.figures.latency_scatter import time_svg

Read = Callable[..., ReportInputs]
ROWS = tuple(
    ImageRow(key=str(i), stratum=None, blurred_psnr=20.0 + i, restored_psnr=21.0 + i * 0.75) for i in range(10)
)
IDENTICAL = ImageRow(key="same", stratum=None, blurred_psnr=math.inf, restored_psnr=math.inf)


def label(svg: str) -> str:
    return ElementTree.fromstring(svg).get("aria-label") or ""  # noqa: S314


def test_by_image_figures_say_what_they_show() -> None:
    assert label(distribution_svg("mini", ROWS)) == (
        "Distribution of PSNR over 10 images of mini: blurred 20.00 to 29.00 dB, mean 24.50; "
        "restored 21.00 to 27.75 dB, mean 24.38"
    )
    assert label(gain_svg("mini", ROWS)) == (
        "Gain of 10 images of mini against the PSNR of their inputs: -1.25 to 1.00 dB; 5 became worse"
    )
    assert "blurred 24.50" in distribution_svg("mini", ROWS)


@pytest.mark.parametrize("draw", [distribution_svg, gain_svg])
def test_identical_images_and_too_few_are_not_drawn(draw: Callable[..., str]) -> None:
    assert draw("mini", (*ROWS, IDENTICAL)) == draw("mini", ROWS)
    assert draw("mini", (*ROWS[:2], IDENTICAL)) == ""
    assert draw("mini", ()) == ""


def test_every_bin_has_its_images() -> None:
    same = tuple(replace(row, blurred_psnr=25.0, restored_psnr=25.0) for row in ROWS)
    assert "blurred 25.00 to 25.00 dB" in label(distribution_svg("mini", same))
    assert "0.00 to 0.00 dB; 0 became worse" in label(gain_svg("mini", same))


def test_fig_1_names_every_method_and_draws_ours_only_where_measured(
    read: Read, add_benchmark: Callable[..., None]
) -> None:
    inputs = read()
    svg = time_svg(inputs)
    for row in inputs.published[1].rows:
        assert f">{row.method}</text>" in svg
    assert "not synchronised" in svg
    assert label(svg) == "PSNR on GoPro against published, unsynchronised time of 13 methods"
    add_benchmark("gopro")
    inputs = read("mini", "gopro")
    ours = time_svg(inputs)
    assert "banet-mini version 3, measured here: 26.05" in ours
    assert "reached 26.05 dB here, without a time" in label(ours)


@pytest.mark.parametrize("milliseconds", [61.2, 812.4, 54_321.0])
@pytest.mark.parametrize("psnr", [26.05, 32.5])
def test_a_time_that_was_measured_is_a_filled_point(
    read: Read, add_benchmark: Callable[..., None], latency: dict[str, Any], milliseconds: float, psnr: float
) -> None:
    add_benchmark("gopro")
    inputs = read("gopro")
    (benchmark,) = inputs.benchmarks
    evaluation = benchmark.evaluation
    without = time_svg(inputs)
    timed = replace(
        evaluation,
        restored=replace(evaluation.restored, psnr=psnr),
        latency=Latency(**latency | {"size": (720, 1280), "median_ms": milliseconds}),
    )
    ours = time_svg(replace(inputs, benchmarks=(replace(benchmark, evaluation=timed),)))
    shown = "61.2" if milliseconds < 100 else f"{milliseconds:.0f}"
    assert f"banet-mini version 3, synchronised: {psnr:.2f} dB, {shown} ms" in ours
    assert label(ours).endswith(f"banet-mini version 3 reached {psnr:.2f} dB here in {shown} ms, synchronised")
    assert ours.count("fill: var(--accent); stroke: var(--accent)") > 0
    assert without.count("fill: var(--accent); stroke: var(--accent)") == 0
    assert "hollow: published, not synchronised" in ours
    ticks = [int(text) for text in re.findall(r">([0-9]+)</text>", ours)]
    assert (30_000 in ticks) == (milliseconds > 50_000)


def test_in_the_colours_of_the_page(read: Read) -> None:
    inputs = read()
    svgs = [
        time_svg(inputs),
        distribution_svg("mini", ROWS),
        gain_svg("mini", ROWS),
        distribution_svg("hide", ROWS),
    ]
    ids = [set(re.findall(r'\bid="([^"]+)"', svg)) for svg in svgs]
    for i, svg in enumerate(svgs):
        assert not re.search(r"#0102|font-family|DejaVu", svg)
        assert set(re.findall(r"(?:fill|stroke): (#\w+)", svg)) == set()
        assert not any(ids[i] & other for other in ids[:i])
