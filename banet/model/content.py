"""Cascaded parallel dilated convolution (CPDC, Sec. 3.2, Fig. 9) and the alternatives of Table 8.

Each takes features of C channels and returns three tensors of C/2 channels, one per dilation, to be concatenated. The
dilated convolutions are linear, as in the released networks.
"""

import torch
from torch import Tensor, nn

from banet.model.network_config import BANetConfig

LEAK = 0.2  # negative slope of every LeakyReLU in the released networks
DILATIONS = (1, 3, 5)


class ParallelDilatedConvolution(nn.Module):
    """PDC (Fig. 9a): 3x3 convolutions with dilation 1, 3 and 5 side by side."""

    def __init__(self, in_channels: int, branch_channels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Conv2d(in_channels, branch_channels, 3, padding=dilation, dilation=dilation) for dilation in DILATIONS
        )

    def forward(self, x_BCHW: Tensor) -> list[Tensor]:
        """Return the output of each dilation, three tensors of the same size."""
        return [branch(x_BCHW) for branch in self.branches]


class PDCTwice(nn.Sequential):
    """Two PDCs in a row with nothing between them (PDC with exponent 2 in Table 8)."""

    def __init__(self, channels: int) -> None:
        half = channels // 2
        super().__init__(ParallelDilatedConvolution(channels, half), ParallelDilatedConvolution(3 * half, half))

    def forward(self, x_BCHW: Tensor) -> list[Tensor]:
        """Return three tensors (B, C/2, H, W)."""
        first, second = self
        return second(torch.cat(first(x_BCHW), dim=1))  # type: ignore[no-any-return]


class CascadedParallelDilatedConvolution(nn.Sequential):
    """CPDC (Fig. 9b): two PDCs bridged by one 3x3 convolution."""

    def __init__(self, channels: int) -> None:
        half = channels // 2
        super().__init__(
            ParallelDilatedConvolution(channels, half),
            nn.Conv2d(3 * half, channels, 3, padding=1),
            nn.LeakyReLU(LEAK, inplace=True),
            ParallelDilatedConvolution(channels, half),
        )

    def forward(self, x_BCHW: Tensor) -> list[Tensor]:
        """Return three tensors (B, C/2, H, W)."""
        first, bridge, activation, second = self
        return second(activation(bridge(torch.cat(first(x_BCHW), dim=1))))  # type: ignore[no-any-return]


def content(config: BANetConfig) -> nn.Module:
    """The content branch of one module."""
    C = config.channels
    match config.content:
        case "cpdc":
            return CascadedParallelDilatedConvolution(C)
        case "pdc_twice":
            return PDCTwice(C)
        case "pdc":
            return ParallelDilatedConvolution(C, C // 2)
