import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest

from banet.errors import ModelError
from banet.model.digest import weights_digest
from banet.tracking import registry
from banet.tracking.registry import (
    RegisteredModel,
    champion,
    find_alias,
    latest_champion,
    promote,
    pull,
    register,
)
from banet.tracking.runs import finish_run, open_run
from banet.tracking.store import Store

Weights = Callable[[int], Path]


@pytest.fixture
def run_id(store: Store) -> str:
    run_id = open_run(store, experiment="registry", name="r", fingerprint="registry", params={}, tags={})
    finish_run(store, run_id)  # as the stage that trains leaves it
    return run_id


def files_of(store: Store, model: RegisteredModel) -> Path:
    """The folder of a version's files in the store."""
    place = store.client().get_model_version_download_uri(model.name, str(model.version))
    return Path(url2pathname(urlsplit(place).path))


def test_version_carries_weights_code_signature_and_traces(store: Store, weights: Weights, run_id: str) -> None:
    folder = weights(1)
    model = register(store, folder, name="banet-traced", run_id=run_id, tags={"git_commit": "c0ffee"})
    assert model == RegisteredModel(name="banet-traced", version=1, digest=weights_digest(folder), run_id=run_id)
    assert find_alias(store, "banet-traced", "candidate") == model
    version = store.client().get_model_version("banet-traced", "1")
    assert version.tags == {"digest": model.digest, "git_commit": "c0ffee"}
    files = files_of(store, model)
    assert sorted(file.name for file in (files / "artifacts" / "weights").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]
    suffixes = {file.suffix for file in files.rglob("*") if file.is_file()}
    assert suffixes == {"", ".py", ".json", ".safetensors", ".txt", ".yaml"}  # no pickle, no compiled code
    assert not (files / "code" / "banet" / "tracking").exists()
    assert "signature:" in (files / "MLmodel").read_text()
    outputs = store.client().get_run(run_id).outputs.model_outputs
    logged = store.client().get_logged_model(outputs[0].model_id)
    assert version.source == logged.artifact_location
    assert logged.tags["mlflow.modelVersions"] == '[{"name": "banet-traced", "version": 1}]'


def test_same_weights_are_registered_once(store: Store, weights: Weights, run_id: str) -> None:
    first = register(store, weights(1), name="banet-once", run_id=run_id)
    second = register(store, weights(2), name="banet-once", run_id=run_id)
    assert (second.version, find_alias(store, "banet-once", "candidate")) == (2, second)
    assert register(store, weights(1), name="banet-once", run_id="another") == first
    assert find_alias(store, "banet-once", "candidate") == first


def test_version_whose_files_are_gone_is_registered_again(store: Store, weights: Weights, run_id: str) -> None:
    first = register(store, weights(1), name="banet-gone", run_id=run_id)
    shutil.rmtree(files_of(store, first))
    with pytest.raises(ModelError, match="dvc repro --force --single-item register"):
        pull(store, "banet-gone", 1, weights(1).parent / "into")
    assert register(store, weights(1), name="banet-gone", run_id=run_id).version == 2


@pytest.mark.parametrize("unknown", ["", "0123456789abcdef0123456789abcdef"])
def test_unknown_run_is_replaced(store: Store, weights: Weights, unknown: str) -> None:
    model = register(store, weights(1), name=f"banet-orphan{len(unknown)}", run_id=unknown)
    run = store.client().get_run(model.run_id)
    assert (run.info.status, run.data.tags["recovered_from_run"]) == ("FINISHED", unknown)


def test_deleted_run_is_replaced(store: Store, weights: Weights) -> None:
    deleted = open_run(store, experiment="registry", name="r", fingerprint="deleted", params={}, tags={})
    store.client().delete_run(deleted)
    assert register(store, weights(1), name="banet-deleted", run_id=deleted).run_id != deleted


def test_register_without_weights(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        register(store, tmp_path, name="banet-nothing", run_id="")


def test_pull_gives_the_weights_and_nothing_else(store: Store, weights: Weights, run_id: str, tmp_path: Path) -> None:
    model = register(store, weights(1), name="banet-pulled", run_id=run_id)
    into = tmp_path / "deep" / "into"
    into.mkdir(parents=True)
    (into / "old").touch()
    assert pull(store, model.name, model.version, into, model.digest) == into
    assert weights_digest(into) == model.digest
    assert sorted(file.name for file in into.iterdir()) == ["config.json", "model.safetensors"]
    assert [file.name for file in into.parent.iterdir()] == ["into"]


def test_pull_refuses_other_weights(store: Store, weights: Weights, run_id: str, tmp_path: Path) -> None:
    model = register(store, weights(1), name="banet-refused", run_id=run_id)
    with pytest.raises(ModelError, match="holds other weights"):
        pull(store, model.name, model.version, tmp_path / "into", "0" * 64)
    (files_of(store, model) / "artifacts" / "weights" / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="have changed"):
        pull(store, model.name, model.version, tmp_path / "into")
    assert not (tmp_path / "into").exists()


@pytest.mark.parametrize("name", ["banet-none", "banet-seven"])
def test_pull_of_a_missing_version_says_what_to_do(
    store: Store, weights: Weights, run_id: str, tmp_path: Path, name: str
) -> None:
    if name == "banet-seven":
        register(store, weights(1), name=name, run_id=run_id)
    with pytest.raises(ModelError, match=f"{name} version 7 is not in .*dvc repro --force") as error:
        pull(store, name, 7, tmp_path / "into")
    assert "\n" not in str(error.value)


def test_champion_moves_and_says_why(store: Store, weights: Weights, run_id: str) -> None:
    assert champion(store, "banet-moves") is None
    first = register(store, weights(1), name="banet-moves", run_id=run_id)
    assert champion(store, "banet-moves") is None
    promote(store, first, reason="the first")
    second = register(store, weights(2), name="banet-moves", run_id=run_id)
    assert champion(store, "banet-moves") == first
    promote(store, second, reason="0.2 dB better")
    assert champion(store, "banet-moves") == second
    tags = store.client().get_model_version("banet-moves", "2").tags
    assert tags["promotion_reason"] == "0.2 dB better"
    assert tags["promoted_at"].endswith("+00:00")


def test_latest_champion_is_the_last_promoted_of_all_models(
    store: Store, weights: Weights, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = register(store, weights(1), name="banet-latest-a", run_id=run_id)
    b = register(store, weights(2), name="banet-latest-b", run_id=run_id)
    promote(store, b, reason="")
    promote(store, a, reason="")
    assert latest_champion(store) == a
    promote(store, b, reason="")
    register(store, weights(3), name="banet-latest-a", run_id=run_id)
    assert latest_champion(store) == b
    store.client().create_registered_model("somebody-elses")
    assert latest_champion(store) == b
    monkeypatch.setattr(registry, "CHAMPION", "no-such-alias")
    with pytest.raises(ModelError, match=r"make demo.*--model") as error:
        latest_champion(store)
    assert "\n" not in str(error.value)
