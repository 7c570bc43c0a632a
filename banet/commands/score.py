"""`banet score`: its options, and the means that it prints."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from banet.commands.tables import format_means, positive, require_table


def add_score(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    command = add(
        "score",
        _score,
        "score any method's restored images by the papers' protocols",
        "--restored results/gopro --sharp GOPRO_Large/test_sharp --protocol gopro",
        "--restored results/realblur_j --sharp RealBlur-J/gt --protocol realblur --out scores.csv",
    )
    command.add_argument("--restored", type=Path, required=True, help="folder of restored images, 8-bit RGB, lossless")
    command.add_argument("--sharp", type=Path, required=True, help="folder of sharp images of the same names")
    command.add_argument(
        "--protocol",
        required=True,
        choices=("gopro", "realblur"),
        help="gopro: PSNR and SSIM, for HIDE and own data too; realblur: aligned ones beside them",
    )
    command.add_argument("--out", type=Path, metavar="FILE", help="a table with a row an image: .csv or .parquet")
    command.add_argument("--workers", type=positive, help="processes (default: a core each, one for few images)")


def _score(parsed: argparse.Namespace) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    from banet.progress import StatusLine
    from banet.scoring.folders import score_folders
    from banet.scoring.table import write_table

    require_table(parsed.out)
    line = StatusLine("score", sys.stderr)
    try:
        rows = score_folders(parsed.restored, parsed.sharp, parsed.protocol, workers=parsed.workers, report=line.count)
    finally:
        line.close()
    if parsed.out is not None:
        write_table(parsed.out, rows)
    print(format_means(rows))
