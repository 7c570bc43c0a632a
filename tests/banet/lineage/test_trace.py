"""Where a version came from: what the store knows, and what it says of the rest."""

import json
from pathlib import Path

import pytest

from banet.cli import main
from banet.lineage.trace import format_lineage, shown, trace
from banet.model.network import BANet
from banet.model.network_config import BANetConfig
from banet.model.weights import save_weights
from banet.tracking.registry import promote, register
from banet.tracking.runs import GIT_COMMIT, finish_run, log_metrics, open_run
from banet.tracking.store import Store, connect
from banet.tracking.version_files import RegisteredModel

pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy"),  # MLflow's own queries
    pytest.mark.filterwarnings("ignore:The .*wildcard.*:DeprecationWarning"),
]
TINY = BANetConfig(name="tiny", stem_channels=4, channels=4, modules=1, fusion_channels=2)
TAGS = {
    GIT_COMMIT: "c0ffee" * 6,
    "data_digest": "d" * 64,
    "params": json.dumps({"recipe": {"seed": 7, "init_from": None}}),
    "archives": json.dumps({"GOPRO_Large.zip": {"sha256": "a" * 64, "bytes": 9, "source": "https://e.org/G.zip"}}),
    "dvc_stages": json.dumps({"train": {"models/candidate": "5d41402abc4b2a76b9719d911017c592.dir"}}),
}
RUN_TAGS = {"prefect.flow_run_id": "f-1", "dvc.experiment": "warm-toad", "data_checks": "warning: exposure of train"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return connect(f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}")


def version(store: Store, folder: Path, name: str, tags: dict[str, str], run_tags: dict[str, str]) -> RegisteredModel:
    save_weights(BANet(TINY), folder)
    run_id = open_run(store, experiment="banet", name="a run", fingerprint=name, params={}, tags=run_tags)
    log_metrics(store, run_id, {"gopro/blur/gain": 1.5})
    finish_run(store, run_id)
    return register(store, folder, name=name, run_id=run_id, tags=tags)


@pytest.mark.slow
def test_the_whole_way_back_is_told(store: Store, tmp_path: Path) -> None:
    model = version(store, tmp_path, "banet-gopro", TAGS, RUN_TAGS)
    promote(store, model, reason="it is better")
    found = trace(store, model)
    assert (found["version"]["aliases"], found["version"]["weights"]) == (["candidate", "champion"], model.digest)
    assert found["code"]["commit"] == TAGS[GIT_COMMIT]
    assert found["parameters"] == {"recipe": {"seed": 7, "init_from": None}}
    assert found["data"]["archives"]["GOPRO_Large.zip"]["sha256"] == "a" * 64
    assert (found["data"]["digest"], found["data"]["checks"]) == ("d" * 64, "warning: exposure of train")
    assert found["dvc"]["stages"]["train"]["models/candidate"].startswith("5d41402a")
    assert (found["dvc"]["experiment"], found["prefect"]["flow run"]) == ("warm-toad", "f-1")
    assert (found["mlflow"]["run"], found["mlflow"]["status"]) == (model.run_id, "FINISHED")
    assert (found["scores"], found["promotion"]["reason"]) == ({"gopro/blur/gain": 1.5}, "it is better")
    rows = dict(shown(found)["parameters"])
    assert rows == {"recipe.seed": "7", "recipe.init_from": "null"}
    assert json.loads(json.dumps(found)) == found


def test_what_is_missing_is_said(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = version(store, tmp_path, "banet-bare", {}, {})
    text = format_lineage(trace(store, model))
    for title in ("commit", "digest", "archives", "experiment", "stages", "flow run", "promoted", "reason"):
        assert any(line.split() == [*title.split(), "missing"] for line in text.splitlines()), title
    assert "older banet did not record it" in text
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)
    assert main(["lineage", "banet-bare@candidate", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["promotion"] == {"promoted": None, "reason": None}
    assert main(["lineage", "models:/banet-bare/1"]) == 0
    assert "banet-bare" in capsys.readouterr().out
    assert main(["lineage", "banet-bare"]) == 2
    assert "models:/NAME@champion" in capsys.readouterr().err


def test_a_tag_that_somebody_edited_is_missing(store: Store, tmp_path: Path) -> None:
    model = version(store, tmp_path, "banet-edited", TAGS | {"archives": "{"}, {})
    assert trace(store, model)["data"]["archives"] is None
