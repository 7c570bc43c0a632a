"""The same work against a real tracking server on loopback."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from banet.errors import ServiceError
from banet.tracking.load import load_model
from banet.tracking.registry import latest_champion, promote, pull, register
from banet.tracking.runs import TrainingData, finish_run, log_metrics, log_pictures, open_run
from banet.tracking.store import Store, connect, require_answer

STARTED_WITHIN = 240.0  # seconds; 10 on an idle machine


@pytest.fixture
def server(store: Store, tmp_path: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", store.uri, "--artifacts-destination", str(tmp_path / "artifacts")]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    environment["PATH"] = (
        f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"  # it looks for uvicorn there
    )
    log = (tmp_path / "log").open("w")
    with (
        log,
        subprocess.Popen(
            command, env=environment, cwd=tmp_path, start_new_session=True, stdout=log, stderr=log
        ) as process,
    ):
        try:
            yield _when_it_answers(f"http://127.0.0.1:{port}")
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # with its worker; a graceful end takes seconds


def _when_it_answers(uri: str) -> str:
    end = time.monotonic() + STARTED_WITHIN
    while True:
        try:
            require_answer(uri)
        except ServiceError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
        else:
            return uri


@pytest.mark.server
def test_from_run_to_champion_through_a_server(
    server: str, weights: Callable[[int], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = connect(server)
    data = TrainingData(name="mini", digest="ab" * 32, source="shards")
    run_id = open_run(
        remote, experiment="remote", name="r", fingerprint="remote", params={"lr": 0.1}, tags={}, data=data
    )
    log_metrics(remote, run_id, {"loss": 0.5}, step=1)
    log_pictures(remote, run_id, {"coffee_blurred": np.zeros((9, 9, 3), np.uint8)})
    model = register(remote, weights(1), name="banet-remote", run_id=run_id)
    assert register(remote, weights(1), name="banet-remote", run_id=run_id) == model
    promote(remote, model, reason="")
    finish_run(remote, run_id)
    assert latest_champion(remote) == model
    pull(remote, model.name, model.version, tmp_path / "pulled", model.digest)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    load_model("models:/banet-remote@champion")
