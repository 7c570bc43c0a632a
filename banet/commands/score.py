"""`banet score`: the images of any method, scored by the papers' protocols."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from banet.commands.evaluate import SHARDS
from banet.commands.options import Positive
from banet.commands.tables import format_means, require_table
from banet.errors import ConfigError
from banet.files import cache_folder

if TYPE_CHECKING:
    from banet.scoring.score_folders import MatchedImages
    from banet.scoring.scores import ImageScores


def score(
    *,
    restored: Path,
    benchmark: str | None = None,
    shards: Path | None = None,
    method: str | None = None,
    sharp: Path | None = None,
    protocol: Literal["gopro", "realblur"] | None = None,
    out: Path | None = None,
    workers: Positive | None = None,
) -> None:
    """Score any method's restored images by the papers' protocols.

    For example:
      banet score --restored results/gopro --benchmark gopro --method MPRNet
      banet score --restored results --sharp GOPRO_Large/test --protocol gopro
      banet score --restored j --sharp gt --protocol realblur --out scores.csv

    Args:
        restored: folder of restored images, 8-bit RGB, lossless.
        benchmark: a manifest's name, e.g. gopro: the sharp images are the test images of its shards.
        shards: folder of its shards; by default data/shards/BENCHMARK.
        method: keep the scores under this method's name, for the report's tables.
        sharp: in place of a benchmark, a folder of sharp images of the same names.
        protocol: with --sharp. gopro: PSNR and SSIM, for HIDE and your own pictures too. realblur: aligned PSNR and
            SSIM beside them.
        out: a table with a row per image: .csv or .parquet.
        workers: processes; by default one per core, and one for few images.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    from banet.progress import ProgressBar
    from banet.scoring.methods import require_name
    from banet.scoring.score_folders import kept_blocks, score_comparison
    from banet.scoring.table import write_table

    matching = "add --benchmark NAME in place of --sharp and --protocol"
    if benchmark is None and shards is not None:
        raise ConfigError(f"--shards is for a benchmark: {matching}")
    if benchmark is None and method is not None:
        raise ConfigError(f"--method is for a benchmark: {matching}")
    if method is not None:
        require_name(method)
    require_table(out)
    comparison = _comparison(restored, benchmark, shards, sharp, protocol)
    storage = cache_folder()
    kept = kept_blocks(storage, comparison) if storage is not None else None
    with ProgressBar("score", unit=" images") as bar:
        if storage is None:
            bar.say("no folder for finished scores can be written (XDG_CACHE_HOME): interrupted, it starts again")
        if comparison.not_rgb:
            bar.say(f"{comparison.not_rgb} restored images are grey or have an alpha channel: taken as RGB if opaque")
        rows = score_comparison(comparison, kept=kept, workers=workers, on_progress=bar.to)
    if out is not None:
        write_table(out, rows)
    written = None
    if method is not None and benchmark is not None:
        written = _write_method(method, benchmark, comparison, rows)
    if kept is not None:
        kept.remove()
    print(format_means(rows))
    if written is not None:
        print(f"kept in {written} for the report: dvc repro report")


def _comparison(
    restored: Path,
    benchmark: str | None,
    shards: Path | None,
    sharp: Path | None,
    protocol: Literal["gopro", "realblur"] | None,
) -> "MatchedImages":
    """Match restored with sharp images.

    Raises:
        ConfigError: the sharp images are named twice or not at all.
        DataError: images are missing or differ in size.
    """
    from banet.data.manifest import MANIFESTS, read_benchmark
    from banet.scoring.score_folders import compare_benchmark, compare_folders

    either = "name the sharp images by --benchmark NAME, or by --sharp DIR and --protocol"
    if benchmark is not None:
        if sharp is not None or protocol is not None:
            raise ConfigError(f"--benchmark has its sharp images and its protocol: {either}, not by both")
        manifest = read_benchmark(MANIFESTS, benchmark)
        return compare_benchmark(restored, shards or SHARDS / manifest.name, manifest)
    if sharp is None or protocol is None:
        raise ConfigError(f"what are the images compared with? {either}")
    return compare_folders(restored, sharp, protocol)


def _write_method(method: str, benchmark: str, comparison: "MatchedImages", rows: "list[ImageScores]") -> Path:
    from banet.scoring.methods import METHODS, write_method
    from banet.scoring.pictures import sample_rows

    chosen = [comparison.pairs[place] for place in sample_rows(comparison.pairs)]
    return write_method(
        METHODS,
        name=method,
        benchmark=benchmark,
        data_digest=comparison.data_digest,
        rows=rows,
        samples={pair.key: pair.restored for pair in chosen},
    )
