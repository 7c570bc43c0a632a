"""Strip pooling and its way back to the image: Eqs. (2) to (4) in the form of the released networks.

Shapes: ``B`` batch, ``C`` channels, ``H`` rows, ``W`` columns, ``n`` strips.
"""

import torch.nn.functional as F
from torch import Tensor


def strip_averages(x_BCHW: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Average x over n bands of columns, Eq. (2), and over n bands of rows, Eq. (3).

    Band i of size L spans [floor(i L / n), ceil((i+1) L / n)): the adaptive windows of the released networks. They
    equal Eqs. (2) and (3) where L mod n is 0 or 1 (docs/paper.md).

    Returns:
        The vertical tensor (B, C, H, n) and the horizontal tensor (B, C, n, W).
    """
    H, W = x_BCHW.shape[-2:]
    yv_BCHn = F.adaptive_avg_pool2d(x_BCHW, (H, n))
    yh_BCnW = F.adaptive_avg_pool2d(x_BCHW, (n, W))
    return yv_BCHn, yh_BCnW


def spread(yv_BCHn: Tensor, yh_BCnW: Tensor) -> Tensor:
    """Sum of both strip tensors, each repeated over the image: Eq. (4), (B, C, H, W)."""
    H, W = yv_BCHn.shape[-2], yh_BCnW.shape[-1]
    if yv_BCHn.shape[-1] == 1:  # one strip reaches everywhere: broadcasting needs no copy
        return yv_BCHn + yh_BCnW
    return F.interpolate(yv_BCHn, (H, W), mode="nearest") + F.interpolate(yh_BCnW, (H, W), mode="nearest")
