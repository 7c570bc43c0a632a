"""From the files that the stages leave to `ReportInputs`: the one place that knows their names and keys."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from banet.errors import DataError
from pipelines.report.inputs import (
    BestFilter,
    Comparison,
    Evaluation,
    LogRow,
    Promotion,
    Registered,
    ReportInputs,
    Sample,
    Scores,
    Training,
)

_LOG_COLUMNS = ("step", "loss", "validation_psnr")


def read_inputs(
    reports: Path,
    *,
    benchmarks: Sequence[str],
    params: Mapping[str, object],
    package_version: str,
    commit: str | None,
) -> ReportInputs:
    """Read what the stages wrote under `reports`: train, register, promote, and evaluate for each benchmark.

    Raises:
        DataError: a file or a key is missing or mistyped, or the scores belong to another version than the registered.

    """
    registered = _read_registered(reports / "registered.json")
    return ReportInputs(
        package_version=package_version,
        commit=commit,
        params=params,
        training=_read_training(reports / "train.json", reports / "training.csv"),
        registered=registered,
        promotion=_read_promotion(reports / "promotion.json"),
        evaluations=tuple(_read_evaluation(reports / "evaluate" / name, name, registered) for name in benchmarks),
    )


@dataclass(frozen=True, slots=True)
class _Section:
    """A JSON object with typed access; `where` names it in errors."""

    values: Mapping[str, object]
    where: str
    stage: str  # the stage that writes the file

    def _get(self, key: str, kind: type | tuple[type, ...], expected: str) -> object:
        if key not in self.values:
            raise DataError(f"{self.where}{key} is missing: run the stage {self.stage} again")
        value = self.values[key]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise DataError(f"{self.where}{key} must be {expected}, got {value!r}: run the stage {self.stage} again")
        return value

    def number(self, key: str) -> float:
        return float(self._get(key, (int, float), "a number"))  # type: ignore[arg-type]

    def whole(self, key: str) -> int:
        return int(self._get(key, int, "a whole number"))  # type: ignore[call-overload, no-any-return]

    def text(self, key: str) -> str:
        return str(self._get(key, str, "text"))

    def flag(self, key: str) -> bool:
        return bool(self._get(key, bool, "true or false"))

    def section(self, key: str) -> "_Section":
        values = self._get(key, dict, "an object")
        return _Section(values, f"{self.where}{key}.", self.stage)  # type: ignore[arg-type]

    def sections(self, key: str) -> list["_Section"]:
        items = self._get(key, list, "a list")
        keyed = {f"{key}[{i}]": item for i, item in enumerate(items)}  # type: ignore[arg-type, var-annotated]
        return [_Section(keyed, self.where, self.stage).section(name) for name in keyed]

    def empty(self, key: str) -> bool:
        """Whether the key is absent or null."""
        return self.values.get(key) is None


def _read_json(path: Path, stage: str) -> _Section:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): run the stage {stage} first") from None
    except ValueError as error:
        raise DataError(f"{path} is not JSON ({error}): run the stage {stage} again") from None
    if not isinstance(values, dict):
        raise DataError(f"{path} must hold one JSON object: run the stage {stage} again")
    return _Section(values, f"{path}: ", stage)


def _read_registered(path: Path) -> Registered:
    values = _read_json(path, "register")
    return Registered(name=values.text("name"), version=values.whole("version"), digest=values.text("digest"))


def _read_promotion(path: Path) -> Promotion:
    values = _read_json(path, "promote")
    return Promotion(
        moved=values.flag("moved"),
        reason=values.text("reason"),
        candidate_version=values.whole("candidate_version"),
        champion_version=None if values.empty("champion_version") else values.whole("champion_version"),
        candidate_psnr=values.number("candidate_psnr"),
        champion_psnr=None if values.empty("champion_psnr") else values.number("champion_psnr"),
    )


def _read_training(path: Path, log: Path) -> Training:
    values = _read_json(path, "train")
    return Training(
        steps=values.whole("steps"),
        best_step=values.whole("best_step"),
        validation_psnr=values.number("validation_psnr"),
        blurred_validation_psnr=values.number("blurred_validation_psnr"),
        parameters=values.whole("parameters"),
        run_id=values.text("run_id"),
        log=_read_log(log),
    )


def _read_log(path: Path) -> tuple[LogRow, ...]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            missing = [name for name in _LOG_COLUMNS if name not in (rows.fieldnames or ())]
            if missing:
                raise DataError(f"{path}: column {missing[0]} is missing: run the stage train again")
            return tuple(_log_row(row, f"{path}, line {rows.line_num}") for row in rows)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): run the stage train first") from None


def _log_row(row: Mapping[str, str | None], where: str) -> LogRow:
    try:
        validation = row["validation_psnr"]
        return LogRow(
            step=int(row["step"] or ""),
            loss=float(row["loss"] or ""),
            validation_psnr=float(validation) if validation else None,
        )
    except ValueError as error:
        raise DataError(f"{where}: {error}: run the stage train again") from None


def _read_evaluation(folder: Path, benchmark: str, registered: Registered) -> Evaluation:
    stage = f"evaluate@{benchmark}"
    path = folder / "metrics.json"
    values = _read_json(path, stage)
    scored = values.text("model"), values.whole("version")
    if scored != (registered.name, registered.version):
        raise DataError(
            f"{path} scores {scored[0]} version {scored[1]}, registered is {registered.name} version "
            f"{registered.version}: run the stage {stage} again"
        )
    overall = _comparison(values)
    strata = values.section("strata")
    return Evaluation(
        benchmark=values.text("benchmark"),
        variant=values.text("variant"),
        overall=overall,
        strata={name: _comparison(strata.section(name)) for name in strata.values},
        noise_free=(
            None if values.empty("noise_free") else _comparison(values.section("noise_free"), images=overall.images)
        ),
        best_filter=None if values.empty("best_filter") else _best_filter(values.section("best_filter")),
        samples=tuple(_sample(item, folder) for item in values.sections("samples")),
    )


def _comparison(values: _Section, images: int | None = None) -> Comparison:
    return Comparison(
        images=values.whole("images") if images is None else images,
        blurred=_scores(values.section("blurred")),
        restored=_scores(values.section("restored")),
        gain=values.number("gain"),
    )


def _scores(values: _Section) -> Scores:
    return Scores(
        psnr=values.number("psnr"),
        ssim_matlab3d=values.number("ssim_matlab3d"),
        ssim_channel=values.number("ssim_channel"),
    )


def _best_filter(values: _Section) -> BestFilter:
    return BestFilter(
        name=values.text("filter"),
        chosen_on=values.text("chosen_on"),
        scores=_scores(values),
        gain=values.number("gain"),
    )


def _sample(values: _Section, folder: Path) -> Sample:
    return Sample(
        key=values.text("key"),
        blurred_psnr=values.number("blurred_psnr"),
        restored_psnr=values.number("restored_psnr"),
        blurred=folder / values.text("blurred"),
        restored=folder / values.text("restored"),
        sharp=folder / values.text("sharp"),
    )
