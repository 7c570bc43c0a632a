import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from banet.errors import ModelError
from banet.model.weights import load_weights
from banet.tracking.load import load_model
from banet.tracking.registry import promote, register
from banet.tracking.store import Store

Weights = Callable[[int], Path]


def test_folder_and_addresses_give_the_same_network(
    store: Store, weights: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = weights(1)
    model = register(store, folder, name="banet-load", run_id="")
    promote(store, model, reason="")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)
    x_BCHW = torch.rand(1, 3, 9, 11)
    with torch.inference_mode():
        expected = load_weights(folder)(x_BCHW)
        for source in (folder, str(folder), "models:/banet-load@champion", "models:/banet-load/1", model.uri):
            loaded = load_model(source)
            assert torch.equal(loaded(x_BCHW), expected)
            assert not loaded.training


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("models:/banet-load", "write models:/NAME@champion"),
        ("models:/banet-unknown@champion", "is not in the store"),
        ("models:/banet-unknown/3", "version 3 is not in sqlite"),
        ("no/such/folder", "no/such/folder"),
    ],
)
def test_what_is_not_there_is_named(store: Store, monkeypatch: pytest.MonkeyPatch, source: str, says: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)
    with pytest.raises(ModelError, match=says) as error:
        load_model(source)
    assert "\n" not in str(error.value)


def test_folder_needs_no_mlflow(weights: Weights) -> None:
    program = "import sys; sys.modules['mlflow'] = None; import banet; banet.load_model(sys.argv[1])"
    subprocess.run([sys.executable, "-c", program, str(weights(1))], check=True)
