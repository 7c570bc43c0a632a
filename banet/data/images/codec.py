"""Image files to arrays and back. OpenCV works in BGR; outside this file an image is RGB, uint8, (H, W, 3)."""

import struct
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from banet.errors import DataError
from banet.files import write_atomically
from banet.image import Image


class _Pixels(NamedTuple):
    """The kind of pixels in a file."""

    colour: str
    bits: int = 8  # per channel
    transparent: bool = False

    def __str__(self) -> str:
        bits = f"{self.bits}-bit " if self.bits > 8 else ""
        return f"{bits}{self.colour}{' with transparency' if self.transparent else ''}"


RGB, GREY = _Pixels("RGB"), _Pixels("grey")


def decode(content: bytes, where: str, *, grey_as_rgb: bool = False) -> Image:
    """Decode PNG, JPEG, … to RGB; a photograph is turned upright according to its EXIF tag.

    Args:
        content: bytes of the file.
        where: names the file in messages.
        grey_as_rgb: accept 8-bit grey too, and repeat it to three channels.

    Raises:
        DataError: not an image, truncated or damaged, or not 8-bit RGB: grey, transparency, CMYK and more bits are
            refused rather than silently converted. A palette of opaque colours counts as RGB.
    """
    if not content:
        raise DataError(f"{where} is empty: fetch it again")
    pixels = _pixels_by_header(content) or _pixels_decoded(content)
    if pixels and pixels != RGB and not (grey_as_rgb and pixels == GREY):
        remedy = "scale it to 8 bits and save it as RGB" if pixels.bits > 8 else "convert it to RGB (three channels)"
        raise DataError(f"{where} is {pixels}, not 8-bit RGB: {remedy} first")
    image = _imdecode(content, cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise DataError(f"{where} is not an image, or a damaged one: fetch it again, or save it as PNG or JPEG")
    return np.ascontiguousarray(image, dtype=np.uint8)


def read_image(path: Path, *, grey_as_rgb: bool = False) -> Image:
    """Read one image file, see `decode`.

    Raises:
        DataError: the file is missing or unreadable, or `decode` refuses it.
    """
    try:
        return decode(path.read_bytes(), str(path), grey_as_rgb=grey_as_rgb)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from None


def encode_png(image: Image, *, compression: int = 3) -> bytes:
    """Encode as PNG, losslessly; compression from 0 (fast) to 9 (small)."""
    return _encode(image, ".png", [cv2.IMWRITE_PNG_COMPRESSION, compression])


def encode_webp(image: Image, *, quality: int | None = None) -> bytes:
    """Encode as WebP, losslessly or with a quality from 1 (small) to 100.

    Raises:
        DataError: a side is longer than 16383 pixels.
    """
    lossless = 101  # OpenCV's value for it
    return _encode(image, ".webp", [cv2.IMWRITE_WEBP_QUALITY, lossless if quality is None else quality])


def require_writable(path: Path) -> None:
    """Check the name of an output before the work for it begins.

    Raises:
        DataError: the ending names no image format, or the folder does not exist.
    """
    if not path.suffix or not cv2.haveImageWriter(f"x{path.suffix}"):
        raise DataError(f"{path}: no image format has the ending {path.suffix!r}: use .png or .jpg")
    if not path.parent.is_dir():
        raise DataError(f"{path}: the folder {path.parent} does not exist: create it first")


def write_image(path: Path, image: Image) -> None:
    """Write PNG, JPEG, WebP, … according to the ending of the name, whole or not at all.

    Raises:
        DataError: the ending names no image format, the image is too large for it, or the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        require_writable(path)
        write_atomically(path, _encode(image, path.suffix, []))
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror})") from None


def _encode(image: Image, suffix: str, flags: list[int]) -> bytes:
    done, content = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), flags)
    if not done:
        size = f"{image.shape[0]}x{image.shape[1]}"
        raise DataError(f"an image of {size} does not fit into the format {suffix!r}: use .png")
    return content.tobytes()


def _imdecode(content: bytes, flags: int) -> npt.NDArray[Any] | None:
    try:
        return cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except cv2.error:  # the header claims more pixels than OpenCV allocates
        return None


def _pixels_by_header(content: bytes) -> _Pixels | None:
    """Read the header of a PNG or JPEG; None for other formats and for incomplete headers."""
    try:
        if content.startswith(b"\x89PNG\r\n\x1a\n"):
            return _pixels_of_png(content)
        if content.startswith(b"\xff\xd8"):
            return _pixels_of_jpeg(content)
    except (IndexError, struct.error):  # cut off
        pass
    return None


def _pixels_of_png(content: bytes) -> _Pixels:
    bits, kind = content[24], content[25]  # in IHDR, the first chunk; kind: 1 palette + 2 colour + 4 alpha
    transparent = bool(kind & 4)
    at = 8
    while (name := content[at + 4 : at + 8]) not in (b"IDAT", b""):
        transparent |= name == b"tRNS"
        at += 12 + int(struct.unpack_from(">I", content, at)[0])  # plus length, name and checksum
    return _Pixels("RGB" if kind & 2 else "grey", max(bits, 8), transparent)


def _pixels_of_jpeg(content: bytes) -> _Pixels | None:
    at = 2
    while content[at] == 0xFF:
        marker = content[at + 1]
        if marker == 0xDA:  # start of the pixels
            break
        if marker == 0xFF:  # a fill byte
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # start of frame
            bits, channels = content[at + 4], content[at + 9]
            return _Pixels({1: "grey", 3: "RGB", 4: "CMYK"}.get(channels, f"of {channels} channels"), bits)
        else:
            at += 2 + int(struct.unpack_from(">H", content, at + 2)[0])
    return None


def _pixels_decoded(content: bytes) -> _Pixels | None:
    """Decode without conversion, for formats whose headers are not read here."""
    image = _imdecode(content, cv2.IMREAD_UNCHANGED)
    if image is None:
        return None
    channels = 1 if image.ndim == 2 else image.shape[2]
    return _Pixels("grey" if channels < 3 else "RGB", 8 * image.itemsize, channels in (2, 4))
