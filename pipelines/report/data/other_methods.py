"""Other methods' images that were scored here: their means on the images of an evaluation, the best last."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from banet.scoring.aggregate import AlignedMeans, Means, aligned_means, means
from banet.scoring.methods import Method
from pipelines.report.data.image_rows import ImageRow
from pipelines.report.data.inputs import ReportInputs
from pipelines.report.tables.formats import decibels
from pipelines.stages.evaluation_report import EvaluationReport

_SHOWN = 12  # characters of a digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """One method on one benchmark."""

    method: Method
    means: Means
    aligned: AlignedMeans | None  # where the protocol is RealBlur's
    gain: float | None  # dB over the blurred inputs, over the images where both are finite; None where there is none

    @property
    def name(self) -> str:
        """What names its rows and its pictures."""
        return self.method.name

    def psnr(self, key: str) -> float | None:
        """Of one image, dB; None where it was not scored."""
        return next((row.restored.psnr for row in self.method.rows if row.key == key), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Others:
    """The methods that stand beside one evaluation."""

    shown: tuple[Other, ...] = ()  # by mean PSNR, the best last
    notes: tuple[str, ...] = ()  # what a reader must know of them, and who was left out


def others_of(inputs: ReportInputs) -> tuple[Others, ...]:
    """The methods beside each evaluation."""
    evaluated = zip(inputs.methods, inputs.evaluations, inputs.images, strict=True)
    return tuple(comparable(*each) for each in evaluated)


def comparable(methods: Sequence[Method], evaluation: EvaluationReport, images: Sequence[ImageRow]) -> Others:
    """Take the methods that were scored on the evaluation's own images, and say which were not.

    Args:
        methods: of the evaluation's benchmark.
        evaluation: its digest of the data tells; an empty one, of an older evaluation, is like any other.
        images: what it scored, whose blurred images a gain is counted from.
    """
    ours = evaluation.data_digest
    strangers = [method for method in methods if ours and method.data_digest and method.data_digest != ours]
    shown = sorted((_other(m, images) for m in methods if m not in strangers), key=lambda o: (o.means.psnr, o.name))
    notes = [f"Images that others restored, scored here: {', '.join(other.name for other in shown)}."] if shown else []
    notes += [note for other in shown for note in _notes(other, evaluation)]
    notes += [
        f"{method.name} is left out: it was scored on other data of {method.benchmark} (sha256 "
        f"{method.data_digest[:_SHOWN]}) than the model ({ours[:_SHOWN]}). Score its images again: banet score "
        f"--restored FOLDER --benchmark {method.benchmark} --method '{method.name}'"
        for method in strangers
    ]
    return Others(shown=tuple(shown), notes=tuple(notes))


def _other(method: Method, images: Sequence[ImageRow]) -> Other:
    before = {row.key: row.blurred_psnr for row in images}
    gains = [row.restored.psnr - before[row.key] for row in method.rows if row.key in before]
    finite = [value for value in gains if math.isfinite(value)]
    return Other(
        method=method,
        means=means(row.restored for row in method.rows),
        aligned=aligned_means(method.rows),
        gain=sum(finite) / len(finite) if finite else None,
    )


def _notes(other: Other, evaluation: EvaluationReport) -> Iterator[str]:
    """What a reader must know of its means."""
    count, aligned = len(other.method.rows), other.aligned
    if count != evaluation.images:
        yield f"{other.name}: {count} of {evaluation.images} images."
    if other.means.identical:
        yield (
            f"{other.name}: {other.means.identical} of {count} images equal the sharp ones and are left out of the "
            "mean of PSNR."
        )
    if aligned is not None:
        yield (
            f"{other.name} by RealBlur's protocol, {aligned.aligned} of {aligned.images} images aligned with OpenCV "
            f"{aligned.opencv}: PSNR {decibels(aligned.psnr)} dB, SSIM {aligned.ssim:.4f} (of the channels)."
        )
