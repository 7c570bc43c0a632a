"""Cascaded parallel dilated convolution (CPDC, Sec. 3.2, Fig. 9)."""

import torch
from torch import Tensor, nn

LEAK = 0.2  # negative slope of every LeakyReLU in the released networks


class ParallelDilatedConvolution(nn.Module):
    """PDC (Fig. 9a): 3x3 convolutions with dilation 1, 3 and 5 side by side, C -> 3C/2 channels, linear."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Conv2d(channels, channels // 2, 3, padding=dilation, dilation=dilation) for dilation in (1, 3, 5)
        )

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return the branches, concatenated: (B, 3C/2, H, W)."""
        return torch.cat([branch(x_BCHW) for branch in self.branches], dim=1)


class CascadedParallelDilatedConvolution(nn.Sequential):
    """CPDC (Fig. 9b): two PDCs with one 3x3 convolution as a bridge, C -> 3C/2 channels."""

    def __init__(self, channels: int) -> None:
        super().__init__(
            ParallelDilatedConvolution(channels),
            nn.Conv2d(3 * channels // 2, channels, 3, padding=1),
            nn.LeakyReLU(LEAK),
            ParallelDilatedConvolution(channels),
        )
