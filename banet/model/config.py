"""The network's configuration: what `conf/model/*.yaml` says and what is stored beside the weights."""

from dataclasses import dataclass
from typing import Literal

from banet.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class BANetConfig:
    """Widths and parts of one network; the defaults are the released BANet (17,988,547 parameters).

    The released BANet+ has ``channels=192, fusion_channels=192`` (40,768,131 parameters).
    """

    name: str = "banet"
    stem_channels: int = 64  # width at full resolution: first convolution, long skip, decoder
    channels: int = 128  # C, width of the blur-aware modules (Sec. 4.2)
    modules: int = 10  # number of blur-aware modules (Table 6)
    kernels: tuple[int, ...] = (1, 3, 5, 7)  # strip numbers n of MKSP (Sec. 3.1, Table 7)
    attention: Literal["ba"] = "ba"  # MKSP, then AR (Fig. 4)
    content: Literal["cpdc"] = "cpdc"  # two PDCs bridged by one convolution (Fig. 9b)
    fusion_channels: int = 64  # width of the fused strips; released: C/2 in BANet, C in BANet+

    def __post_init__(self) -> None:
        for key in ("stem_channels", "channels", "modules", "fusion_channels"):
            if getattr(self, key) < 1:
                raise ConfigError(f"model.{key} must be at least 1, got {getattr(self, key)}")
        if self.channels % 2:
            raise ConfigError(f"model.channels must be even (strips and PDC branches have C/2), got {self.channels}")
        if not self.kernels or min(self.kernels) < 1 or len(set(self.kernels)) < len(self.kernels):
            raise ConfigError(f"model.kernels must be distinct strip numbers from 1 up, got {list(self.kernels)}")
