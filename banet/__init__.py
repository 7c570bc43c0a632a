"""Blur-aware attention networks for motion deblurring (Tsai et al., BANet).

Public names are resolved on first use: importing this package imports nothing else.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from banet import losses, metrics
    from banet.inference import restore, restore_sub_images
    from banet.losses import charbonnier, fft_l1, total_loss
    from banet.model.network import BANet
    from banet.model.network_config import BANetConfig
    from banet.tracking.load import load_model

__version__ = "0.1.0"

__all__ = [
    "BANet",
    "BANetConfig",
    "charbonnier",
    "fft_l1",
    "load_model",
    "losses",
    "metrics",
    "restore",
    "restore_sub_images",
    "total_loss",
]

_HOMES = {
    "BANet": "banet.model.network",
    "BANetConfig": "banet.model.network_config",
    "charbonnier": "banet.losses",
    "fft_l1": "banet.losses",
    "load_model": "banet.tracking.load",
    "restore": "banet.inference",
    "restore_sub_images": "banet.inference",
    "total_loss": "banet.losses",
}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in __all__:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
