"""Interrupted scoring is resumed: finished blocks of rows are kept in a folder until the whole table is written."""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

import torch

from banet.closure import code_digests
from banet.errors import DataError, ResourceError
from banet.metrics.realblur import opencv_version
from banet.scoring.scores import ImageScores, Protocol
from banet.scoring.spread import spread, workers_for
from banet.scoring.table import read_table, write_table

T = TypeVar("T")

IMAGES_PER_BLOCK: dict[Protocol, int] = {"gopro": 8, "realblur": 1}  # one alignment takes as long as 8 plain scores
FORGOTTEN_DAYS = 30.0  # blocks unused for longer belong to weights, images or versions that were replaced

_TRIES = 5  # to write a block although another process, which finished the same work, removes the folder


@dataclass(frozen=True, slots=True)
class FinishedBlocks:
    """A folder with a Parquet file per block, named after everything that the scores depend on."""

    folder: Path

    def read(self, number: int, keys: Sequence[tuple[str, str]]) -> list[ImageScores] | None:
        """Return a finished block; None if it is missing, damaged, or not of these (key, variant) pairs."""
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
        """Remove all blocks, once the whole table is written."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, number: int) -> Path:
        return self.folder / f"block-{number:05d}.parquet"


def finished_blocks(storage: Path, name: str, depends_on: Mapping[str, object], program: Path) -> FinishedBlocks:
    """Return the folder in `storage` for scores that depend on some values, the code, and the versions of the tools.

    Other folders of blocks in `storage` that were unused for a month are removed.

    Args:
        storage: a folder that DVC does not remove before it runs a stage again.
        name: of the work, e.g. the benchmark; the folder's name starts with it.
        depends_on: digests and options, each of which JSON or `repr` can write.
        program: the file that scores; it and all that it imports are the code.
    """
    versions = {"torch": torch.__version__, "opencv": opencv_version()}
    key = [dict(depends_on), versions, code_digests(program)]
    digest = hashlib.sha256(json.dumps(key, sort_keys=True, default=repr).encode())
    folder = storage / f"scores-{name}-{digest.hexdigest()[:16]}"
    _remove_forgotten(storage, folder)
    return FinishedBlocks(folder)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work(Generic[T]):
    """One image to score."""

    item: T  # what a process is given
    key: str
    variant: str
    pixels: int  # about


def score_resumed(
    start: Callable[[], Callable[[T], ImageScores]],
    work: Sequence[Work[T]],
    *,
    protocol: Protocol,
    kept: FinishedBlocks | None,
    workers: int | None,
    gpus: float = 0,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[ImageScores]:
    """Score the images whose blocks are not finished yet, spread over processes; return the rows of all, in order.

    Args:
        start: called once per process; returns what scores one item.
        work: all images.
        protocol: decides how many images a block has.
        kept: the finished blocks; new ones are added.
        workers: number of processes; if None, one for few small images and else one per core.
        gpus: that each process has to itself.
        on_progress: called with the numbers of finished and all images; the former includes those of earlier runs.

    Raises:
        BanetError, OSError: what scoring raised.
        ResourceError: a full disk, or workers that die.
    """
    size = IMAGES_PER_BLOCK[protocol]
    blocks = [work[first : first + size] for first in range(0, len(work), size)]
    done: dict[int, list[ImageScores]] = {}
    for number, block in enumerate(blocks if kept is not None else ()):
        found = kept.read(number, [(image.key, image.variant) for image in block]) if kept is not None else None
        if found is not None:
            done[number] = found
    images = sum(map(len, done.values()))
    if images:
        on_progress(images, len(work))
    missing = [number for number in range(len(blocks)) if number not in done]
    processes = workers_for(sum(image.pixels for number in missing for image in blocks[number]), workers)
    items = [[image.item for image in blocks[number]] for number in missing]
    for i, scores in spread(partial(_start_block, start), items, workers=processes, gpus=gpus):
        if kept is not None:
            kept.keep(missing[i], scores)
        done[missing[i]] = scores
        images += len(scores)
        on_progress(images, len(work))
    return [score for number in range(len(blocks)) for score in done[number]]


def _start_block(start: Callable[[], Callable[[T], ImageScores]]) -> Callable[[Sequence[T]], list[ImageScores]]:
    score = start()
    return lambda items: [score(item) for item in items]


def _remove_forgotten(storage: Path, own: Path) -> None:
    oldest = time.time() - FORGOTTEN_DAYS * 24 * 3600
    for folder in storage.glob("scores-*"):
        try:
            if folder != own and folder.is_dir() and folder.stat().st_mtime < oldest:
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # another process removes it
            continue
