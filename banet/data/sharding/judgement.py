"""Judge a benchmark by its pairs: are they complete, distinct, aligned, blurred, and exposed alike?

The limits follow from what is known of public benchmarks; docs/formats.md gives the reasons.
"""

import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

import numpy as np

from banet.data.data_checks import Check, Severity
from banet.data.manifest import Acceptable
from banet.data.names import SHARP, chosen
from banet.data.shards.index import IndexRow
from banet.data.shards.reader import Pair
from banet.image import Image

ALIGNED_PAIRS = 32  # per split, drawn with a fixed seed; splits with fewer pairs are trials and never an error
ALIGNED_SIDE = 256  # pixels; larger pictures are reduced before they are aligned
ITERATIONS, LEAST_CHANGE, SMOOTHING = 30, 1e-3, 5  # of the alignment (ECC)
WHITE = 255
EQUAL_PSNR = 100.0  # dB, stands for the infinite PSNR of equal pictures

Range = tuple[float, float]
LIMITS: Mapping[Acceptable, tuple[Range, Range]] = {  # what is ok, and what is no error
    "duplicates": ((0, 0), (0, 0.03)),  # share of the split's pairs with an image that is in another split too
    "alignment": ((0, 1), (0, 5)),  # median shift, pixels
    "blurred_psnr": ((15, 45), (12, 50)),  # median, dB
    "exposure": ((0.95, 1.05), (0.75, 1.25)),  # median of the blurred image's mean level over the sharp one's
    "saturated": ((0, 0.1), (0, 0.5)),  # mean share of samples at 255
}
REMEDIES: Mapping[str, str] = {
    "duplicates": "keep each picture in one split",
    "alignment": "pair each blurred picture with its own sharp one, or align them",
    "blurred_psnr": "pair each blurred picture with its own sharp one, and leave out what is not blurred",
    "exposure": "expose both pictures of a pair alike",
    "saturated": "leave out overexposed pictures, and see whether a conversion clips them",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a pair's pixels say, beside what the index holds."""

    split: str
    exposure: float  # mean level of the blurred image over that of the sharp one
    saturated: float  # share of the samples of both at 255
    sampled: bool  # whether it was to be aligned
    shift: float | None  # pixels; None if it was not aligned, or could not be


def sample(keys: Iterable[tuple[str, str]]) -> set[str]:
    """Draw the keys of at most `ALIGNED_PAIRS` pairs of each split from (split, key), always the same ones."""
    splits: dict[str, list[str]] = defaultdict(list)
    for split, key in keys:
        splits[split].append(key)
    drawn: set[str] = set()
    for found in splits.values():
        drawn.update(random.Random(0).sample(sorted(found), min(ALIGNED_PAIRS, len(found))))
    return drawn


def measure(pair: Pair, variant: str, *, align: bool) -> Measured:
    """Measure one pair; `align` also looks for the shift between its images, which takes about ten milliseconds."""
    blurred, sharp = pair.images[variant], pair.images[SHARP]
    level = float(sharp.mean())
    return Measured(
        split=pair.split,
        exposure=float(blurred.mean()) / level if level else 1.0,
        saturated=sum(np.count_nonzero(image == WHITE) for image in (blurred, sharp)) / (2 * sharp.size),
        sampled=align,
        shift=shift(blurred, sharp) if align else None,
    )


def shift(blurred: Image, sharp: Image) -> float | None:
    """Return by how many pixels one image of a pair is moved against the other; None where ECC finds no answer."""
    import cv2

    reduction = max(1.0, max(sharp.shape) / ALIGNED_SIDE)
    size = (round(sharp.shape[1] / reduction), round(sharp.shape[0] / reduction))
    gray_sharp, gray_blurred = (
        cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA)
        for image in (sharp, blurred)
    )
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, ITERATIONS, LEAST_CHANGE)
    start, kind, mask = np.eye(2, 3, dtype=np.float32), cv2.MOTION_TRANSLATION, None
    try:
        _, warp = cv2.findTransformECC(gray_sharp, gray_blurred, start, kind, criteria, mask, SMOOTHING)
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:  # not a property of the images
            raise MemoryError(str(error)) from None
        return None
    found = math.hypot(warp[0, 2], warp[1, 2]) * reduction
    return found if math.isfinite(found) else None


