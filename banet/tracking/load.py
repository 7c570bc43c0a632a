"""`banet.load_model`: a trained network from a folder or from the registry."""

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from banet.errors import ModelError
from banet.model.network import BANet
from banet.model.weights import load_weights

if TYPE_CHECKING:
    from banet.tracking.store import Store
    from banet.tracking.version_files import RegisteredModel

_ADDRESS = re.compile(r"models:/+(?P<name>[^/@]+)(?:/(?P<version>\d+)|@(?P<alias>[^/@]+))")


def load_model(source: str | Path) -> BANet:
    """Load a trained network, on the CPU, in evaluation mode.

    It takes float (B, 3, H, W) in [0, 1] and returns the same, not clamped; `banet.inference` takes images.

    Args:
        source: a folder with `model.safetensors` and `config.json`, or an address in the registry:
            `models:/banet-mini@champion`, `models:/banet-mini/3`.

    Raises:
        ModelError: there is no such model, or it is damaged.
        ConfigError: an address in the registry, outside a checkout and without MLFLOW_TRACKING_URI.
        ServiceError: the tracking server does not answer.
    """
    if not str(source).startswith("models:"):
        return load_weights(Path(source))

    from banet.tracking.registry import pull

    store, model = find_registered(str(source))
    with tempfile.TemporaryDirectory() as folder:
        return load_weights(pull(store, model.name, model.version, Path(folder) / "weights"))


def find_registered(source: str) -> tuple["Store", "RegisteredModel"]:
    """Look up a version by its address in the registry; return the store and the version.

    Raises:
        ModelError, ConfigError, ServiceError: as `load_model`.
    """
    address = _ADDRESS.fullmatch(source)
    if address is None:
        raise ModelError(f"{source} is not the address of a model: write models:/NAME@champion or models:/NAME/VERSION")

    from banet.tracking.registry import find, find_alias
    from banet.tracking.store import connect

    store = connect()
    name = address["name"]
    if address["alias"]:
        model = find_alias(store, name, address["alias"])
        if model is None:
            raise ModelError(f"{source} is not in the store {store.shown}: run `make demo`, or name another model")
        return store, model
    return store, find(store, name, address["version"])
