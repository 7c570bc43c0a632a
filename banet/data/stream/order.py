"""The order of training samples: which pair, and which randomness, is a function of (seed, k) alone, without I/O.

Sample k of a run belongs to epoch k // pairs. Each epoch is a permutation of the pairs. Nothing here knows workers,
blocks or restarts.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

ORDER, AUGMENTATION = 0, 1  # two independent families of random streams


def pair_of_sample(seed: int, k: int, pairs: int) -> int:
    """Index of the pair that sample k shows, from 0 to pairs - 1; every pair comes once an epoch."""
    epoch, position = divmod(k, pairs)
    return int(_epoch_order(seed, epoch, pairs)[position])


def augmentation_rng(seed: int, k: int) -> np.random.Generator:
    """Return the random stream of sample k; streams of different k never overlap."""
    return _stream(seed, AUGMENTATION, k)


@dataclass(frozen=True, slots=True, kw_only=True)
class RankSlice:
    """The part of a run's samples that one rank sees, from some sample on.

    Batch b is the samples first + bB to first + (b+1)B - 1; rank r of W gets the r-th equal slice of each batch.
    """

    first: int  # number of the first sample
    batch_size: int  # B, over all ranks; the ranks divide it
    rank: int  # r, from 0
    ranks: int  # W

    @property
    def size(self) -> int:
        """Samples of this rank in one batch."""
        return self.batch_size // self.ranks

    def numbers(self, j: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Sample numbers k of this rank's samples j, counted from 0."""
        batch, position = np.divmod(j, self.size)
        return self.first + batch * self.batch_size + self.rank * self.size + position


@lru_cache(maxsize=4)
def _epoch_order(seed: int, epoch: int, pairs: int) -> npt.NDArray[np.int64]:
    return _stream(seed, ORDER, epoch).permutation(pairs)


def _stream(seed: int, family: int, number: int) -> np.random.Generator:
    # A Philox stream counts up in the lowest word: numbers stand in the second, so that streams stay apart.
    return np.random.Generator(np.random.Philox(key=[seed, family], counter=[0, number, 0, 0]))
