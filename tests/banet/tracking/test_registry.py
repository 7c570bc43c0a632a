import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
import pytest

from banet.closure import digest_of
from banet.errors import ModelError
from banet.inference import restore
from banet.model.digest import weights_digest
from banet.model.weights import load_weights
from banet.tracking import registry
from banet.tracking.pyfunc_package import digests, workspace_sources
from banet.tracking.registry import champion, find, find_alias, latest_champion, open_version, promote, pull, register
from banet.tracking.runs import finish_run, open_run
from banet.tracking.store import Store
from banet.tracking.version_files import RegisteredModel

Weights = Callable[[int], Path]
BRIGHTER = """

def _brighter(model, image, _plain=restore):
    return (_plain(model, image).astype(int) + 20).clip(0, 255).astype("uint8")


restore = _brighter
"""


@pytest.fixture
def run_id(store: Store) -> str:
    run_id = open_run(store, experiment="registry", name="r", fingerprint="registry", params={}, tags={})
    finish_run(store, run_id)  # as the stage that trains leaves it
    return run_id


def files_of(store: Store, model: RegisteredModel) -> Path:
    """The folder of a version's files in the store."""
    place = store.client().get_model_version_download_uri(model.name, str(model.version))
    return Path(url2pathname(urlsplit(place).path))


@pytest.mark.slow
def test_version_carries_weights_code_signature_and_traces(store: Store, weights: Weights, run_id: str) -> None:
    folder = weights(1)
    model = register(store, folder, name="banet-traced", run_id=run_id, tags={"git_commit": "c0ffee"})
    code = digest_of(digests(workspace_sources()))
    assert model == RegisteredModel(
        name="banet-traced", version=1, digest=weights_digest(folder), run_id=run_id, code=code
    )
    assert find_alias(store, "banet-traced", "candidate") == model
    version = store.client().get_model_version("banet-traced", "1")
    assert version.tags == {"digest": model.digest, "code_digest": code, "git_commit": "c0ffee"}
    files = files_of(store, model)
    assert sorted(file.name for file in (files / "artifacts" / "weights").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]
    suffixes = {file.suffix for file in files.rglob("*") if file.is_file()}
    assert suffixes == {"", ".py", ".json", ".safetensors", ".txt", ".yaml"}  # no pickle, no compiled code
    assert [file.name for file in (files / "code").iterdir()] == [f"banet_{code[:12]}"]
    assert not (files / "code" / f"banet_{code[:12]}" / "tracking").exists()
    assert "signature:" in (files / "MLmodel").read_text()
    outputs = store.client().get_run(run_id).outputs.model_outputs
    logged = store.client().get_logged_model(outputs[0].model_id)
    assert version.source == logged.artifact_location
    assert logged.tags["mlflow.modelVersions"] == '[{"name": "banet-traced", "version": 1}]'


@pytest.mark.slow
def test_same_weights_are_registered_once(store: Store, weights: Weights, run_id: str) -> None:
    first = register(store, weights(1), name="banet-once", run_id=run_id)
    second = register(store, weights(2), name="banet-once", run_id=run_id)
    assert (second.version, find_alias(store, "banet-once", "candidate")) == (2, second)
    assert register(store, weights(1), name="banet-once", run_id="another") == first
    assert find_alias(store, "banet-once", "candidate") == first


def other_code(monkeypatch: pytest.MonkeyPatch, added: str) -> None:
    """Stand for an edit of banet/inference.py in the workspace."""
    edited = {**workspace_sources(), "banet/inference.py": workspace_sources()["banet/inference.py"] + added}
    for module in ("registry", "pyfunc_package", "version_files"):
        monkeypatch.setattr(f"banet.tracking.{module}.workspace_sources", lambda: edited)


