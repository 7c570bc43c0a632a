"""Tables 1 to 3 of the paper, with rows for the registered model and for other methods' images scored here."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

from banet.analysis.complexity import convolution_macs
from banet.analysis.profile import Latency
from banet.analysis.published import PublishedTable
from banet.scoring.aggregate import AlignedMeans, Means
from pipelines.report.data.inputs import ReportInputs
from pipelines.report.data.other_methods import OtherMethod
from pipelines.report.tables.formats import NO_VALUE, Table, TableRow, milliseconds
from pipelines.report.tables.latency_notes import measured_time_note, published_time_note
from pipelines.stages.evaluation_report import EvaluationReport

PAPER = "Tsai et al. 2022"
PUBLISHED, MEASURED, SCORED = "published", "measured here", "scored here"
_BENCHMARKS = {1: ("gopro",), 2: ("hide",), 3: ("realblur_j", "realblur_r")}  # by the table's number
COMPARISONS = tuple(_BENCHMARKS)
_HEADINGS = {
    "code_released": "code",
    "psnr_db": "PSNR dB",
    "ssim": "SSIM matlab3d",
    "realblur_j_psnr_db": "J PSNR dB",
    "realblur_j_ssim": "J SSIM aligned",
    "realblur_r_psnr_db": "R PSNR dB",
    "realblur_r_ssim": "R SSIM aligned",
    "time_ms": "time ms [1]",
    "params_m": "parameters M",
    "gmacs": "GMACs [2]",
}
_IGNORED_IN_NAMES = re.compile(r"[^\w+]|_")  # "mimo_unet+" is "MIMO-UNet+"


def comparison_table(number: int, inputs: ReportInputs) -> Table:
    """One of Tables 1 to 3; a measured row follows the published row of its network or method, or comes last."""
    published = inputs.published[number]
    benchmarks = [each for each in inputs.benchmarks if each.evaluation.benchmark in _BENCHMARKS[number]]
    here = [each.evaluation for each in benchmarks]
    latency = next((e.latency for e in here if e.latency is not None), None)
    scored = _scored_figures([other for each in benchmarks for other in each.others])
    methods = [_plain(row.method) for row in published.rows]
    models = [row.model for row in published.rows]
    blocks = [
        [_row(row.method, (published_cell(column, value) for column, value in row.figures.items()), PUBLISHED)]
        for row in published.rows
    ]
    last: list[TableRow] = []
    for name, figures in scored.items():
        block = blocks[methods.index(_plain(name))] if _plain(name) in methods else last
        block.append(_row(name, _measured_cells(published, figures), SCORED))
    if here:
        figures = _measured_figures(here, inputs, latency)
        block = blocks[models.index(inputs.network.name)] if inputs.network.name in models else last
        block.append(_row(inputs.label, _measured_cells(published, figures), MEASURED))
    return Table(
        caption=f"Table {number} of {PAPER}: {published.caption}",
        headings=("method", *(_HEADINGS[column] for column in published.columns), "origin"),
        rows=tuple(chain(*blocks, last)),
        notes=(*_notes(published, here, tuple(scored)), *_numbered_notes(published, inputs.published[1], latency)),
    )


def published_cell(column: str, value: float | None) -> str:
    """With as many decimals as the paper prints in this column."""
    if value is None:
        return NO_VALUE
    if column == "code_released":
        return "yes" if value else "no"
    if column.endswith("psnr_db"):
        return f"{value:.2f}"
    return f"{value:.3f}" if column.endswith("ssim") else f"{value:.0f}"


def _row(label: str, cells: Iterable[str], origin: str) -> TableRow:
    return TableRow(label=label, figures=(*cells, origin), strong=origin == MEASURED)


def _measured_cells(published: PublishedTable, figures: Mapping[str, float]) -> Iterator[str]:
    for column in published.columns:
        value = figures.get(column)
        if value is None:
            yield NO_VALUE
        elif column == "time_ms":
            yield f"{milliseconds(value)} [3]"
        elif column in {"params_m", "gmacs"}:
            yield f"{value:.1f}"  # a small network's would round to 1
        else:
            yield published_cell(column, value)


def _measured_figures(
    here: Sequence[EvaluationReport], inputs: ReportInputs, latency: Latency | None
) -> dict[str, float]:
    """The registered model's figures by column."""
    figures = {
        "code_released": 1.0,
        "params_m": inputs.training.parameters / 1e6,
        "gmacs": convolution_macs(inputs.network, 256, 256) / 1e9,
    }
    if latency is not None:
        figures["time_ms"] = latency.median_ms
    for e in here:
        figures |= _score_figures(e.benchmark, e.restored, e.realblur)
    return figures


