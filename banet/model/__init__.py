"""The network of the paper, Sec. 3, its configuration, and models on disk.

People's programs import these names from here; each is resolved on first use.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "BANet": "network",
    "BANetConfig": "network_config",
    "BlurAwareModule": "network",
    "export_checkpoint": "checkpoint",
    "import_checkpoint": "checkpoint",
    "load_weights": "weights",
    "save_weights": "weights",
    "weights_digest": "digest",
    "with_local_strips": "network",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
