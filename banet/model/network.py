"""BANet (Sec. 3, Fig. 3): encoder, blur-aware modules, decoder, in a single forward pass."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from banet.model.attention import attention
from banet.model.content import LEAK, content
from banet.model.network_config import BANetConfig
from banet.model.strips import COLUMNS, ROWS, StripGrid, is_channels_last, strip_grid


class BlurAwareModule(nn.Module):
    """BAM (Fig. 3): attention (BA) and content (CPDC) of the same features are fused and added to the input."""

    def __init__(self, config: BANetConfig) -> None:
        super().__init__()
        C = config.channels
        self.input = nn.Sequential(nn.Conv2d(C, C, 3, padding=1), nn.LeakyReLU(LEAK, inplace=True))
        self.attention = attention(config)
        self.content = content(config)
        attended = 0 if self.attention is None else C
        self.output = nn.Conv2d(3 * (C // 2) + attended, C, 3, padding=1)

    def forward(self, x_BCHW: Tensor, grid: StripGrid) -> Tensor:
        """Return the features after one module, (B, C, H, W)."""
        return F.leaky_relu(self.output(self._joined(x_BCHW, grid)).add_(x_BCHW), LEAK, inplace=True)

    def _joined(self, x_BCHW: Tensor, grid: StripGrid) -> Tensor:
        # A separate method, and f freed before the concatenation: these are the largest tensors of all.
        f_BCHW = self.input(x_BCHW)
        attended = [] if self.attention is None else [self.attention(f_BCHW, grid)]
        parts = [*self.content(f_BCHW), *attended]
        del f_BCHW
        return torch.cat(parts, dim=1)


class BANet(nn.Module):
    """Blur-aware attention network: (B, 3, H, W) RGB in [0, 1] in, the same shape out, not clamped.

    Any size from 1x1 up; odd sides are padded by reflection inside the network and cropped again. It is fastest on
    images in `torch.channels_last`, whatever the format of its weights.
    """

    def __init__(self, config: BANetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or BANetConfig()
        S, C = config.stem_channels, config.channels
        self.stem = nn.Sequential(nn.Conv2d(3, S, 3, padding=1), nn.LeakyReLU(LEAK, inplace=True))
        self.down = nn.Sequential(nn.Conv2d(S, C, 3, stride=2, padding=1), nn.LeakyReLU(LEAK, inplace=True))
        self.modules_ = nn.ModuleList(BlurAwareModule(config) for _ in range(config.modules))
        self.up = nn.Sequential(nn.ConvTranspose2d(C, S, 4, stride=2, padding=1), nn.LeakyReLU(LEAK, inplace=True))
        self.merge = nn.Sequential(nn.Conv2d(2 * S, S, 3, padding=1), nn.LeakyReLU(LEAK, inplace=True))
        self.output = nn.Conv2d(S, 3, 3, padding=1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return the restored images; the network predicts what to add to its input.

        Raises:
            DataError: the features have fewer rows or columns than Eq. (2) needs, with `strip_windows` "fixed".
        """
        residual: Tensor = self.output(self.merge(self._decoded(_padded(x_BCHW) - 0.5)))
        return x_BCHW + _cropped(residual, x_BCHW)

    def _decoded(self, x_BCHW: Tensor) -> Tensor:
        # A separate method: its tensors are freed before the full-size convolutions that follow.
        skip = self.stem(x_BCHW)
        features = self.down(skip)
        grid = self._grid(features)
        for module in self.modules_:
            features = module(features, grid)
        features = self.up(features)  # the same name: frees those of half size
        return torch.cat([features, skip], dim=1)

    def _grid(self, features_BCHW: Tensor) -> StripGrid:
        config = self.config
        return strip_grid(
            features_BCHW,
            (1,) if config.attention == "sp" else config.kernels,
            windows=config.strip_windows,
            local_window=None if config.local_crop is None else config.local_crop // 2,
        )


def with_local_strips(model: BANet, crop: int | None) -> BANet:
    """Return a network of the same weights that averages strips over windows as large as a training crop.

    Args:
        model: shares its weights with the new network.
        crop: side of the crop, pixels; None: strips across the whole image, as in training.

    Raises:
        ConfigError: an odd crop, or one too small for the strips.
    """
    with torch.device("meta"):
        local = BANet(replace(model.config, local_crop=crop))
    local.load_state_dict(model.state_dict(), assign=True)
    return local.train(model.training)


def _padded(x_BCHW: Tensor) -> Tensor:
    """Reflect one more row or column where a side is odd; a side of one pixel is repeated.

    By indices, to a multiple of two: this tells torch.export that the two inputs of the decoder have the same size.
    """
    even = x_BCHW
    for dim in (ROWS, COLUMNS):
        L = x_BCHW.shape[dim]
        place_L = torch.arange(2 * ((L + 1) // 2), device=x_BCHW.device)
        even = even.index_select(dim, torch.where(place_L < L, place_L, L - 2).clamp(min=0))
    return even.contiguous(memory_format=torch.channels_last) if is_channels_last(x_BCHW) else even


def _cropped(residual_BCHW: Tensor, like_BCHW: Tensor) -> Tensor:
    for dim in (ROWS, COLUMNS):
        residual_BCHW = residual_BCHW.index_select(dim, torch.arange(like_BCHW.shape[dim], device=residual_BCHW.device))
    return residual_BCHW
