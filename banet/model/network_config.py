"""The configuration of the network: the content of `conf/model/*.yaml`, stored beside the weights."""

from dataclasses import dataclass
from typing import Literal

from banet.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class BANetConfig:
    """Widths and parts of one network; the defaults are the released BANet (17,988,547 parameters).

    The released BANet+ has ``channels=192, fusion_channels=192`` (40,768,131 parameters). `conf/model/` has a file
    for each network of the paper's Tables 5 to 9.
    """

    name: str = "banet"
    stem_channels: int = 64  # width at full resolution: first convolution, long skip, decoder
    channels: int = 128  # C, width of the blur-aware modules (Sec. 4.2)
    modules: int = 10  # number of blur-aware modules (Table 6)
    attention: Literal["ba", "mksp", "sp", "ar", "sa", "none"] = "ba"  # ba: MKSP, then AR (Fig. 4); parts: Table 5
    content: Literal["cpdc", "pdc", "pdc_twice"] = "cpdc"  # two PDCs bridged by a convolution (Fig. 9b); Table 8
    kernels: tuple[int, ...] = (1, 3, 5, 7)  # strip numbers n of MKSP (Sec. 3.1, Table 7); for ba and mksp
    fusion_channels: int = 64  # width of the fused strips; released: C/2 in BANet, C in BANet+; for ba and mksp
    fusion_kernel: Literal[1, 3] = 1  # of both convolutions of f_out; released: 1, the paper's text: 3
    strip_windows: Literal["adaptive", "fixed"] = "adaptive"  # released: adaptive; fixed: Eqs. (2) to (4) literally
    local_crop: int | None = None  # test time: side of the window for local strips, pixels; None: whole image

    def __post_init__(self) -> None:
        for key in ("stem_channels", "channels", "modules", "fusion_channels"):
            if getattr(self, key) < 1:
                raise ConfigError(f"model.{key} must be at least 1, got {getattr(self, key)}")
        if self.channels % 2:
            raise ConfigError(f"model.channels must be even (strips and PDC branches have C/2), got {self.channels}")
        if self.attention == "sa" and self.channels % 8:
            raise ConfigError(f"model.channels must be a multiple of 8 for self-attention, got {self.channels}")
        if not self.kernels or min(self.kernels) < 1 or len(set(self.kernels)) < len(self.kernels):
            raise ConfigError(f"model.kernels must be distinct strip numbers from 1 up, got {list(self.kernels)}")
        if self.local_crop is not None and (self.local_crop < 2 * max(self.kernels) or self.local_crop % 2):
            raise ConfigError(
                f"model.local_crop must be even and at least {2 * max(self.kernels)} pixels, got {self.local_crop}"
            )
