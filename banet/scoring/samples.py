"""Which test images a report shows: the same ones of every method."""

from collections.abc import Sequence

import numpy as np

SAMPLES = 6


def sample_rows(rows: Sequence[object]) -> list[int]:
    """Choose some of a split's rows, or what there is one of each row: their places, evenly, from first to last."""
    return [int(place) for place in np.linspace(0, len(rows) - 1, min(SAMPLES, len(rows)), dtype=int)]
