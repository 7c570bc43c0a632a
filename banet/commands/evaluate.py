"""`banet evaluate`: any weights, registered or in a folder, scored on a benchmark's test images."""

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from banet.commands.options import Positive
from banet.commands.tables import format_means, format_published, require_table
from banet.engines.engine_names import Engine, named_version
from banet.errors import DataError

if TYPE_CHECKING:
    from banet.data.shards.reader import ShardFolder
    from banet.scoring.evaluation import Scoring
    from banet.tracking.evaluations import Evaluation

SHARDS = Path("data/shards")
UNFINISHED = ".runs"  # at the root of the main checkout, as the evaluate stage's


def evaluate(
    model: str,
    benchmark: str,
    /,
    *,
    shards: Path | None = None,
    variant: str | None = None,
    sub_images: bool = False,
    local_crop: Positive | None = None,
    out: Path | None = None,
    device: Literal["cpu", "cuda"] | None = None,
    workers: Positive | None = None,
    engine: Engine = "torch",
) -> None:
    """Score a model on a benchmark's test images, by the benchmark's own protocol.

    For example:
      banet evaluate models/released gopro
      banet evaluate models:/banet-gopro@champion hide --out hide.csv
      banet evaluate models:/banet-gopro/2 gopro --sub-images

    Args:
        model: a folder of weights or a models:/ URI.
        benchmark: a manifest's name, e.g. gopro, whose shards are there: dvc repro shard@gopro.
        shards: folder of its shards; by default data/shards/BENCHMARK.
        variant: which blurred images; by default the manifest's first.
        sub_images: restore eight sub-images of each image separately, as SA* and BA* in Table 9.
        local_crop: average strips over windows of a training crop of this side, pixels.
        out: a table with a row per image: .csv or .parquet.
        device: by default cuda where there is a GPU.
        workers: processes; by default one per core, and one for few images.
        engine: onnxruntime also restores some of the images on the CPU, and a line says how far it is from torch, and
            how fast. Scores are always torch's in float32.
    """
    named_version(engine)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    from banet.data.manifest import MANIFESTS, read_benchmark
    from banet.data.shards.reader import ShardFolder
    from banet.inference import fastest_device
    from banet.model.weights import save_weights
    from banet.scoring.evaluation import Scoring
    from banet.scoring.table import write_table
    from banet.tracking import evaluations
    from banet.tracking.load import find_registered, load_model
    from banet.tracking.registry import pull
    from banet.tracking.store import main_checkout

    require_table(out)
    manifest = read_benchmark(MANIFESTS, benchmark)
    chosen = variant or manifest.variants[0]
    if chosen not in manifest.variants:
        raise DataError(f"--variant {chosen}: {manifest.name} has {', '.join(manifest.variants)}")
    registered = find_registered(model) if model.startswith("models:") else None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scoring = Scoring(
            weights=folder / "weights",
            shards=(shards or SHARDS / manifest.name).absolute(),
            benchmark=manifest,
            variants=(chosen,),
            device=device or fastest_device(),
            sub_images=sub_images,
            local_crop=local_crop,
        )
        if registered is None:
            save_weights(load_model(model), scoring.weights)
        else:
            store, version = registered
            pull(store, version.name, version.version, scoring.weights, same_code=True)
        data = ShardFolder(scoring.shards)
        data.verify()

        def show(evaluation: "Evaluation", _: Path) -> None:  # before MLflow's server may fail
            if out is not None:
                write_table(out, evaluation.scores[chosen])
            print(format_means(evaluation.scores[chosen]))
            published = format_published(scoring, evaluation.scores[chosen], registered and registered[1].name)
            if published is not None:
                print(published)

        evaluations.evaluate(
            scoring,
            data,
            folder / "evaluation",
            storage=main_checkout(Path.cwd()) / UNFINISHED,
            workers=workers,
            log_to=None if registered is None else (registered[0], registered[1].run_id),
            summarize=show,
        )
        if engine != "torch":
            print(_format_against_torch(scoring, data, engine))


def _format_against_torch(scoring: "Scoring", data: "ShardFolder", engine: Engine) -> str:
    """Compare an engine with torch on the images that are shown of a benchmark."""
    from dataclasses import replace

    from banet.data.names import SHARP, TEST
    from banet.engines.against_torch import against_torch
    from banet.model.digest import weights_digest
    from banet.scoring.evaluation import open_model
    from banet.scoring.pictures import sample_rows

    network, _ = open_model(replace(scoring, device="cpu"))
    (variant,), rows = scoring.variants, data.rows(TEST)
    images = (data.read(rows[place], (variant, SHARP)).images for place in sample_rows(rows))
    pairs = ((pair[variant], pair[SHARP]) for pair in images)
    found = against_torch(network, engine, pairs, digest=weights_digest(scoring.weights))
    return (
        f"{named_version(engine)}: at most {found.largest_difference:.4f} dB from torch on {found.images} whole "
        f"images, {found.times_as_fast:.2f} times as fast"
    )
