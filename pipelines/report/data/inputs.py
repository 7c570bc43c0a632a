"""Everything that the page and the tables of a report show, as data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from banet.analysis.published import PublishedTable
from banet.data.data_checks import DataChecks
from banet.model.network_config import BANetConfig
from banet.scoring.methods import Method
from banet.tracking.runs import RunScores
from banet.tracking.version_files import RegisteredModel
from pipelines.report.data.image_rows import ImageRow
from pipelines.report.data.other_methods import OtherMethod
from pipelines.stages.evaluation_report import EvaluationReport
from pipelines.stages.stage_results import Promotion, TrainingReport


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRow:
    """One row of the training log."""

    step: int
    loss: float
    validation_psnr: float | None  # dB


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkInputs:
    """What the report shows of one benchmark."""

    evaluation: EvaluationReport
    folder: Path  # of the evaluation; the paths of its samples are relative to it
    images: tuple[ImageRow, ...]  # every image that was scored
    others: tuple[OtherMethod, ...]  # methods scored on the same data, by mean PSNR, the best last
    left_out: tuple[Method, ...]  # methods scored on other data
    checks: DataChecks | None = None  # of its data; None if its shards were made by an older version


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportInputs:
    """Everything that the report of one run shows."""

    package_version: str
    commit: str | None  # None: not made from a checkout
    params: Mapping[str, object]  # params.yaml as read
    training: TrainingReport
    log: tuple[LogRow, ...]
    registered: RegisteredModel
    network: BANetConfig  # of the registered version
    promotion: Promotion
    benchmarks: tuple[BenchmarkInputs, ...]  # the first is the headline
    published: Mapping[int, PublishedTable]  # the paper's tables by their number
    runs: tuple[RunScores, ...]  # all training runs in MLflow
    lineage: Mapping[str, Sequence[tuple[str, str]]] = field(default_factory=dict)  # of the champion, by section

    @property
    def label(self) -> str:
        """Name and version of the registered model."""
        return f"{self.registered.name} version {self.registered.version}"
