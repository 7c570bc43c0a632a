"""The same work against a real tracking server on loopback."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from banet.errors import ServiceError
from banet.tracking.load import load_model
from banet.tracking.registry import latest_champion, promote, pull, register
from banet.tracking.runs import TrainingData, finish_run, log_metrics, log_pictures, open_run
from banet.tracking.store import Store, connect

if TYPE_CHECKING:
    from tests.conftest import Serve


@pytest.mark.slow
@pytest.mark.server
def test_from_run_to_champion_through_a_server(
    serve: "Serve", store: Store, weights: Callable[[int], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(store.uri) as (server, kill):
        remote = connect(server)
        from_run_to_champion(remote, weights, tmp_path, monkeypatch)
        began = time.monotonic()
        kill()
        for work in (
            lambda: log_metrics(remote, "0" * 32, {"loss": 0.5}),
            lambda: register(remote, weights(1), name="banet-remote", run_id=""),
            lambda: pull(remote, "banet-remote", 1, tmp_path / "gone"),
            lambda: load_model("models:/banet-remote@champion"),
        ):
            with pytest.raises(ServiceError, match=r"^tracking server http://127.* does not answer") as error:
                work()
            assert "\n" not in str(error.value)
        assert time.monotonic() - began < 60  # MLflow's own patience is eight minutes for each


def from_run_to_champion(
    remote: Store, weights: Callable[[int], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    monkeypatch.setenv("MLFLOW_TRACKING_URI", remote.uri)
    load_model("models:/banet-remote@champion")
