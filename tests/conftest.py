"""What several parts of the tests share: one Ray for the session, and shards of a few tiny pairs."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xdist.scheduler import LoadScopeScheduling

from banet.data.sharding.writer import ShardWriter
from banet.data.shards.reader import Pair
from banet.errors import ServiceError
from banet.tracking.store import require_answer

SERVER_STARTED_WITHIN = 240.0  # seconds; 10 on an idle machine
# Files of tests that start Ray or a server: they keep to one process of two, or they would want all cores twice.
_STARTS_MANY = re.compile(r"mark\.(distributed|server)|ray_session|prefect_environment|\bserve\b")


@cache
def _lane(file: Path) -> str:
    return "servers" if _STARTS_MANY.search(file.read_text(encoding="utf-8")) else file.name


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest lane."""
    items.sort(key=lambda item: _lane(item.path) != "servers")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:  # noqa: ANN401
    """Spread files over the processes of `make test`."""

    class ByLane(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
        def _split_scope(self, nodeid: str) -> str:
            return _lane(config.rootpath / nodeid.partition("::")[0])

    return ByLane(config, log)


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """The session's single Ray, on this machine; starting one takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.delenv("RAY_ADDRESS", raising=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # Ray leaves sockets and log files to the collector
            warnings.simplefilter("ignore", FutureWarning)  # what a later Ray will do differently
            warnings.simplefilter("ignore", DeprecationWarning)  # Ray Data deprecates what it does on import
            import ray
            import ray.data

            ray.init(
                "local",
                num_cpus=3,
                include_dashboard=False,
                logging_level="ERROR",
                logging_config=ray.LoggingConfig(log_level="ERROR"),
                log_to_driver=False,
            )
            ray.data.DataContext.get_current()
        yield
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            ray.shutdown()


Serve = Callable[..., AbstractContextManager[tuple[str, Callable[[], None]]]]


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """Starts a real tracking server on loopback over the given store; returns its address and what kills it."""

    @contextmanager
    def start(backend: str, port: int = 0) -> Iterator[tuple[str, Callable[[], None]]]:
        if not port:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
        command += ["--workers", "1", "--backend-store-uri", backend]
        command += ["--artifacts-destination", str(tmp_path / "artifacts")]
        environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        # it looks for uvicorn there
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        with (tmp_path / "log").open("a") as log:
            process = subprocess.Popen(
                command, env=environment, cwd=tmp_path, start_new_session=True, stdout=log, stderr=log
            )

        def kill() -> None:
            """With its workers; a graceful end takes seconds."""
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

        try:
            yield _when_it_answers(f"http://127.0.0.1:{port}"), kill
        finally:
            kill()

    return start


def _when_it_answers(uri: str) -> str:
    end = time.monotonic() + SERVER_STARTED_WITHIN
    while True:
        try:
            require_answer(uri)
        except ServiceError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
        else:
            return uri


@pytest.fixture
def make_shards(tmp_path: Path) -> Callable[..., Path]:
    """Writes shards of random pairs: blur is the negative of sharp, so that a pair can be recognised as one."""

    def make(
        sequences: Sequence[str] = ("a", "b", "c"),
        *,
        pairs: int = 4,
        split: str = "train",
        size: tuple[int, int] = (12, 15),
        name: str = "shards",
    ) -> Path:
        folder = tmp_path / name
        rng = np.random.default_rng(0)

        def made() -> Iterator[Pair]:
            for sequence in sequences:
                for frame in range(1, pairs + 1):
                    sharp = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
                    images = {"sharp": sharp, "blur": 255 - sharp}
                    yield Pair(key=f"{sequence}/{frame:06d}", split=split, sequence=sequence, images=images)

        writer = ShardWriter(folder, ("blur",))
        writer.write(split, made())
        writer.finish("tiny")
        return folder

    return make
