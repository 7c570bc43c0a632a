"""Blur-aware attention networks for motion deblurring (Tsai et al., BANet).

Importing this needs torch, numpy, yaml and safetensors; names of higher floors are resolved on first use.
"""

from importlib import import_module

from banet import losses, metrics
from banet.losses import charbonnier, fft_l1, total_loss
from banet.model import BANet, BANetConfig
from banet.restore import restore, restore_in_parts

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
    "restore_in_parts",
    "total_loss",
]

_LATER = {"load_model": "banet.tracking.load"}


def __getattr__(name: str) -> object:
    if name in _LATER:
        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
