"""One sqlite store for the session (making one takes seconds); tests keep apart by experiment and model names."""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from banet.model.network import BANet
from banet.model.network_config import BANetConfig
from banet.model.weights import save_weights
from banet.tracking.store import Store, connect


@pytest.fixture(scope="session", autouse=True)
def _mlflow_imported() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # SQLAlchemy 2.1 deprecates what MLflow 3.17 does on import
        import mlflow.store.tracking.sqlalchemy_store  # noqa: F401


@pytest.fixture(scope="session")
def store(_mlflow_imported: None, tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("a store")  # a space, as in many people's paths
    return connect(f"sqlite:///{folder}/mlflow.db")


@pytest.fixture(autouse=True)
def _nothing_global(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The store that is given is the only one used: MLflow's global one would appear in the current folder."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    here = tmp_path_factory.mktemp("here")
    monkeypatch.chdir(here)
    yield
    assert list(here.iterdir()) == []


@pytest.fixture
def weights(tmp_path: Path) -> Callable[[int], Path]:
    """Makes a folder with the weights of a tiny network, other ones for another seed."""

    def make(seed: int) -> Path:
        torch.manual_seed(seed)
        folder = tmp_path / f"weights-{seed}"
        save_weights(BANet(BANetConfig(channels=8, modules=1)), folder)
        (folder / "run.json").write_text("{}")  # lies beside the weights in models/candidate
        return folder

    return make
