"""One table, four forms: each is read back as its readers read it."""

import csv
import io
from pathlib import Path

import pytest

from pipelines.report.tables.formats import (
    Table,
    TableRow,
    comma_separated,
    latex,
    markdown,
    milliseconds,
    plain,
    write_tables,
)

TABLE = Table(
    caption="A & B: 100 %",
    headings=("net_1", "PSNR dB", "gain dB", "time ms [1]"),
    rows=(
        TableRow(label="a, b|c", figures=("30.40", "-0.25", "-")),
        TableRow(label="[x]", figures=("inf", "+0.93", ""), strong=True),
        TableRow(label="PDC^2_135", figures=("20.00 -> 21.00", "-inf", "1")),
    ),
    notes=("[1] not ~ {synchronised} \\ #1",),
)


def test_markdown() -> None:
    assert markdown(TABLE) == (
        "A & B: 100 %\n\n"
        "| net_1 | PSNR dB | gain dB | time ms [1] |\n"
        "| --- | ---: | ---: | ---: |\n"
        "| a, b\\|c | 30.40 | -0.25 | - |\n"
        "| **[x]** | **inf** | **+0.93** |  |\n"
        "| PDC^2_135 | 20.00 -> 21.00 | -inf | 1 |\n\n"
        "[1] not ~ {synchronised} \\ #1\n"
    )


def test_comma_separated_values_hold_figures_or_nothing() -> None:
    heading, *rows = csv.reader(io.StringIO(comma_separated(TABLE)))
    assert heading == list(TABLE.headings)
    assert rows == [
        ["a, b|c", "30.40", "-0.25", ""],
        ["[x]", "inf", "+0.93", ""],
        ["PDC^2_135", "20.00 -> 21.00", "-inf", "1"],
    ]


def test_latex() -> None:
    assert latex(TABLE).splitlines() == [
        r"\begin{table}",
        r"\centering",
        r"\caption{A \& B: 100 \%}",
        r"\begin{tabular}{lrrr}",
        r"\toprule",
        r"net\_1 & PSNR dB & gain dB & time ms [1] \\",
        r"\midrule",
        r"a, b\textbar{}c & 30.40 & $-0.25$ & - \\",
        r"\textbf{{}[x]} & \textbf{inf} & \textbf{+0.93} &  \\",
        r"PDC\textasciicircum{}2\_135 & 20.00 $\rightarrow$ 21.00 & $-\infty$ & 1 \\",
        r"\bottomrule",
        r"\end{tabular}",
        r"\par\smallskip",
        r"\begin{minipage}{\linewidth}\footnotesize",
        r"\par {}[1] not \textasciitilde{} \{synchronised\} \textbackslash{} \#1",
        r"\end{minipage}",
        r"\end{table}",
    ]


@pytest.mark.parametrize("first", ["[", "*"])
def test_a_row_that_begins_like_an_option_of_the_line_break_before(first: str) -> None:
    table = Table(caption="", headings=("a", "b"), rows=(TableRow(label=f"{first}1cm]", figures=("1",)),))
    assert f"\n{{}}{first}1cm]" in latex(table)


def test_an_option_keeps_its_two_hyphens() -> None:
    table = Table(caption="", headings=("a",), rows=(), notes=("score --restored DIR: -0.5",))
    assert r"\par score -{}-restored DIR: -0.5" in latex(table)


def test_plain_columns_end_together() -> None:
    caption, *lines, note = plain(TABLE).split("\n")
    assert (caption, note) == (TABLE.caption, TABLE.notes[0])
    assert [line.index("PSNR dB") + len("PSNR dB") for line in lines[:1]] == [
        line.index("30.40") + len("30.40") for line in lines[1:2]
    ]


def test_a_folder_of_tables_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "tables"
    write_tables({"old": TABLE}, folder)
    write_tables({"new": TABLE}, folder)
    assert sorted(path.name for path in folder.iterdir()) == ["new.csv", "new.md", "new.tex"]
    assert (folder / "new.tex").read_text(encoding="utf-8") == latex(TABLE)
    assert [path.name for path in tmp_path.iterdir()] == ["tables"]


def test_a_figures_mark_is_for_people_alone() -> None:
    table = Table(caption="x", headings=("a", "time ms [1]"), rows=(TableRow(label="ours [3]", figures=("812 [3]",)),))
    assert comma_separated(table) == "a,time ms [1]\nours [3],812\n"
    assert "| ours [3] | 812 [3] |" in markdown(table)


@pytest.mark.parametrize(("value", "shown"), [(812.4, "812"), (99.94, "99.9"), (7.25, "7.2"), (12345.6, "12346")])
def test_milliseconds(value: float, shown: str) -> None:
    assert milliseconds(value) == shown