@pytest.mark.slow
def test_same_weights_with_other_code_are_another_version(
    store: Store, weights: Weights, run_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = register(store, weights(1), name="banet-code", run_id=run_id)
    with monkeypatch.context() as patch:
        other_code(patch, "\n# a comment decides nothing\n")
        assert register(store, weights(1), name="banet-code", run_id=run_id) == first
        pull(store, first.name, 1, tmp_path / "commented", same_code=True)
    with monkeypatch.context() as patch:
        other_code(patch, "\nFIXED = True\n")
        second = register(store, weights(1), name="banet-code", run_id=run_id)
        assert (second.version, second.digest) == (2, first.digest)
        assert second.code != first.code
        assert register(store, weights(1), name="banet-code", run_id=run_id) == second
        pull(store, first.name, 2, tmp_path / "fixed", same_code=True)
        with pytest.raises(
            ModelError, match=r"version 1 .* other code .*banet/inference\.py differ.*banet register"
        ) as error:
            pull(store, first.name, 1, tmp_path / "stale", same_code=True)
        assert "\n" not in str(error.value)
        assert not (tmp_path / "stale").exists()
        pull(store, first.name, 1, tmp_path / "stale")  # the weights alone are for everybody
    assert register(store, weights(1), name="banet-code", run_id=run_id) == first


def test_version_whose_code_was_edited_in_the_store_is_registered_again(
    store: Store, weights: Weights, run_id: str, tmp_path: Path
) -> None:
    first = register(store, weights(1), name="banet-edited", run_id=run_id)
    module = next((files_of(store, first) / "code").rglob("inference.py"))
    module.write_text(module.read_text() + "EDITED = True\n")
    with pytest.raises(ModelError, match=r"banet/inference\.py differ"):
        pull(store, first.name, 1, tmp_path / "into", same_code=True)
    assert register(store, weights(1), name="banet-edited", run_id=run_id).version == 2
    shutil.rmtree(files_of(store, first) / "code")
    with pytest.raises(ModelError, match=r"its code is gone"):
        pull(store, first.name, 1, tmp_path / "into", same_code=True)


def test_version_of_the_first_release_stays_and_runs_its_own_code(
    store: Store, weights: Weights, run_id: str, tmp_path: Path
) -> None:
    """Its package is called banet, and no tag tells its code."""
    old = register(store, weights(1), name="banet-old", run_id=run_id)
    files = files_of(store, old)
    (package,) = (files / "code").iterdir()
    for file in [*package.rglob("*.py"), files / "pyfunc_model.py"]:
        file.write_text(file.read_text().replace(package.name, "banet"))
    module = package / "inference.py"
    module.write_text(module.read_text() + BRIGHTER)
    package.rename(package.with_name("banet"))
    store.client().delete_model_version_tag(old.name, "1", "code_digest")
    picture = np.full((9, 9, 3), 100, np.uint8)
    restored = open_version(store, old, tmp_path / "opened")(picture)
    ours = restore(load_weights(weights(1)), picture).astype(int)
    assert np.array_equal(restored, np.clip(ours + 20, 0, 255))
    new = register(store, weights(1), name="banet-old", run_id=run_id)
    assert (old.version, new.version) == (1, 2)
    assert find(store, "banet-old", 1).code == ""
    assert np.array_equal(open_version(store, new, tmp_path / "new")(picture), ours)


def test_an_error_of_a_versions_own_code_is_one_of_ours(
    store: Store, weights: Weights, run_id: str, tmp_path: Path
) -> None:
    model = register(store, weights(1), name="banet-error", run_id=run_id)
    restoring = open_version(store, model, tmp_path / "opened")
    with pytest.raises(ModelError, match="must be uint8 RGB"):
        restoring(np.zeros((9, 9), np.uint8))
    program = files_of(store, model) / "pyfunc_model.py"
    program.write_text("import no_such_module\n")
    with pytest.raises(ModelError, match=r"banet-error version 1 .*does not run here .*no_such_module") as error:
        open_version(store, model, tmp_path / "again")
    assert "\n" not in str(error.value)


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


@pytest.mark.slow
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
