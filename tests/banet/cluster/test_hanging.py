"""Workers that hang while they are started are killed, and those that begin are left alone."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest
import ray
import ray.exceptions

from banet.cluster import hanging
from banet.cluster.hanging import start_limited
from banet.errors import ResourceError

pytestmark = [pytest.mark.distributed, pytest.mark.usefixtures("ray_session")]


def worker(*, hangs: bool) -> ray.actor.ActorHandle:
    class RayTrainWorker:
        def __init__(self) -> None:
            if hangs:
                os.kill(os.getpid(), signal.SIGSTOP)

        def answer(self) -> int:
            return 1

    RayTrainWorker.__qualname__ = "RayTrainWorker"
    # like Ray Train's, it gets variables of its own, and so a process that was started for it
    return ray.remote(num_cpus=0, runtime_env={"env_vars": {"MINE": "1"}})(RayTrainWorker).remote()


@pytest.mark.slow
def test_a_worker_that_hangs_in_its_start_is_killed_and_said() -> None:
    told = threading.Event()
    with start_limited(2, lambda: 0, told.set):
        stuck = worker(hangs=True)
        with pytest.raises(ray.exceptions.RayActorError):
            ray.get(stuck.answer.remote(), timeout=60)
    assert told.is_set()


def test_a_worker_that_hangs_is_killed_also_if_nobody_can_be_told() -> None:
    def fails() -> None:
        raise ResourceError("the disk is full")

    with start_limited(2, lambda: 0, fails):
        stuck = worker(hangs=True)
        with pytest.raises(ray.exceptions.RayActorError):
            ray.get(stuck.answer.remote(), timeout=60)


@pytest.mark.slow
@pytest.mark.parametrize("looks_s", [0.2, 4])  # the latter: it has begun before it is seen
def test_workers_that_have_begun_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looks_s: float
) -> None:
    monkeypatch.setattr(hanging, "LOOKS_S", looks_s)
    told = threading.Event()
    journal = tmp_path / "journal"
    journal.touch()
    with start_limited(1, lambda: journal.stat().st_size, told.set):
        begun = worker(hangs=False)
        journal.write_text("begun")
        assert ray.get(begun.answer.remote(), timeout=60) == 1
        time.sleep(3 * looks_s + 1)
        assert ray.get(begun.answer.remote(), timeout=60) == 1
    assert not told.is_set()
    ray.kill(begun)
