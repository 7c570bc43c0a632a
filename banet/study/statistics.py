"""What people preferred, with intervals: Wilson's for independent choices, and one by a bootstrap over participants."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from banet.study.record import Choice

CONFIDENCE = 0.95
DRAWS = 10_000

Interval = tuple[float, float]
"""Lower and upper end, as shares from 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """How often method a was preferred to b."""

    a: int  # choices
    b: int
    ties: int  # choices of neither
    participants: int
    images: int
    left: int  # choices of the left one, whichever it was
    wilson: Interval | None  # of `share`, as if choices were independent; None without a choice of a or b
    bootstrap: Interval | None  # of `share`, over participants; None with fewer than two who chose a or b

    @property
    def share(self) -> float:
        """Choices of a among those of a or b, 0 to 1; NaN without any."""
        return self.a / (self.a + self.b) if self.a + self.b else math.nan


def preference(choices: Sequence[Choice]) -> Preference:
    """Count choices; ties are left out of the share and counted apart."""
    votes = Counter(choice.preferred for choice in choices)
    named = [choice for choice in choices if choice.preferred != "none"]
    return Preference(
        a=votes["a"],
        b=votes["b"],
        ties=votes["none"],
        participants=len({choice.participant for choice in choices}),
        images=len({choice.image for choice in choices}),
        left=sum(choice.preferred == choice.left for choice in named),
        wilson=wilson(votes["a"], len(named)) if named else None,
        bootstrap=_over_participants(named),
    )


def wilson(successes: int, total: int, confidence: float = CONFIDENCE) -> Interval:
    """Wilson's score interval of a share (J. Am. Stat. Assoc. 22, 1927), which holds near 0 and 1 too.

    Raises:
        ValueError: not 0 <= successes <= total, or a total of 0.
    """
    if not 0 <= successes <= total or total == 0:
        raise ValueError(f"{successes} of {total}")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = successes / total
    centre = share + z**2 / (2 * total)
    spread = z * math.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    low, high = ((centre + sign * spread) / (1 + z**2 / total) for sign in (-1, 1))
    return (0.0 if successes == 0 else low), (1.0 if successes == total else high)  # without what rounding leaves


def _over_participants(named: Sequence[Choice], seed: int = 0) -> Interval | None:
    """Percentile interval, resampling whole participants: choices of one are not independent."""
    people = sorted({choice.participant for choice in named})
    if len(people) < 2:
        return None
    chose_a = Counter(choice.participant for choice in named if choice.preferred == "a")
    chose = Counter(choice.participant for choice in named)
    a, total = (np.array([counts[person] for person in people]) for counts in (chose_a, chose))
    drawn = np.random.default_rng(seed).integers(0, len(people), (DRAWS, len(people)))
    shares = a[drawn].sum(axis=1) / total[drawn].sum(axis=1)
    low, high = np.quantile(shares, ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
    return float(low), float(high)
