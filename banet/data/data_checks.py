"""Checks of a benchmark's data as results: a small table with severities that the shard stage leaves."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from banet.errors import DataError
from banet.files import write_atomically
from banet.parsing import parse

Severity = Literal["ok", "warning", "error"]

SEVERITIES: tuple[Severity, ...] = get_args(Severity)
REMEDY = "run the shard stage again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One property of one split."""

    split: str
    name: str  # "counts", or one that `banet.data.manifest.Acceptable` names
    severity: Severity
    value: float  # what the limits are for
    found: str  # the value with its unit, spread and number of pairs, for people
    limits: str  # what is ok, for people


@dataclass(frozen=True, slots=True, kw_only=True)
class DataChecks:
    """All checks of one benchmark."""

    benchmark: str
    data_digest: str  # of the shards; what they would have been, if an error kept them from being written
    checks: tuple[Check, ...]

    @property
    def severity(self) -> Severity:
        """The worst of all."""
        return worst(self.checks)


def worst(checks: Sequence[Check]) -> Severity:
    """Return the worst severity of some checks, ok without any."""
    return max((check.severity for check in checks), key=SEVERITIES.index, default="ok")


def checks_file(reports: Path, benchmark: str) -> Path:
    """Return where the shard stage leaves the checks of a benchmark."""
    return reports / "checks" / f"{benchmark}.json"


def write_checks(path: Path, checks: DataChecks) -> None:
    """Write the table as JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps({"severity": checks.severity, **asdict(checks)}, indent=2) + "\n")


def read_checks(reports: Path, benchmark: str) -> DataChecks | None:
    """Read the table of a benchmark; None if there is none, as for shards made by an older version.

    Raises:
        DataError: it is damaged.
    """
    path = checks_file(reports, benchmark)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        values.pop("severity", None)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(f"{path} is damaged ({error}): {REMEDY}") from None
    return parse(DataChecks, values, where=str(path))
