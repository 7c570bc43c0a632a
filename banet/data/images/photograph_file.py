"""What a photograph holds, whichever format it came in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

HEIF = (".heic", ".heif", ".hif")


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotographFile:
    """An upright picture, and what its file says beside it."""

    pixels: Samples  # (height, width, channels): grey, grey and alpha, RGB, RGB and alpha; uint16 above 8 bits
    bits: int = 8  # of a sample; 10 and 12 in AVIF and HEIC
    profile: bytes = b""  # ICC; empty: sRGB
    exif: bytes = b""  # without orientation and thumbnail
    xmp: bytes = b""
    ending: str = ".png"  # of its format
    premultiplied: bool = False  # colours by alpha: a TIFF's "associated" alpha
    jpeg: Mapping[str, Any] = field(default_factory=dict)  # tables and chroma subsampling, as Pillow takes them
    heif: Mapping[str, Any] = field(default_factory=dict)  # sampling, tiles and kind of colours, for `encode_heif`
    notes: tuple[str, ...] = ()  # what of the file is not here

    @property
    def colours(self) -> Samples:
        """The pixels without alpha, (height, width, 1 or 3)."""
        return self.pixels[..., : 1 if self.pixels.shape[2] < 3 else 3]

    @property
    def alpha(self) -> Samples | None:
        """The last channel, (height, width), if it is alpha."""
        return self.pixels[..., -1] if self.pixels.shape[2] in (2, 4) else None
