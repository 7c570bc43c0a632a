"""Pairs that are made on this machine, by several processes, into GoPro's layout: a ZIP or a folder of PNG files.

`SPLIT/SEQUENCE/{blur,…,sharp}/FRAME.png` under one root. The same pairs give the same bytes, however many processes
make them, and no more than a few of them are in memory at once.
"""

import multiprocessing
import zipfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import cv2

from banet.errors import ResourceError
from banet.progress import OnProgress

AHEAD = 2  # pairs a process that are asked for and not yet written

Add = Callable[[str, bytes], None]
"""Puts one file, by its path under the root."""


class PairTask(Protocol):
    """One pair to be made; it can be sent to another process."""

    @property
    def split(self) -> str:
        """The split."""

    @property
    def sequence(self) -> str:
        """The sequence."""

    @property
    def frame(self) -> str:
        """Name of the pair in its sequence."""

    def encoded(self) -> dict[str, bytes]:
        """Make the pair: PNG files by kind of image."""


def write_pairs(
    tasks: Iterable[PairTask], add: Add, *, total: int | None = None, on_progress: OnProgress | None = None
) -> int:
    """Make pairs and add their files in the order of the tasks; return how many there were.

    Args:
        tasks: pairs to be made, one after the other.
        add: takes their files.
        total: how many there are, if it is known.
        on_progress: is told how far it is.

    Raises:
        DataError: what a task raises.
        ResourceError: a process was killed.
    """
    workers = min(multiprocessing.cpu_count(), total or multiprocessing.cpu_count())
    done = 0
    for (split, sequence, frame), images in _made(tasks, workers):
        for kind, content in images.items():
            add(f"{split}/{sequence}/{kind}/{frame}.png", content)
        done += 1
        if on_progress is not None:
            on_progress(done, total)
    return done


def add_to_zip(archive: zipfile.ZipFile, root: str) -> Add:
    """Give what adds files to a ZIP, stored, under a root; no clock stands in the bytes."""

    def add(name: str, content: bytes) -> None:
        archive.writestr(zipfile.ZipInfo(f"{root}/{name}", date_time=(1980, 1, 1, 0, 0, 0)), content)

    return add


def add_to_folder(folder: Path) -> Add:
    """Give what adds files to a folder."""

    def add(name: str, content: bytes) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    return add


def _made(tasks: Iterable[PairTask], workers: int) -> Iterator[tuple[tuple[str, str, str], dict[str, bytes]]]:
    if workers == 1:  # another process would only cost its start
        for task in tasks:
            yield (task.split, task.sequence, task.frame), task.encoded()
        return
    waiting: deque[tuple[tuple[str, str, str], Future[dict[str, bytes]]]] = deque()
    with ExitStack() as stack:
        context = multiprocessing.get_context("spawn")
        pool = stack.enter_context(ProcessPoolExecutor(workers, mp_context=context, initializer=_one_thread))
        stack.callback(lambda: [future.cancel() for _, future in waiting])
        try:
            for task in tasks:  # Executor.map would take all of them at once
                waiting.append(((task.split, task.sequence, task.frame), pool.submit(_encoded, task)))
                if len(waiting) >= AHEAD * workers:
                    place, future = waiting.popleft()
                    yield place, future.result()
            while waiting:
                place, future = waiting.popleft()
                yield place, future.result()
        except BrokenProcessPool:
            raise ResourceError("a process that made pairs was killed: is there memory enough? Run again") from None


def _one_thread() -> None:
    cv2.setNumThreads(1)  # the processes share the cores already


def _encoded(task: PairTask) -> dict[str, bytes]:
    return task.encoded()
