"""Is one model better than another on the same images? A paired bootstrap that resamples whole sequences first.

Images of one sequence are alike and not independent: an interval over images alone would be too narrow. Efron and
Tibshirani, An Introduction to the Bootstrap (1993), percentile interval; the two stages are those of Davison and
Hinkley, Bootstrap Methods and their Application (1997), Section 3.8.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

DRAWS = 10_000
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The mean difference over some images, and its confidence interval."""

    mean: float
    low: float
    high: float
    confidence: float  # of the interval, 0 to 1
    images: int
    sequences: int  # with a single one only its images are resampled, and the interval is too narrow

    @property
    def better(self) -> bool:
        """Whether the whole interval is above zero."""
        return self.low > 0

    def __str__(self) -> str:
        return f"{self.mean:+.3f} dB ({self.confidence:.0%} interval {self.low:+.3f} to {self.high:+.3f})"


def paired_bootstrap(
    differences: Sequence[float], sequences: Sequence[str], *, draws: int = DRAWS, seed: int = 0
) -> Difference:
    """Compare two models by their differences on the same images.

    Each draw takes as many sequences as there are, with replacement, and from each as many images as it has, with
    replacement; its value is the mean over all images drawn.

    Args:
        differences: per image, finite; one model's score minus the other's.
        sequences: of the same images.
        draws: how many.
        seed: the same seed and input give the same interval.

    Raises:
        ValueError: no images, or not one sequence per image.
    """
    if not differences or len(differences) != len(sequences):
        raise ValueError(f"{len(differences)} differences for the sequences of {len(sequences)} images")
    groups: dict[str, list[float]] = defaultdict(list)
    for value, sequence in zip(differences, sequences, strict=True):
        groups[sequence].append(value)
    parts = [np.array(groups[name]) for name in sorted(groups)]
    tails = (1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2
    low, high = np.quantile(_draw(parts, draws, np.random.default_rng(seed)), tails)
    return Difference(
        mean=float(np.mean(differences)),
        low=float(low),
        high=float(high),
        confidence=CONFIDENCE,
        images=len(differences),
        sequences=len(parts),
    )


def _draw(parts: list[npt.NDArray[np.float64]], draws: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Means over the images of each draw."""
    chosen = rng.integers(0, len(parts), (draws, len(parts)))
    sums, counts = np.zeros(chosen.shape), np.zeros(chosen.shape)
    for i, part in enumerate(parts):
        here = chosen == i
        images = rng.integers(0, len(part), (int(here.sum()), len(part)))
        sums[here], counts[here] = part[images].sum(axis=1), len(part)
    means: npt.NDArray[np.float64] = sums.sum(axis=1) / counts.sum(axis=1)
    return means
