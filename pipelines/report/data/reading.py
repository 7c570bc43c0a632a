"""Reads the files that the stages wrote into `ReportInputs`."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from banet.analysis.published import read_published
from banet.data.data_checks import read_checks
from banet.errors import DataError
from banet.model.network_config import BANetConfig
from banet.scoring.methods import METHODS, read_methods
from banet.tracking.runs import RunScores
from banet.tracking.version_files import RegisteredModel
from pipelines.report.data.image_rows import read_images
from pipelines.report.data.inputs import BenchmarkInputs, LogRow, ReportInputs
from pipelines.report.data.other_methods import other_method
from pipelines.report.tables.ablation import ABLATIONS
from pipelines.report.tables.comparison import COMPARISONS
from pipelines.stages.evaluation_report import EVALUATIONS, METRICS, EvaluationReport
from pipelines.stages.stage_results import CURVE, PROMOTION, REGISTERED, TRAINING, Promotion, TrainingReport, read_json


def read_inputs(
    reports: Path,
    *,
    benchmarks: Sequence[str],
    params: Mapping[str, object],
    network: BANetConfig,
    runs: Sequence[RunScores] = (),
    lineage: Mapping[str, Sequence[tuple[str, str]]] | None = None,
    package_version: str,
    commit: str | None,
    methods: Path = METHODS,
) -> ReportInputs:
    """Read what the stages wrote under `reports`: train, register, promote, and evaluate for each benchmark.

    Args:
        reports: the folder.
        benchmarks: the evaluations to show; the first is the headline.
        params: params.yaml as read.
        network: of the registered version.
        runs: of MLflow, for the ablation tables.
        lineage: of the champion, by section.
        package_version: of banet.
        commit: that is checked out, if any.
        methods: folder with the scores of other methods' images.

    Raises:
        DataError: a file or a key is missing, unknown or mistyped, or the scores are not the registered version's.
    """
    registered = read_json(RegisteredModel, reports / REGISTERED, stage="register")
    return ReportInputs(
        package_version=package_version,
        commit=commit,
        params=params,
        training=read_json(TrainingReport, reports / TRAINING, stage="train"),
        log=_read_log(reports / CURVE),
        registered=registered,
        network=network,
        promotion=read_json(Promotion, reports / PROMOTION, stage="promote"),
        benchmarks=tuple(_read_benchmark(reports, name, registered, methods) for name in benchmarks),
        published={number: read_published(number) for number in (*COMPARISONS, *ABLATIONS)},
        runs=tuple(runs),
        lineage=lineage or {},
    )


def _read_log(path: Path) -> tuple[LogRow, ...]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = csv.DictReader(file)
            for column in ("step", "loss", "validation_psnr"):
                if column not in (lines.fieldnames or ()):
                    raise DataError(f"{path}: column {column} is missing: run the train stage again")
            return tuple(_log_row(line) for line in lines)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): run the train stage first") from None
    except ValueError as error:
        raise DataError(f"{path}, line {lines.line_num}: {error}: run the train stage again") from None


def _log_row(line: Mapping[str, str | None]) -> LogRow:
    validation = line["validation_psnr"]
    return LogRow(
        step=int(line["step"] or ""),
        loss=float(line["loss"] or ""),
        validation_psnr=float(validation) if validation else None,
    )


def _read_benchmark(reports: Path, name: str, registered: RegisteredModel, methods: Path) -> BenchmarkInputs:
    folder, stage = reports / EVALUATIONS / name, f"evaluate@{name}"
    path = folder / METRICS
    evaluation = read_json(EvaluationReport, path, stage=stage)
    if (evaluation.model, evaluation.version) != (registered.name, registered.version):
        raise DataError(
            f"{path} scores {evaluation.model} version {evaluation.version}, registered is {registered.name} version "
            f"{registered.version}: run the {stage} stage again"
        )
    images = read_images(folder, evaluation.variant)
    scored = read_methods(methods, evaluation.benchmark)
    # Older versions wrote no digest of the data: what lacks one is compared with everything.
    digests = {evaluation.data_digest, ""}
    left_out = tuple(m for m in scored if evaluation.data_digest and m.data_digest not in digests)
    others = [other_method(m, images) for m in scored if m not in left_out]
    return BenchmarkInputs(
        evaluation=evaluation,
        folder=folder,
        images=images,
        others=tuple(sorted(others, key=lambda other: (other.means.psnr, other.name))),
        left_out=left_out,
        checks=read_checks(reports, name),
    )
