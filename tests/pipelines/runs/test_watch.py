"""The watch over a run: it ends what nobody could end any more, and nothing else."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import psutil
import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings
from prefect.states import Cancelling, Running

from pipelines.flows import train_banet
from pipelines.runs import watch
from pipelines.runs.watch import Watch

pytestmark = [pytest.mark.slow, pytest.mark.server]


@pytest.fixture(autouse=True)
def fast(prefect_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, seconds in {"LOOK_S": 0.05, "ASK_S": 0.2, "CANCELLED_WITHIN_S": 1.0}.items():
        monkeypatch.setattr(watch, name, seconds)
    home = Path(prefect_environment["PREFECT_HOME"])
    with temporary_settings({PREFECT_API_URL: prefect_environment["PREFECT_API_URL"], PREFECT_HOME: home}):
        yield


@pytest.fixture
def worker() -> Iterator[psutil.Process]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        yield psutil.Process(process.pid)
        process.kill()


def new_run() -> UUID:
    with get_client(sync_client=True) as client:
        return UUID(str(client.create_flow_run(train_banet, state=Running()).id))


def test_stages_are_stopped_when_the_worker_was_killed(worker: psutil.Process) -> None:
    stopped = threading.Event()
    watched = Watch(new_run(), stopped.set, worker)
    with watched.looking():
        time.sleep(0.5)
        assert not stopped.is_set()
        worker.kill()
        assert stopped.wait(10)
    assert watched.ended is not None
    assert watched.ended.is_failed()
    assert "worker has ended" in (watched.ended.message or "")


def test_a_cancelled_run_whose_worker_does_nothing_is_ended(worker: psutil.Process) -> None:
    stopped, run = threading.Event(), new_run()
    watched = Watch(run, stopped.set, worker)
    with watched.looking():
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(run, Cancelling(), force=True)
        assert not stopped.wait(0.7)  # the worker is given its time
        assert stopped.wait(10)
    assert watched.ended is not None
    assert watched.ended.is_cancelled()


def test_a_deleted_run_is_ended(worker: psutil.Process) -> None:
    stopped = threading.Event()
    with Watch(uuid4(), stopped.set, worker).looking():
        assert stopped.wait(10)


def test_a_run_whose_time_is_up_is_ended(worker: psutil.Process) -> None:
    stopped = threading.Event()
    watched = Watch(new_run(), stopped.set, worker, hours=0.5 / 3600)
    with watched.looking():
        assert not stopped.wait(0.3)
        assert stopped.wait(10)
    assert watched.ended is not None
    assert watched.ended.is_failed()
    assert "run it again to go on" in (watched.ended.message or "")


def test_a_server_that_does_not_answer_ends_no_training(worker: psutil.Process) -> None:
    stopped = threading.Event()
    watched = Watch(new_run(), stopped.set, worker)
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}), watched.looking():
        assert not stopped.wait(3)
    assert watched.ended is None
