"""Chooses the pictures that the page shows of each benchmark, within the size of a page."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from pipelines.report.data.inputs import BenchmarkInputs
from pipelines.report.page.embedded_pictures import Picture, as_webp, attention
from pipelines.report.page.examples import Scene, scene

_PICTURE_BYTES = 13_500_000  # of the page, shared by its benchmarks; keeps it under 15 MB
_SHARE = 3  # attention gets at most one part in so many, and so do the worst images if the scenes need the rest
_Item = TypeVar("_Item", Scene, Picture)


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkSection:
    """One benchmark and the pictures of it that fit into the page."""

    benchmark: BenchmarkInputs
    scenes: tuple[Scene, ...]
    lossy: bool  # whether the whole pictures are WebP
    left_out: tuple[str, ...]  # keys of samples whose pictures do not fit
    worst: tuple[Scene, ...]  # only close-ups, the worst first
    attention: tuple[Picture, ...]  # masks and attended features, if the evaluate stage drew them
    unattended: tuple[str, ...]  # keys of samples whose drawings do not fit

    @property
    def compared(self) -> bool:
        """Whether other methods' images are among the close-ups, beside blurred, restored and sharp."""
        return any(len(shown.crops) > 3 for shown in (*self.scenes, *self.worst))

    @property
    def size(self) -> int:
        """Characters that the pictures take in the page."""
        return _size((*self.scenes, *self.worst, *self.attention))


def benchmark_sections(benchmarks: Sequence[BenchmarkInputs]) -> list[BenchmarkSection]:
    """Choose each benchmark's pictures; what small ones leave of their equal share goes to the others.

    Raises:
        DataError: a picture is missing or damaged, or differs in size from the others of its image.
    """
    left = _PICTURE_BYTES
    sections: dict[int, BenchmarkSection] = {}
    for i in sorted(range(len(benchmarks)), key=lambda i: _weight(benchmarks[i])):
        sections[i] = _section(benchmarks[i], left // (len(benchmarks) - len(sections)))
        left -= sections[i].size
    return [sections[i] for i in range(len(benchmarks))]


def _weight(benchmark: BenchmarkInputs) -> int:
    """Roughly what its pictures take: the bytes of the restored ones."""
    samples = (*benchmark.evaluation.samples, *benchmark.evaluation.worst)
    files = (benchmark.folder / sample.restored for sample in samples)
    return sum(file.stat().st_size for file in files if file.is_file())


def _section(benchmark: BenchmarkInputs, budget: int) -> BenchmarkSection:
    """Take all pictures lossless if they fit, else the whole pictures lossy, else fewer of each kind."""
    samples, folder = benchmark.evaluation.samples, benchmark.folder
    drawings = [drawing for sample in samples if (drawing := attention(sample, folder)) is not None]
    attended = _fitting(drawings, budget // _SHARE)
    close = [scene(sample, benchmark, whole=False) for sample in benchmark.evaluation.worst]
    scenes = [scene(sample, benchmark) for sample in samples]
    left = budget - _size(attended)
    lossy = _size(scenes) + _size(close) > left
    if lossy:
        scenes = [replace(shown, pictures=tuple(map(as_webp, shown.pictures))) for shown in scenes]
    worst = _fitting(close, max(budget // _SHARE, left - _size(scenes)))
    kept = _fitting(scenes, left - _size(worst))
    return BenchmarkSection(
        benchmark=benchmark,
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


def _size(items: Sequence[Scene | Picture]) -> int:
    return sum(item.size for item in items)
