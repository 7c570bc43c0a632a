"""Has what is served moved away from the shards? The population stability index (PSI) of each feature answers.

With shares p of the shards and q of what is served over the bins, PSI = sum (q - p) ln(q / p). Below 0.1 it means no
change, from 0.1 a moderate and from 0.25 a large one: N. Siddiqi, Credit Risk Scorecards (Wiley, 2006). Of few pictures
it is large by chance alone: without a change, PSI / (1/M + 1/N) of M and N pictures in B bins is near chi-square with
B - 1 degrees of freedom: B. Yurdakul and J. Naranjo, Statistical properties of the population stability index, Journal
of Risk Model Validation 14 (2020). So what one look in a thousand shows by chance is never called a change.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from statistics import NormalDist
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from banet.data.names import TRAIN
from banet.data.served.picture_features import PictureFeatures, picture_features
from banet.data.served.served_log import NAME_TIME, SCHEMA
from banet.data.shards.reader import ShardFolder
from banet.data.shards.storage import Location
from banet.errors import DataError
from banet.progress import OnProgress

Verdict = Literal["too few", "stable", "moderate", "moved"]
Values = npt.NDArray[np.float64]

FEATURES = tuple(field.name for field in fields(PictureFeatures))
BINS = 10  # of equal shares of the shards
LEAST = 50  # pictures on either side: five in each bin, as chi-square wants
MODERATE, LARGE = 0.1, 0.25  # of the index
BY_CHANCE = 0.001
MOST = 1000  # pictures of the shards, evenly spaced


class Spread(NamedTuple):
    """The middle of a distribution, and what four fifths of it lie between."""

    low: float
    median: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureDrift:
    """One feature of what is served beside that of the shards."""

    name: str
    verdict: Verdict
    index: float | None  # None for too few pictures
    by_chance: float | None  # what the index is above in one look of a thousand if nothing has moved
    served: Spread | None  # None without pictures
    shards: Spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What a folder of served logs holds."""

    features: Mapping[str, Values]  # of the pictures that could be decoded
    answers: int  # of all
    refused: int  # of those: with another status than 200
    first: datetime | None
    last: datetime | None
    unreadable: int  # files, half-written or damaged


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftReport:
    """What is served compared with a benchmark's blurred pictures."""

    benchmark: str
    pictures: int  # of the shards
    served: int  # pictures that could be decoded
    refused: int
    unreadable: int
    first: datetime | None
    last: datetime | None
    features: tuple[FeatureDrift, ...]

    @property
    def moved(self) -> tuple[str, ...]:
        """The names of the features that have moved."""
        return tuple(feature.name for feature in self.features if feature.verdict == "moved")


def compare_served(
    folder: Path,
    shards: Location,
    *,
    variant: str | None = None,
    since: datetime | None = None,
    on_progress: OnProgress | None = None,
) -> DriftReport:
    """Compare a folder of served logs with the blurred pictures of shards, those trained on if there are such.

    Args:
        folder: as `banet serve --watch` fills it.
        shards: of the benchmark.
        variant: which blurred pictures; by default the shards' first.
        since: with a time zone; leaves out what was served before.
        on_progress: is told how many pictures of the shards are looked at.

    Raises:
        DataError: there are no logs or no shards, or they are others.
    """
    served, data = read_served(folder, since), ShardFolder(shards)
    reference = shard_features(data, variant or data.summary.variants[0], on_progress)
    return DriftReport(
        benchmark=data.summary.benchmark,
        pictures=len(reference["width"]),
        served=len(served.features["width"]),
        refused=served.refused,
        unreadable=served.unreadable,
        first=served.first,
        last=served.last,
        features=tuple(_drift(name, reference[name], served.features[name]) for name in FEATURES),
    )


def read_served(folder: Path, since: datetime | None = None) -> Served:
    """Read all logs of a folder; half-written files are left out and counted.

    Raises:
        DataError: there are none, none can be read, or one is another table.
    """
    files = sorted(folder.glob("*.parquet")) if folder.is_dir() else []
    partial = len(list(folder.glob(".*.part")))
    if not files:
        raise DataError(f"{folder} holds no log of served pictures: name the folder of `banet serve --watch`")
    tables = []
    for file in files:
        if since is not None and file.name < f"{since.astimezone(UTC):{NAME_TIME}}":  # all in it is older
            continue
        try:
            table = pq.read_table(file, partitioning=None)
        except (pa.ArrowException, OSError):
            partial += 1
            continue
        if not table.schema.equals(SCHEMA):
            found = ", ".join(table.column_names)
            raise DataError(f"{file} is another table ({found}): name the folder of `banet serve --watch`")
        tables.append(table)
    if not tables and partial and since is None:
        raise DataError(
            f"{folder} holds {partial} damaged or half-written files and no other: serve with --watch again"
        )
    table = pa.concat_tables([SCHEMA.empty_table(), *tables])
    if since is not None:
        table = table.filter(pc.greater_equal(table["time"], pa.scalar(since, SCHEMA.field("time").type)))
    decoded = table.filter(pc.is_valid(table["width"]))
    limits = pc.min_max(table["time"]).as_py()
    return Served(
        features={name: np.asarray(decoded[name], np.float64) for name in FEATURES},
        answers=table.num_rows,
        refused=pc.sum(pc.not_equal(table["status"], 200)).as_py() or 0,
        first=limits["min"],
        last=limits["max"],
        unreadable=partial,
    )


