"""A table of the report as data, and as Markdown, CSV, LaTeX and plain text, all in ASCII."""

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from banet.files import whole_folder, write_atomically

NO_VALUE = "-"
_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        **{c: rf"\{c}" for c in "&%$#_{}"},
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        '"': r"\textquotedbl{}",  # in OT1, a straight quote prints as a closing one
    }
)
_NEGATIVE = re.compile(r"-(\d+(\.\d+)?|inf)")
_MARK = re.compile(r" \[\d\]$")  # of a note, after a figure


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """A label and its figures, ready to be shown."""

    label: str
    figures: tuple[str, ...]
    strong: bool = False  # the row that the table is about


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A caption, a heading per column (the labels' first), rows, and notes below them."""

    caption: str
    headings: tuple[str, ...]
    rows: tuple[TableRow, ...]
    notes: tuple[str, ...] = ()


def decibels(value: float) -> str:
    """Two decimals, or "inf": equal images have no finite PSNR."""
    return f"{value:.2f}"


def gain(value: float) -> str:
    """Two decimals and always a sign."""
    return f"{value:+.2f}"


def milliseconds(value: float) -> str:
    """Whole numbers from 100 on, tenths below."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def markdown(table: Table) -> str:
    """GitHub's Markdown; strong rows are bold."""
    head = [_markdown_line(table.headings), _markdown_line(("---", *("---:" for _ in table.headings[1:])))]
    body = [
        _markdown_line(tuple(f"**{c}**" if r.strong and c else c for c in (r.label, *r.figures))) for r in table.rows
    ]
    notes = [line for note in table.notes for line in ("", note)]
    return "\n".join([table.caption, "", *head, *body, *notes, ""])


def comma_separated(table: Table) -> str:
    """Headings and rows only, for programs: cells without a value are empty, figures lose the marks of notes."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(table.headings)
    lines.writerows(
        [row.label, *("" if cell == NO_VALUE else _MARK.sub("", cell) for cell in row.figures)] for row in table.rows
    )
    return text.getvalue()


def latex(table: Table) -> str:
    """A `table` environment, which needs the package booktabs; notes follow the last rule."""
    columns = "l" + "r" * (len(table.headings) - 1)
    notes = [rf"\par {_latex(note)}" for note in table.notes]
    if notes:
        notes = [r"\par\smallskip", r"\begin{minipage}{\linewidth}\footnotesize", *notes, r"\end{minipage}"]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_latex(table.caption)}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            _latex_line(table.headings),
            r"\midrule",
            *(_latex_line((row.label, *row.figures), strong=row.strong) for row in table.rows),
            r"\bottomrule",
            r"\end{tabular}",
            *notes,
            r"\end{table}",
            "",
        ]
    )


def plain(table: Table) -> str:
    """For a terminal, with aligned columns."""
    lines = [table.headings, *((row.label, *row.figures) for row in table.rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rows = (
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    )
    return "\n".join([table.caption, *(row.rstrip() for row in rows), *table.notes])


def write_tables(tables: Mapping[str, Table], folder: Path) -> None:
    """Write each table as `<name>.md`, `<name>.csv` and `<name>.tex`; the folder is replaced as a whole."""
    with whole_folder(folder) as partial:
        for name, table in tables.items():
            for suffix, content in (("md", markdown(table)), ("csv", comma_separated(table)), ("tex", latex(table))):
                write_atomically(partial / f"{name}.{suffix}", content)


def _markdown_line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _latex_line(cells: tuple[str, ...], *, strong: bool = False) -> str:
    return " & ".join(rf"\textbf{{{_latex(c)}}}" if strong and c else _latex(c) for c in cells) + r" \\"


def _latex(text: str) -> str:
    """Escape, and typeset a figure's minus as a minus sign and `->` as an arrow."""
    if _NEGATIVE.fullmatch(text):
        return f"${text}$" if text != "-inf" else r"$-\infty$"
    escaped = text.translate(_LATEX).replace(r" -\textgreater{} ", r" $\rightarrow$ ")
    escaped = escaped.replace("--", "-{}-")  # LaTeX would turn the hyphens of an option into a dash
    # Guard a leading `[` or `*`: LaTeX would read it as an option of the `\\` before it.
    return f"{{}}{escaped}" if escaped.startswith(("[", "*")) else escaped
