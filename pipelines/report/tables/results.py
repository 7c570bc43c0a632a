"""The tables of what was measured here; the page typesets what stands in them as ASCII."""

from collections.abc import Iterator, Sequence

from banet.scoring.aggregate import Comparison
from banet.scoring.scores import Scores
from pipelines.report.data.image_rows import ImageRow
from pipelines.report.data.other_methods import Others
from pipelines.report.tables.formats import NO_VALUE, Table, TableRow, decibels, gain
from pipelines.report.tables.latency_notes import time_line
from pipelines.stages.evaluation_report import EvaluationReport

_NOBODY = Others()
WORST = 10


def results_table(evaluation: EvaluationReport, others: Others = _NOBODY) -> Table:
    """Blurred, filtered, restored by others and restored, with noise as a camera gives it and without."""
    return Table(
        caption=f"{evaluation.benchmark} ({evaluation.variant}), {evaluation.images} held-out images",
        headings=("", "PSNR dB", "gain dB", "SSIM matlab3d", "SSIM channel"),
        rows=tuple(_result_rows(evaluation, others)),
        notes=(*_notes(evaluation), *others.notes),
    )


def strata_table(evaluation: EvaluationReport) -> Table | None:
    """Blurred and restored by stratum of blur; None where the benchmark has no strata."""
    if not evaluation.strata:
        return None
    return Table(
        caption=f"{evaluation.benchmark} by length of the blur, blurred -> restored",
        headings=("blur", "images", "PSNR dB", "gain dB", "SSIM matlab3d", "SSIM channel"),
        rows=tuple(TableRow(label=name, figures=_change(stratum)) for name, stratum in evaluation.strata.items()),
    )


def worst_table(benchmark: str, rows: Sequence[ImageRow]) -> Table:
    """The images whose restoration is furthest from the sharp one, the worst first."""
    worst = sorted(rows, key=lambda row: (row.restored_psnr, row.key))[:WORST]
    strata = any(row.stratum for row in rows)
    return Table(
        caption=f"{benchmark}: the {len(worst)} images of lowest PSNR restored, of {len(rows)}",
        headings=("image", *(("blur",) if strata else ()), "blurred dB", "restored dB", "gain dB"),
        rows=tuple(
            TableRow(
                label=row.key,
                figures=(
                    *((row.stratum or NO_VALUE,) if strata else ()),
                    decibels(row.blurred_psnr),
                    decibels(row.restored_psnr),
                    gain(row.gain),
                ),
            )
            for row in worst
        ),
    )


def _notes(evaluation: EvaluationReport) -> Iterator[str]:
    """What a reader must know of these means."""
    for name, means in (("blurred", evaluation.blurred), ("restored", evaluation.restored)):
        if means.identical:
            yield (
                f"{means.identical} of {evaluation.images} {name} images equal the sharp ones: their PSNR is infinite "
                "and is left out of the mean and of the gain."
            )
    aligned = evaluation.realblur
    if aligned is not None:
        yield (
            f"By RealBlur's protocol, intensity matched and {aligned.aligned} of {aligned.images} images aligned with "
            f"OpenCV {aligned.opencv}: PSNR {decibels(aligned.psnr)} dB, SSIM {aligned.ssim:.4f} (of the channels)."
        )
    trained = evaluation.trained_variant
    if trained is not None and trained != evaluation.variant:
        yield f"The model was trained on the variant {trained}, not on {evaluation.variant}."
    if evaluation.latency is not None:
        yield time_line(evaluation.latency)


def _result_rows(evaluation: EvaluationReport, others: Others) -> Iterator[TableRow]:
    noise_free, single = evaluation.noise_free, evaluation.best_filter
    yield _row("blurred input", evaluation.blurred, None)
    if single is not None:
        yield _row(f"best single filter ({single.filter}, chosen on {single.chosen_on})", single.scores, single.gain)
    for other in others.shown:
        yield _row(other.name, other.means, other.gain)
    whose = f" by {evaluation.model} version {evaluation.version}" if others.shown else ""
    yield _row(f"restored{whose}", evaluation.restored, evaluation.gain, strong=True)
    if noise_free is not None:
        yield _row("blurred input, noise-free", noise_free.blurred, None)
        yield _row("restored, noise-free", noise_free.restored, noise_free.gain)


def _row(label: str, scores: Scores, gained: float | None, *, strong: bool = False) -> TableRow:
    figures = (
        decibels(scores.psnr),
        NO_VALUE if gained is None else gain(gained),
        f"{scores.ssim_matlab3d:.4f}",
        f"{scores.ssim_channel:.4f}",
    )
    return TableRow(label=label, figures=figures, strong=strong)


def _change(comparison: Comparison) -> tuple[str, ...]:
    before, after = comparison.blurred, comparison.restored
    return (
        str(comparison.images),
        f"{decibels(before.psnr)} -> {decibels(after.psnr)}",
        gain(comparison.gain),
        f"{before.ssim_matlab3d:.4f} -> {after.ssim_matlab3d:.4f}",
        f"{before.ssim_channel:.4f} -> {after.ssim_channel:.4f}",
    )