def judge(
    counts: Mapping[str, Mapping[str, int]],
    rows: Sequence[IndexRow],
    duplicates: Iterable[Sequence[str]],
    measured: Sequence[Measured],
    variant: str,
    accept: Sequence[str] = (),
) -> tuple[Check, ...]:
    """Judge each split.

    Args:
        counts: what the manifest expects, split: {sequence or pattern: pairs}; empty if it says nothing.
        rows: of the index, all pairs.
        duplicates: groups of images, as in the summary.
        measured: all pairs.
        variant: of the blurred images that the rows' PSNR is taken of.
        accept: checks whose errors are warnings.
    """
    leaked: dict[str, set[str]] = defaultdict(set)
    for group in duplicates:
        for name in group:
            split, _, key = name.rpartition(" ")[0].partition("/")
            leaked[split].add(key)
    checks: list[Check] = []
    for split in sorted({row["split"] for row in rows} | counts.keys()):
        ours = [row for row in rows if row["split"] == split]
        checks.append(_counted(split, ours, counts.get(split, {})))
        if ours:
            pixels = [pair for pair in measured if pair.split == split]
            checks += _judged(split, ours, len(leaked[split]), pixels, variant, accept)
    return tuple(checks)


def miscounted(split: str, rows: Sequence[IndexRow], expected: Mapping[str, int]) -> list[str]:
    """Name the sequences, or patterns of them, that have other numbers of pairs than expected."""
    sequences = Counter(row["sequence"] for row in rows)
    there = {pattern: sum(sequences[name] for name in chosen(pattern, sequences)) for pattern in expected}
    return [f"{split}/{name} has {n} pairs, not {expected[name]}" for name, n in there.items() if n != expected[name]]


def _counted(split: str, rows: Sequence[IndexRow], expected: Mapping[str, int]) -> Check:
    wrong = miscounted(split, rows, expected)
    limits = f"{sum(expected.values())} pairs" if expected else "not stated"
    found = "; ".join(wrong) or f"{len(rows)} pairs"
    severity: Severity = "error" if wrong else "ok"
    return Check(split=split, name="counts", severity=severity, value=len(rows), found=found, limits=limits)


def _judged(
    split: str,
    rows: Sequence[IndexRow],
    leaked: int,
    measured: Sequence[Measured],
    variant: str,
    accept: Sequence[str],
) -> list[Check]:
    psnr = [min(row[variant]["psnr"], EQUAL_PSNR) for row in rows]
    exposure, saturated = [pair.exposure for pair in measured], [pair.saturated for pair in measured]
    shifts = [pair.shift for pair in measured if pair.shift is not None]
    sampled = sum(pair.sampled for pair in measured)
    equal = sum(value == EQUAL_PSNR for value in psnr)
    values: dict[Acceptable, tuple[float, str]] = {
        "duplicates": (leaked / len(rows), f"{leaked} of {len(rows)} pairs"),
        "alignment": (
            median(shifts) if shifts else 0.0,
            f"{_spread(shifts, '.2f')} px, {len(shifts)} of {sampled} aligned",
        ),
        "blurred_psnr": (
            median(psnr),
            f"{_spread([value for value in psnr if value != EQUAL_PSNR], '.2f')} dB"
            + (f", {equal} blurred images equal the sharp ones" if equal else ""),
        ),
        "exposure": (median(exposure), _spread(exposure, ".3f")),
        "saturated": (fmean(saturated), f"{fmean(saturated):.2%} of samples, {max(saturated):.1%} at most"),
    }
    checks = []
    for name, (value, found) in values.items():
        severity = _severity(name, value, mild=len(rows) < ALIGNED_PAIRS or name in accept)
        if name == "alignment" and 2 * len(shifts) < sampled and severity == "ok":
            severity = "warning"
        low, high = LIMITS[name][0]
        limits = f"{low:g} to {high:g}" if low < high else f"{high:g}"
        checks.append(
            Check(split=split, name=name, severity=severity, value=round(value, 4), found=found, limits=limits)
        )
    return checks


def _severity(name: Acceptable, value: float, *, mild: bool) -> Severity:
    (low, high), (lowest, highest) = LIMITS[name]
    if low <= value <= high:
        return "ok"
    return "warning" if mild or lowest <= value <= highest else "error"


def _spread(values: Sequence[float], form: str) -> str:
    if not values:
        return "none"
    middle, low, high = (format(value, form) for value in (median(values), min(values), max(values)))
    return f"median {middle}, {low} to {high}"
