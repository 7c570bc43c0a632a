"""The tables say what was measured, rounded once and named fully."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pipelines.report.data.inputs import ReportInputs
from pipelines.report.data.other_methods import other_method
from pipelines.report.tables.all_tables import report_markdown, report_text
from pipelines.report.tables.formats import decibels
from pipelines.report.tables.results import results_table, strata_table

Read = Callable[..., ReportInputs]
Edit = Callable[[str, Callable[[dict[str, Any]], None]], None]


def test_rows_of_the_results(read: Read) -> None:
    table = results_table(read().benchmarks[0])
    assert table.caption == "mini (blur), 36 held-out images"
    assert [(row.label, *row.figures) for row in table.rows] == [
        ("blurred input", "25.12", "-", "0.8251", "0.7251"),
        ("best single filter (unsharp sigma=1.0, chosen on train)", "25.40", "+0.28", "0.8254", "0.7254"),
        ("restored", "26.05", "+0.93", "0.8261", "0.7261"),
        ("blurred input, noise-free", "25.30", "-", "0.8253", "0.7253"),
        ("restored, noise-free", "26.10", "+0.80", "0.8261", "0.7261"),
    ]
    assert [row.label for row in table.rows if row.strong] == ["restored"]


def test_both_forms_of_ssim_are_named_everywhere(read: Read) -> None:
    benchmark = read().benchmarks[0]
    for table in (results_table(benchmark), strata_table(benchmark.evaluation)):
        assert table is not None
        assert table.headings[-2:] == ("SSIM matlab3d", "SSIM channel")
        assert all(len(row.figures) == len(table.headings) - 1 for row in table.rows)


def test_strata_show_losses_too(read: Read) -> None:
    table = strata_table(read().benchmarks[0].evaluation)
    assert table is not None
    assert [(row.label, *row.figures[:3]) for row in table.rows] == [
        ("short", "24", "27.00 -> 27.50", "+0.50"),
        ("long", "12", "22.00 -> 21.75", "-0.25"),
    ]


def test_rows_without_their_scores_are_left_out(read: Read, edit: Edit) -> None:
    edit("evaluate/mini/metrics.json", lambda m: m.update(noise_free=None, best_filter=None, strata={}))
    benchmark = read().benchmarks[0]
    assert [row.label for row in results_table(benchmark).rows] == ["blurred input", "restored"]
    assert strata_table(benchmark.evaluation) is None


def test_what_a_reader_must_know_of_the_means(read: Read, edit: Edit) -> None:
    assert results_table(read().benchmarks[0]).notes == ()
    aligned = {"psnr": 31.994, "ssim": 0.92264, "images": 36, "aligned": 35, "identical": 0, "opencv": "4.10.0"}
    edit("evaluate/mini/metrics.json", lambda m: m["restored"].update(identical=2))
    edit("evaluate/mini/metrics.json", lambda m: m.update(trained_variant="blur_gamma", realblur=aligned))
    identical, realblur, trained = results_table(read().benchmarks[0]).notes
    assert identical.startswith("restored: 2 of 36 images equal the sharp ones; their infinite PSNR is left out")
    for fact in ("35 of 36 images aligned with OpenCV 4.10.0", "PSNR 31.99 dB", "SSIM 0.9226"):
        assert fact in realblur
    assert trained == "The model was trained on the variant blur_gamma, not on blur."
    assert all(note in report_text(read()) for note in (identical, realblur, trained))


def test_other_methods_come_before_ours_in_order_of_psnr(
    read: Read, edit: Edit, add_method: Callable[..., None]
) -> None:
    add_method("best", 1.5)
    add_method("MIMO-UNet+", -0.5)
    table = results_table(read().benchmarks[0])
    assert [(row.label, *row.figures) for row in table.rows[1:5]] == [
        ("best single filter (unsharp sigma=1.0, chosen on train)", "25.40", "+0.28", "0.8254", "0.7254"),
        ("MIMO-UNet+", "25.25", "-0.50", "0.8500", "0.7500"),
        ("best", "27.25", "+1.50", "0.8500", "0.7500"),
        ("restored by banet-mini version 3", "26.05", "+0.93", "0.8261", "0.7261"),
    ]
    assert table.notes == ("Images that others restored, scored here: MIMO-UNet+, best.",)
    assert "| MIMO-UNet+ | 25.25 |" in report_markdown(read())
    assert "best" in report_text(read())


def test_what_a_reader_must_know_of_other_methods_means(
    read: Read, add_benchmark: Callable[..., None], add_method: Callable[..., None]
) -> None:
    add_benchmark("realblur_j")
    add_method("A", 1.0, "realblur_j")
    (benchmark,) = read("realblur_j").benchmarks
    method = benchmark.others[0].method
    perfect = replace(method.rows[0], restored=replace(method.rows[0].restored, psnr=float("inf")))
    some = other_method(replace(method, rows=(perfect, *method.rows[1:10])), benchmark.images)
    _, count, identical, realblur = results_table(replace(benchmark, others=(some,))).notes
    assert count == "A: 10 of 36 images."
    assert identical.startswith("A: 1 of 10 images equal the sharp ones")
    for fact in ("A: ", "PSNR 30.05 dB", "10 of 10 images aligned with OpenCV 4.12.0"):
        assert fact in realblur


def test_the_time_of_an_image(read: Read, edit: Edit, latency: dict[str, Any]) -> None:
    edit("evaluate/mini/metrics.json", lambda m: m.update(latency=latency))
    assert results_table(read().benchmarks[0]).notes == (
        "One 720x1280 image takes 812 ms on cuda:0 (NVIDIA H100) in float32, synchronised: median of 20 runs (middle "
        "half 801 to 823 ms).",
    )


def test_markdown(read: Read) -> None:
    text = report_markdown(read())
    assert text.startswith("# banet-mini version 3\n")
    assert "|  | PSNR dB | gain dB | SSIM matlab3d | SSIM channel |\n| --- | ---: | ---: | ---: | ---: |\n" in text
    assert "| **restored** | **26.05** | **+0.93** | **0.8261** | **0.7261** |\n" in text
    assert "| short | 24 | 27.00 -> 27.50 | +0.50 |" in text


def test_markdown_survives_a_bar_in_a_name(read: Read, edit: Edit) -> None:
    edit("evaluate/mini/metrics.json", lambda m: m["best_filter"].update(filter="a|b"))
    assert r"(a\|b, chosen on train)" in report_markdown(read())


def test_plain_text_is_aligned_ascii(read: Read, add_benchmark: Callable[..., None]) -> None:
    add_benchmark("hide")
    text = report_text(read("mini", "hide"))
    assert text.isascii()
    blocks = [block.split("\n") for block in text.split("\n\n")]
    assert [block[0].split()[0] for block in blocks] == ["mini", "mini", "hide", "hide"]
    for block in blocks:
        assert len({len(line) for line in block[1:]}) == 1  # right-aligned figures end in one column


@pytest.mark.parametrize(("value", "shown"), [(26.049, "26.05"), (float("inf"), "inf"), (7.0, "7.00")])
def test_decibels(value: float, shown: str) -> None:
    assert decibels(value) == shown
