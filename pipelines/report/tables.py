"""The tables of the report as data, and as Markdown and plain text: ASCII, for any terminal; the page typesets it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from banet.evaluate import Comparison, Scores
from pipelines.report.inputs import ReportInputs
from pipelines.stages.outputs import EvaluationReport

_NO_VALUE = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A label and its figures, ready to be shown."""

    label: str
    figures: tuple[str, ...]
    strong: bool = False  # the row that the table is about


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A caption, a heading for each column (the first is the labels'), and rows."""

    caption: str
    headings: tuple[str, ...]
    rows: tuple[Row, ...]


def results_table(evaluation: EvaluationReport) -> Table:
    """Blurred, filtered and restored, with noise as a camera gives it and without."""
    return Table(
        caption=f"{evaluation.benchmark} ({evaluation.variant}), {evaluation.images} held-out images",
        headings=("", "PSNR dB", "gain dB", "SSIM matlab3d", "SSIM channel"),
        rows=tuple(_result_rows(evaluation)),
    )


def strata_table(evaluation: EvaluationReport) -> Table | None:
    """Blurred and restored by stratum of blur; None where the benchmark has no strata."""
    if not evaluation.strata:
        return None
    return Table(
        caption=f"{evaluation.benchmark} by length of the blur, blurred -> restored",
        headings=("blur", "images", "PSNR dB", "gain dB", "SSIM matlab3d", "SSIM channel"),
        rows=tuple(Row(label=name, figures=_change(stratum)) for name, stratum in evaluation.strata.items()),
    )


def tables(inputs: ReportInputs) -> Iterator[Table]:
    """Give every table of the report in the order in which it is read."""
    for evaluation in inputs.evaluations:
        yield results_table(evaluation)
        by_stratum = strata_table(evaluation)
        if by_stratum is not None:
            yield by_stratum


def report_markdown(inputs: ReportInputs) -> str:
    """Every table as Markdown, under the model's name: the content of `table.md`."""
    title = f"# {inputs.registered.name} version {inputs.registered.version}\n"
    return "\n".join([title, *(_markdown(table) for table in tables(inputs))])


def report_text(inputs: ReportInputs) -> str:
    """Every table as plain text for a terminal, columns aligned."""
    return "\n\n".join(_text(table) for table in tables(inputs))


def decibels(value: float) -> str:
    """Two decimals; equal images have no finite PSNR."""
    return "inf" if math.isinf(value) else f"{value:.2f}"


def gain(value: float) -> str:
    """Two decimals and always a sign."""
    return f"{value:+.2f}"


def _result_rows(evaluation: EvaluationReport) -> Iterator[Row]:
    noise_free, single = evaluation.noise_free, evaluation.best_filter
    yield _row("blurred input", evaluation.blurred, None)
    if single is not None:
        yield _row(f"best single filter ({single.filter}, chosen on {single.chosen_on})", single.scores, single.gain)
    yield _row("restored", evaluation.restored, evaluation.gain, strong=True)
    if noise_free is not None:
        yield _row("blurred input, noise-free", noise_free.blurred, None)
        yield _row("restored, noise-free", noise_free.restored, noise_free.gain)


def _row(label: str, scores: Scores, gained: float | None, *, strong: bool = False) -> Row:
    figures = (
        decibels(scores.psnr),
        _NO_VALUE if gained is None else gain(gained),
        f"{scores.ssim_matlab3d:.4f}",
        f"{scores.ssim_channel:.4f}",
    )
    return Row(label=label, figures=figures, strong=strong)


def _change(comparison: Comparison) -> tuple[str, ...]:
    before, after = comparison.blurred, comparison.restored
    return (
        str(comparison.images),
        f"{decibels(before.psnr)} -> {decibels(after.psnr)}",
        gain(comparison.gain),
        f"{before.ssim_matlab3d:.4f} -> {after.ssim_matlab3d:.4f}",
        f"{before.ssim_channel:.4f} -> {after.ssim_channel:.4f}",
    )


def _markdown(table: Table) -> str:
    head = [_markdown_line(table.headings), _markdown_line(("---", *("---:" for _ in table.headings[1:])))]
    body = [_markdown_line(tuple(f"**{c}**" if r.strong else c for c in (r.label, *r.figures))) for r in table.rows]
    return "\n".join([table.caption, "", *head, *body, ""])


def _markdown_line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _text(table: Table) -> str:
    lines = [table.headings, *((row.label, *row.figures) for row in table.rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rows = (
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    )
    return "\n".join([table.caption, *(row.rstrip() for row in rows)])
