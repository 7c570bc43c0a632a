"""Scores of one restored image against its sharp one: 8-bit RGB arrays in, numbers out."""

from importlib import import_module
from typing import TYPE_CHECKING

from banet.metrics.psnr import psnr  # not lazily: the module has the same name

if TYPE_CHECKING:
    from banet.metrics.realblur import RealBlurScore, realblur_score
    from banet.metrics.ssim import ssim_channel, ssim_matlab3d

__all__ = ["RealBlurScore", "psnr", "realblur_score", "ssim_channel", "ssim_matlab3d"]

_LAZY = {
    "RealBlurScore": "banet.metrics.realblur",
    "realblur_score": "banet.metrics.realblur",
    "ssim_channel": "banet.metrics.ssim",
    "ssim_matlab3d": "banet.metrics.ssim",
}


def __getattr__(name: str) -> object:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
