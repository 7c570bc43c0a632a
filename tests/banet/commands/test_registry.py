"""`banet models`, `promote` and `register`: what they list and change, and one line for each mistake."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from banet.cli import main
from banet.closure import digest_of
from banet.model.digest import weights_digest
from banet.model.network import BANet
from banet.model.network_config import BANetConfig
from banet.model.weights import save_weights
from banet.tracking.pyfunc_package import digests, workspace_sources
from banet.tracking.registry import champion, find, find_alias
from banet.tracking.runs import finish_run, log_metrics, open_run
from banet.tracking.store import Store, connect
from banet.tracking.versions import versions

Weights = Callable[[int], Path]


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # SQLAlchemy 2.1 deprecates what MLflow 3.17 does on import
        import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
    return f"sqlite:///{tmp_path_factory.mktemp('registry')}/mlflow.db"


@pytest.fixture
def store(uri: str, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return connect()


@pytest.fixture
def weights(tmp_path: Path) -> Weights:
    def make(seed: int) -> Path:
        torch.manual_seed(seed)
        folder = tmp_path / f"weights-{seed}"
        save_weights(BANet(BANetConfig(stem_channels=4, channels=4, modules=1, fusion_channels=2)), folder)
        return folder

    return make


def error(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a mistake prints, with status 2."""
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    return printed.err


def test_an_empty_store_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    # This test comes first: the store is the module's.
    assert main(["models"]) == 0
    assert capsys.readouterr().out == (
        f"no models are registered in {store.shown}: run `make demo`, or `banet register DIR --name NAME`\n"
    )
    assert "no registered model banet-x" in (line := error(capsys, "models", "banet-x"))
    assert "no models are registered there" in line
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.chdir(tmp_path)
    assert "no dvc.yaml" in error(capsys, "models")


