"""The training set: samples by number, and whole held-out sequences for validation."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from banet.data.names import SHARP, chosen
from banet.data.shards.index import PairRow
from banet.data.shards.reader import ShardFolder
from banet.data.shards.storage import Location
from banet.data.stream.augmentation import draw_augmentation
from banet.data.stream.order import augmentation_rng, pair_of_sample
from banet.errors import ConfigError, DataError
from banet.image import Image
from banet.metrics.psnr import psnr

PICTURES = 4  # held-out images that people are shown
NAMED = 5  # pictures that a message names; the rest is counted

Crops = npt.NDArray[np.uint8]
"""RGB crops, uint8, (N, crop, crop, 3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSet:
    """The training pairs of a folder of shards; small, and identical in every process that receives it."""

    folder: Location  # of the shards
    variant: str
    held_out: tuple[str, ...]  # validation sequences or patterns (`chosen`), which are never trained on
    seed: int

    def samples(self, numbers: npt.NDArray[np.int64], crop: int) -> tuple[Crops, Crops]:
        """Return the blurred and sharp crops of the samples with these numbers, in this order."""
        shards, rows = _open(self.folder), _split(self.folder, self.held_out)[0]
        blurred, sharp = (np.empty((len(numbers), crop, crop, 3), dtype=np.uint8) for _ in range(2))
        for i, k in enumerate(numbers):
            row = rows[pair_of_sample(self.seed, int(k), len(rows))]
            rng = augmentation_rng(self.seed, int(k))
            draw = draw_augmentation(rng, row.height, row.width, crop, where=row.key)
            images = shards.read_crop(row, (self.variant, SHARP), draw.top, draw.left, crop, crop)
            blurred[i], sharp[i] = draw.turn(images[self.variant]), draw.turn(images[SHARP])
        return blurred, sharp

    def describe(self, numbers: npt.NDArray[np.int64], crop: int) -> list[str]:
        """Say which pair and which crop each of these samples is."""
        rows, told = self.training_rows(), []
        for k in numbers:
            row = rows[pair_of_sample(self.seed, int(k), len(rows))]
            draw = draw_augmentation(augmentation_rng(self.seed, int(k)), row.height, row.width, crop, where=row.key)
            told.append(f"sample {k}, {row.key}, {crop}x{crop} at ({draw.top}, {draw.left})")
        return told

    def require_crop(self, crop: int) -> None:
        """Check that every training image is large enough for a crop.

        Raises:
            DataError: images that are too small, in one line.
        """
        small = [row for row in self.training_rows() if crop > min(row.height, row.width)]
        if small:
            found = [f"{row.key} is {row.height}x{row.width}, smaller than the training crop {crop}" for row in small]
            more = f"; and {len(found) - NAMED} more" if found[NAMED:] else ""
            raise DataError(f"{'; '.join(found[:NAMED])}{more}: lower recipe.phases crop, or leave them out")

    def training_rows(self) -> list[PairRow]:
        """Return the training rows in the order of their keys."""
        return _split(self.folder, self.held_out)[0]

    def validation_rows(self) -> list[PairRow]:
        """Return the held-out rows in the order of their keys."""
        return _split(self.folder, self.held_out)[1]

    def validation_images(self, rank: int = 0, ranks: int = 1) -> Iterator[tuple[Image, Image]]:
        """Yield each held-out image of a rank's share, blurred and sharp, in the order of their keys."""
        shards = _open(self.folder)
        for row in self.validation_rows()[rank::ranks]:
            images = shards.read(row, (self.variant, SHARP)).images
            yield images[self.variant], images[SHARP]

    def validation_psnr(self, restore: Callable[[Image], Image]) -> list[float]:
        """Return the PSNR in dB of each restored held-out image, in the order of their keys."""
        return [psnr(restore(blurred), sharp) for blurred, sharp in self.validation_images()]

    def pictured(self) -> list[int]:
        """Return the positions of a few held-out images, spread over all, that people are shown."""
        total = len(self.validation_rows())
        return [int(i) for i in np.linspace(0, total - 1, min(PICTURES, total), dtype=int)]


@lru_cache(maxsize=4)
def _open(folder: Location) -> ShardFolder:
    return ShardFolder(folder)


@lru_cache(maxsize=4)
def _split(folder: Location, held_out: tuple[str, ...]) -> tuple[list[PairRow], list[PairRow]]:
    rows = _open(folder).rows("train")
    sequences = sorted({row.sequence for row in rows})
    held: set[str] = set()
    for pattern in held_out:
        if not (matched := chosen(pattern, sequences)):
            known = ", ".join(sequences)
            raise ConfigError(f"benchmark.validation.sequences: {pattern!r} matches none of {known}")
        held.update(matched)
    validation = [row for row in rows if row.sequence in held]
    training = [row for row in rows if row.sequence not in held]
    for name, among in (("train", training), ("validate", validation)):
        if not among:
            raise ConfigError(f"benchmark.validation.sequences {list(held_out)} leaves nothing to {name} on")
    return training, validation
