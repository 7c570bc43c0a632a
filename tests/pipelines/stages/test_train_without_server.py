"""train: a tracking server that is killed in a training costs nothing; the training itself is a light loop."""

import csv
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from banet.config import Params
from banet.errors import ServiceError
from banet.model.network import BANet
from banet.model.weights import load_weights
from banet.tracking.runs import metric_history
from banet.tracking.store import Store, connect
from banet.train.run_folder import RunFolder
from pipelines.stages.stage_results import TrainedBy, read_json
from pipelines.stages.train import train

if TYPE_CHECKING:
    from banet.train.launch import TrainingResult
    from banet.train.ray_worker import TrainingJob
    from tests.conftest import Serve
    from tests.pipelines.stages.conftest import Line

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # what Ray deprecates when it is imported
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy"),  # MLflow's own queries
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
STEPS = 6


class LightTraining:
    """Stands for Ray: trains a tiny network once, and gives a finished run back without training."""

    def __init__(self, at_step: Callable[[int], None] = lambda step: None) -> None:
        self.at_step = at_step
        self.trained = 0
        self.longest_step = 0.0

    def __call__(self, job: "TrainingJob") -> "TrainingResult":
        from banet.train.launch import TrainingResult

        journal = RunFolder(Path(job.folder)).journal
        torch.manual_seed(job.recipe.seed)
        model, state = BANet(job.model), Path(job.folder) / "state.pt"
        if not state.is_file():
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            for step in range(1, STEPS + 1):
                self.at_step(step)
                loss = model(torch.full((1, 3, 8, 8), 0.5)).square().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                started = time.monotonic()
                journal.append(step, {"loss": float(loss.detach()), "lr": 0.1, "validation_psnr": 20.0 + step})
                self.longest_step = max(self.longest_step, time.monotonic() - started)
                self.trained += 1
            torch.save(model.state_dict(), state)
        model.load_state_dict(torch.load(state, weights_only=True))
        return TrainingResult(model=model.eval(), best_step=STEPS, best_psnr=20.0 + STEPS, steps=STEPS)


@pytest.mark.server
def test_a_server_that_is_killed_in_a_training_costs_nothing(
    line: "Line",
    tiny_params: Params,
    store: Store,
    serve: "Serve",
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    runs, out, reports = tmp_path / "runs", tmp_path / "candidate", tmp_path / "reports"

    def run(light: LightTraining, to: Store) -> None:
        monkeypatch.setattr("banet.train.launch.launch", light)
        train(tiny_params, shards=line.shards, storage=runs, store=to, out=out, reports=reports)

    run(LightTraining(), store)  # undisturbed
    expected, curve = load_weights(out).state_dict(), (reports / "training.csv").read_text()
    out.rename(tmp_path / "undisturbed")

    with serve(store.uri) as (address, kill):
        remote = connect(address)

        def kill_at(step: int) -> None:
            if step == 3:
                time.sleep(1.5)  # the first two steps arrive
                kill()
            if step == 5:
                time.sleep(4)  # the outage is noticed

        light = LightTraining(kill_at)
        with pytest.raises(ServiceError, match=r"does not answer .* the training is done and kept in .*again") as error:
            run(light, remote)
    assert "\n" not in str(error.value)
    assert (light.trained, light.longest_step < 1) == (STEPS, True)
    told = [text for text in capfd.readouterr().err.splitlines() if "metrics are kept and sent later" in text]
    assert len(told) == 1  # once per outage
    assert not out.exists()

    again = LightTraining()
    with serve(store.uri, int(address.rpartition(":")[2])):
        run(again, remote)
    assert again.trained == 0
    assert all(torch.equal(tensor, expected[name]) for name, tensor in load_weights(out).state_dict().items())
    assert (reports / "training.csv").read_text() == curve
    run_id = read_json(TrainedBy, out / "run.json", stage="train").run_id
    assert list(metric_history(store, run_id, "loss")) == list(range(1, STEPS + 1))
    assert len(store.client().get_metric_history(run_id, "loss")) == STEPS  # nothing twice
    assert store.client().get_run(run_id).info.status == "FINISHED"
    assert list(runs.iterdir()) == []


def test_a_training_that_fails_says_why_though_the_store_is_gone_too(
    line: "Line", tiny_params: Params, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(step: int) -> None:
        if step == 3:
            monkeypatch.setattr("banet.tracking.outbox.require_answer", gone)
            raise KeyboardInterrupt

    def gone(uri: str) -> None:
        raise ServiceError(f"{uri} is gone")

    monkeypatch.setattr("banet.train.launch.launch", LightTraining(fails))
    runs = tmp_path / "runs"
    with pytest.raises(KeyboardInterrupt):
        train(tiny_params, shards=line.shards, storage=runs, store=store, out=tmp_path / "m", reports=tmp_path / "r")
    (kept,) = (path for path in runs.iterdir() if path.is_dir())
    with (kept / "journal.jsonl").open() as stream:
        assert len(list(csv.reader(stream))) == 2  # a line per step
