"""Scoring a model on a benchmark, leaving tables and pictures, and adding all of it to the run that made the model.

`banet evaluate` and the evaluate stage are both this.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from banet.analysis.profile import Latency, measure_latency
from banet.data.names import TEST
from banet.data.shards.index import PairRow
from banet.data.shards.reader import ShardFolder
from banet.files import whole_folder
from banet.model.digest import weights_digest
from banet.model.network import BANet
from banet.progress import ProgressBar
from banet.scoring.aggregate import named_means
from banet.scoring.evaluation import Scoring, kept_scores, open_model, score_benchmark
from banet.scoring.pictures import Pictures, Sample
from banet.scoring.scores import ImageScores
from banet.scoring.table import TABLES, write_table
from banet.tracking.runs import log_files, log_metrics
from banet.tracking.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One model on one benchmark's test images."""

    scoring: Scoring
    scores: dict[str, list[ImageScores]]  # by variant, in the order of the benchmark's keys
    data_digest: str  # of the shards
    samples: tuple[Sample, ...] = ()  # evenly through the benchmark; empty where no pictures were made
    worst: tuple[Sample, ...] = ()  # the images of lowest PSNR restored, the worst first; likewise
    latency: Latency | None = None  # of one image of the benchmark's size; likewise


def evaluate(
    scoring: Scoring,
    data: ShardFolder,
    out: Path,
    *,
    storage: Path,
    workers: int | None = None,
    log_to: tuple[Store, str] | None = None,
    note: str | None = None,
    summarize: Callable[[Evaluation, Path], None] = lambda evaluation, folder: None,
) -> Evaluation:
    """Score a model on the test images of a benchmark, continuing where an interrupted evaluation of it ended.

    Args:
        scoring: what is scored, and how; its first variant is the one that counts.
        data: the shards, verified.
        out: gets a table with a row per image (Parquet and CSV), and pictures where a run gets them too; replaced as a
            whole.
        storage: keeps the scores until all are there.
        workers: processes; by the work if None.
        log_to: store and run that get means, tables and pictures; none if None.
        note: a line for the person who waits.
        summarize: writes further files beside the tables.

    Raises:
        ModelError: damaged weights.
        ResourceError: a GPU is asked for and there is none, or a full disk.
    """
    rows = data.rows(TEST)
    kept = kept_scores(storage, scoring, weights=weights_digest(scoring.weights), shards=data.summary.digest)
    with ProgressBar(f"evaluate@{scoring.benchmark.name}", unit=" images") as bar:
        if note is not None:
            bar.say(note)
        scores = score_benchmark(scoring, rows, kept=kept, workers=workers, on_progress=bar.to)
    with whole_folder(out) as partial:
        for table in TABLES:
            write_table(partial / table, scores)
        parts = (scores[i * len(rows) : (i + 1) * len(rows)] for i in range(len(scoring.variants)))
        evaluation = Evaluation(
            scoring=scoring,
            scores=dict(zip(scoring.variants, parts, strict=True)),
            data_digest=data.summary.digest,
        )
        if log_to is not None:
            evaluation = _with_pictures(evaluation, data, rows, partial)
        summarize(evaluation, partial)
    if log_to is not None:
        _log(evaluation, out, *log_to)
    kept.remove()  # last: DVC runs a stage that failed once more, from nothing
    return evaluation


def _with_pictures(evaluation: Evaluation, data: ShardFolder, rows: Sequence[PairRow], folder: Path) -> Evaluation:
    variant = evaluation.scoring.variants[0]
    network, restoring = open_model(evaluation.scoring)  # not before: other processes may have needed the GPU's memory
    pictures = Pictures(network=network, restoring=restoring, data=data, variant=variant, folder=folder)
    return replace(
        evaluation,
        samples=pictures.samples(rows, evaluation.scores[variant]),
        worst=pictures.worst(rows, evaluation.scores[variant]),
        latency=_latency(network, rows[0]),
    )


def _latency(network: BANet, row: PairRow) -> Latency:
    """Time images of the size of one row, where the network is."""
    parameter = next(network.parameters())
    runs, warm_up = (20, 5) if parameter.is_cuda else (5, 1)  # seconds a run on a CPU
    return measure_latency(
        network, row.height, row.width, device=parameter.device, dtype=parameter.dtype, runs=runs, warm_up=warm_up
    )


def _log(evaluation: Evaluation, out: Path, store: Store, run_id: str) -> None:
    """Add what is in `out`, and the means of every variant, under names that tell benchmark, variant and options."""
    scoring = evaluation.scoring
    values: dict[str, float] = {}
    for variant, scores in evaluation.scores.items():
        values |= named_means(scores, scoring.place(variant))
    place = scoring.place(scoring.variants[0])
    if evaluation.latency is not None:
        values[f"{place}/latency_ms"] = evaluation.latency.median_ms
    log_metrics(store, run_id, values)
    log_files(store, run_id, sorted(out.iterdir()), folder=f"evaluate/{place}")
