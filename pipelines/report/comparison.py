"""Tables 1 to 3 of the paper with what was measured here among them, and why the published times cannot hold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from banet.model.complexity import convolution_macs
from banet.model.config import BANetConfig
from pipelines.report.formats import NO_VALUE, Row, Table
from pipelines.report.published import Column, PublishedRow, PublishedTable
from pipelines.stages.outputs import EvaluationReport

PAPER = "Tsai et al. 2022"
PUBLISHED, MEASURED = "published", "measured here"
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
_FRAME, _CROP = 1280 * 720, 256 * 256  # pixels of GoPro's frames, and of what the published GMACs are counted on
_PEAK = 4352 * 2 * 1.545e9 / 1e12  # TFLOP/s of an RTX 2080 Ti: cores, a multiply-accumulate a cycle, boost clock
_PEAK_HALF = 107.6  # TFLOP/s, its tensor cores in float16


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


def comparison_table(published: PublishedTable, times: PublishedTable, measured: Measured) -> Table:
    """One of Tables 1 to 3, the measured row below the published one of the same network, or at the end.

    Args:
        published: the table.
        times: Table 1, whose GMACs and times the note reckons with.
        measured: benchmarks of other tables among its evaluations are passed over.
    """
    prefixes = _PREFIXES[published.number]
    here = {e.benchmark: e for e in measured.evaluations if e.benchmark in prefixes}
    rows = [_published_row(row, published.columns) for row in published.rows]
    if here:
        networks = [row.model for row in published.rows]
        name = measured.network.name
        place = networks.index(name) + 1 if name in networks else len(rows)
        figures = _measured_figures(here, prefixes, measured)
        cells = (_measured_cell(column, figures.get(column.name)) for column in published.columns)
        rows.insert(place, Row(label=measured.label, figures=(*cells, MEASURED), strong=True))
    return Table(
        caption=f"Table {published.number} of {PAPER}: {published.caption}",
        headings=("method", *(_HEADINGS[column.name] for column in published.columns), "origin"),
        rows=tuple(rows),
        notes=(*_notes(published, here), time_note(times), *_count_note(published)),
    )


def time_note(times: PublishedTable) -> str:
    """Why the published times are no times of restoring: the arithmetic, from the table's own GMACs and times.

    Args:
        times: Table 1.
    """
    parts = [_reckoned(times, method) for method in ("BANet", "BANet+")]
    return (
        "[1] The fast networks' published times were taken without waiting for the GPU (the released scripts read the "
        "clock while the work is still queued): they say how long it takes to start the work, and cannot hold as times "
        f"of restoring. The RTX 2080 Ti, on which the paper timed, does {_PEAK:.2f} TFLOP/s in float32 at its peak "
        f"(4352 cores x 1.545 GHz x 2). {parts[0]}; {parts[1]}. Half precision on its tensor cores, {_PEAK_HALF} "
        f"TFLOP/s at the peak, would not do either: {_least_ms(times, 'BANet', _PEAK_HALF):,.0f} ms and "
        f"{_least_ms(times, 'BANet+', _PEAK_HALF):,.0f} ms. No time was measured here."
    )


def _reckoned(times: PublishedTable, method: str) -> str:
    gmacs, ms = times.figure(method, "gmacs") or 0.0, times.figure(method, "time_ms") or 0.0
    rate = 1e3 * _tflop(gmacs) / ms
    return (
        f"{method}: {gmacs:.0f} GMACs x {_FRAME / _CROP} x 2 = {_tflop(gmacs):.1f} TFLOP a 1280x720 frame, at least "
        f"{_least_ms(times, method, _PEAK):,.0f} ms, while {ms:.0f} ms would take {rate:.0f} TFLOP/s, "
        f"{rate / _PEAK:.0f} times the peak"
    )


def _tflop(gmacs: float) -> float:
    """Of a 1280x720 frame, two operations a multiply-accumulate, by what 256x256 pixels take."""
    return 2 * gmacs * _FRAME / _CROP / 1e3


def _least_ms(times: PublishedTable, method: str, peak: float) -> float:
    return 1e3 * _tflop(times.figure(method, "gmacs") or 0.0) / peak


def _notes(published: PublishedTable, here: Mapping[str, EvaluationReport]) -> list[str]:
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
        if _protocol_scores(e) is None
    ]
    missing = [name for name in names if name not in here]
    if missing:
        notes.append(f"Nothing was measured on {' and '.join(missing)} here: the rows are published ones only.")
    if published.number == 3:
        notes.append(
            "SSIM aligned: RealBlur's own form, the mean of the channels over the pixels that stay valid after "
            "intensity match and alignment. It is no SSIM matlab3d."
        )
    else:
        notes.append("SSIM matlab3d: the RGB image as one volume, as MATLAB computes it.")
    return notes


def _count_note(published: PublishedTable) -> tuple[str, ...]:
    if all(column.name != "gmacs" for column in published.columns):
        return ()
    return ("[2] Multiplications with additions on 256x256 pixels; the paper heads the column GFLOPs.",)


def _published_row(row: PublishedRow, columns: tuple[Column, ...]) -> Row:
    cells = (published_cell(column, value) for column, value in zip(columns, row.figures, strict=True))
    return Row(label=row.method, figures=(*cells, PUBLISHED))


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
    for benchmark, evaluation in here.items():
        scores = _protocol_scores(evaluation)
        if scores is not None:
            prefix = prefixes[benchmark]
            figures[f"{prefix}psnr_db"], figures[f"{prefix}ssim"] = scores
    return figures


def _protocol_scores(evaluation: EvaluationReport) -> tuple[float, float] | None:
    """PSNR and SSIM by the protocol of the benchmark's table; None where it was scored by another one."""
    if not evaluation.benchmark.startswith("realblur"):
        return evaluation.restored.psnr, evaluation.restored.ssim_matlab3d
    aligned = evaluation.realblur
    return None if aligned is None else (aligned.psnr, aligned.ssim)


def _measured_cell(column: Column, value: float | None) -> str:
    if column.name in {"params_m", "gmacs"} and value is not None:
        return f"{value:.1f}"  # a small network's would round to 1
    return published_cell(column, value)
