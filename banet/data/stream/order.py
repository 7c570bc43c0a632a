"""The order of training samples: pair and randomness of sample k are pure functions of (seed, k).

Sample k of a run belongs to epoch k // pairs, and each epoch is a permutation of the pairs. Workers, blocks and
restarts play no part here.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

ORDER, AUGMENTATION = 0, 1  # two independent families of random streams


def pair_of_sample(seed: int, k: int, pairs: int) -> int:
    """Return the index of the pair of sample k, from 0 to pairs - 1; every pair comes once per epoch."""
    epoch, position = divmod(k, pairs)
    return int(_epoch_order(seed, epoch, pairs)[position])


def augmentation_rng(seed: int, k: int) -> np.random.Generator:
    """Return the random stream of sample k; the streams of different samples never overlap."""
    return _stream(seed, AUGMENTATION, k)


@dataclass(frozen=True, slots=True, kw_only=True)
class RankSlice:
    """The samples of one rank, starting at some sample of the run.

    Batch b consists of the samples first + bB to first + (b+1)B - 1; rank r of W gets the r-th equal slice of it.
    """

    first: int  # number of the first sample
    batch_size: int  # B, summed over ranks; divisible by W
    rank: int  # r, from 0
    ranks: int  # W

    @property
    def size(self) -> int:
        """Number of samples of this rank in one batch."""
        return self.batch_size // self.ranks

    def numbers(self, j: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the sample numbers k of this rank's samples j, which count from 0."""
        batch, position = np.divmod(j, self.size)
        return self.first + batch * self.batch_size + self.rank * self.size + position


@lru_cache(maxsize=4)
def _epoch_order(seed: int, epoch: int, pairs: int) -> npt.NDArray[np.int64]:
    return _stream(seed, ORDER, epoch).permutation(pairs)


def _stream(seed: int, family: int, number: int) -> np.random.Generator:
    # A Philox stream counts in the lowest word of the counter; with `number` in the second word, streams never overlap.
    return np.random.Generator(np.random.Philox(key=[seed, family], counter=[0, number, 0, 0]))
