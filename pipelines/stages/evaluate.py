"""evaluate: a registered version, pulled from the registry, scored on a benchmark's test images."""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from banet.baselines import Filter, best_filter
from banet.data.archive import SHARP
from banet.data.benchmark import MANIFESTS, Benchmark, read_benchmark
from banet.data.index import Row
from banet.data.shards import ShardFolder
from banet.files import whole_folder
from banet.model import BANet
from banet.profile import Latency, measure_latency
from banet.progress import StatusLine
from banet.scoring.evaluation import TEST, Scoring, kept_scores, open_model, score_benchmark
from banet.scoring.means import aligned_means, compare, compare_filtered, compare_strata, named_means
from banet.scoring.pictures import SAMPLES, Pictures
from banet.scoring.resume import FinishedBlocks
from banet.scoring.scores import ImageScores
from banet.scoring.table import TABLES, write_table
from banet.tracking.registry import RegisteredModel, pull
from banet.tracking.runs import log_files, log_metrics
from banet.tracking.store import Store, connect, main_checkout
from pipelines.stages.face import params, run_command, scoring_device, stage_parser
from pipelines.stages.outputs import (
    METRICS,
    REGISTERED,
    REPORTS,
    SCORES,
    EvaluationReport,
    FilterReport,
    read_json,
    write_json,
)

FILTER_PAIRS = 48  # training pairs that choose the filter
TRAIN = "train"
UNFINISHED = ".runs"  # at the root of the main checkout, as training's checkpoints: DVC removes outputs before it runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Everything measured on one benchmark."""

    benchmark: Benchmark
    variant: str  # that counts
    trained_on: str | None  # variant
    simple: Filter | None
    scores: list[ImageScores]  # of that variant
    noise_free: list[ImageScores]


def evaluate(
    benchmark: Benchmark,
    *,
    model: RegisteredModel,
    shards: Path,
    storage: Path,
    store: Store,
    out: Path,
    trained_on: str | None = None,
    workers: int | None = None,
    device: str = "cpu",
) -> Evaluation:
    """Score one registered version on one benchmark, image by image, pairs in the order of their names.

    Args:
        benchmark: its manifest; the noise-free variant is scored beside the one that counts, if there is one.
        model: the version; its weights are pulled and their digest checked.
        shards: the benchmark's.
        storage: where scores lie until all are there: an interrupted evaluation goes on.
        store: MLflow's; the run that made the model gets metrics, tables and pictures.
        out: gets `metrics.json`, the few numbers of it in `scores.json`, a table with a row an image (Parquet, CSV),
            and pictures in `samples`; replaced as a whole.
        trained_on: variant that the model was trained on; it is scored if the benchmark has it, else its first.
        workers: processes; by the work, if None.
        device: of torch.

    Raises:
        ModelError: the registry does not hold that version with that digest.
        DataError: missing or damaged shards.
        ResourceError: a GPU is asked for and there is none, or a full disk.
    """
    data = ShardFolder(shards)
    data.verify()
    rows, variants = data.rows(TEST), scored_variants(benchmark, trained_on)
    with tempfile.TemporaryDirectory() as folder:
        scoring = Scoring(
            weights=pull(store, model.name, model.version, Path(folder) / "weights", model.digest),
            shards=shards.absolute(),
            benchmark=benchmark,
            variants=variants,
            simple=_best_filter(data, variants[0]),
            device=device,
        )
        kept = kept_scores(storage, scoring, weights=model.digest, shards=data.summary.digest)
        scores = _score(scoring, rows, kept, workers)
        network, restoring = open_model(scoring)  # not before: other processes may need the GPU's memory
    result = Evaluation(
        benchmark=benchmark,
        variant=variants[0],
        trained_on=trained_on,
        simple=scoring.simple,
        scores=scores[: len(rows)],
        noise_free=scores[-len(rows) :] if benchmark.noise_free else [],
    )
    with whole_folder(out) as partial_folder:
        pictures = Pictures(
            network=network, restoring=restoring, data=data, variant=result.variant, folder=partial_folder
        )
        report = _report(result, model, data, pictures)
        _write_scores(partial_folder, report, scores)
    _log(store, model, report, result.scores, out)
    kept.remove()  # last: DVC runs a stage that failed once more, from nothing
    return result


