"""Tables 5 to 9 hold the paper's columns, and beside them the runs of the same network, benchmark and recipe."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from banet.analysis.published import PublishedTable
from banet.scoring.aggregate import score_name, score_place
from banet.tracking.runs import RunScores
from pipelines.report.data.inputs import ReportInputs
from pipelines.report.tables.ablation import ABLATIONS, ablation_table
from pipelines.report.tables.all_tables import paper_tables
from pipelines.report.tables.formats import Table

Read = Callable[..., ReportInputs]


def run(model: str, psnr: float | None, *, benchmark: str = "mini", recipe: str = "short", parts: int = 1) -> RunScores:
    metrics = {"loss": 0.1} | (
        {score_name(score_place(benchmark, "blur", sub_images=parts)): psnr} if psnr is not None else {}
    )
    return RunScores(run_id="r", model=model, benchmark=benchmark, variant="blur", recipe=recipe, metrics=metrics)


def rows(table: Table) -> dict[str, tuple[str, ...]]:
    return {row.label: row.figures for row in table.rows}


@pytest.fixture
def published(read: Read) -> dict[int, PublishedTable]:
    return dict(read().published)


def test_without_runs_the_cells_are_empty(read: Read) -> None:
    tables = paper_tables(read())
    for number in ABLATIONS:
        table = tables[f"table{number}"]
        assert table.headings[-3:] == ("here: PSNR dB", "spread dB", "runs")
        assert {row.figures[-3:] for row in table.rows} == {("", "", "")}
        assert table.notes[0] == "No run in MLflow trained one of these networks and was evaluated."
    assert rows(tables["table5"])["Net6"][:6] == ("-", "yes", "-", "yes", "yes", "32.54")


def test_runs_find_their_row_by_the_network(published: dict[int, PublishedTable]) -> None:
    runs = [run("net2", 26.0), run("net2", 26.5), run("net2", 27.0), run("banet", 28.125), run("net5", None)]
    table = ablation_table(published[5], [*runs, run("cpdc", 20.0)])
    assert table.headings[-3:] == ("here, mini (blur), short: PSNR dB", "spread dB", "runs")
    found = {label: figures[-3:] for label, figures in rows(table).items()}
    assert found == {
        "Net1": ("", "", ""),
        "Net2": ("26.50", "0.50", "3"),
        "Net3": ("", "", ""),
        "Net4": ("", "", ""),
        "Net5": ("", "", ""),
        "Net6": ("28.12", "", "1"),
    }
    assert [row.label for row in table.rows if row.strong] == ["Net2", "Net6"]
    assert "mini (blur) with the recipe short" in table.notes[0]
    assert "another benchmark compare only with each other" in table.notes[1]


def test_benchmarks_and_recipes_are_not_mixed(published: dict[int, PublishedTable]) -> None:
    runs = [run("sp", 26.0), run("sp", 31.8, benchmark="gopro", recipe="paper"), run("sp", 27.0, recipe="long")]
    table = ablation_table(published[7], runs)
    assert rows(table)["SP"] == ("31.81", "31.80", "", "1", "27.00", "", "1", "26.00", "", "1")
    assert [heading for heading in table.headings if heading.startswith("here")] == [
        "here, gopro (blur), paper: PSNR dB",
        "here, mini (blur), long: PSNR dB",
        "here, mini (blur), short: PSNR dB",
    ]
    assert (
        "gopro (blur) with the recipe paper; mini (blur) with the recipe long; mini (blur) with the recipe short"
        in table.notes[0]
    )


def test_widths_are_not_mixed(published: dict[int, PublishedTable]) -> None:
    runs = [replace(run("sp", psnr), channels=channels) for psnr, channels in ((26.0, 16), (27.0, 128), (28.0, None))]
    table = ablation_table(published[7], runs)
    assert rows(table)["SP"] == ("31.81", "26.00", "", "1", "27.50", "0.71", "2")
    assert [heading for heading in table.headings if heading.startswith("here")] == [
        "here, mini (blur), short, 16 channels: PSNR dB",
        "here, mini (blur), short: PSNR dB",
    ]
    assert "128 channels" in table.notes[1]


def test_parts_restored_apart_are_another_score(published: dict[int, PublishedTable]) -> None:
    table = ablation_table(published[9], [run("stack4", 26.0), run("stack4", 25.5, parts=8), run("sa", 25.0, parts=8)])
    found = {label: figures[-3:] for label, figures in rows(table).items()}
    assert found == {"SA*": ("25.00", "", "1"), "BA*": ("25.50", "", "1"), "BA": ("26.00", "", "1")}


def test_the_report_is_given_the_runs(read: Read) -> None:
    tables = paper_tables(read(runs=(run("cpdc", 27.25),)))
    assert rows(tables["table8"])["CPDC"][-3:] == ("27.25", "", "1")
