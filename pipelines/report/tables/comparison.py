"""Tables 1 to 3 of the paper with what was measured here among them, ours and other methods' images."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from banet.analysis.complexity import convolution_macs
from banet.analysis.profile import Latency
from banet.model.network_config import BANetConfig
from banet.scoring.aggregate import AlignedMeans, Means
from pipelines.report.data.other_methods import Other
from pipelines.report.data.published import Column, PublishedRow, PublishedTable
from pipelines.report.tables.formats import NO_VALUE, Table, TableRow, milliseconds
from pipelines.report.tables.latency_notes import measured_time_note, published_time_note
from pipelines.stages.evaluation_report import EvaluationReport

PAPER = "Tsai et al. 2022"
PUBLISHED, MEASURED, SCORED = "published", "measured here", "scored here"
_PREFIXES = {  # by the table's number: what stands before the columns of each of its benchmarks
    1: {"gopro": ""},
    2: {"hide": ""},
    3: {"realblur_j": "realblur_j_", "realblur_r": "realblur_r_"},
}
COMPARISONS = tuple(_PREFIXES)
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
_NOT_OF_A_NAME = re.compile(r"[^\w+]|_")  # what "MIMO-UNet+" and "mimo_unet+" differ in


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One registered version, and its scores on the benchmarks of the paper's tables."""

    name: str
    version: int
    network: BANetConfig  # its name is the key of the published row that the measured one stands below
    parameters: int
    evaluations: Sequence[EvaluationReport]

    @property
    def label(self) -> str:
        """What names its rows."""
        return f"{self.name} version {self.version}"


def comparison_table(
    published: PublishedTable, times: PublishedTable, measured: Measured, others: Sequence[Other] = ()
) -> Table:
    """One of Tables 1 to 3, what was measured below the published row of the same network or method, or at the end.

    Args:
        published: the table.
        times: Table 1, whose GMACs and times the note reckons with.
        measured: benchmarks of other tables among its evaluations are passed over.
        others: methods whose images were scored here; other tables' benchmarks are passed over.
    """
    prefixes = _PREFIXES[published.number]
    here = {e.benchmark: e for e in measured.evaluations if e.benchmark in prefixes}
    blocks = [[_published_row(row, published.columns)] for row in published.rows]
    at_end: list[TableRow] = []
    methods, networks = [_plain(row.method) for row in published.rows], [row.model for row in published.rows]
    scored = _scored_figures(others, prefixes)
    for name, figures in scored.items():
        place = blocks[methods.index(_plain(name))] if _plain(name) in methods else at_end
        place.append(TableRow(label=name, figures=(*_cells(published.columns, figures), SCORED)))
    if here:
        figures = _measured_figures(here, prefixes, measured)
        place = blocks[networks.index(measured.network.name)] if measured.network.name in networks else at_end
        place.append(
            TableRow(label=measured.label, figures=(*_cells(published.columns, figures), MEASURED), strong=True)
        )
    return Table(
        caption=f"Table {published.number} of {PAPER}: {published.caption}",
        headings=("method", *(_HEADINGS[column.name] for column in published.columns), "origin"),
        rows=tuple(chain(*blocks, at_end)),
        notes=(*_notes(published, here, tuple(scored)), *_numbered_notes(published, times, here)),
    )


def _numbered_notes(
    published: PublishedTable, times: PublishedTable, here: Mapping[str, EvaluationReport]
) -> Iterator[str]:
    latency = _latency(here)
    yield published_time_note(times) + ("" if latency else " No time was measured here.")
    if any(column.name == "gmacs" for column in published.columns):
        yield "[2] Multiplications with additions on 256x256 pixels; the paper heads the column GFLOPs."
    if latency:
        yield measured_time_note(latency)


def _latency(here: Mapping[str, EvaluationReport]) -> Latency | None:
    """The time of the table's benchmark, or of the first of its two that has one."""
    return next((e.latency for e in here.values() if e.latency is not None), None)


