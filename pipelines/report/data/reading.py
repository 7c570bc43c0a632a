"""From the files that the stages leave to `ReportInputs`."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from banet.errors import DataError
from banet.model.network_config import BANetConfig
from banet.scoring.methods import METHODS, read_methods
from banet.tracking.registry import RegisteredModel
from banet.tracking.runs import RunScores
from pipelines.report.data.image_rows import read_images
from pipelines.report.data.inputs import LogRow, ReportInputs
from pipelines.report.data.published import PUBLISHED, read_published
from pipelines.report.tables.ablation import ABLATIONS
from pipelines.report.tables.comparison import COMPARISONS
from pipelines.stages.evaluation_report import EVALUATIONS, METRICS, EvaluationReport
from pipelines.stages.stage_results import CURVE, PROMOTION, REGISTERED, TRAINING, Promotion, TrainingReport, read_json

SHOWN = (*COMPARISONS, *ABLATIONS)  # tables of the paper
_LOG_COLUMNS = ("step", "loss", "validation_psnr")


def read_inputs(
    reports: Path,
    *,
    benchmarks: Sequence[str],
    params: Mapping[str, object],
    network: BANetConfig,
    runs: Sequence[RunScores] = (),
    package_version: str,
    commit: str | None,
    published: Path = PUBLISHED,
    methods: Path = METHODS,
) -> ReportInputs:
    """Read what the stages wrote under `reports`: train, register, promote, and evaluate for each benchmark.

    Args:
        reports: the folder.
        benchmarks: the evaluations to show; the first is the headline.
        params: params.yaml as read.
        network: of the registered version.
        runs: of MLflow, for the ablation tables.
        package_version: of banet.
        commit: that is checked out, if any.
        published: folder of the paper's tables.
        methods: folder of what was scored of other methods' images.

    Raises:
        DataError: a file or a key is missing, unknown or mistyped, or the scores belong to another version than the
            registered.

    """
    registered = read_json(RegisteredModel, reports / REGISTERED, stage="register")
    folders = tuple(reports / EVALUATIONS / name for name in benchmarks)
    evaluations = tuple(_read_evaluation(folder, registered) for folder in folders)
    return ReportInputs(
        package_version=package_version,
        commit=commit,
        params=params,
        training=read_json(TrainingReport, reports / TRAINING, stage="train"),
        log=_read_log(reports / CURVE),
        registered=registered,
        promotion=read_json(Promotion, reports / PROMOTION, stage="promote"),
        evaluations=evaluations,
        folders=folders,
        images=tuple(read_images(folder, e.variant) for folder, e in zip(folders, evaluations, strict=True)),
        methods=tuple(read_methods(methods, e.benchmark) for e in evaluations),
        network=network,
        published={number: read_published(number, published) for number in SHOWN},
        runs=tuple(runs),
    )


def _read_log(path: Path) -> tuple[LogRow, ...]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            missing = [name for name in _LOG_COLUMNS if name not in (rows.fieldnames or ())]
            if missing:
                raise DataError(f"{path}: column {missing[0]} is missing: run the train stage again")
            return tuple(_log_row(row, f"{path}, line {rows.line_num}") for row in rows)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): run the train stage first") from None


def _log_row(row: Mapping[str, str | None], where: str) -> LogRow:
    try:
        validation = row["validation_psnr"]
        return LogRow(
            step=int(row["step"] or ""),
            loss=float(row["loss"] or ""),
            validation_psnr=float(validation) if validation else None,
        )
    except ValueError as error:
        raise DataError(f"{where}: {error}: run the train stage again") from None


def _read_evaluation(folder: Path, registered: RegisteredModel) -> EvaluationReport:
    path, stage = folder / METRICS, f"evaluate@{folder.name}"
    report = read_json(EvaluationReport, path, stage=stage)
    if (report.model, report.version) != (registered.name, registered.version):
        raise DataError(
            f"{path} scores {report.model} version {report.version}, registered is {registered.name} version "
            f"{registered.version}: run the {stage} stage again"
        )
    return report
