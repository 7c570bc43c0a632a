"""BANet (Sec. 3, Fig. 3): encoder, blur-aware modules, decoder, in a single forward pass."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from banet.model.attention import BlurAwareAttention
from banet.model.config import BANetConfig
from banet.model.content import LEAK, CascadedParallelDilatedConvolution


class BlurAwareModule(nn.Module):
    """BAM (Fig. 3): attention (BA) and content (CPDC) see the same features; their union is added to the input."""

    def __init__(self, config: BANetConfig) -> None:
        super().__init__()
        C = config.channels
        self.input = nn.Sequential(nn.Conv2d(C, C, 3, padding=1), nn.LeakyReLU(LEAK))
        self.attention = BlurAwareAttention(C, config.kernels, config.fusion_channels)
        self.content = CascadedParallelDilatedConvolution(C)
        self.output = nn.Conv2d(3 * C // 2 + C, C, 3, padding=1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return the features after one module, (B, C, H, W)."""
        f_BCHW = self.input(x_BCHW)
        joined = torch.cat([self.content(f_BCHW), self.attention(f_BCHW)], dim=1)
        return F.leaky_relu(x_BCHW + self.output(joined), LEAK)


class BANet(nn.Module):
    """Blur-aware attention network: (B, 3, H, W) RGB in [0, 1] in, the same shape out, not clamped.

    Any size from 1x1 up; odd sides are padded by reflection inside and cropped again.
    """

    def __init__(self, config: BANetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or BANetConfig()
        S, C = config.stem_channels, config.channels
        self.stem = nn.Sequential(nn.Conv2d(3, S, 3, padding=1), nn.LeakyReLU(LEAK))
        self.down = nn.Sequential(nn.Conv2d(S, C, 3, stride=2, padding=1), nn.LeakyReLU(LEAK))
        self.modules_ = nn.Sequential(*(BlurAwareModule(config) for _ in range(config.modules)))
        self.up = nn.Sequential(nn.ConvTranspose2d(C, S, 4, stride=2, padding=1), nn.LeakyReLU(LEAK))
        self.merge = nn.Sequential(nn.Conv2d(2 * S, S, 3, padding=1), nn.LeakyReLU(LEAK))
        self.output = nn.Conv2d(S, 3, 3, padding=1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return the restored images; the network predicts what to add to its input."""
        H, W = x_BCHW.shape[-2:]
        padded = F.pad(x_BCHW, (0, W % 2, 0, H % 2), mode="reflect" if min(H, W) > 1 else "replicate")
        skip = self.stem(padded - 0.5)
        features = self.modules_(self.down(skip))
        residual: Tensor = self.output(self.merge(torch.cat([self.up(features), skip], dim=1)))
        return x_BCHW + residual[..., :H, :W]
