"""Scoring a model on a benchmark: tables, pictures, and a log of both in the run that made the model.

Both `banet evaluate` and the evaluate stage call this.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from banet.analysis.profile import Latency, measure_latency
from banet.data.names import TEST
from banet.data.shards.index import PairRow
from banet.data.shards.reader import ShardFolder
from banet.files import whole_folder
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
    samples: tuple[Sample, ...] = ()  # evenly spaced over the benchmark; empty if no pictures were made
    worst: tuple[Sample, ...] = ()  # with the lowest restored PSNR, the worst first; empty if no pictures were made
    latency: Latency | None = None  # for one image of the benchmark's size; None if no pictures were made


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
    """Score a model on the test images of a benchmark; an interrupted evaluation is resumed.

    Args:
        scoring: what is scored, and how.
        data: the shards, verified.
        out: gets a table with a row per image (Parquet, CSV), and pictures if `log_to` is given; replaced as a whole.
        storage: keeps the scores of an unfinished evaluation.
        workers: number of processes; if None, it depends on the number and size of the images.
        log_to: store and run that get means, tables and pictures.
        note: a line to print beside the progress.
        summarize: writes further files beside the tables.

    Raises:
        ModelError: damaged weights.
        ResourceError: a GPU is asked for and there is none, or a full disk.
    """
    rows = data.rows(TEST)
    kept = kept_scores(storage, scoring, data.summary.digest)
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
    kept.remove()  # last: if anything above fails, the next run needs them
    return evaluation


def _with_pictures(evaluation: Evaluation, data: ShardFolder, rows: Sequence[PairRow], folder: Path) -> Evaluation:
    variant = evaluation.scoring.variants[0]
    network, restoring = open_model(evaluation.scoring)  # only now: the workers needed the GPU's memory
    pictures = Pictures(network=network, restoring=restoring, data=data, variant=variant, folder=folder)
    return replace(
        evaluation,
        samples=pictures.samples(rows, evaluation.scores[variant]),
        worst=pictures.worst(rows, evaluation.scores[variant]),
        latency=_latency(network, rows[0]),
    )


def _latency(network: BANet, row: PairRow) -> Latency:
    """Time the network on its device, for images of the size of one row."""
    parameter = next(network.parameters())
    runs, warm_up = (20, 5) if parameter.is_cuda else (5, 1)  # a run takes seconds on a CPU
    return measure_latency(
        network, row.height, row.width, device=parameter.device, dtype=parameter.dtype, runs=runs, warm_up=warm_up
    )


def _log(evaluation: Evaluation, out: Path, store: Store, run_id: str) -> None:
    """Log the files in `out` and the means of every variant, under names with the benchmark, variant and options."""
    scoring = evaluation.scoring
    values: dict[str, float] = {}
    for variant, scores in evaluation.scores.items():
        values |= named_means(scores, scoring.place(variant))
    place = scoring.place(scoring.variants[0])
    if evaluation.latency is not None:
        values[f"{place}/latency_ms"] = evaluation.latency.median_ms
    log_metrics(store, run_id, values)
    log_files(store, run_id, sorted(out.iterdir()), folder=f"evaluate/{place}")
