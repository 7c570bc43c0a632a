"""The training losses, Eqs. (6) to (8), in the form of the released training code (docs/paper.md)."""

import torch
from torch import Tensor

EPSILON = 1e-3  # Eq. (6), in units of the [0, 1] range


def charbonnier(restored_BCHW: Tensor, sharp_BCHW: Tensor) -> Tensor:
    """Eq. (6), a scalar: the mean over all elements of sqrt(d^2 + eps^2), eps = 1e-3 (one root an element)."""
    return torch.sqrt((restored_BCHW - sharp_BCHW).square() + EPSILON**2).mean()


def fft_l1(restored_BCHW: Tensor, sharp_BCHW: Tensor) -> Tensor:
    """Eq. (7), a scalar: the mean absolute difference of real and imaginary parts of the unnormalised 2-D FFT.

    Its scale grows with sqrt(H W); lambda = 0.01 was chosen at crops of 256 and 512.
    """
    difference = torch.fft.fft2(restored_BCHW - sharp_BCHW)  # the transform is linear: one instead of two
    return torch.view_as_real(difference).abs().mean()


def total_loss(restored_BCHW: Tensor, sharp_BCHW: Tensor, *, fft_weight: float = 0.01) -> Tensor:
    """Eq. (8), a scalar: `charbonnier` + lambda `fft_l1`, lambda = `fft_weight`."""
    value = charbonnier(restored_BCHW, sharp_BCHW)
    return value + fft_weight * fft_l1(restored_BCHW, sharp_BCHW) if fft_weight else value
