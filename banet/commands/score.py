"""`banet score`: its options, and the means that it prints."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from banet.commands.evaluate import SHARDS
from banet.commands.tables import format_means, positive, require_table
from banet.errors import ConfigError

if TYPE_CHECKING:
    from banet.scoring.folders import Comparison
    from banet.scoring.scores import ImageScores


def add_score(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    command = add(
        "score",
        _score,
        "score any method's restored images by the papers' protocols",
        "--restored results/gopro --benchmark gopro --method MPRNet",
        "--restored results/gopro --sharp GOPRO_Large/test --protocol gopro",
        "--restored results/realblur_j --sharp RealBlur-J/gt --protocol realblur --out scores.csv",
    )
    command.add_argument("--restored", type=Path, required=True, help="folder of restored images, 8-bit RGB, lossless")
    command.add_argument("--benchmark", help="a manifest's name, e.g. gopro: the sharp test images of its shards")
    command.add_argument("--shards", type=Path, help="folder of its shards (default: data/shards/BENCHMARK)")
    command.add_argument("--method", metavar="NAME", help="keep the scores as this method's, for the report's tables")
    command.add_argument("--sharp", type=Path, help="in place of a benchmark: folder of sharp images of the same names")
    command.add_argument(
        "--protocol",
        choices=("gopro", "realblur"),
        help="with --sharp; gopro: PSNR and SSIM, for HIDE and own data too; realblur: aligned ones beside them",
    )
    command.add_argument("--out", type=Path, metavar="FILE", help="a table with a row an image: .csv or .parquet")
    command.add_argument("--workers", type=positive, help="processes (default: a core each, one for few images)")


def _score(parsed: argparse.Namespace) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    from banet.progress import StatusLine
    from banet.scoring.folders import kept_blocks, score_comparison
    from banet.scoring.table import write_table

    _require_one_form(parsed)
    require_table(parsed.out)
    comparison = _comparison(parsed)
    line = StatusLine("score", sys.stderr)
    storage = _storage()
    if storage is None:
        line.say("there is no folder for what is done (XDG_CACHE_HOME): interrupted, it starts again")
    kept = kept_blocks(storage, comparison) if storage is not None else None
    try:
        rows = score_comparison(comparison, kept=kept, workers=parsed.workers, report=line.count)
    finally:
        line.close()
    if parsed.out is not None:
        write_table(parsed.out, rows)
    written = _write_method(parsed, comparison, rows) if parsed.method is not None else None
    if kept is not None:
        kept.remove()
    print(format_means(rows))
    if written is not None:
        print(f"kept in {written} for the report: dvc repro report")


def _require_one_form(parsed: argparse.Namespace) -> None:
    """Check that the sharp images are named once, and a method's name.

    Raises:
        ConfigError: they are named by none or both, or an option belongs to the other form.
    """
    from banet.scoring.methods import require_name

    either = "name the sharp images by --benchmark NAME, or by --sharp DIR and --protocol"
    if parsed.benchmark is not None and (parsed.sharp is not None or parsed.protocol is not None):
        raise ConfigError(f"--benchmark has its sharp images and its protocol: {either}, not by both")
    if parsed.benchmark is None and (parsed.sharp is None or parsed.protocol is None):
        raise ConfigError(f"what are the images compared with? {either}")
    for option in ("shards", "method"):
        if parsed.benchmark is None and getattr(parsed, option) is not None:
            raise ConfigError(f"--{option} is for a benchmark: add --benchmark NAME in place of --sharp and --protocol")
    if parsed.method is not None:
        require_name(parsed.method)


def _comparison(parsed: argparse.Namespace) -> "Comparison":
    from banet.data.benchmark import MANIFESTS, read_benchmark
    from banet.scoring.folders import compare_benchmark, compare_folders

    if parsed.benchmark is None:
        return compare_folders(parsed.restored, parsed.sharp, parsed.protocol)
    benchmark = read_benchmark(MANIFESTS, parsed.benchmark)
    return compare_benchmark(parsed.restored, parsed.shards or SHARDS / benchmark.name, benchmark)


def _storage() -> Path | None:
    """The user's cache, where blocks lie that are done, in a checkout or not; None where it cannot be written."""
    try:
        given = Path(os.environ.get("XDG_CACHE_HOME", ""))
        folder = (given if given.is_absolute() else Path.home() / ".cache") / "banet"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # read-only, or no home
        return None
    return folder if os.access(folder, os.W_OK | os.X_OK) else None


def _write_method(parsed: argparse.Namespace, comparison: "Comparison", rows: "list[ImageScores]") -> Path:
    from banet.scoring.methods import METHODS, write_method
    from banet.scoring.samples import sample_rows

    chosen = [comparison.pairs[place] for place in sample_rows(comparison.pairs)]
    return write_method(
        METHODS,
        name=parsed.method,
        benchmark=parsed.benchmark,
        data_digest=comparison.data_digest,
        rows=rows,
        samples={pair.key: pair.restored for pair in chosen},
    )