def _scored_figures(others: Sequence[OtherMethod]) -> dict[str, dict[str, float]]:
    """Figures by method and column; one method may have been scored on both benchmarks of Table 3."""
    found: dict[str, dict[str, float]] = {}
    for other in others:
        figures = _score_figures(other.method.benchmark, other.means, other.aligned)
        if figures:
            found.setdefault(other.name, {}).update(figures)
    return found


def _score_figures(benchmark: str, plain: Means, aligned: AlignedMeans | None) -> dict[str, float]:
    """PSNR and SSIM by column; none if they were not taken by the protocol of the benchmark's table."""
    if not benchmark.startswith("realblur"):
        return {"psnr_db": plain.psnr, "ssim": plain.ssim_matlab3d}
    return {} if aligned is None else {f"{benchmark}_psnr_db": aligned.psnr, f"{benchmark}_ssim": aligned.ssim}


def _notes(published: PublishedTable, here: Sequence[EvaluationReport], scored: Sequence[str]) -> Iterator[str]:
    for e in here:
        trained_on = e.model.removeprefix("banet-")
        yield f"Measured here on {e.benchmark} ({e.variant}), {e.images} images, with weights trained on {trained_on}."
    for e in here:
        if e.realblur is not None:
            yield (
                f"{e.benchmark}: {e.realblur.aligned} of {e.realblur.images} images could be aligned, with OpenCV "
                f"{e.realblur.opencv}; the others are compared unaligned."
            )
        elif published.number == 3:
            yield f"The scores on {e.benchmark} were taken without RealBlur's alignment and are not shown here."
    if scored:
        yield f"Scored here: images that others restored ({', '.join(scored)}), by the protocol of the table."
    missing = [name for name in _BENCHMARKS[published.number] if name not in {e.benchmark for e in here}]
    if missing:
        yield f"Nothing was measured on {' and '.join(missing)} here: the rows are published ones only."
    yield from _published_above_ours(published)
    if published.number == 3:
        yield (
            "SSIM aligned: RealBlur's own form, the mean of the channels over the pixels that remain valid after "
            "intensity matching and alignment. It differs from SSIM matlab3d."
        )
    else:
        yield "SSIM matlab3d: the RGB image as one volume, as MATLAB computes it."


def _published_above_ours(published: PublishedTable) -> Iterator[str]:
    """Where the paper prints a higher score for another method than for a network of its own."""
    for own in (row for row in published.rows if row.model):
        higher = [
            f"{row.method} in {_HEADINGS[column]} ({published_cell(column, theirs)}, {own.method} "
            f"{published_cell(column, ours)})"
            for column, ours in own.figures.items()
            for row in published.rows
            if column.endswith(("psnr_db", "ssim")) and not row.model
            if ours and (theirs := row.figures[column]) and theirs > ours
        ]
        if higher:
            yield f"Published above {own.method}: {', '.join(higher)}."


def _numbered_notes(published: PublishedTable, times: PublishedTable, latency: Latency | None) -> Iterator[str]:
    yield published_time_note(times) + ("" if latency else " No time was measured here.")
    if "gmacs" in published.columns:
        yield "[2] Multiplications with additions on 256x256 pixels; the paper heads the column GFLOPs."
    if latency:
        yield measured_time_note(latency)


def _plain(method: str) -> str:
    return _IGNORED_IN_NAMES.sub("", method).casefold()
