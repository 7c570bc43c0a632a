"""Tables 1 to 3: the paper's figures as printed, ours among them where they were measured, by the same protocol."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from banet.analysis.profile import Latency
from banet.model.network_config import BANetConfig
from banet.scoring.aggregate import AlignedMeans, Means
from banet.scoring.methods import Method
from pipelines.report.data.inputs import BenchmarkInputs, ReportInputs
from pipelines.report.data.other_methods import OtherMethod
from pipelines.report.tables.all_tables import paper_tables
from pipelines.report.tables.comparison import comparison_table
from pipelines.report.tables.formats import Table
from pipelines.report.tables.latency_notes import published_time_note
from pipelines.stages.evaluation_report import EvaluationReport

Read = Callable[..., ReportInputs]
NO_TIME = "-"


def rows(table: Table) -> dict[str, tuple[str, ...]]:
    return {row.label: row.figures for row in table.rows}


def other(name: str, benchmark: str, psnr: float, aligned: AlignedMeans | None = None) -> OtherMethod:
    method = Method(name=name, benchmark=benchmark, data_digest="", rows=(), folder=Path())
    return OtherMethod(
        method=method, means=Means(psnr=psnr, ssim_matlab3d=0.9444, ssim_channel=0.8), aligned=aligned, gain=None
    )


@pytest.fixture
def evaluated(read: Read) -> EvaluationReport:
    return read().benchmarks[0].evaluation


@pytest.fixture
def compared(read: Read) -> Callable[..., Table]:
    inputs = read()

    def table(
        number: int, *evaluations: EvaluationReport, network: str = "banet", others: Sequence[OtherMethod] = ()
    ) -> Table:
        benchmarks = tuple(
            BenchmarkInputs(
                evaluation=evaluation,
                folder=Path(),
                images=(),
                others=tuple(each for each in others if each.method.benchmark == evaluation.benchmark),
                left_out=(),
            )
            for evaluation in evaluations
        )
        ours = replace(
            inputs,
            registered=replace(inputs.registered, name="banet-gopro", version=7),
            network=BANetConfig(name=network),
            training=replace(inputs.training, parameters=17_988_547),
            benchmarks=benchmarks,
        )
        return comparison_table(number, ours)

    return table


def test_without_a_measurement_only_what_was_published(read: Read) -> None:
    tables = paper_tables(read())
    for number, count, missing in ((1, 13, "gopro"), (2, 11, "hide"), (3, 6, "realblur_j and realblur_r")):
        table = tables[f"table{number}"]
        assert len(table.rows) == count
        assert {row.figures[-1] for row in table.rows} == {"published"}
        assert f"Nothing was measured on {missing} here: the rows are published ones only." in table.notes


def test_published_figures_are_shown_as_printed(compared: Callable[..., Table]) -> None:
    assert rows(compared(2))["MIMO-UNet+"] == ("yes", "30.00", "0.930", "28", "published")
    assert rows(compared(1))["EDSD"] == ("no", "29.81", "0.934", "10", "1", "-", "published")


def test_ours_follows_the_same_network(compared: Callable[..., Table], evaluated: EvaluationReport) -> None:
    table = compared(1, replace(evaluated, benchmark="gopro", variant="blur_gamma", images=1111, model="banet-gopro"))
    labels = [row.label for row in table.rows]
    assert labels[-3:] == ["BANet", "banet-gopro version 7", "BANet+"]
    assert [row.label for row in table.rows if row.strong] == ["banet-gopro version 7"]
    assert rows(table)["banet-gopro version 7"] == (
        "yes",
        "26.05",
        "0.826",  # SSIM matlab3d, 0.82606; the channels' mean is 0.726
        NO_TIME,
        "18.0",
        "256.9",
        "measured here",
    )
    assert "Measured here on gopro (blur_gamma), 1111 images, with weights trained on gopro." in table.notes
    assert not any("Nothing was measured" in note for note in table.notes)
    assert compared(2, replace(evaluated, benchmark="gopro")).rows == compared(2).rows


def test_a_network_that_the_paper_lacks_comes_last(compared: Callable[..., Table], evaluated: EvaluationReport) -> None:
    table = compared(2, replace(evaluated, benchmark="hide"), network="banet_mini")
    assert table.rows[-1].strong
    assert len(table.rows) == 12


def test_realblur_needs_its_own_protocol(compared: Callable[..., Table], evaluated: EvaluationReport) -> None:
    raw = replace(evaluated, benchmark="realblur_r", images=980)
    aligned = AlignedMeans(psnr=31.994, ssim=0.9226, images=980, aligned=978, identical=0, opencv="4.10.0")
    table = compared(3, replace(raw, benchmark="realblur_j", realblur=aligned), raw)
    assert rows(table)["banet-gopro version 7"] == ("31.99", "0.923", "-", "-", NO_TIME, "measured here")
    notes = " ".join(table.notes)
    assert "realblur_j: 978 of 980 images could be aligned, with OpenCV 4.10.0" in notes
    assert "The scores on realblur_r were taken without RealBlur's alignment and are not shown here." in notes


def test_images_of_others_follow_the_published_row_of_their_method(
    compared: Callable[..., Table], evaluated: EvaluationReport
) -> None:
    ours = replace(evaluated, benchmark="gopro")
    scored = [
        other(name, "gopro", psnr)
        for name, psnr in (("NAFNet", 33.7), ("mimo_unet+", 32.4), ("BANet", 32.5), ("MIMO-UNet", 31.7))
    ]
    table = compared(1, ours, others=[*scored, other("X", "hide", 30.0)])
    places = [(row.label, row.figures[-1]) for row in table.rows]
    assert places[9:] == [
        ("MIMO-UNet+", "published"),
        ("mimo_unet+", "scored here"),
        ("MPRNet", "published"),
        ("BANet", "published"),
        ("BANet", "scored here"),
        ("banet-gopro version 7", "measured here"),
        ("BANet+", "published"),
        ("NAFNet", "scored here"),
        ("MIMO-UNet", "scored here"),
    ]
    assert rows(table)["NAFNet"] == ("-", "33.70", "0.944", "-", "-", "-", "scored here")
    assert not any(row.strong for row in table.rows if row.label == "NAFNet")
    assert (
        "Scored here: images that others restored (NAFNet, mimo_unet+, BANet, MIMO-UNet), by the protocol of the table."
        in table.notes
    )
    assert compared(2, ours, others=scored).rows == compared(2, ours).rows


def test_images_of_others_on_both_parts_of_realblur_are_one_row_of_aligned_scores(
    compared: Callable[..., Table], evaluated: EvaluationReport
) -> None:
    j, r = (
        AlignedMeans(psnr=psnr, ssim=ssim, images=9, aligned=9, identical=0, opencv="4.12.0")
        for psnr, ssim in ((32.481, 0.9291), (39.842, 0.9741))
    )
    scored = [
        *(other("Stripformer", "realblur_j", 28.0, j), other("Stripformer", "realblur_r", 35.0, r)),
        *(other("MPRNet", "realblur_r", 35.0, r), other("raw", "realblur_j", 28.0)),
    ]
    ours = (replace(evaluated, benchmark=name) for name in ("realblur_j", "realblur_r"))
    table = compared(3, *ours, others=scored)
    assert [row.figures for row in table.rows if row.figures[-1] == "scored here"] == [
        ("-", "-", "39.84", "0.974", "-", "scored here"),
        ("32.48", "0.929", "39.84", "0.974", "-", "scored here"),
    ]
    assert rows(table)["Stripformer"][0] == "32.48"
    assert "raw" not in rows(table)


def test_where_the_paper_prints_more_for_others(compared: Callable[..., Table]) -> None:
    notes = [[note for note in compared(number).notes if note.startswith("Published above")] for number in (1, 2, 3)]
    assert notes == [
        [
            "Published above BANet: MPRNet in PSNR dB (32.66, BANet 32.54), MPRNet in SSIM matlab3d (0.959, BANet "
            "0.957)."
        ],
        [
            "Published above BANet: MPRNet in PSNR dB (30.93, BANet 30.16), MPRNet in SSIM matlab3d (0.939, BANet "
            "0.930).",
            "Published above BANet+: MPRNet in PSNR dB (30.93, BANet+ 30.58), MPRNet in SSIM matlab3d (0.939, BANet+ "
            "0.935).",
        ],
        ["Published above BANet: MPRNet in R SSIM aligned (0.972, BANet 0.971)."],
    ]


def test_a_measured_time_is_in_the_table_of_its_benchmark(
    compared: Callable[..., Table], evaluated: EvaluationReport, latency: dict[str, Any]
) -> None:
    timed = replace(evaluated, latency=Latency(**latency | {"size": (720, 1280)}))
    table = compared(1, replace(timed, benchmark="gopro"))
    assert rows(table)["banet-gopro version 7"][3] == "812 [3]"
    assert table.notes[-1] == (
        "[3] Measured here, synchronised: median of 20 runs (middle half 801 to 823 ms), of one 720x1280 image on "
        "cuda:0 (NVIDIA H100) in float32."
    )
    assert [note[:3] for note in table.notes[-3:]] == ["[1]", "[2]", "[3]"]
    assert not any("No time was measured here" in note for note in table.notes)
    untimed = compared(1, replace(evaluated, benchmark="gopro"), replace(timed, benchmark="mini"))
    assert rows(untimed)["banet-gopro version 7"][3] == NO_TIME
    assert "No time was measured here." in untimed.notes[-2]
    two = compared(3, replace(evaluated, benchmark="realblur_j"), replace(timed, benchmark="realblur_r"))
    assert rows(two)["banet-gopro version 7"][4] == "812 [3]"


def test_the_arithmetic_of_the_times(read: Read) -> None:
    note = published_time_note(read().published[1])
    for words in (
        "13.45 TFLOP/s in float32",
        "BANet: 264 GMACs x 14.0625 x 2 = 7.4 TFLOP per 1280x720 frame, at least 552 ms, while 23 ms would take "
        "323 TFLOP/s, 24 times the peak",
        "BANet+: 588 GMACs x 14.0625 x 2 = 16.5 TFLOP per 1280x720 frame, at least 1,230 ms, while 25 ms would take "
        "662 TFLOP/s, 49 times the peak",
        "69 ms and 154 ms",
    ):
        assert words in note
    said = f"{note} No time was measured here."
    assert all(said in table.notes for table in list(paper_tables(read()).values())[:3])


def test_the_form_of_ssim_is_named(compared: Callable[..., Table]) -> None:
    for number in (1, 2):
        assert "SSIM matlab3d" in compared(number).headings
    assert [heading for heading in compared(3).headings if "SSIM" in heading] == ["J SSIM aligned", "R SSIM aligned"]
