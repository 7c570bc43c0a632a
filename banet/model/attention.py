"""Blur-aware attention (BA, Sec. 3.1, Fig. 4): multi-kernel strip pooling, then attention refinement."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from banet.model.strips import spread, strip_averages


class StripConvolution(nn.Module):
    """Convolve the vertical and the horizontal tensor of one strip number n; both give C/2 channels, without bias.

    For n = 1 the strips are lines, with a 3x1 and a 1x3 kernel; for larger n one 3x3 kernel serves both.
    """

    def __init__(self, channels: int, n: int) -> None:
        super().__init__()
        vertical = (3, 1) if n == 1 else (3, 3)
        self.vertical = nn.Conv2d(channels, channels // 2, vertical, padding="same", bias=False)
        self.horizontal = nn.Conv2d(channels, channels // 2, (1, 3), padding="same", bias=False) if n == 1 else None

    def forward(self, yv_BCHn: Tensor, yh_BCnW: Tensor) -> tuple[Tensor, Tensor]:
        """Return both tensors convolved, (B, C/2, H, n) and (B, C/2, n, W)."""
        horizontal = self.vertical if self.horizontal is None else self.horizontal
        return self.vertical(yv_BCHn), horizontal(yh_BCnW)


class MultiKernelStripPooling(nn.Module):
    """The mask of MKSP (Sec. 3.1): strips of every n, convolved, fused by Eq. (4), then f_out; in (0, 1)."""

    def __init__(self, channels: int, kernels: tuple[int, ...], fusion_channels: int) -> None:
        super().__init__()
        self.kernels = kernels
        self.strips = nn.ModuleList(StripConvolution(channels, n) for n in kernels)
        self.fusion = nn.Conv2d(len(kernels) * (channels // 2), fusion_channels, 1, bias=False)
        self.mask = nn.Conv2d(fusion_channels, channels, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return the mask M_mksp, (B, C, H, W)."""
        maps = [spread(*strip(*strip_averages(x_BCHW, n))) for n, strip in zip(self.kernels, self.strips, strict=True)]
        return torch.sigmoid(self.mask(F.relu(self.fusion(torch.cat(maps, dim=1)))))


class BlurAwareAttention(nn.Module):
    """BA: the input, gated by the mask of MKSP and again by the refinement f_AR of Eq. (5)."""

    def __init__(self, channels: int, kernels: tuple[int, ...], fusion_channels: int) -> None:
        super().__init__()
        self.pooling = MultiKernelStripPooling(channels, kernels, fusion_channels)
        self.refinement = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.Sigmoid(),
        )

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return the attended features, (B, C, H, W)."""
        attended_BCHW = self.pooling(x_BCHW) * x_BCHW  # where is the blur, seen over the whole image
        refined_BCHW: Tensor = self.refinement(attended_BCHW) * attended_BCHW  # Eq. (5): sharpen the mask locally
        return refined_BCHW
