"""The pictures of an evaluation: images evenly spaced over the benchmark, the worst, and attention maps."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from banet.analysis.explain import explain
from banet.data.images.codec import write_image
from banet.data.names import SHARP
from banet.data.shards.index import PairRow
from banet.data.shards.reader import ShardFolder
from banet.image import Image
from banet.model.network import BANet
from banet.scoring.scores import ImageScores

SAMPLES = "samples"  # folder
SHOWN = 6  # samples of a benchmark, the same for every method
WORST = 10
ATTENDED = 2  # samples with attention maps (Figs. 5 to 8)


def sample_rows(rows: Sequence[object]) -> list[int]:
    """Choose indices of rows, or of anything with one item per row, evenly spaced from the first to the last."""
    return [int(place) for place in np.linspace(0, len(rows) - 1, min(SHOWN, len(rows)), dtype=int)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One scene to look at, with the names of its PNGs relative to the evaluation's folder."""

    key: str  # sequence/frame
    blurred_psnr: float  # dB
    restored_psnr: float  # dB
    blurred: str
    restored: str
    sharp: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """Writes the blurred, restored and sharp pictures of one evaluation, each once however often it is shown."""

    network: BANet
    restoring: Callable[[Image], Image]  # by the network
    data: ShardFolder
    variant: str
    folder: Path

    def samples(self, rows: Sequence[PairRow], scores: Sequence[ImageScores]) -> tuple[Sample, ...]:
        """Write images evenly spaced over the benchmark, from first to last, and attention maps of the first two."""
        chosen = sample_rows(rows)
        if self.network.config.attention != "none":
            for i in chosen[:ATTENDED]:
                blurred = self.data.read(rows[i], (self.variant,)).images[self.variant]
                write_image(self._path(rows[i], "attention", ".jpg"), explain(self.network, blurred))
        return tuple(self._sample(rows[i], scores[i]) for i in chosen)

    def worst(self, rows: Sequence[PairRow], scores: Sequence[ImageScores]) -> tuple[Sample, ...]:
        """Write the images with the lowest restored PSNR, the worst first; ties in the order of their keys."""
        order = sorted(range(len(rows)), key=lambda i: (scores[i].restored.psnr, rows[i].key))
        return tuple(self._sample(rows[i], scores[i]) for i in order[:WORST])

    def _sample(self, row: PairRow, scores: ImageScores) -> Sample:
        paths = {kind: self._path(row, kind, ".png") for kind in ("blurred", "restored", "sharp")}
        if not all(path.exists() for path in paths.values()):
            images = self.data.read(row, (self.variant, SHARP)).images
            write_image(paths["blurred"], images[self.variant])
            write_image(paths["restored"], self.restoring(images[self.variant]))
            write_image(paths["sharp"], images[SHARP])
        return Sample(
            key=row.key,
            blurred_psnr=scores.blurred.psnr if scores.blurred is not None else math.inf,
            restored_psnr=scores.restored.psnr,
            **{kind: path.relative_to(self.folder).as_posix() for kind, path in paths.items()},
        )

    def _path(self, row: PairRow, kind: str, ending: str) -> Path:
        return self.folder / SAMPLES / f"{row.key}_{kind}{ending}"
