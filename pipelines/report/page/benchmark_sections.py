"""What the page shows of each benchmark, and how its pictures are made to fit."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from markupsafe import Markup

from pipelines.report.data.image_rows import ImageRow
from pipelines.report.data.inputs import ReportInputs
from pipelines.report.data.other_methods import Others, others_of
from pipelines.report.figures.distribution import distribution_svg, gain_svg
from pipelines.report.page.embedded_pictures import Picture, attention
from pipelines.report.page.examples import Scene, scene, with_webp
from pipelines.report.tables.formats import Table
from pipelines.report.tables.results import results_table, strata_table, worst_table
from pipelines.stages.evaluation_report import EvaluationReport

_PICTURE_BYTES = 13_500_000  # of the page, shared by its benchmarks; keeps it under 15 MB
_SHARE = 3  # at most one part in so many is for attention, and for the worst images where the scenes want more


class _Sized(Protocol):
    @property
    def size(self) -> int: ...


_Item = TypeVar("_Item", bound=_Sized)


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionPictures:
    """The pictures of one benchmark that the page has room for."""

    scenes: tuple[Scene, ...]
    lossy: bool  # whether the whole pictures are WebP
    left_out: tuple[str, ...]  # keys of samples that would have made the page too large
    worst: tuple[Scene, ...]  # close-ups alone, the worst first
    attention: tuple[Picture, ...]  # masks and attended features, where the evaluate stage drew them
    unattended: tuple[str, ...]  # keys of samples whose drawings would have made the page too large

    @property
    def size(self) -> int:
        """Characters that they take in the page."""
        return _size((*self.scenes, *self.worst, *self.attention))


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkSection:
    """What the page shows of one benchmark."""

    evaluation: EvaluationReport
    results: Table
    strata: Table | None
    pictures: SectionPictures
    compared: bool  # whether other methods' images stand among the close-ups
    distribution: Markup  # empty for too few images
    gain: Markup
    worst: Table


def parts(inputs: ReportInputs) -> Iterator[BenchmarkSection]:
    """One part for each evaluation; what those with small pictures leave of their share of the page, the others have.

    Raises:
        DataError: a picture is missing or no PNG, or does not fit the others of its image.
    """
    others = others_of(inputs)
    evaluated = list(zip(inputs.evaluations, inputs.folders, others, strict=True))
    left = _PICTURE_BYTES
    pictures: dict[int, SectionPictures] = {}
    for i in sorted(range(len(evaluated)), key=lambda i: _weight(*evaluated[i][:2])):
        pictures[i] = _pictures(*evaluated[i], left // (len(evaluated) - len(pictures)))
        left -= pictures[i].size
    for i, (evaluation, images) in enumerate(zip(inputs.evaluations, inputs.images, strict=True)):
        yield _part(evaluation, images, others[i], pictures[i])


def drawn(svg: str) -> Markup:
    """A figure, to be put into the page as it is: matplotlib and `drawing.svg` escape the words in it."""
    return Markup(svg)  # noqa: S704


def _weight(evaluation: EvaluationReport, folder: Path) -> int:
    """About what its pictures take: bytes of the restored ones that lie there."""
    files = (folder / sample.restored for sample in (*evaluation.samples, *evaluation.worst))
    return sum(file.stat().st_size for file in files if file.is_file())


def _part(
    evaluation: EvaluationReport, images: Sequence[ImageRow], others: Others, pictures: SectionPictures
) -> BenchmarkSection:
    names = {other.name for other in others.shown}
    crops = (crop for shown in (*pictures.scenes, *pictures.worst) for crop in shown.crops)
    return BenchmarkSection(
        evaluation=evaluation,
        results=results_table(evaluation, others),
        strata=strata_table(evaluation),
        pictures=pictures,
        compared=any(crop.role in names for crop in crops),
        distribution=drawn(distribution_svg(evaluation.benchmark, images)),
        gain=drawn(gain_svg(evaluation.benchmark, images)),
        worst=worst_table(evaluation.benchmark, images),
    )


def _pictures(evaluation: EvaluationReport, folder: Path, others: Others, budget: int) -> SectionPictures:
    """What fits: all without loss, or else the whole pictures with loss, or else fewer of each kind."""
    drawings = [drawing for sample in evaluation.samples if (drawing := attention(sample, folder)) is not None]
    attended = _fitting(drawings, budget // _SHARE)
    close = [scene(sample, evaluation, folder, others.shown, whole=False) for sample in evaluation.worst]
    scenes = [scene(sample, evaluation, folder, others.shown) for sample in evaluation.samples]
    left = budget - _size(attended)
    lossy = _size(scenes) + _size(close) > left
    if lossy:
        scenes = [with_webp(shown) for shown in scenes]
    worst = _fitting(close, max(budget // _SHARE, left - _size(scenes)))
    kept = _fitting(scenes, left - _size(worst))
    return SectionPictures(
        scenes=kept,
        lossy=lossy,
        left_out=tuple(shown.key for shown in scenes if shown not in kept),
        worst=worst,
        attention=attended,
        unattended=tuple(drawing.note for drawing in drawings if drawing not in attended),
    )


def _fitting(items: Sequence[_Item], budget: int) -> tuple[_Item, ...]:
    """Take what fits, in order; a small one may come after one that was too large."""
    taken: list[_Item] = []
    for item in items:
        if item.size <= budget:
            taken.append(item)
            budget -= item.size
    return tuple(taken)


def _size(items: Sequence[_Sized]) -> int:
    return sum(item.size for item in items)
