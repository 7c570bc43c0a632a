"""The pictures that an evaluation leaves: images evenly through the benchmark, the worst, what attention sees."""

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
SHOWN = 6  # samples of a benchmark, the same of every method
WORST = 10
ATTENDED = 2  # of the even ones with what attention sees (Figs. 5 to 8)


def sample_rows(rows: Sequence[object]) -> list[int]:
    """Choose some of a split's rows, or what there is one of each row: their places, evenly, from first to last."""
    return [int(place) for place in np.linspace(0, len(rows) - 1, min(SHOWN, len(rows)), dtype=int)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One scene to look at; its PNGs by their names relative to the evaluation's folder."""

    key: str  # sequence/frame
    blurred_psnr: float  # dB
    restored_psnr: float  # dB
    blurred: str
    restored: str
    sharp: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """Writes pictures of one evaluation: blurred, restored and sharp of an image, once however often it is shown."""

    network: BANet
    restoring: Callable[[Image], Image]  # by the network
    data: ShardFolder
    variant: str
    folder: Path

    def samples(self, rows: Sequence[PairRow], scores: Sequence[ImageScores]) -> tuple[Sample, ...]:
        """Write images evenly through the benchmark, the first and the last among them; the first two attended."""
        chosen = sample_rows(rows)
        if self.network.config.attention != "none":
            for i in chosen[:ATTENDED]:
                blurred = self.data.read(rows[i], (self.variant,)).images[self.variant]
                write_image(self._path(rows[i], "attention", ".jpg"), explain(self.network, blurred))
        return tuple(self._sample(rows[i], scores[i]) for i in chosen)

    def worst(self, rows: Sequence[PairRow], scores: Sequence[ImageScores]) -> tuple[Sample, ...]:
        """Write the images of lowest PSNR restored, the worst first; of equal ones, in the order of their keys."""
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
