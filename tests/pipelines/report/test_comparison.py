"""Tables 1 to 3: the paper's figures as printed, ours among them where they were measured, by the same protocol."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from banet.model import BANetConfig
from banet.scoring.means import AlignedMeans
from pipelines.report import ReportInputs
from pipelines.report.comparison import Measured, comparison_table, time_note
from pipelines.report.every_table import measured, paper_tables
from pipelines.report.formats import Table
from pipelines.stages.outputs import EvaluationReport

Read = Callable[..., ReportInputs]
NO_TIME = "-"


def rows(table: Table) -> dict[str, tuple[str, ...]]:
    return {row.label: row.figures for row in table.rows}


@pytest.fixture
def evaluated(read: Read) -> EvaluationReport:
    return read().evaluations[0]


@pytest.fixture
def compared(read: Read) -> Callable[..., Table]:
    published = read().published

    def table(number: int, *evaluations: EvaluationReport, network: str = "banet") -> Table:
        ours = Measured(
            name="banet-gopro",
            version=7,
            network=BANetConfig(name=network),
            parameters=17_988_547,
            evaluations=evaluations,
        )
        return comparison_table(published[number], published[1], ours)

    return table


def test_without_a_measurement_only_what_was_published(read: Read) -> None:
    tables = paper_tables(read())
    for number, count, missing in ((1, 13, "gopro"), (2, 11, "hide"), (3, 6, "realblur_j and realblur_r")):
        table = tables[f"table{number}"]
        assert len(table.rows) == count
        assert {row.figures[-1] for row in table.rows} == {"published"}
        assert f"Nothing was measured on {missing} here: the rows are published ones only." in table.notes


def test_published_figures_stand_as_printed(compared: Callable[..., Table]) -> None:
    assert rows(compared(2))["MIMO-UNet+"] == ("yes", "30.00", "0.930", "28", "published")
    assert rows(compared(1))["EDSD"] == ("no", "29.81", "0.934", "10", "1", "-", "published")


def test_ours_stands_below_the_same_network(compared: Callable[..., Table], evaluated: EvaluationReport) -> None:
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


def test_a_network_that_the_paper_has_not_stands_last(
    compared: Callable[..., Table], evaluated: EvaluationReport
) -> None:
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
    assert "The scores on realblur_r were taken without RealBlur's alignment, so they do not stand here." in notes


def test_the_arithmetic_of_the_times(read: Read) -> None:
    note = time_note(read().published[1])
    for words in (
        "13.45 TFLOP/s in float32",
        "BANet: 264 GMACs x 14.0625 x 2 = 7.4 TFLOP a 1280x720 frame, at least 552 ms, while 23 ms would take "
        "323 TFLOP/s, 24 times the peak",
        "BANet+: 588 GMACs x 14.0625 x 2 = 16.5 TFLOP a 1280x720 frame, at least 1,230 ms, while 25 ms would take "
        "662 TFLOP/s, 49 times the peak",
        "69 ms and 154 ms",
    ):
        assert words in note
    assert all(time_note(read().published[1]) in table.notes for table in list(paper_tables(read()).values())[:3])


def test_the_form_of_ssim_is_named(compared: Callable[..., Table]) -> None:
    for number in (1, 2):
        assert "SSIM matlab3d" in compared(number).headings
    assert [heading for heading in compared(3).headings if "SSIM" in heading] == ["J SSIM aligned", "R SSIM aligned"]


def test_measured_is_the_registered_version(read: Read) -> None:
    ours = measured(read())
    assert (ours.label, ours.network.name, ours.parameters) == ("banet-mini version 3", "banet_mini", 1184323)
