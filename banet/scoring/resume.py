"""An interrupted evaluation goes on: blocks of rows that are done lie beside the result until it is whole."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

import banet
from banet.errors import DataError
from banet.metrics.realblur import opencv_version
from banet.scoring.scores import ImageScores
from banet.scoring.table import read_table, write_table

_NO_PART = {"cli.py", "commands", "study", "tracking", "train"}  # of the package: they do not change a score


@dataclass(frozen=True, slots=True)
class FinishedBlocks:
    """A folder with a Parquet file a block, named by everything that the scores depend on."""

    folder: Path

    def read(self, number: int, keys: Sequence[tuple[str, str]]) -> list[ImageScores] | None:
        """Return a block that is done; None if it is not there, damaged, or holds other (key, variant) than these."""
        try:
            rows = read_table(self._path(number))
        except DataError:
            return None
        return rows if [(row.key, row.variant) for row in rows] == list(keys) else None

    def keep(self, number: int, rows: Sequence[ImageScores]) -> None:
        """Write a block.

        Raises:
            ResourceError: the disk is full, or cannot be used.
        """
        write_table(self._path(number), rows)

    def remove(self) -> None:
        """Remove all: the table is whole."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, number: int) -> Path:
        return self.folder / f"block-{number:05d}.parquet"


def finished_blocks(storage: Path, name: str, depends_on: Mapping[str, object]) -> FinishedBlocks:
    """Return the folder in `storage` for scores that depend on some values, this package, torch and OpenCV.

    Args:
        storage: outside of what DVC removes before it runs a stage again.
        name: of the work, e.g. the benchmark; begins the folder's name.
        depends_on: digests and choices, each of which JSON or `repr` can write.
    """
    versions = {"torch": torch.__version__, "opencv": opencv_version()}
    digest = hashlib.sha256(json.dumps([dict(depends_on), versions], sort_keys=True, default=repr).encode())
    package = Path(banet.__file__).parent
    for source in sorted(package.rglob("*.py")):
        if not _NO_PART & set(source.relative_to(package).parts):
            digest.update(source.read_bytes())
    return FinishedBlocks(storage / f"scores-{name}-{digest.hexdigest()[:16]}")
