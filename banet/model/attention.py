"""Blur-aware attention (BA, Sec. 3.1, Fig. 4), its parts (Table 5), and the self-attention of Table 9.

Every attention takes features (B, C, H, W) and the grid of strips over them, and returns features of the same shape.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from banet.model.network_config import BANetConfig
from banet.model.strips import StripGrid


class StripConvolution(nn.Module):
    """Convolve the vertical and the horizontal tensor of one strip number n, without bias.

    For n = 1 the strips are lines, with a 3x1 and a 1x3 kernel; for larger n both share one 3x3 kernel.
    """

    def __init__(self, channels: int, out_channels: int, n: int) -> None:
        super().__init__()
        vertical = (3, 1) if n == 1 else (3, 3)
        self.vertical = nn.Conv2d(channels, out_channels, vertical, padding="same", bias=False)
        self.horizontal = nn.Conv2d(channels, out_channels, (1, 3), padding="same", bias=False) if n == 1 else None

    def forward(self, yv_BCHn: Tensor, yh_BCnW: Tensor, steps: tuple[int, int] = (1, 1)) -> tuple[Tensor, Tensor]:
        """Return both tensors convolved; `steps` are the distances between neighbouring strips in them."""
        horizontal = self.vertical if self.horizontal is None else self.horizontal
        return _convolve(self.vertical, yv_BCHn, (1, steps[0])), _convolve(horizontal, yh_BCnW, (steps[1], 1))


class MultiKernelStripPooling(nn.Module):
    """The mask of MKSP (Sec. 3.1): strips of every n, convolved to C/2 channels, spread by Eq. (4), then f_out.

    A 1x1 convolution commutes with spreading, so f_out begins on the strips, and the map of each n is never
    materialised at full size (except for `fusion_kernel` 3 and local strips).
    """

    def __init__(self, config: BANetConfig) -> None:
        super().__init__()
        C, k = config.channels, config.fusion_kernel
        self.kernels = config.kernels
        self.strips = nn.ModuleList(StripConvolution(C, C // 2, n) for n in config.kernels)
        self.fusion = nn.Conv2d(len(config.kernels) * (C // 2), config.fusion_channels, k, padding=k // 2, bias=False)
        self.mask = nn.Conv2d(config.fusion_channels, C, k, padding=k // 2)

    def forward(self, x_BCHW: Tensor, grid: StripGrid) -> Tensor:
        """Return the mask M_mksp in (0, 1), (B, C, H, W)."""
        steps = zip(grid.columns.steps, grid.rows.steps, strict=True)
        pairs = [
            strip(*averages, step)
            for strip, averages, step in zip(self.strips, grid.average(x_BCHW), steps, strict=True)
        ]
        return self.mask(self._fuse(pairs, grid).relu_()).sigmoid_()  # type: ignore[no-any-return]

    def _fuse(self, pairs: list[tuple[Tensor, Tensor]], grid: StripGrid) -> Tensor:
        weights = torch.chunk(self.fusion.weight, len(self.kernels), dim=1)
        if self.fusion.kernel_size == (1, 1):
            fused = [(F.conv2d(yv, w), F.conv2d(yh, w)) for (yv, yh), w in zip(pairs, weights, strict=True)]
            return grid.spread_sum(fused)
        total: Tensor | None = None
        for kernel, (pair, weight) in enumerate(zip(pairs, weights, strict=True)):
            part = F.conv2d(grid.spread(*pair, kernel), weight, padding=self.fusion.padding)
            total = part if total is None else total.add_(part)
        assert total is not None  # noqa: S101  # a configuration has at least one kernel
        return total


class StripPooling(nn.Module):
    """The mask of SP, Eq. (1): lines of one pixel (n = 1) alone, C wide, then one 1x1 convolution."""

    def __init__(self, config: BANetConfig) -> None:
        super().__init__()
        C = config.channels
        self.strip = StripConvolution(C, C, 1)
        self.mask = nn.Conv2d(C, C, 1)

    def forward(self, x_BCHW: Tensor, grid: StripGrid) -> Tensor:
        """Return the mask M_sp in (0, 1), (B, C, H, W)."""
        (averages,) = grid.average(x_BCHW)
        yv, yh = self.strip(*averages)
        return self.mask(grid.spread(yv, yh, 0)).sigmoid_()  # type: ignore[no-any-return]


class BlurAwareAttention(nn.Module):
    """BA: the features, gated by the mask of MKSP and again by the refinement f_AR of Eq. (5).

    The variants of Table 5 omit the refinement (mksp) or the pooling (ar), or replace MKSP by SP (sp).
    """

    def __init__(self, config: BANetConfig) -> None:
        super().__init__()
        C = config.channels
        self.pooling: nn.Module | None = None
        if config.attention in ("ba", "mksp"):
            self.pooling = MultiKernelStripPooling(config)
        elif config.attention == "sp":
            self.pooling = StripPooling(config)
        self.refinement: nn.Module | None = None
        if config.attention in ("ba", "ar"):
            self.refinement = nn.Sequential(
                nn.Conv2d(C, C, 3, padding=1),
                nn.ReLU(inplace=True),
                nn.Conv2d(C, C, 3, padding=1),
                nn.Sigmoid(),
            )

    def forward(self, x_BCHW: Tensor, grid: StripGrid) -> Tensor:
        """Return the attended features, (B, C, H, W)."""
        if self.pooling is not None:
            x_BCHW = self.pooling(x_BCHW, grid) * x_BCHW  # where the blur is, over the whole image
        if self.refinement is not None:
            x_BCHW = self.refinement(x_BCHW) * x_BCHW  # Eq. (5): sharpens the mask locally
        return x_BCHW


class SelfAttention(nn.Module):
    """Pixel-wise self-attention over the whole feature map (Zhang et al., SAGAN), which replaces BA in Table 9.

    Queries, keys and values have C/8 channels, their convolutions no bias; gamma starts at 0. Where torch has a fused
    kernel, the attention matrix of (H W)^2 numbers is not materialised; the time is quadratic all the same.
    """

    def __init__(self, config: BANetConfig) -> None:
        super().__init__()
        C = config.channels
        self.query = nn.Conv2d(C, C // 8, 1, bias=False)
        self.key = nn.Conv2d(C, C // 8, 1, bias=False)
        self.value = nn.Conv2d(C, C // 8, 1, bias=False)
        self.output = nn.Conv2d(C // 8, C, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x_BCHW: Tensor, grid: StripGrid) -> Tensor:
        """Return x + gamma o, (B, C, H, W); the strips are not used."""
        q, k, v = (
            convolution(x_BCHW).flatten(2).mT.unsqueeze(1) for convolution in (self.query, self.key, self.value)
        )  # (B, 1, HW, C/8)
        attended = F.scaled_dot_product_attention(q, k, v, scale=1.0)
        o_BCHW: Tensor = self.output(attended.squeeze(1).mT.reshape(q.shape[0], -1, *x_BCHW.shape[2:]))
        return x_BCHW + self.gamma * o_BCHW


def attention(config: BANetConfig) -> nn.Module | None:
    """The attention of one module; None for `none`."""
    if config.attention == "none":
        return None
    return SelfAttention(config) if config.attention == "sa" else BlurAwareAttention(config)


def _convolve(convolution: nn.Conv2d, y: Tensor, dilation: tuple[int, int]) -> Tensor:
    padding = tuple(d * (k // 2) for d, k in zip(dilation, convolution.kernel_size, strict=True))
    return F.conv2d(y, convolution.weight, padding=padding, dilation=dilation)
