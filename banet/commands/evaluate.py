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
    from banet.scoring.resume import FinishedBlocks
    from banet.scoring.scores import ImageScores
    from banet.tracking.registry import RegisteredModel
    from banet.tracking.store import Store

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
    command.add_argument("--device", choices=("cpu", "cuda"), help="default: cuda where there is a GPU")
    command.add_argument("--workers", type=positive, help="processes (default: a core each, one for few images)")


def _evaluate(parsed: argparse.Namespace) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    from banet.data.benchmark import MANIFESTS, read_benchmark
    from banet.model import save_weights
    from banet.scoring.evaluation import Scoring
    from banet.scoring.table import write_table
    from banet.tracking.load import find_registered, load_model

    require_table(parsed.out)
    benchmark = read_benchmark(MANIFESTS, parsed.benchmark)
    variant = parsed.variant or benchmark.variants[0]
    if variant not in benchmark.variants:
        raise DataError(f"--variant {variant}: {benchmark.name} has {', '.join(benchmark.variants)}")
    held = find_registered(parsed.model) if parsed.model.startswith("models:") else None
    with tempfile.TemporaryDirectory() as folder:
        scoring = Scoring(
            weights=Path(folder) / "weights",
            shards=(parsed.shards or SHARDS / benchmark.name).absolute(),
            benchmark=benchmark,
            variants=(variant,),
            device=parsed.device or _fastest_device(),
            parts=parsed.sub_images,
            local_crop=parsed.local_crop,
        )
        save_weights(load_model(parsed.model), scoring.weights)
        rows, kept = _scored(scoring, parsed.workers)
        if parsed.out is not None:
            write_table(parsed.out, rows)
        print(format_means(rows))
        if held is not None:
            _log(scoring, rows, *held)
        kept.remove()


def _scored(scoring: "Scoring", workers: int | None) -> "tuple[list[ImageScores], FinishedBlocks]":
    """Score what is not done yet; also where all blocks lie now."""
    from banet.data.shards import ShardFolder
    from banet.model import weights_digest
    from banet.progress import StatusLine
    from banet.scoring.evaluation import TEST, kept_scores, score_benchmark
    from banet.tracking.store import main_checkout

    data = ShardFolder(scoring.shards)
    data.verify()
    kept = kept_scores(
        main_checkout(Path.cwd()) / UNFINISHED,
        scoring,
        weights=weights_digest(scoring.weights),
        shards=data.summary.digest,
    )
    line = StatusLine(f"evaluate@{scoring.benchmark.name}", sys.stderr)
    try:
        rows = score_benchmark(scoring, data.rows(TEST), kept=kept, workers=workers, report=line.count)
    finally:
        line.close()
    return rows, kept


def _log(scoring: "Scoring", rows: "list[ImageScores]", store: "Store", model: "RegisteredModel") -> None:
    """Add means, tables and pictures to the run that made the version, as the evaluate stage does."""
    from banet.data.shards import ShardFolder
    from banet.scoring.evaluation import TEST, open_model
    from banet.scoring.means import named_means
    from banet.scoring.pictures import SAMPLES, Pictures
    from banet.scoring.table import TABLES, write_table
    from banet.tracking.runs import log_files, log_metrics

    data = ShardFolder(scoring.shards)
    network, restoring = open_model(scoring)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures = Pictures(network=network, restoring=restoring, data=data, variant=scoring.variants[0], folder=folder)
        pictures.samples(data.rows(TEST), rows)
        pictures.worst(data.rows(TEST), rows)
        for table in TABLES:
            write_table(folder / table, rows)
        log_files(store, model.run_id, [folder / entry for entry in (*TABLES, SAMPLES)], f"evaluate/{scoring.place}")
    log_metrics(store, model.run_id, named_means(rows, scoring.place))


def _fastest_device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
