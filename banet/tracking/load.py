"""`banet.load_model`: a trained network from a folder or from the registry."""

import re
import tempfile
from pathlib import Path

from banet.errors import ModelError
from banet.model import BANet, load_weights

_ADDRESS = re.compile(r"models:/+(?P<name>[^/@]+)(?:/(?P<version>\d+)|@(?P<alias>[^/@]+))")


def load_model(source: str | Path) -> BANet:
    """Load a trained network, on the CPU, in evaluation mode.

    It takes float (B, 3, H, W) in [0, 1] and returns the same, not clamped; `banet.restore` takes images.

    Args:
        source: a folder with `model.safetensors` and `config.json`, or an address in the registry:
            `models:/banet-mini@champion`, `models:/banet-mini/3`.

    Raises:
        ModelError: there is no such model, or it is damaged.
        ConfigError: an address of the registry outside a checkout, without MLFLOW_TRACKING_URI.
        ServiceError: the tracking server does not answer.
    """
    if not str(source).startswith("models:"):
        return load_weights(Path(source))
    address = _ADDRESS.fullmatch(str(source))
    if address is None:
        raise ModelError(f"{source} is no address of a model: write models:/NAME@champion or models:/NAME/VERSION")

    from banet.tracking.registry import find, find_alias, pull
    from banet.tracking.store import connect

    store = connect()
    name = address["name"]
    if address["alias"]:
        model = find_alias(store, name, address["alias"])
        if model is None:
            raise ModelError(f"{source} is not in the store {store.shown}: run `make demo`, or name another model")
    else:
        model = find(store, name, address["version"])
    with tempfile.TemporaryDirectory() as folder:
        return load_weights(pull(store, name, model.version, Path(folder) / "weights"))
