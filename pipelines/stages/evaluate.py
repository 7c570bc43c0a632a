"""evaluate: score a registered version, pulled from the registry, on a benchmark's test images."""

import tempfile
from pathlib import Path

from banet.data.manifest import MANIFESTS, Benchmark, read_benchmark
from banet.data.names import SHARP, TRAIN
from banet.data.shards.reader import ShardFolder
from banet.inference import fastest_device
from banet.scoring.aggregate import aligned_means, compare, compare_filtered, compare_strata
from banet.scoring.baselines import Filter, best_filter
from banet.scoring.evaluation import Scoring
from banet.scoring.scores import ImageScores
from banet.tracking.evaluations import Evaluation
from banet.tracking.evaluations import evaluate as evaluate_model
from banet.tracking.registry import pull
from banet.tracking.store import Store, connect, main_checkout
from banet.tracking.version_files import RegisteredModel
from pipelines.stages.entrypoint import params, run_command
from pipelines.stages.evaluation_report import METRICS, SCORES, EvaluationReport, FilterReport
from pipelines.stages.stage_results import REGISTERED, REPORTS, read_json, write_json

FILTER_PAIRS = 48  # training pairs that choose the filter
UNFINISHED = ".runs"  # in the main checkout, as training's checkpoints: DVC removes a stage's outputs before it runs


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
    """Score one registered version on one benchmark's test images; an interrupted evaluation is resumed.

    Args:
        benchmark: its manifest; its noise-free variant, if there is one, is scored as well as the one that counts.
        model: the version; its weights are pulled and their digest checked, and its code compared with this one.
        shards: the benchmark's.
        storage: keeps the scores of an unfinished evaluation.
        store: of runs and models; the run that made the model gets metrics, tables and pictures.
        out: gets `metrics.json`, its headline in `scores.json`, and what `banet.tracking.evaluations` writes.
        trained_on: the variant that the model was trained on, if known.
        workers: as in `banet.tracking.evaluations`.
        device: of torch.

    Raises:
        ModelError: the registry does not hold that version with that digest, or it carries other code.
        DataError: missing or damaged shards.
        ResourceError: a GPU is asked for and there is none, or a full disk.
    """
    variants = scored_variants(benchmark, trained_on)
    note = f"scored on {variants[0]}, which the model was trained on" if variants[0] != benchmark.variants[0] else None

    def summarize(evaluation: Evaluation, folder: Path) -> None:
        report = _report(evaluation, model, trained_on)
        write_json(folder / METRICS, report)
        write_json(folder / SCORES, report.headline)

    data = ShardFolder(shards.absolute())
    data.verify()
    with tempfile.TemporaryDirectory() as folder:
        scoring = Scoring(
            weights=pull(store, model.name, model.version, Path(folder) / "weights", model.digest, same_code=True),
            shards=data.folder,
            benchmark=benchmark,
            variants=variants,
            baseline_filter=_best_filter(data, variants[0]),
            device=device,
        )
        return evaluate_model(
            scoring,
            data,
            out,
            storage=storage,
            workers=workers,
            log_to=(store, model.run_id),
            note=note,
            summarize=summarize,
        )


def scored_variants(benchmark: Benchmark, trained_on: str | None) -> tuple[str, ...]:
    """Name the variants to restore: first the one that counts, then the noise-free one, if there is one.

    The one that counts is the variant that the model was trained on, or the benchmark's first if it lacks that one.
    """
    counts = trained_on if trained_on in benchmark.variants else benchmark.variants[0]
    return tuple(dict.fromkeys((str(counts), *([benchmark.noise_free] if benchmark.noise_free else []))))


def _best_filter(data: ShardFolder, variant: str) -> Filter | None:
    if not data.summary.counts.get(TRAIN):
        return None  # the benchmark has no training pairs to choose a filter on
    rows = data.rows(TRAIN)
    chosen = rows[:: max(1, len(rows) // FILTER_PAIRS)]
    images = (data.read(row, (variant, SHARP)).images for row in chosen)
    return best_filter((pair[variant], pair[SHARP]) for pair in images)


def _report(evaluation: Evaluation, model: RegisteredModel, trained_on: str | None) -> EvaluationReport:
    scoring = evaluation.scoring
    scores = evaluation.scores[scoring.variants[0]]
    noise_free = evaluation.scores.get(scoring.benchmark.noise_free or "")
    main = compare(scores)
    return EvaluationReport(
        benchmark=scoring.benchmark.name,
        variant=scoring.variants[0],
        model=model.name,
        version=model.version,
        images=main.images,
        blurred=main.blurred,
        restored=main.restored,
        gain=main.gain,
        strata=compare_strata(scores),
        noise_free=compare(noise_free) if noise_free else None,
        best_filter=_filter_report(scoring.baseline_filter, scores),
        samples=evaluation.samples,
        worst=evaluation.worst,
        latency=evaluation.latency,
        data_digest=evaluation.data_digest,
        trained_variant=trained_on,
        realblur=aligned_means(scores),
    )


def _filter_report(chosen: Filter | None, scores: list[ImageScores]) -> FilterReport | None:
    filtered = compare_filtered(scores)
    if filtered is None:
        return None
    return FilterReport(filter=str(chosen), chosen_on=TRAIN, gain=filtered.gain, scores=filtered.restored)


def main(benchmark: str, shards: Path, out: Path, reports: Path = REPORTS) -> None:
    """Score the registered version on a benchmark's test images."""
    chosen = params()
    evaluate(
        read_benchmark(MANIFESTS, benchmark),
        model=read_json(RegisteredModel, reports / REGISTERED, stage="register"),
        shards=shards,
        storage=main_checkout(Path.cwd()) / UNFINISHED,
        store=connect(),
        out=out,
        trained_on=chosen.benchmark.variant,
        device=fastest_device(gpus=chosen.cluster.gpus_per_worker > 0),
    )


if __name__ == "__main__":
    run_command(main, kept="the scores so far are kept")
