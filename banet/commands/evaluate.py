"""`banet evaluate`: any weights, registered or in a folder, scored on a benchmark's test images."""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from banet.commands.tables import format_means, positive, require_table
from banet.errors import DataError

if TYPE_CHECKING:
    from banet.scoring.evaluation import Scoring
    from banet.scoring.scores import ImageScores

SHARDS = Path("data/shards")
UNFINISHED = ".runs"  # at the root of the main checkout, as the evaluate stage's


def add_evaluate(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    command = add(
        "evaluate",
        _evaluate,
        "score a model on a benchmark's test images, by the benchmark's own protocol",
        "models/released gopro",
        "models:/banet-gopro@champion hide --out hide.csv",
        "models:/banet-gopro/2 gopro --sub-images",
    )
    command.add_argument("model", help="a folder of weights or a models:/ URI")
    command.add_argument(
        "benchmark", help="a manifest's name, e.g. gopro, whose shards are there: dvc repro shard@gopro"
    )
    command.add_argument("--shards", type=Path, help="folder of its shards (default: data/shards/BENCHMARK)")
    command.add_argument("--variant", help="which blurred images (default: the manifest's first)")
    command.add_argument(
        "--sub-images", action="store_true", help="restore eight parts of each image apart, as SA* and BA* in Table 9"
    )
    command.add_argument(
        "--local-crop", type=positive, metavar="SIDE", help="average strips over windows of a training crop, pixels"
    )
    command.add_argument("--out", type=Path, metavar="FILE", help="a table with a row an image: .csv or .parquet")
    command.add_argument("--workers", type=positive, help="processes (default: a core each, one for few images)")


def _evaluate(parsed: argparse.Namespace) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    from banet.data.benchmark import MANIFESTS, read_benchmark
    from banet.scoring.evaluation import Scoring
    from banet.scoring.table import write_table

    require_table(parsed.out)
    benchmark = read_benchmark(MANIFESTS, parsed.benchmark)
    variant = parsed.variant or benchmark.variants[0]
    if variant not in benchmark.variants:
        raise DataError(f"--variant {variant}: {benchmark.name} has {', '.join(benchmark.variants)}")
    with tempfile.TemporaryDirectory() as folder:
        scoring = Scoring(
            weights=Path(folder) / "weights",
            shards=(parsed.shards or SHARDS / benchmark.name).absolute(),
            benchmark=benchmark,
            variants=(variant,),
            parts=parsed.sub_images,
            local_crop=parsed.local_crop,
        )
        rows = _scored(scoring, parsed.model, parsed.workers)
    if parsed.out is not None:
        write_table(parsed.out, rows)
    print(format_means(rows))


def _scored(scoring: "Scoring", source: str, workers: int | None) -> "list[ImageScores]":
    """Score, and log the means to the run that made the version, where the weights are a registered one."""
    from dataclasses import asdict, replace

    from banet.data.shards import ShardFolder
    from banet.model import save_weights, weights_digest
    from banet.progress import StatusLine
    from banet.scoring.evaluation import score_benchmark
    from banet.scoring.means import named_means
    from banet.scoring.resume import finished_blocks
    from banet.tracking.load import find_registered, load_model
    from banet.tracking.runs import log_metrics
    from banet.tracking.store import main_checkout

    held = find_registered(source) if source.startswith("models:") else None
    save_weights(load_model(source), scoring.weights)
    data = ShardFolder(scoring.shards)
    data.verify()
    places = {"weights": weights_digest(scoring.weights), "shards": data.summary.digest}
    depends_on = asdict(replace(scoring, weights=Path(), shards="")) | places
    kept = finished_blocks(main_checkout(Path.cwd()) / UNFINISHED, scoring.benchmark.name, depends_on)
    line = StatusLine(f"evaluate@{scoring.benchmark.name}", sys.stderr)
    try:
        rows = score_benchmark(scoring, data.rows("test"), kept=kept, workers=workers, report=line.count)
    finally:
        line.close()
    kept.remove()
    if held is not None:
        store, model = held
        log_metrics(store, model.run_id, named_means(rows, scoring.place))
    return rows
