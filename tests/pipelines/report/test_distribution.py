"""Figures by image, and Fig. 1: what is drawn is described, in the page's colours, and never more than was measured."""

import math
import re
from collections.abc import Callable
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from pipelines.report import ReportInputs
from pipelines.report.distribution import distribution_svg, gain_svg
from pipelines.report.every_table import measured
from pipelines.report.images import ImageRow
from pipelines.report.scatter import time_svg

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
    svg = time_svg(inputs.published[1], measured(inputs))
    for row in inputs.published[1].rows:
        assert f">{row.method}</text>" in svg
    assert "not synchronised" in svg
    assert label(svg) == "PSNR on GoPro against published, unsynchronised time of 13 methods"
    add_benchmark("gopro")
    inputs = read("mini", "gopro")
    ours = time_svg(inputs.published[1], measured(inputs))
    assert "banet-mini version 3, measured here: 26.05" in ours
    assert "reached 26.05 dB here, without a time" in label(ours)


def test_in_the_colours_of_the_page(read: Read) -> None:
    inputs = read()
    svgs = [
        time_svg(inputs.published[1], measured(inputs)),
        distribution_svg("mini", ROWS),
        gain_svg("mini", ROWS),
        distribution_svg("hide", ROWS),
    ]
    ids = [set(re.findall(r'\bid="([^"]+)"', svg)) for svg in svgs]
    for i, svg in enumerate(svgs):
        assert not re.search(r"#0102|font-family|DejaVu", svg)
        assert set(re.findall(r"(?:fill|stroke): (#\w+)", svg)) == set()
        assert not any(ids[i] & other for other in ids[:i])
