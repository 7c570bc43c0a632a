"""The training losses, Eqs. (6) to (8), in the form of the released training code (docs/paper.md).

They compute in float32 at least: eps^2 and the sums of the transform are outside the range of float16.
"""

from typing import Literal

import torch
from torch import Tensor

EPSILON = 1e-3  # Eq. (6), in units of the [0, 1] range
ORTHO_SCALE = 256  # the two forms of Eq. (7) are equal on crops of 256x256, for which lambda was chosen


def charbonnier(restored_BCHW: Tensor, sharp_BCHW: Tensor) -> Tensor:
    """Eq. (6), a scalar: the mean over all elements of sqrt(d^2 + eps^2), eps = 1e-3 (one root per element)."""
    return torch.sqrt(_difference(restored_BCHW, sharp_BCHW).square() + EPSILON**2).mean()


def fft_l1(restored_BCHW: Tensor, sharp_BCHW: Tensor, *, norm: Literal["backward", "ortho"] = "backward") -> Tensor:
    """Eq. (7), a scalar: the mean absolute difference of real and imaginary parts of the 2-D FFT.

    Args:
        restored_BCHW: in [0, 1].
        sharp_BCHW: in [0, 1].
        norm: `backward` is the unnormalised transform, as released: its scale grows with sqrt(H W), and lambda weighs
            twice as much on crops of 512 as on 256. `ortho` is the orthonormal one times 256: equal to
            `backward` at 256x256, and of the same scale at every size.
    """
    # the transform is linear: one is enough
    spectrum = torch.view_as_real(torch.fft.fft2(_difference(restored_BCHW, sharp_BCHW), norm=norm))
    value = spectrum.abs().mean()
    return value * ORTHO_SCALE if norm == "ortho" else value


def total_loss(
    restored_BCHW: Tensor,
    sharp_BCHW: Tensor,
    *,
    fft_weight: float = 0.01,
    fft_norm: Literal["backward", "ortho"] = "backward",
) -> Tensor:
    """Eq. (8), a scalar: `charbonnier` + lambda `fft_l1`, lambda = `fft_weight`; `fft_norm` is `fft_l1`'s `norm`."""
    value = charbonnier(restored_BCHW, sharp_BCHW)
    return value + fft_weight * fft_l1(restored_BCHW, sharp_BCHW, norm=fft_norm) if fft_weight else value


def _difference(restored_BCHW: Tensor, sharp_BCHW: Tensor) -> Tensor:
    dtype = torch.promote_types(torch.promote_types(restored_BCHW.dtype, sharp_BCHW.dtype), torch.float32)
    return restored_BCHW.to(dtype) - sharp_BCHW.to(dtype)