@pytest.mark.slow
def test_a_folder_is_registered_once_under_the_house_name(
    store: Store, weights: Weights, capsys: pytest.CaptureFixture[str]
) -> None:
    digest, code = weights_digest(weights(1))[:12], digest_of(digests(workspace_sources()))[:12]
    assert main(["register", str(weights(1)), "--name", "tiny"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"banet-tiny version 1, digest {digest}, code {code}",
        "registered models are called banet-<training benchmark>: tiny became banet-tiny",
        'next: banet promote banet-tiny 1 --reason "…", or --model models:/banet-tiny/1 to try it',
    ]
    assert main(["register", str(weights(1)), "--name", "banet-tiny"]) == 0
    lines = capsys.readouterr().out.splitlines()
    already = "registered already, with the same weights and code"
    assert lines[0] == f"banet-tiny version 1, digest {digest}, code {code}: {already}"
    assert len(lines) == 2
    assert main(["register", str(weights(2)), "--name", "tiny"]) == 0
    assert [one.model.version for one in versions(store, "banet-tiny")] == [2, 1]
    candidate = find_alias(store, "banet-tiny", "candidate")
    assert candidate is not None and candidate.version == 2
    assert store.client().get_run(candidate.run_id).info.status == "FINISHED"


def test_the_same_weights_with_other_code_are_a_new_version_and_say_why(
    store: Store, weights: Weights, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["register", str(weights(9)), "--name", "banet-code"]) == 0
    store.client().set_model_version_tag("banet-code", "1", "code_digest", "")  # as banet 0.1 registered it
    capsys.readouterr()
    assert main(["register", str(weights(9)), "--name", "banet-code"]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("banet-code version 2, digest ")
    assert first.endswith(": a new version, because version 1 has the same weights but other code")
    assert main(["models", "banet-code"]) == 0
    listed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("banet-code")]
    assert listed[0].endswith(f", code {digest_of(digests(workspace_sources()))[:12]}")
    assert listed[1].endswith(", code unknown")


def test_the_run_beside_the_weights_is_the_versions_and_its_scores_are_listed(
    store: Store, weights: Weights, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = open_run(store, experiment="trained", name="r", fingerprint="cli", params={}, tags={})
    log_metrics(
        store, run_id, {"mini/blur/restored_psnr": 30.127, "mini/blur/gain": -0.5, "hide/blur/gain": 1.25, "loss": 0.1}
    )
    finish_run(store, run_id)
    (weights(3) / "run.json").write_text(json.dumps({"run_id": run_id, "data_digest": "d1"}))
    assert main(["register", str(weights(3)), "--name", "banet-trained"]) == 0
    assert find(store, "banet-trained", 1).run_id == run_id
    assert store.client().get_model_version("banet-trained", "1").tags["data_digest"] == "d1"
    capsys.readouterr()
    assert main(["models", "banet-trained"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("banet-trained 1 (candidate), registered 20")
    assert lines[1:] == ["  hide/blur: gain +1.25 dB", "  mini/blur: PSNR 30.13 dB, gain -0.50 dB"]


def test_the_champion_goes_back_to_an_older_version_and_says_why(
    store: Store, weights: Weights, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (4, 5):
        assert main(["register", str(weights(seed)), "--name", "banet-back"]) == 0
    assert main(["promote", "banet-back", "2", "--reason", "first"]) == 0
    capsys.readouterr()
    assert main(["promote", "banet-back", "1", "--reason", " version 2\nrings "]) == 0
    assert capsys.readouterr().out == "banet-back: version 1 is the champion, instead of version 2\n"
    assert champion(store, "banet-back") == find(store, "banet-back", 1)
    newest, oldest = versions(store, "banet-back")
    assert (newest.aliases, oldest.aliases) == (("candidate",), ("champion",))
    assert oldest.reason == "by hand, instead of version 2: version 2 rings"
    assert newest.promoted_at is not None and oldest.promoted_at is not None
    assert newest.promoted_at < oldest.promoted_at
    assert main(["promote", "banet-back", "1", "--reason", "again"]) == 0
    assert "is the champion already: nothing changed" in capsys.readouterr().out
    assert versions(store, "banet-back")[1].reason == oldest.reason
    assert main(["models"]) == 0
    listed = capsys.readouterr().out
    assert "banet-back 1 (champion), registered" in listed
    assert ": by hand, instead of version 2: version 2 rings\n" in listed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("promote", "banet-none", "1", "--reason", "r"), "no registered model banet-none"),
        (("promote", "banet-known", "9", "--reason", "r"), "banet-known has no version 9"),
        (("promote", "banet-known", "one", "--reason", "r"), "has no version one in"),
        (("promote", "banet-known", "1", "--reason", "  "), "--reason is empty"),
        (("register", "NOTHING", "--name", "x"), "no model in NOTHING: config.json cannot be read"),
        (("register", "WEIGHTS", "--name", "a/b"), "--name 'a/b' is no name of a model"),
        (("register", "DAMAGED", "--name", "x"), "run.json cannot be read"),
        (("models", "banet-none"), "no registered model banet-none"),
    ],
)
def test_each_mistake_is_one_line_and_changes_nothing(
    arguments: tuple[str, ...], message: str, store: Store, weights: Weights, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["register", str(weights(6)), "--name", "banet-known"]) == 0
    (weights(7) / "run.json").write_text("{")
    capsys.readouterr()
    before = versions(store)
    places = {"WEIGHTS": str(weights(6)), "DAMAGED": str(weights(7))}
    assert message in error(capsys, *(places.get(argument, argument) for argument in arguments))
    assert versions(store) == before


def test_a_version_whose_files_are_gone_does_not_become_the_champion(
    store: Store, weights: Weights, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["register", str(weights(8)), "--name", "banet-gone"]) == 0
    place = store.client().get_model_version_download_uri("banet-gone", "1").removeprefix("file://")
    next(Path(place).rglob("model.safetensors")).unlink()
    capsys.readouterr()
    assert "banet-gone version 1 cannot become the champion: the weights of banet-gone version 1" in error(
        capsys, "promote", "banet-gone", "1", "--reason", "r"
    )
    assert champion(store, "banet-gone") is None
