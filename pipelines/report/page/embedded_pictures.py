"""Pictures inside the page: files as they are, close-ups, error maps, and WebP if PNG would be too large."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from banet.data.images.codec import decode, encode_png, encode_webp
from banet.errors import DataError
from banet.image import Image
from banet.scoring.pictures import Sample

Map = npt.NDArray[np.float32]  # one value per pixel, (H, W)

AGAIN = "run the evaluate stage again"
WEBP_QUALITY = 90
_CLOSE = 4  # a close-up's side is the picture's shorter one divided by this
_LEAST_SIDE = 32  # pixels of a close-up, if the picture has as many
_MAP_WIDTH = 480  # pixels of an error map, at most
_LEVELS = 64  # colours of an error map: more are indistinguishable and compress badly
_BRIGHTEST = 0.995  # quantile of the errors that gets the map's last colour
_ATTENTION = "attention"  # the role of the picture that `banet.analysis.explain` draws


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One picture, inside the page."""

    role: str  # blurred, restored, sharp, a method, or what a map shows
    note: str  # the whole image's PSNR, or the map's scale
    uri: str
    width: int
    height: int

    @property
    def size(self) -> int:
        """Characters that it takes in the page."""
        return len(self.uri)


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A square of a picture, pixels."""

    top: int
    left: int
    side: int

    def crop(self, image: Image) -> Image:
        """The pixels inside."""
        return np.ascontiguousarray(image[self.top : self.top + self.side, self.left : self.left + self.side])


def from_file(role: str, note: str, path: Path) -> tuple[Picture, Image]:
    """Take a PNG or JPEG as it is, and decode it too.

    Raises:
        DataError: it is missing or damaged.
    """
    try:
        content = path.read_bytes()
        image = decode(content, str(path))
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): {AGAIN}") from None
    except DataError:
        raise DataError(f"{path} is damaged: {AGAIN}") from None
    return _picture(role, note, "jpeg" if path.suffix == ".jpg" else "png", content, image), image


def from_image(role: str, note: str, image: Image, *, drawing: bool = False) -> Picture:
    """Encode losslessly: as PNG, or as WebP, which is a third as large for a drawing with few colours."""
    if drawing:
        return _picture(role, note, "webp", encode_webp(image), image)
    return _picture(role, note, "png", encode_png(image, compression=9), image)


def as_webp(picture: Picture) -> Picture:
    """Encode a picture again, with loss, if all lossless ones would make the page too large."""
    image = decode(base64.b64decode(picture.uri.partition(",")[2]), picture.role)
    return replace(picture, uri=_uri("webp", encode_webp(image, quality=WEBP_QUALITY)))


def attention(sample: Sample, folder: Path) -> Picture | None:
    """The drawing of masks and attended features beside a sample's pictures, `<name>_attention.jpg`; None without one.

    It is a JPEG because `banet.analysis.explain` draws millions of pixels, and nobody measures in them.

    Raises:
        DataError: it is damaged.
    """
    restored = folder / sample.restored
    path = restored.with_name(f"{restored.stem.removesuffix('_restored')}_{_ATTENTION}.jpg")
    return from_file(_ATTENTION, sample.key, path)[0] if path.is_file() else None


def worst_place(error_HW: Map) -> Box:
    """The square with the largest mean error; the first of equal ones."""
    H, W = error_HW.shape
    side = min(H, W, max(_LEAST_SIDE, min(H, W) // _CLOSE))
    sums = np.pad(error_HW.astype(np.float64), ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    inside = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    # Rounded so that the order of summation cannot show.
    top, left = np.unravel_index(np.argmax(np.round(inside, 3)), inside.shape)
    return Box(top=int(top), left=int(left), side=side)


def error_maps(errors_HW: Mapping[str, Map]) -> tuple[Picture, ...]:
    """Draw errors on one scale; no error is dark.

    Args:
        errors_HW: grey levels, by the pictures' roles.
    """
    from matplotlib import colormaps

    small = [_reduced(error) for error in errors_HW.values()]
    top = max(1.0, *(float(np.quantile(part, _BRIGHTEST)) for part in small))
    colours = np.rint(colormaps["inferno"](np.linspace(0, 1, _LEVELS))[:, :3] * 255).astype(np.uint8)
    levels = [np.rint(np.clip(part / top, 0, 1) * (_LEVELS - 1)).astype(np.intp) for part in small]
    note = f"0 to {top:.0f} of 255"
    drawn = zip(errors_HW, levels, strict=True)
    return tuple(from_image(role, note, colours[level], drawing=True) for role, level in drawn)


def error(image: Image, sharp: Image) -> Map:
    """Absolute difference, mean over channels, grey levels."""
    difference = np.abs(image.astype(np.float32) - sharp)
    return np.asarray(difference.mean(axis=2), dtype=np.float32)


def _reduced(error_HW: Map) -> Map:
    """Means over squares, for a map no wider than `_MAP_WIDTH`."""
    H, W = error_HW.shape
    n = min(-(-W // _MAP_WIDTH), H, W)
    cut = error_HW[: H // n * n, : W // n * n]
    return np.asarray(cut.reshape(H // n, n, W // n, n).mean(axis=(1, 3)), dtype=np.float32)


def _picture(role: str, note: str, kind: str, content: bytes, image: Image) -> Picture:
    height, width = image.shape[:2]
    return Picture(role=role, note=note, uri=_uri(kind, content), width=width, height=height)


def _uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64," + base64.b64encode(content).decode()
