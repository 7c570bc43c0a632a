"""The small files that stages hand to each other."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from banet.errors import DataError
from banet.files import write_atomically
from banet.parsing import parse

T = TypeVar("T")

CANDIDATE = Path("models/candidate")
RUN = "run.json"  # beside the weights
REPORTS = Path("reports")
TRAINING = "train.json"
CURVE = "training.csv"
REGISTERED = "registered.json"
PROMOTION = "promotion.json"
METRICS = "metrics.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedBy:
    """Which MLflow run made the weights."""

    run_id: str
    data_digest: str  # of the shards


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingReport:
    """What training reached; DVC's metrics."""

    steps: int
    best_step: int
    validation_psnr: float  # dB, at best_step
    blurred_validation_psnr: float  # dB, of the input
    parameters: int
    run_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """What became of the candidate."""

    name: str
    candidate_version: int
    champion_version: int  # after the decision
    moved: bool
    reason: str
    candidate_psnr: float  # dB, on the validation data
    champion_psnr: float | None  # dB, of the champion before; none if there was none


def write_json(path: Path, value: object) -> None:
    """Write a dataclass as JSON, whole or not at all."""
    write_atomically(path, json.dumps(asdict(value), indent=2) + "\n")  # type: ignore[call-overload]


def read_json(cls: type[T], path: Path, *, stage: str) -> T:
    """Read what `write_json` wrote; `stage` is the one that makes it.

    Raises:
        DataError: the file is missing or damaged.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise DataError(f"{path} is missing: run the {stage} stage first") from None
    except ValueError as error:
        raise DataError(f"{path} is damaged ({error}): run the {stage} stage again") from None
    return parse(cls, values, where=str(path))
