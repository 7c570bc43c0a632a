"""Curves are drawn the same each time, take the page's colours, and carry a description."""

import re
from xml.etree import ElementTree

from pipelines.report.data.inputs import LogRow
from pipelines.report.figures.training_curves import loss_svg, validation_svg
from pipelines.stages.stage_results import TrainingReport

LOG = tuple(
    LogRow(step=step, loss=1 / step, validation_psnr=25 + step / 100 if step % 10 == 0 else None)
    for step in range(1, 101)
)
TRAINING = TrainingReport(
    steps=100,
    best_step=90,
    validation_psnr=25.9,
    blurred_validation_psnr=25.05,
    parameters=1,
)


def test_same_bytes_each_time() -> None:
    assert loss_svg(LOG) == loss_svg(LOG)
    assert validation_svg(TRAINING, LOG) == validation_svg(TRAINING, LOG)


def test_well_formed_and_described() -> None:
    for svg in (loss_svg(LOG), validation_svg(TRAINING, LOG)):
        root = ElementTree.fromstring(svg)  # noqa: S314
        assert root.tag.endswith("svg")
        assert root.get("role") == "img"
    assert 'aria-label="Training loss over 100 steps, from 1 to 0.01"' in loss_svg(LOG)
    assert 'aria-label="Validation PSNR: best 25.90 dB at step 90, blurred input 25.05 dB"' in validation_svg(
        TRAINING, LOG
    )


def test_no_colours_and_fonts_of_their_own() -> None:
    for svg in (loss_svg(LOG), validation_svg(TRAINING, LOG)):
        assert "var(--accent)" in svg
        assert "var(--muted)" in svg
        assert not re.search(r"#0102|font-family|DejaVu", svg)
        assert set(re.findall(r"(?:fill|stroke): (#\w+)", svg)) == set()


def test_ids_of_two_figures_on_one_page_differ() -> None:
    first, second = (set(re.findall(r'\bid="([^"]+)"', svg)) for svg in (loss_svg(LOG), validation_svg(TRAINING, LOG)))
    assert first
    assert not first & second
    for svg in (loss_svg(LOG), validation_svg(TRAINING, LOG)):
        ids = set(re.findall(r'\bid="([^"]+)"', svg))
        assert set(re.findall(r'(?:url\(|href=")#([^")]+)', svg)) <= ids


def test_words_are_text() -> None:
    svg = validation_svg(TRAINING, LOG)
    for words in ("blurred input 25.05", "best 25.90", "validation PSNR, dB"):
        assert words in svg


def test_nothing_logged_nothing_drawn() -> None:
    assert loss_svg(()) == ""
    silent = (LogRow(step=1, loss=0.0, validation_psnr=None),)
    assert validation_svg(TRAINING, silent) == ""
    assert "<svg" in loss_svg(silent)
