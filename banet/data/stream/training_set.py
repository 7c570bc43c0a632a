"""The training set: samples by number, whole held-out sequences for validation."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from banet.data.names import SHARP
from banet.data.shards.index import PairRow
from banet.data.shards.reader import ShardFolder
from banet.data.shards.storage import Location
from banet.data.stream.augmentation import draw_augmentation, require_crop
from banet.data.stream.order import augmentation_rng, pair_of_sample
from banet.errors import ConfigError

Crops = npt.NDArray[np.uint8]
"""RGB crops, uint8, (N, crop, crop, 3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSet:
    """The training pairs of some shards; small, and the same in every process that it is sent to."""

    folder: Location  # of the shards
    variant: str
    held_out: tuple[str, ...]  # sequences, or patterns of them, that validate and never train
    seed: int

    def samples(self, numbers: npt.NDArray[np.int64], crop: int) -> tuple[Crops, Crops]:
        """Return blurred and sharp crops of the samples with these numbers, in their order."""
        shards, rows = _open(self.folder), _split(self.folder, self.held_out)[0]
        blurred, sharp = (np.empty((len(numbers), crop, crop, 3), dtype=np.uint8) for _ in range(2))
        for i, k in enumerate(numbers):
            row = rows[pair_of_sample(self.seed, int(k), len(rows))]
            rng = augmentation_rng(self.seed, int(k))
            draw = draw_augmentation(rng, row.height, row.width, crop, where=row.key)
            images = shards.read_crop(row, (self.variant, SHARP), draw.top, draw.left, crop, crop)
            blurred[i], sharp[i] = draw.turn(images[self.variant]), draw.turn(images[SHARP])
        return blurred, sharp

    def require_crop(self, crop: int) -> None:
        """Check beforehand that every training image holds a crop of this side.

        Raises:
            DataError: names the first image that is smaller.
        """
        for row in self.training_rows():
            require_crop(row.height, row.width, crop, where=row.key)

    def training_rows(self) -> list[PairRow]:
        """Return the rows that train, in the order of their keys."""
        return _split(self.folder, self.held_out)[0]

    def validation_rows(self) -> list[PairRow]:
        """Return the held-out rows, in the order of their keys."""
        return _split(self.folder, self.held_out)[1]


@lru_cache(maxsize=4)
def _open(folder: Location) -> ShardFolder:
    return ShardFolder(folder)


@lru_cache(maxsize=4)
def _split(folder: Location, held_out: tuple[str, ...]) -> tuple[list[PairRow], list[PairRow]]:
    rows = _open(folder).rows("train")
    for pattern in held_out:
        if not any(fnmatchcase(row.sequence, pattern) for row in rows):
            known = ", ".join(sorted({row.sequence for row in rows}))
            raise ConfigError(f"benchmark.validation.sequences: {pattern!r} matches none of {known}")
    validation = [row for row in rows if any(fnmatchcase(row.sequence, pattern) for pattern in held_out)]
    held = set(validation)
    training = [row for row in rows if row not in held]
    for name, chosen in (("trains", training), ("validates", validation)):
        if not chosen:
            raise ConfigError(f"benchmark.validation.sequences {list(held_out)}: with that nothing {name}")
    return training, validation
