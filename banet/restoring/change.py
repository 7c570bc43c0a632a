"""How much a restoration changes a picture, and where; and whether it does what sharpening never does."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

BLOCK = 64  # side, pixels
NAMED = 3  # blocks

# Of 255, over blocks. Between the blurred and sharp frames of 17 real pairs (GoPro's, and averages of its frames at 240
# per second), the mean of a block changes by 16 at most, its part of checkerboards by 0.9.
MOST_SHIFT, MOST_CHECKERBOARD = 24.0, 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What differs between a picture and its restoration, in levels of 255."""

    mean: float  # over all samples
    largest: float  # of one sample
    shift: float  # largest change of a block's mean colour
    checkerboard: float  # largest amplitude, in a block, of a pattern that alternates from pixel to pixel
    blocks: tuple[tuple[int, int, float], ...]  # that changed most: top, left and mean change

    def warning(self) -> str:
        """Say what looks like a fault of the network rather than like sharpening; empty if nothing does."""
        found = []
        if self.shift > MOST_SHIFT:
            found.append(f"the colour of a whole block of {BLOCK}x{BLOCK} pixels by {self.shift:.0f} of 255")
        if self.checkerboard > MOST_CHECKERBOARD:
            found.append(f"a checkerboard of {self.checkerboard:.0f} of 255")
        what = f"it changes {' and '.join(found)}, as sharpening would not (row {self.blocks[0][0]}, "
        where = f"column {self.blocks[0][1]}): perhaps the model was not trained for such pictures"
        return f"{what}{where}" if found else ""


def measure_change(before: npt.NDArray[Any], after: npt.NDArray[Any], most: int) -> Change:
    """Compare two pictures (height, width, channels) of integers from 0 to `most`."""
    height, width, channels = before.shape
    lefts = _starts(width)
    signs = 1 - 2 * (np.arange(max(width, 2 * BLOCK)) % 2).astype(np.float32)
    blocks, total, largest, shift, checkerboard = [], 0.0, 0.0, 0.0, 0.0
    tops = _starts(height)
    for top, bottom in zip(tops, [*tops[1:], height], strict=True):
        change = (after[top:bottom].astype(np.float32) - before[top:bottom].astype(np.float32)) * np.float32(255 / most)
        sizes = (np.diff([*lefts, width]) * (bottom - top)).astype(np.float32)
        size, grey = np.abs(change), change.mean(axis=2)
        means = np.add.reduceat(size.sum(axis=(0, 2)), lefts) / (sizes * channels)
        blocks += [(float(mean), top, left) for mean, left in zip(means, lefts, strict=True)]
        total, largest = total + float(size.sum(dtype=np.float64)), max(largest, float(size.max()))
        shift = max(shift, float(np.abs(np.add.reduceat(change.sum(axis=0), lefts).T / sizes).max()))
        down, across = signs[: bottom - top] @ grey, signs[:width]
        patterns = (down, down * across, grey.sum(axis=0) * across)
        found = (np.abs(np.add.reduceat(pattern, lefts) / sizes).max() for pattern in patterns)
        checkerboard = max(checkerboard, *map(float, found))
    return Change(
        mean=total / before.size,
        largest=largest,
        shift=shift,
        checkerboard=checkerboard,
        blocks=tuple((top, left, mean) for mean, top, left in sorted(blocks, reverse=True)[:NAMED]),
    )


def table(changes: Mapping[str, Change]) -> str:
    """Return changes of pictures, by name, as CSV; `most changed` names blocks as row:column:mean change."""
    file = io.StringIO()
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(["picture", "mean", "largest", "shift", "checkerboard", "most changed", "warning"])
    for name, change in changes.items():
        numbers = (change.mean, change.largest, change.shift, change.checkerboard)
        blocks = " ".join(f"{top}:{left}:{mean:.1f}" for top, left, mean in change.blocks)
        rows.writerow([name, *(f"{number:.3f}" for number in numbers), blocks, change.warning()])
    return file.getvalue()


def _starts(side: int) -> list[int]:
    """Where blocks begin; the last is up to twice as long, so that none is a sliver."""
    return list(range(0, max(side - BLOCK + 1, 1), BLOCK))