def _notes(published: PublishedTable, here: Mapping[str, EvaluationReport], scored: Sequence[str]) -> list[str]:
    names = _PREFIXES[published.number]
    notes = [
        f"Measured here on {e.benchmark} ({e.variant}), {e.images} images, with weights trained on "
        f"{e.model.removeprefix('banet-')}."
        for e in here.values()
    ]
    notes += [
        f"{e.benchmark}: {e.realblur.aligned} of {e.realblur.images} images could be aligned, with OpenCV "
        f"{e.realblur.opencv}; the others are compared as they lie."
        for e in here.values()
        if e.realblur is not None
    ]
    notes += [
        f"The scores on {e.benchmark} were taken without RealBlur's alignment, so they do not stand here."
        for e in here.values()
        if protocol_scores(e.benchmark, e.restored, e.realblur) is None
    ]
    if scored:
        notes.append(f"Scored here: images that others restored ({', '.join(scored)}), by the protocol of the table.")
    missing = [name for name in names if name not in here]
    if missing:
        notes.append(f"Nothing was measured on {' and '.join(missing)} here: the rows are published ones only.")
    notes += _higher(published)
    if published.number == 3:
        notes.append(
            "SSIM aligned: RealBlur's own form, the mean of the channels over the pixels that stay valid after "
            "intensity match and alignment. It is no SSIM matlab3d."
        )
    else:
        notes.append("SSIM matlab3d: the RGB image as one volume, as MATLAB computes it.")
    return notes


def _higher(published: PublishedTable) -> Iterator[str]:
    """Where the paper prints a higher score for another method than for a network of its own."""
    columns = [(i, c) for i, c in enumerate(published.columns) if c.name.endswith(("psnr_db", "ssim"))]
    for own in (row for row in published.rows if row.model):
        found = [
            f"{row.method} in {_HEADINGS[c.name]} ({published_cell(c, theirs)}, {own.method} {published_cell(c, ours)})"
            for i, c in columns
            for row in published.rows
            if (theirs := row.figures[i]) and (ours := own.figures[i]) and theirs > ours and not row.model
        ]
        if found:
            yield f"Published above {own.method}: {', '.join(found)}."


def _published_row(row: PublishedRow, columns: tuple[Column, ...]) -> TableRow:
    cells = (published_cell(column, value) for column, value in zip(columns, row.figures, strict=True))
    return TableRow(label=row.method, figures=(*cells, PUBLISHED))


def published_cell(column: Column, value: float | None) -> str:
    """As the paper prints it."""
    if value is None:
        return NO_VALUE
    if column.name == "code_released":
        return "yes" if value else "no"
    return f"{value:.{column.decimals}f}"


def _measured_figures(
    here: Mapping[str, EvaluationReport], prefixes: Mapping[str, str], measured: Measured
) -> dict[str, float]:
    """By the column's name; what was not measured is left out."""
    figures = {
        "code_released": 1.0,
        "params_m": measured.parameters / 1e6,
        "gmacs": convolution_macs(measured.network, 256, 256) / 1e9,
    }
    latency = _latency(here)
    if latency is not None:
        figures["time_ms"] = latency.median_ms
    for benchmark, e in here.items():
        figures |= _score_figures(prefixes[benchmark], protocol_scores(benchmark, e.restored, e.realblur))
    return figures


def _scored_figures(others: Sequence[Other], prefixes: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """By the method's name, then as those of ours; one method may have been scored on both benchmarks of Table 3."""
    found: dict[str, dict[str, float]] = {}
    for other in others:
        benchmark = other.method.benchmark
        scores = protocol_scores(benchmark, other.means, other.aligned) if benchmark in prefixes else None
        if scores is not None:
            found.setdefault(other.name, {}).update(_score_figures(prefixes[benchmark], scores))
    return found


def _score_figures(prefix: str, scores: tuple[float, float] | None) -> dict[str, float]:
    return {} if scores is None else {f"{prefix}psnr_db": scores[0], f"{prefix}ssim": scores[1]}


def protocol_scores(benchmark: str, plain: Means, aligned: AlignedMeans | None) -> tuple[float, float] | None:
    """PSNR and SSIM by the protocol of the benchmark's table; None where it was scored by another one."""
    if not benchmark.startswith("realblur"):
        return plain.psnr, plain.ssim_matlab3d
    return None if aligned is None else (aligned.psnr, aligned.ssim)


def _cells(columns: Sequence[Column], figures: Mapping[str, float]) -> Iterator[str]:
    return (_measured_cell(column, figures.get(column.name)) for column in columns)


def _measured_cell(column: Column, value: float | None) -> str:
    if value is None:
        return NO_VALUE
    if column.name == "time_ms":
        return f"{milliseconds(value)} [3]"
    if column.name in {"params_m", "gmacs"}:
        return f"{value:.1f}"  # a small network's would round to 1
    return published_cell(column, value)


def _plain(method: str) -> str:
    return _NOT_OF_A_NAME.sub("", method).casefold()
