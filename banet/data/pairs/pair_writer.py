"""Make pairs in several processes and write them in GoPro's layout, into a ZIP or a folder of PNG files.

The layout is `SPLIT/SEQUENCE/{blur,…,sharp}/FRAME.png` under one root. The bytes do not depend on the number of
processes, and only a few pairs are in memory at once.
"""

import multiprocessing
import zipfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import cv2

from banet.data.archives.safety import summary
from banet.errors import ResourceError
from banet.progress import OnProgress, say

AHEAD = 2  # pairs per process that are started before they can be written

Add = Callable[[str, bytes], None]
"""Adds one file, given its path under the root and its content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairTask:
    """One pair to be made, in this process or another."""

    split: str
    sequence: str
    frame: str  # name of the pair within its sequence
    encoded: Callable[[], dict[str, bytes]]  # makes the pair: PNG files by kind of image; it can be pickled


class DoubtfulPair(dict[str, bytes]):
    """The PNG files of a pair by kind of image, with reasons why they may be no true pair."""

    def __init__(self, files: dict[str, bytes], doubts: tuple[str, ...] = ()) -> None:
        super().__init__(files)
        self.doubts = doubts


def write_pairs(
    tasks: Iterable[PairTask], add: Add, *, total: int | None = None, on_progress: OnProgress | None = None
) -> int:
    """Make pairs and add their files in the order of the tasks; return the number of pairs.

    If some of them are doubtful, one line on standard error says how many and why.

    Raises:
        DataError: raised by a task.
        ResourceError: a process was killed.
    """
    workers = min(multiprocessing.cpu_count(), total or multiprocessing.cpu_count())
    done, doubtful, doubts = 0, 0, dict[str, None]()
    for task, images in _made(tasks, workers):
        for kind, content in images.items():
            add(f"{task.split}/{task.sequence}/{kind}/{task.frame}.png", content)
        done += 1
        if isinstance(images, DoubtfulPair):
            doubtful += 1
            doubts |= dict.fromkeys(images.doubts)
        if on_progress is not None:
            on_progress(done, total)
    if doubtful:
        say(
            f"warning: {doubtful} of {done} pairs may show what no camera sees: {summary(list(doubts))}: "
            "average frames that follow each other, 120 or more a second"
        )
    return done


def add_to_zip(archive: zipfile.ZipFile, root: str) -> Add:
    """Return a function that adds files to a ZIP under a root, uncompressed and with a fixed date."""

    def add(name: str, content: bytes) -> None:
        archive.writestr(zipfile.ZipInfo(f"{root}/{name}", date_time=(1980, 1, 1, 0, 0, 0)), content)

    return add


def add_to_folder(folder: Path) -> Add:
    """Return a function that adds files to a folder."""

    def add(name: str, content: bytes) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    return add


def _made(tasks: Iterable[PairTask], workers: int) -> Iterator[tuple[PairTask, dict[str, bytes]]]:
    if workers == 1:  # a second process would only add its start-up time
        for task in tasks:
            yield task, task.encoded()
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_one_thread)
    waiting: deque[tuple[PairTask, Future[dict[str, bytes]]]] = deque()
    try:
        for task in tasks:  # Executor.map would take all of them at once
            waiting.append((task, pool.submit(task.encoded)))
            if len(waiting) >= AHEAD * workers:
                oldest, future = waiting.popleft()
                yield oldest, future.result()
        for oldest, future in waiting:
            yield oldest, future.result()
    except BrokenProcessPool:
        raise ResourceError("a process that makes pairs was killed: check that memory suffices and run again") from None
    finally:
        pool.shutdown(cancel_futures=True)


def _one_thread() -> None:
    cv2.setNumThreads(1)  # the processes already share the cores