def scored_variants(benchmark: Benchmark, trained_on: str | None) -> tuple[str, ...]:
    """Name the variants whose blurred images are restored, the one that counts first, the noise-free one last.

    The one that counts is what the model was trained on, where the benchmark has it, and else the benchmark's first.
    """
    counts = trained_on if trained_on in benchmark.variants else benchmark.variants[0]
    return tuple(dict.fromkeys((str(counts), *([benchmark.noise_free] if benchmark.noise_free else []))))


def _score(scoring: Scoring, rows: list[Row], kept: FinishedBlocks, workers: int | None) -> list[ImageScores]:
    line = StatusLine(f"evaluate@{scoring.benchmark.name}", sys.stderr)
    if scoring.variants[0] != scoring.benchmark.variants[0]:
        line.say(f"scored on {scoring.variants[0]}, which the model was trained on")
    try:
        return score_benchmark(scoring, rows, kept=kept, workers=workers, report=line.count)
    finally:
        line.close()


def _best_filter(data: ShardFolder, variant: str) -> Filter | None:
    if not data.summary.counts.get(TRAIN):
        return None  # a benchmark for testing only: nothing to choose a filter on
    rows = data.rows(TRAIN)
    chosen = rows[:: max(1, len(rows) // FILTER_PAIRS)]
    images = (data.read(row, (variant, SHARP)).images for row in chosen)
    return best_filter((pair[variant], pair[SHARP]) for pair in images)


def _write_scores(folder: Path, report: EvaluationReport, scores: list[ImageScores]) -> None:
    write_json(folder / METRICS, report)
    write_json(folder / SCORES, report.headline)
    for name in TABLES:
        write_table(folder / name, scores)


def _log(store: Store, model: RegisteredModel, report: EvaluationReport, scores: list[ImageScores], out: Path) -> None:
    """Add metrics, tables and pictures to the run that made the model."""
    values = named_means(scores, report.benchmark)
    if report.latency is not None:
        values[f"{report.benchmark}/latency_ms"] = report.latency.median_ms
    log_metrics(store, model.run_id, values)
    files = [out / name for name in (METRICS, *TABLES, SAMPLES)]
    log_files(store, model.run_id, files, folder=f"evaluate/{report.benchmark}")


def _report(result: Evaluation, model: RegisteredModel, data: ShardFolder, pictures: Pictures) -> EvaluationReport:
    main, rows = compare(result.scores), data.rows(TEST)
    return EvaluationReport(
        benchmark=result.benchmark.name,
        variant=result.variant,
        model=model.name,
        version=model.version,
        images=main.images,
        blurred=main.blurred,
        restored=main.restored,
        gain=main.gain,
        strata=compare_strata(result.scores),
        noise_free=compare(result.noise_free) if result.noise_free else None,
        best_filter=_filter_report(result),
        samples=pictures.samples(rows, result.scores),
        worst=pictures.worst(rows, result.scores),
        latency=_latency(pictures.network, rows[0]),
        data_digest=data.summary.digest,
        trained_variant=result.trained_on,
        realblur=aligned_means(result.scores),
    )


def _filter_report(result: Evaluation) -> FilterReport | None:
    filtered = compare_filtered(result.scores)
    if filtered is None:
        return None
    return FilterReport(filter=str(result.simple), chosen_on=TRAIN, gain=filtered.gain, scores=filtered.restored)


def _latency(network: BANet, row: Row) -> Latency:
    """Time images of the size of one row, where the network is."""
    parameter = next(network.parameters())
    runs, warm_up = (20, 5) if parameter.is_cuda else (5, 1)  # seconds a run on a CPU
    return measure_latency(
        network, row.height, row.width, device=parameter.device, dtype=parameter.dtype, runs=runs, warm_up=warm_up
    )


def main() -> None:
    """Read the arguments and evaluate."""
    parser = stage_parser(__doc__)
    parser.add_argument("--benchmark", required=True, help="a manifest's name, e.g. mini")
    parser.add_argument("--shards", type=Path, required=True, help="folder of its shards")
    parser.add_argument("--out", type=Path, required=True, help="folder for scores and samples")
    parser.add_argument("--reports", type=Path, default=REPORTS, help="folder with what the register stage wrote")
    arguments = parser.parse_args()
    chosen = params()
    evaluate(
        read_benchmark(MANIFESTS, arguments.benchmark),
        model=read_json(RegisteredModel, arguments.reports / REGISTERED, stage="register"),
        shards=arguments.shards,
        storage=main_checkout(Path.cwd()) / UNFINISHED,
        store=connect(),
        out=arguments.out,
        trained_on=chosen.benchmark.variant,
        device=scoring_device(chosen.cluster),
    )


if __name__ == "__main__":
    run_command(main)
