"""What people preferred, with two intervals: one for independent choices, and one over participants."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from banet.study.record import Choice

CONFIDENCE = 0.95
DRAWS = 10_000
SEED = 0  # of the draws: a report printed twice says the same

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
    wilson, bootstrap = _intervals(named) if named else (None, None)
    return Preference(
        a=votes["a"],
        b=votes["b"],
        ties=votes["none"],
        participants=len({choice.participant for choice in choices}),
        images=len({choice.image for choice in choices}),
        left=sum(choice.preferred == choice.left for choice in named),
        wilson=wilson,
        bootstrap=bootstrap,
    )


def _intervals(named: Sequence[Choice]) -> tuple[Interval, Interval | None]:
    """Wilson's score interval, and a percentile bootstrap over participants, whose own choices are not independent."""
    from scipy import stats

    chose_a = Counter(choice.participant for choice in named if choice.preferred == "a")
    chose = Counter(choice.participant for choice in named)
    wilson = stats.binomtest(chose_a.total(), chose.total()).proportion_ci(CONFIDENCE, method="wilson")
    if len(chose) < 2:
        return (float(wilson.low), float(wilson.high)), None
    people = sorted(chose)
    over_people = stats.bootstrap(
        [[chose_a[person] for person in people], [chose[person] for person in people]],
        lambda a, total, axis: np.sum(a, axis) / np.sum(total, axis),
        paired=True,
        n_resamples=DRAWS,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(SEED),
    ).confidence_interval
    return (float(wilson.low), float(wilson.high)), (float(over_people.low), float(over_people.high))
