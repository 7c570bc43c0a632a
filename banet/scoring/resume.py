"""Scoring that was interrupted goes on: blocks of rows that are done lie beside the result until it is whole."""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import torch

from banet.closure import code_digests
from banet.errors import DataError, ResourceError
from banet.metrics.realblur import opencv_version
from banet.scoring.scores import ImageScores
from banet.scoring.spread import spread, workers_for
from banet.scoring.table import read_table, write_table

T = TypeVar("T")

FORGOTTEN_DAYS = 30.0  # blocks that nobody touched for so long: other weights, images or versions replaced them

_TRIES = 5  # to write a block whose folder another process, done with the same work, removes meanwhile


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
        for _ in range(_TRIES):
            try:
                write_table(self._path(number), rows)
                return
            except ResourceError:
                if self.folder.exists():
                    raise
        write_table(self._path(number), rows)

    def remove(self) -> None:
        """Remove all: the table is whole."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, number: int) -> Path:
        return self.folder / f"block-{number:05d}.parquet"


def finished_blocks(storage: Path, name: str, depends_on: Mapping[str, object], program: Path) -> FinishedBlocks:
    """Return the folder in `storage` for scores that depend on some values, on code, torch and OpenCV.

    Other folders of blocks in `storage` that nobody touched for a month are removed.

    Args:
        storage: outside of what DVC removes before it runs a stage again.
        name: of the work, e.g. the benchmark; begins the folder's name.
        depends_on: digests and choices, each of which JSON or `repr` can write.
        program: the file that scores; with all that it imports it is the code.
    """
    versions = {"torch": torch.__version__, "opencv": opencv_version()}
    key = [dict(depends_on), versions, code_digests(program)]
    digest = hashlib.sha256(json.dumps(key, sort_keys=True, default=repr).encode())
    folder = storage / f"scores-{name}-{digest.hexdigest()[:16]}"
    _remove_forgotten(storage, folder)
    return FinishedBlocks(folder)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work(Generic[T]):
    """One block: what a process is given, and the rows that come of it."""

    item: T
    keys: tuple[tuple[str, str], ...]  # key and variant of each row, in order
    pixels: int  # of its images, about


def score_resumed(
    start: Callable[[], Callable[[T], list[ImageScores]]],
    blocks: Sequence[Work[T]],
    *,
    kept: FinishedBlocks | None,
    workers: int | None,
    gpus: float = 0,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[ImageScores]:
    """Score the blocks that are not done yet, spread over processes; return the rows of all, in order.

    Args:
        start: as `spread` takes it.
        blocks: all of them.
        kept: where blocks that are done lie, and are kept.
        workers: processes; None takes one for few small images and else one a core.
        gpus: that each of them has to itself.
        on_progress: is told how many images are done, of how many, also before the first one that is scored now.

    Raises:
        BanetError, OSError: what a block raised.
        ResourceError: a full disk, or workers that die.
    """
    done: dict[int, list[ImageScores]] = {}
    for number, block in enumerate(blocks if kept is not None else ()):
        found = kept.read(number, block.keys) if kept is not None else None
        if found is not None:
            done[number] = found
    total, images = sum(len(block.keys) for block in blocks), sum(map(len, done.values()))
    if images:
        on_progress(images, total)
    missing = [number for number in range(len(blocks)) if number not in done]
    processes = workers_for(sum(blocks[number].pixels for number in missing), workers)
    items = [blocks[number].item for number in missing]
    for i, scores in spread(start, items, workers=processes, gpus=gpus):
        if kept is not None:
            kept.keep(missing[i], scores)
        done[missing[i]] = scores
        images += len(scores)
        on_progress(images, total)
    return [score for number in range(len(blocks)) for score in done[number]]


def _remove_forgotten(storage: Path, own: Path) -> None:
    oldest = time.time() - FORGOTTEN_DAYS * 24 * 3600
    for folder in storage.glob("scores-*"):
        try:
            if folder != own and folder.is_dir() and folder.stat().st_mtime < oldest:
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # somebody else removes it
            continue
