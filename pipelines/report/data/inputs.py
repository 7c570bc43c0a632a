"""What a report says, as data: everything the page and the tables show."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from banet.model.network_config import BANetConfig
from banet.scoring.methods import Method
from banet.tracking.registry import RegisteredModel
from banet.tracking.runs import RunScores
from pipelines.report.data.image_rows import ImageRow
from pipelines.report.data.published import PublishedTable
from pipelines.stages.evaluation_report import EvaluationReport
from pipelines.stages.stage_results import Promotion, TrainingReport


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRow:
    """One row of the training log."""

    step: int
    loss: float
    validation_psnr: float | None  # dB


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportInputs:
    """Everything that the report of one run shows."""

    package_version: str
    commit: str | None  # None: not made from a checkout
    params: Mapping[str, object]  # params.yaml as read
    training: TrainingReport
    log: tuple[LogRow, ...]
    registered: RegisteredModel
    promotion: Promotion
    evaluations: tuple[EvaluationReport, ...]  # the first is the headline
    folders: tuple[Path, ...]  # one for each evaluation: where its samples lie
    images: tuple[tuple[ImageRow, ...], ...]  # one for each evaluation: every image it scored
    methods: tuple[tuple[Method, ...], ...]  # one for each evaluation: whose images of its benchmark were scored here
    network: BANetConfig  # of the registered version
    published: Mapping[int, PublishedTable]  # the paper's tables by their number
    runs: tuple[RunScores, ...]  # all training runs in MLflow
