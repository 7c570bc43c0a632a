"""The small files that stages write for each other."""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from banet.errors import ConfigError, DataError
from banet.files import write_atomically
from banet.parsing import parse
from banet.scoring.bootstrap import Difference

T = TypeVar("T")

CANDIDATE = Path("models/candidate")
RUN = "run.json"  # beside the weights
REPORTS = Path("reports")
TRAINING = "train.json"
CURVE = "training.csv"
REGISTERED = "registered.json"
PROMOTION = "promotion.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedBy:
    """Which MLflow run made the weights."""

    run_id: str
    data_digest: str  # of the shards


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingReport:
    """The result of training; DVC's metrics."""

    steps: int
    best_step: int
    validation_psnr: float  # dB, at best_step
    averaged: bool = False  # whether the weights are an average over steps, see `ema_decay`
    blurred_validation_psnr: float  # dB, of the unrestored images
    parameters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """Whether the candidate became the champion, and why."""

    name: str
    candidate_version: int
    previous_version: int | None  # the champion before the decision, if there was one
    moved: bool
    reason: str
    candidate_psnr: float  # dB, on the validation data
    previous_psnr: float | None  # dB, of the champion before
    difference: Difference | None = None  # in PSNR to the previous champion, if that is another version
    data_digest: str = ""  # of the shards that both were scored on


def write_json(path: Path, value: object) -> None:
    """Write a dataclass as JSON, completely or not at all; infinity, which JSON lacks, as the text "inf"."""
    text = json.dumps(_without_infinite(asdict(value)), indent=2, allow_nan=False)  # type: ignore[call-overload]
    write_atomically(path, text + "\n")


def read_json(cls: type[T], path: Path, *, stage: str) -> T:
    """Read what `write_json` wrote in a stage.

    Raises:
        DataError: the file is missing or damaged, or has an unknown, missing or mistyped key.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"), object_hook=_with_infinite)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): run the {stage} stage first") from None
    except ValueError as error:
        raise DataError(f"{path} is damaged ({error}): run the {stage} stage again") from None
    try:
        return parse(cls, values, where=str(path))
    except ConfigError as error:
        raise DataError(f"{error}: run the {stage} stage again") from None


def _without_infinite(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_infinite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_infinite(item) for item in value]
    return str(value) if isinstance(value, float) and math.isinf(value) else value


def _with_infinite(values: dict[str, object]) -> dict[str, object]:
    """Read "inf" as a number in fields that hold one: PSNR and gains."""
    return {
        key: float(item) if item in ("inf", "-inf") and key.endswith(("psnr", "gain")) else item
        for key, item in values.items()
    }
