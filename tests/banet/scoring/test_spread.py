"""Work in this process or over Ray: each process starts once, and an expected error comes out as itself."""

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import pytest
import torch

from banet.errors import DataError, ResourceError
from banet.scoring.spread import IN_THIS_PROCESS, spread, workers_for


def threads(folder: Path, together: int = 1) -> Callable[[int], tuple[int, int, int]]:
    """Waits for other processes to load: on a busy machine one could do all before the next has started."""
    (folder / f"started-{os.getpid()}-{len(list(folder.iterdir()))}").touch()

    def work(_: int) -> tuple[int, int, int]:
        deadline = time.monotonic() + 60
        while len(list(folder.iterdir())) < together and time.monotonic() < deadline:
            time.sleep(0.05)
        return os.getpid(), torch.get_num_threads(), cv2.getNumThreads()

    return work


def fails_at(number: int) -> Callable[[int], int]:
    def work(item: int) -> int:
        if item == number:
            raise DataError(f"item {item} is damaged")
        return item

    return work


def dies(mark: Path, times: int) -> Callable[[int], int]:
    def work(item: int) -> int:
        deaths = len(list(mark.iterdir()))
        if deaths < times:
            (mark / str(deaths)).touch()
            os._exit(1)
        return item

    return work


def test_one_worker_is_this_process_and_leaves_its_threads_alone(tmp_path: Path) -> None:
    before = torch.get_num_threads(), cv2.getNumThreads()
    here = (os.getpid(), *before)
    assert list(spread(partial(threads, tmp_path), [1, 2, 3], workers=1)) == [(i, here) for i in range(3)]
    assert (torch.get_num_threads(), cv2.getNumThreads()) == before
    assert len(list(tmp_path.iterdir())) == 1
    assert list(spread(partial(threads, tmp_path), [], workers=1)) == []
    assert len(list(tmp_path.iterdir())) == 1  # nothing to do, nothing loaded


def test_few_pixels_stay_here_and_a_number_that_is_asked_for_is_taken() -> None:
    assert workers_for(72 * 128 * 192) == 1  # the embedded benchmark
    assert workers_for(IN_THIS_PROCESS + 1) == len(os.sched_getaffinity(0))
    assert workers_for(IN_THIS_PROCESS + 1, 1) == 1
    assert workers_for(1, 3) == 3


@pytest.mark.slow
@pytest.mark.distributed
@pytest.mark.usefixtures("ray_session")
def test_every_item_is_done_once_by_processes_of_one_thread_that_load_once(tmp_path: Path) -> None:
    before = torch.get_num_threads(), cv2.getNumThreads()
    found = dict(spread(partial(threads, tmp_path, together=3), range(12), workers=9))  # more than Ray's three cores
    assert sorted(found) == list(range(12))
    assert len({pid for pid, *_ in found.values()} - {os.getpid()}) == len(list(tmp_path.iterdir())) == 3
    assert {tuple(counts) for _, *counts in found.values()} == {(1, 1)}
    assert (torch.get_num_threads(), cv2.getNumThreads()) == before


@pytest.mark.slow
@pytest.mark.distributed
@pytest.mark.usefixtures("ray_session")
def test_an_expected_error_comes_out_as_itself() -> None:
    for workers in (1, 2):
        with pytest.raises(DataError, match=r"^item 3 is damaged$"):
            list(spread(partial(fails_at, 3), range(10), workers=workers))


@pytest.mark.slow
@pytest.mark.distributed
@pytest.mark.usefixtures("ray_session")
def test_a_worker_that_was_killed_starts_again_but_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("banet.scoring.spread.RESTARTS", 1)
    assert sorted(spread(partial(dies, tmp_path, 1), range(2), workers=2)) == [(i, i) for i in range(2)]
    monkeypatch.setattr("banet.scoring.spread.RESTARTS", 0)
    with pytest.raises(ResourceError, match="memory may be short, score with fewer workers"):
        list(spread(partial(dies, tmp_path, 99), range(2), workers=2))


@pytest.mark.distributed
@pytest.mark.usefixtures("ray_session")
def test_a_gpu_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="Ray has 0 GPUs here, a worker needs 1"):
        list(spread(partial(threads, tmp_path), range(4), workers=2, gpus=1))
