"""Tables 5 to 9 of the paper, with the scores of all runs in MLflow beside its figures."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from banet.analysis.published import PublishedRow, PublishedTable
from banet.scoring.aggregate import score_name, score_place
from banet.tracking.runs import RunScores
from pipelines.report.tables.comparison import PAPER, published_cell
from pipelines.report.tables.formats import NO_VALUE, Table, TableRow

ABLATIONS = (5, 6, 7, 8, 9)
_YES_OR_NO = {"pdc", "ar", "sp", "mksp", "cpdc"}
_HEADINGS = {"psnr_db": "paper: PSNR dB", "time_ms": "paper: time ms", "params_m": "paper: parameters M"}
PAPER_CHANNELS = 128


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class _Group:
    """What runs must share to be repetitions of each other."""

    benchmark: str
    variant: str
    recipe: str
    channels: int

    def __str__(self) -> str:
        width = "" if self.channels == PAPER_CHANNELS else f", {self.channels} channels"
        return f"{self.benchmark} ({self.variant}), {self.recipe}{width}"


def ablation_table(published: PublishedTable, runs: Sequence[RunScores]) -> Table:
    """One of Tables 5 to 9: the paper's columns, then mean, spread and number of the runs of each network.

    A run belongs to the row of its network, `model.name`; it is scored on the test images of the benchmark that it was
    trained on. Cells without a run are empty.
    """
    models = {row.model for row in published.rows}
    groups = sorted({_group(run) for run in runs if run.model in models})
    headings = [_HEADINGS.get(column, column) for column in published.columns]
    for group in groups or (None,):
        where = "here" if group is None else f"here, {group}"
        headings += [f"{where}: PSNR dB", "spread dB", "runs"]
    rows = []
    for row in published.rows:
        measured = [cell for group in groups for cell in _summary(list(_scores(runs, group, row)))] or [""] * 3
        cells = (_published_cell(column, value) for column, value in row.figures.items())
        rows.append(TableRow(label=row.method, figures=(*cells, *measured), strong=any(measured)))
    return Table(
        caption=f"Table {published.number} of {PAPER}: {published.caption}",
        headings=("network", *headings),
        rows=tuple(rows),
        notes=tuple(_notes(published, groups)),
    )


def _group(run: RunScores) -> _Group:
    return _Group(
        benchmark=run.benchmark, variant=run.variant, recipe=run.recipe, channels=run.channels or PAPER_CHANNELS
    )


def _scores(runs: Sequence[RunScores], group: _Group, row: PublishedRow) -> Iterator[float]:
    sub_images = int(row.figures.get("sub_images") or 1)
    name = score_name(score_place(group.benchmark, group.variant, sub_images=sub_images))
    for run in runs:
        if _group(run) == group and run.model == row.model and name in run.metrics:
            yield run.metrics[name]


def _summary(scores: Sequence[float]) -> list[str]:
    if not scores:
        return [""] * 3
    spread = f"{statistics.stdev(scores):.2f}" if len(scores) > 1 else ""
    return [f"{statistics.fmean(scores):.2f}", spread, str(len(scores))]


def _published_cell(column: str, value: float | None) -> str:
    if column in _YES_OR_NO:
        return "yes" if value else NO_VALUE
    return published_cell(column, value)


def _notes(published: PublishedTable, groups: Sequence[_Group]) -> Iterator[str]:
    if groups:
        recipes = "; ".join(f"{group.benchmark} ({group.variant}) with the recipe {group.recipe}" for group in groups)
        yield (
            f"Here: trained and tested on {recipes}; the mean over the runs in MLflow, their standard deviation "
            "(empty for one run), and their number."
        )
    else:
        yield "No run in MLflow trained one of these networks and was evaluated."
    if any(group.channels != PAPER_CHANNELS for group in groups):
        yield f"The paper's networks have {PAPER_CHANNELS} channels: figures of others compare only with each other."
    if any(group.benchmark != "gopro" for group in groups):
        yield "The paper's figures are for GoPro: figures for another benchmark compare only with each other."
    if "time_ms" in published.columns:
        yield "The paper's times of fast networks were taken without waiting for the GPU: see Table 1."
