"""evaluate: a registered version, pulled from the registry, scored on a benchmark's test images."""

import tempfile
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from banet.baselines import Filter, best_filter
from banet.data.archive import SHARP
from banet.data.benchmark import MANIFESTS, Benchmark, read_benchmark
from banet.data.codec import write_image
from banet.data.shards import Row, ShardFolder
from banet.evaluate import ImageScores, compare, compare_strata, score_images
from banet.files import whole_folder
from banet.model import BANet, load_weights
from banet.restore import restore
from banet.tracking.registry import RegisteredModel, pull
from banet.tracking.runs import log_files, log_metrics
from banet.tracking.store import Store, connect
from pipelines.stages.face import run_command, stage_parser
from pipelines.stages.outputs import (
    METRICS,
    REGISTERED,
    REPORTS,
    EvaluationReport,
    FilterReport,
    Sample,
    read_json,
    write_json,
)

FILTER_PAIRS = 48  # training pairs that choose the filter
SAMPLES = 6  # test images shown in the report
TEST, TRAIN = "test", "train"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Everything measured on one benchmark."""

    benchmark: Benchmark
    variant: str
    scores: list[ImageScores]
    noise_free: list[ImageScores]
    filter_name: str | None
    filtered: list[ImageScores]


def evaluate(benchmark: Benchmark, *, model: RegisteredModel, shards: Path, store: Store, out: Path) -> Evaluation:
    """Score one registered version on one benchmark, image by image, pairs in the order of their names.

    Args:
        benchmark: its manifest; the first variant is scored, the noise-free one beside it if there is one.
        model: the version; its weights are pulled and their digest checked.
        shards: the benchmark's.
        store: MLflow's; the run that made the model gets metrics and table.
        out: gets `metrics.json`, the table with a row an image (Parquet and CSV), and samples; replaced as a whole.

    Raises:
        ModelError: the registry does not hold that version with that digest.
        DataError: missing or damaged shards.
    """
    with tempfile.TemporaryDirectory() as folder:
        network = load_weights(pull(store, model.name, model.version, Path(folder) / "weights", model.digest))
    data = ShardFolder(shards)
    data.verify()
    rows = data.rows(TEST)
    variant = benchmark.variants[0]
    restoring = partial(restore, network)
    simple = _best_filter(data, variant)
    result = Evaluation(
        benchmark=benchmark,
        variant=variant,
        scores=score_images(restoring, data, rows, benchmark, variant),
        noise_free=score_images(restoring, data, rows, benchmark, benchmark.noise_free) if benchmark.noise_free else [],
        filter_name=str(simple) if simple else None,
        filtered=score_images(simple, data, rows, benchmark, variant) if simple else [],
    )
    with whole_folder(out) as partial_folder:
        samples = _write_samples(result, network, data, rows, partial_folder)
        write_json(partial_folder / METRICS, _report(result, model, samples))
        _write_tables(result, partial_folder)
    log_metrics(store, model.run_id, _logged(result))
    log_files(store, model.run_id, [out / METRICS, out / "images.csv"], folder=f"evaluate/{benchmark.name}")
    return result


def _best_filter(data: ShardFolder, variant: str) -> Filter | None:
    if not data.summary.counts.get(TRAIN):
        return None  # a benchmark for testing only: nothing to choose a filter on
    rows = data.rows(TRAIN)
    chosen = rows[:: max(1, len(rows) // FILTER_PAIRS)]
    images = (data.read(row, (variant, SHARP)).images for row in chosen)
    return best_filter((pair[variant], pair[SHARP]) for pair in images)


def _report(result: Evaluation, model: RegisteredModel, samples: tuple[Sample, ...]) -> EvaluationReport:
    main = compare(result.scores)
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
        samples=samples,
    )


def _filter_report(result: Evaluation) -> FilterReport | None:
    if result.filter_name is None:
        return None
    filtered = compare(result.filtered)
    return FilterReport(filter=result.filter_name, chosen_on=TRAIN, gain=filtered.gain, scores=filtered.restored)


def _write_samples(
    result: Evaluation, network: BANet, data: ShardFolder, rows: list[Row], folder: Path
) -> tuple[Sample, ...]:
    """Write some images, evenly through the benchmark; one is the first, one the last."""
    samples: list[Sample] = []
    for i in np.linspace(0, len(rows) - 1, min(SAMPLES, len(rows)), dtype=int):
        images = data.read(rows[i], (result.variant, SHARP)).images
        scores, name = result.scores[i], rows[i].key.replace("/", "_")
        pictures = {
            "blurred": images[result.variant],
            "restored": restore(network, images[result.variant]),
            "sharp": images[SHARP],
        }
        files = {kind: f"samples/{name}_{kind}.png" for kind in pictures}
        for kind, picture in pictures.items():
            write_image(folder / files[kind], picture)
        samples.append(
            Sample(
                key=rows[i].key,
                blurred_psnr=scores.blurred.psnr,
                restored_psnr=scores.restored.psnr,
                blurred=files["blurred"],
                restored=files["restored"],
                sharp=files["sharp"],
            )
        )
    return tuple(samples)


def _write_tables(result: Evaluation, folder: Path) -> None:
    table = pa.Table.from_pylist([_flat(score) for score in (*result.scores, *result.noise_free)])
    pq.write_table(table, folder / "images.parquet")
    pyarrow.csv.write_csv(table, folder / "images.csv")


def _flat(score: ImageScores) -> dict[str, object]:
    names = {"key": score.key, "sequence": score.sequence, "stratum": score.stratum, "variant": score.variant}
    parts = {"blurred": asdict(score.blurred), "restored": asdict(score.restored)}
    return names | {f"{part}_{name}": value for part, scores in parts.items() for name, value in scores.items()}


def _logged(result: Evaluation) -> dict[str, float]:
    """Names as MLflow shows them: `mini/restored_psnr`, …."""
    main, prefix = compare(result.scores), result.benchmark.name
    values = {f"{prefix}/blurred_{name}": value for name, value in asdict(main.blurred).items()}
    values |= {f"{prefix}/restored_{name}": value for name, value in asdict(main.restored).items()}
    values |= {f"{prefix}/gain_{name}": part.gain for name, part in compare_strata(result.scores).items()}
    return values | {f"{prefix}/gain": main.gain}


def main() -> None:
    """Read the arguments and evaluate."""
    parser = stage_parser(__doc__)
    parser.add_argument("--benchmark", required=True, help="a manifest's name, e.g. mini")
    parser.add_argument("--shards", type=Path, required=True, help="folder of its shards")
    parser.add_argument("--out", type=Path, required=True, help="folder for scores and samples")
    parser.add_argument("--reports", type=Path, default=REPORTS, help="folder with what the register stage wrote")
    arguments = parser.parse_args()
    evaluate(
        read_benchmark(MANIFESTS, arguments.benchmark),
        model=read_json(RegisteredModel, arguments.reports / REGISTERED, stage="register"),
        shards=arguments.shards,
        store=connect(),
        out=arguments.out,
    )


if __name__ == "__main__":
    run_command(main)