def shard_features(shards: ShardFolder, variant: str, on_progress: OnProgress | None = None) -> dict[str, Values]:
    """Look at the blurred pictures of the training split, or of all splits without one; at most `MOST`."""
    splits = [TRAIN] if shards.summary.counts.get(TRAIN) else list(shards.summary.counts)
    rows = [row for split in splits for row in shards.rows(split)]
    rows = rows[:: -(-len(rows) // MOST)]
    found = []
    for number, row in enumerate(rows, start=1):
        found.append(picture_features(shards.read(row, (variant,)).images[variant]))
        if on_progress is not None:
            on_progress(number, len(rows))
    return {name: np.array([getattr(each, name) for each in found], np.float64) for name in FEATURES}


def stability(reference: Values, served: Values) -> tuple[float, float]:
    """Return the index, and what it is above by chance in one look of a thousand.

    The bins are quantiles of the reference; a value that several of them share, as the width of pictures of one size,
    has a bin of its own. An empty bin counts as half a picture.
    """
    cuts, times = np.unique(np.quantile(reference, np.arange(1, BINS) / BINS), return_counts=True)
    cuts = np.union1d(cuts, np.nextafter(cuts[times > 1], -np.inf))
    p, q = (
        np.maximum(np.bincount(np.searchsorted(cuts, values), minlength=len(cuts) + 1), 0.5) / len(values)
        for values in (reference, served)
    )
    freedom = len(cuts)
    fraction = 2 / (9 * freedom)  # Wilson and Hilferty's chi-square
    chi_square = freedom * (1 - fraction + NormalDist().inv_cdf(1 - BY_CHANCE) * fraction**0.5) ** 3
    return float(((q - p) * np.log(q / p)).sum()), chi_square * (1 / len(reference) + 1 / len(served))


def format_drift(report: DriftReport) -> str:
    """Lay out what moved as a table, with what must be said of it."""
    when = f" from {report.first:%Y-%m-%d %H:%M} to {report.last:%Y-%m-%d %H:%M} UTC" if report.first else ""
    beside = {"refused": report.refused, "damaged or half-written files left out": report.unreadable}
    lines = [
        f"served: {report.served} pictures{when}" + "".join(f"; {what}: {n}" for what, n in beside.items() if n),
        f"shards: {report.pictures} blurred pictures of {report.benchmark}",
        f"{'median (10 to 90 %)':12}{'served':>19}{'shards':>26}{'PSI':>8}{'by chance':>11}",
    ]
    for feature in report.features:
        figures = f"{'-':>8}{'-':>11}"
        if feature.index is not None and feature.by_chance is not None:
            figures = f"{feature.index:8.3f}{feature.by_chance:11.3f}"
        lines.append(
            f"{feature.name:12}{_shown(feature.served):>26}{_shown(feature.shards):>26}{figures}  {feature.verdict}"
        )
    if any(feature.verdict == "too few" for feature in report.features):
        lines.append(f"too few pictures to tell: {LEAST} are needed on either side")
    elif not report.moved:
        lines.append("nothing has moved")
    else:
        lines.append(f"moved: {', '.join(report.moved)}")
    return "\n".join(lines)


def _drift(name: str, reference: Values, served: Values) -> FeatureDrift:
    index = by_chance = None
    verdict: Verdict = "too few"
    if min(len(reference), len(served)) >= LEAST:
        index, by_chance = stability(reference, served)
        verdict = "stable" if index < max(MODERATE, by_chance) else "moderate" if index < LARGE else "moved"
    return FeatureDrift(
        name=name,
        verdict=verdict,
        index=index,
        by_chance=by_chance,
        served=_spread(served),
        shards=Spread(*np.quantile(reference, (0.1, 0.5, 0.9)).tolist()),
    )


def _spread(values: Values) -> Spread | None:
    return Spread(*np.quantile(values, (0.1, 0.5, 0.9)).tolist()) if len(values) else None


def _shown(spread: Spread | None) -> str:
    if spread is None:
        return "-"
    low, median, high = (f"{value:.3g}" if value < 1000 else f"{value:.0f}" for value in spread)
    return f"{median} ({low} to {high})"
