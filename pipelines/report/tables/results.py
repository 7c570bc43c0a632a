"""The tables of what was measured here."""

from collections.abc import Iterator, Sequence

from banet.scoring.aggregate import AlignedMeans, Comparison, Means
from banet.scoring.scores import Scores
from pipelines.report.data.image_rows import ImageRow
from pipelines.report.data.inputs import BenchmarkInputs
from pipelines.report.tables.formats import NO_VALUE, Table, TableRow, decibels, gain
from pipelines.report.tables.latency_notes import time_line
from pipelines.stages.evaluation_report import EvaluationReport

_WORST = 10
_DIGITS = 12  # of a digest


def results_table(benchmark: BenchmarkInputs) -> Table:
    """Blurred, filtered, restored by others and restored by the model, with a camera's noise and without."""
    evaluation = benchmark.evaluation
    return Table(
        caption=f"{evaluation.benchmark} ({evaluation.variant}), {evaluation.images} held-out images",
        headings=("", "PSNR dB", "gain dB", "SSIM matlab3d", "SSIM channel"),
        rows=tuple(_result_rows(benchmark)),
        notes=(*_notes(evaluation), *_notes_on_others(benchmark)),
    )


def strata_table(evaluation: EvaluationReport) -> Table | None:
    """Blurred and restored by stratum of blur; None if the benchmark has no strata."""
    if not evaluation.strata:
        return None
    return Table(
        caption=f"{evaluation.benchmark} by length of the blur, blurred -> restored",
        headings=("blur", "images", "PSNR dB", "gain dB", "SSIM matlab3d", "SSIM channel"),
        rows=tuple(TableRow(label=name, figures=_change(stratum)) for name, stratum in evaluation.strata.items()),
    )


def worst_table(benchmark: str, rows: Sequence[ImageRow]) -> Table:
    """The images of lowest PSNR after restoration, the worst first."""
    worst = sorted(rows, key=lambda row: (row.restored_psnr, row.key))[:_WORST]
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
    """What a reader must know about the model's means."""
    for name, means in (("blurred", evaluation.blurred), ("restored", evaluation.restored)):
        if means.identical:
            yield f"{name}: {_identical(means, evaluation.images)}"
    if evaluation.realblur is not None:
        yield f"restored: {_aligned(evaluation.realblur)}"
    trained = evaluation.trained_variant
    if trained is not None and trained != evaluation.variant:
        yield f"The model was trained on the variant {trained}, not on {evaluation.variant}."
    if evaluation.latency is not None:
        yield time_line(evaluation.latency)


def _notes_on_others(benchmark: BenchmarkInputs) -> Iterator[str]:
    """What a reader must know about other methods' means, and which methods were left out."""
    if benchmark.others:
        names = ", ".join(other.name for other in benchmark.others)
        yield f"Images that others restored, scored here: {names}."
    for other in benchmark.others:
        count = len(other.method.rows)
        if count != benchmark.evaluation.images:
            yield f"{other.name}: {count} of {benchmark.evaluation.images} images."
        if other.means.identical:
            yield f"{other.name}: {_identical(other.means, count)}"
        if other.aligned is not None:
            yield f"{other.name}: {_aligned(other.aligned)}"
    for method in benchmark.left_out:
        yield (
            f"{method.name} is left out: it was scored on other data of {method.benchmark} (sha256 "
            f"{method.data_digest[:_DIGITS]}) than the model ({benchmark.evaluation.data_digest[:_DIGITS]}). Score its "
            f"images again: banet score --restored FOLDER --benchmark {method.benchmark} --method '{method.name}'"
        )


def _identical(means: Means, images: int) -> str:
    return (
        f"{means.identical} of {images} images equal the sharp ones; their infinite PSNR is left out of the mean and "
        "the gain."
    )


def _aligned(means: AlignedMeans) -> str:
    return (
        f"by RealBlur's protocol, PSNR {decibels(means.psnr)} dB and SSIM {means.ssim:.4f} (mean of the channels), "
        f"intensity matched, {means.aligned} of {means.images} images aligned with OpenCV {means.opencv}."
    )


def _result_rows(benchmark: BenchmarkInputs) -> Iterator[TableRow]:
    evaluation, others = benchmark.evaluation, benchmark.others
    noise_free, single = evaluation.noise_free, evaluation.best_filter
    yield _row("blurred input", evaluation.blurred, None)
    if single is not None:
        yield _row(f"best single filter ({single.filter}, chosen on {single.chosen_on})", single.scores, single.gain)
    for other in others:
        yield _row(other.name, other.means, other.gain)
    whose = f" by {evaluation.model} version {evaluation.version}" if others else ""
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
