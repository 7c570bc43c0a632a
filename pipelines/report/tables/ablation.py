"""Tables 5 to 9 of the paper with what the runs in MLflow reached beside its figures, however many there are."""

import statistics
from collections.abc import Iterator, Sequence

from banet.scoring.aggregate import score_name, score_place
from banet.tracking.runs import RunScores
from pipelines.report.data.published import Column, PublishedRow, PublishedTable
from pipelines.report.tables.comparison import PAPER, published_cell
from pipelines.report.tables.formats import NO_VALUE, Table, TableRow

ABLATIONS = (5, 6, 7, 8, 9)
_YES_OR_NO = {"pdc", "ar", "sp", "mksp", "cpdc"}
_HEADINGS = {"psnr_db": "paper: PSNR dB", "time_ms": "paper: time ms", "params_m": "paper: parameters M"}
_WHOLE = 1  # sub-images that an image is restored in: all at once
_Group = tuple[str, str, str]  # benchmark, variant and recipe: runs of other ones are no repetitions


def ablation_table(published: PublishedTable, runs: Sequence[RunScores]) -> Table:
    """One of Tables 5 to 9: the paper's columns, then mean, spread and number of the runs of each network.

    A run belongs to the row of its network, `model.name`; it is scored on the test images of the benchmark that it was
    trained on. Cells without a run are empty.
    """
    models = {row.model for row in published.rows}
    groups = tuple(sorted({(run.benchmark, run.variant, run.recipe) for run in runs if run.model in models}))
    rows = []
    for row in published.rows:
        cells = [_cell(column, value) for column, value in zip(published.columns, row.figures, strict=True)]
        for group in groups or (None,):
            cells += _summary([] if group is None else list(_scores(runs, group, row, _sub_images(published, row))))
        measured = any(cells[len(published.columns) :])
        rows.append(TableRow(label=row.method, figures=tuple(cells), strong=measured))
    headings = [_HEADINGS.get(column.name, column.name) for column in published.columns]
    for group in groups or (None,):
        where = "here" if group is None else f"here, {group[0]} ({group[1]}), {group[2]}"
        headings += [f"{where}: PSNR dB", "spread dB", "runs"]
    return Table(
        caption=f"Table {published.number} of {PAPER}: {published.caption}",
        headings=("network", *headings),
        rows=tuple(rows),
        notes=tuple(_notes(published, groups)),
    )


def _scores(runs: Sequence[RunScores], group: _Group, row: PublishedRow, sub_images: int) -> Iterator[float]:
    name = score_name(score_place(*group[:2], sub_images=sub_images))
    for run in runs:
        if (run.benchmark, run.variant, run.recipe) == group and run.model == row.model and name in run.metrics:
            yield run.metrics[name]


def _summary(scores: Sequence[float]) -> list[str]:
    if not scores:
        return [""] * 3
    spread = f"{statistics.stdev(scores):.2f}" if len(scores) > 1 else ""
    return [f"{statistics.fmean(scores):.2f}", spread, str(len(scores))]


def _sub_images(published: PublishedTable, row: PublishedRow) -> int:
    names = [column.name for column in published.columns]
    return int(row.figures[names.index("sub_images")] or _WHOLE) if "sub_images" in names else _WHOLE


def _cell(column: Column, value: float | None) -> str:
    if column.name in _YES_OR_NO and value is not None:
        return "yes" if value else NO_VALUE
    return published_cell(column, value)


def _notes(published: PublishedTable, groups: Sequence[_Group]) -> Iterator[str]:
    if groups:
        recipes = "; ".join(
            f"{benchmark} ({variant}) with the recipe {recipe}" for benchmark, variant, recipe in groups
        )
        yield (
            f"Here: trained and tested on {recipes}; the mean over the runs in MLflow, their standard deviation "
            "(empty for one run), and their number."
        )
    if any(benchmark != "gopro" for benchmark, _, _ in groups):
        yield "The paper's figures are GoPro's: those of another benchmark compare among themselves only."
    if not groups:
        yield "No run in MLflow trained one of these networks and was evaluated."
    if any(column.name == "time_ms" for column in published.columns):
        yield "The paper's times of fast networks were taken without waiting for the GPU: see Table 1."
