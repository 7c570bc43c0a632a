"""Image files to arrays and back. OpenCV works in BGR; outside this file an image is RGB, uint8, (H, W, 3).

What a decoder notices of damage is refused: every change in a PNG or AVIF, and what breaks the codes of a JPEG, TIFF or
GIF. JPEG, WebP, BMP and JPEG 2000 have no checksums, so a changed byte may also give another picture unnoticed.
"""

import io
import os
import re
import tempfile
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import PIL.Image

from banet.data.images.header import MOST_PIXELS, Pixels, damaged, read_header
from banet.data.names import Conversion
from banet.errors import DataError
from banet.files import write_atomically
from banet.image import Image

RGB = Pixels("RGB")
JPEG_QUALITY = 95
_JPEG = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
_WEBP_LOSSLESS = 101  # OpenCV's value for it
_TIFF = (".tif", ".tiff")
WRITTEN: dict[str, list[int]] = {  # ending: OpenCV's options; every other format that it writes loses much more
    **dict.fromkeys((".jpg", ".jpeg", ".jpe"), _JPEG),
    ".png": [],
    ".webp": [cv2.IMWRITE_WEBP_QUALITY, _WEBP_LOSSLESS],
    ".avif": [cv2.IMWRITE_AVIF_QUALITY, 100],  # lossless
    ".jp2": [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000],  # lossless
    **{ending: [] for ending in (*_TIFF, ".bmp", ".dib", ".ppm", ".pnm", ".ras", ".sr")},
}
_WITH_PROFILE = (".jpg", ".jpeg", ".jpe", ".png", ".webp", ".avif", *_TIFF)
_DAMAGE = re.compile(rb"Corrupt JPEG data|Premature end of JPEG|Inconsistent progression|TIFF_Error|Decode: ")
_LISTENING = threading.Lock()  # standard error belongs to the whole process


class DecodedImage(NamedTuple):
    """A decoded image file."""

    pixels: Image
    profile: bytes = b""  # the ICC profile of its colours; empty: sRGB
    exif: bytes = b""  # as written for upright pixels
    converted: str = ""  # what it was if not 8-bit RGB, e.g. grey


def decode(
    content: bytes, where: str, *, convert: Collection[Conversion] | None = None, most_pixels: int = MOST_PIXELS
) -> Image:
    """Decode PNG, JPEG, … to RGB, see `decode_picture`."""
    return decode_picture(content, where, convert=convert, most_pixels=most_pixels).pixels


def decode_picture(
    content: bytes, where: str, *, convert: Collection[Conversion] | None = None, most_pixels: int = MOST_PIXELS
) -> DecodedImage:
    """Decode PNG, JPEG, … to RGB; a photograph is turned upright according to its EXIF tag.

    Grey is repeated to three channels, and an alpha channel that is opaque everywhere is left out.

    Args:
        content: bytes of the file.
        where: names the file in messages.
        convert: what else is converted to 8-bit RGB: 16 bits by rounding, transparency onto white, CMYK without its
            profile. None if no manifest can ask for it.
        most_pixels: larger pictures are refused by their header.

    Raises:
        DataError: not an image, truncated or damaged, too large, an animation, or neither 8-bit RGB nor converted.
    """
    if not content:
        raise DataError(f"{where} is empty: fetch it again")
    header = read_header(content, where, most_pixels=most_pixels)
    unchanged = None
    if header.pixels is None or header.pixels.transparent:
        unchanged = imdecode(content, where, cv2.IMREAD_UNCHANGED)
    kind = header.pixels or pixels_of(unchanged)
    opaque = kind.transparent and unchanged is not None and _is_opaque(unchanged)
    _require_convertible(kind, where, opaque, convert)
    deep = kind.bits > 8  # not IMREAD_COLOR_RGB: OpenCV 5.0 mixes up the channels of a TIFF of 16 bits
    image = imdecode(content, where, cv2.IMREAD_COLOR_BGR | cv2.IMREAD_ANYDEPTH if deep else cv2.IMREAD_COLOR_RGB)
    if deep:
        image = image[..., ::-1]
    if kind.transparent and not opaque and unchanged is not None and unchanged.ndim == 3:
        image = _on_white(unchanged)
    image = turned_upright(image, header.orientation if header.format == "AVIF" else 1)  # OpenCV did others
    if image.dtype == np.uint16:
        image = ((image.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    shown = str(kind).replace("transparency", "an opaque alpha channel") if opaque else str(kind)
    converted = "" if kind == RGB else shown
    return DecodedImage(
        np.ascontiguousarray(image, dtype=np.uint8), usable_profile(header.profile), header.exif, converted
    )


def read_picture(path: Path, *, convert: Collection[Conversion] | None = None) -> DecodedImage:
    """Read one image file, see `decode_picture`.

    Raises:
        DataError: the file is missing or unreadable, or `decode_picture` refuses it.
    """
    try:
        return decode_picture(path.read_bytes(), str(path), convert=convert)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from None


def read_image(path: Path, *, convert: Collection[Conversion] | None = None) -> Image:
    """Read the pixels of one image file, see `read_picture`."""
    return read_picture(path, convert=convert).pixels


def converted_note(kinds: Mapping[str, int]) -> str | None:
    """Say how many pictures were not 8-bit RGB, by what they were (`DecodedImage.converted`); None if all were."""
    found = [f"{number} {kind}" for kind, number in sorted(kinds.items()) if kind]
    return f"converted to 8-bit RGB: {', '.join(found)}" if found else None


def encode_png(image: Image, *, compression: int = 3, profile: bytes = b"", exif: bytes = b"") -> bytes:
    """Encode as PNG, losslessly; compression from 0 (fast) to 9 (small)."""
    return _encode(image, ".png", [cv2.IMWRITE_PNG_COMPRESSION, compression], profile, exif)


def encode_jpeg(image: Image, *, profile: bytes = b"", exif: bytes = b"") -> bytes:
    """Encode as JPEG of quality 95, with all of its colour.

    Raises:
        DataError: a side is longer than 65500 pixels.
    """
    return _encode(image, ".jpg", _JPEG, profile, exif)


def encode_webp(image: Image, *, quality: int | None = None) -> bytes:
    """Encode as WebP, losslessly or with a quality from 1 (small) to 100.

    Raises:
        DataError: a side is longer than 16383 pixels.
    """
    return _encode(image, ".webp", [cv2.IMWRITE_WEBP_QUALITY, _WEBP_LOSSLESS if quality is None else quality])


def require_writable(path: Path, *, profile: bytes = b"") -> None:
    """Check the name of an output before the work for it begins.

    Raises:
        DataError: the ending names no format that holds a picture, or none for its colour profile; or the folder does
            not exist.
    """
    ending = path.suffix.lower()
    if ending not in WRITTEN and ending and cv2.haveImageWriter(f"x{ending}"):
        raise DataError(f"{path}: {ending!r} cannot hold the picture's colours: use .png or .jpg")
    if ending not in WRITTEN or not cv2.haveImageWriter(f"x{ending}"):
        raise DataError(f"{path}: no image format has the ending {path.suffix!r}: use .png or .jpg")
    if profile and ending not in _WITH_PROFILE:
        raise DataError(f"{path}: {ending!r} cannot hold the picture's colour profile: use .png, .tif or .jpg")
    if not path.parent.is_dir():
        raise DataError(f"{path}: the folder {path.parent} does not exist: create it first")


def loss(path: Path) -> str:
    """Say how the format of an output changes the pixels; nothing if it does not."""
    return f"as JPEG of quality {JPEG_QUALITY}: lossy, .png is not" if WRITTEN.get(path.suffix.lower()) is _JPEG else ""


def write_image(path: Path, image: Image, *, profile: bytes = b"", exif: bytes = b"") -> None:
    """Write PNG, JPEG, WebP, … according to the ending of the name, whole or not at all; lossless but for JPEG.

    Raises:
        DataError: the ending names no suitable format, the image is too large for it, or the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        require_writable(path, profile=profile)
        ending = path.suffix.lower()
        write_atomically(path, _encode(image, ending, WRITTEN[ending], profile, exif))
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror})") from None


def _encode(image: Image, suffix: str, flags: list[int], profile: bytes = b"", exif: bytes = b"") -> bytes:
    if profile and suffix in _TIFF:  # OpenCV writes no profile there
        file = io.BytesIO()
        PIL.Image.fromarray(image).save(file, "TIFF", compression="tiff_lzw", icc_profile=profile)
        return file.getvalue()
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    beside = [(cv2.IMAGE_METADATA_ICCP, profile), (cv2.IMAGE_METADATA_EXIF, exif)] if suffix in _WITH_PROFILE else []
    kinds = [kind for kind, content in beside if content]
    chunks = [np.frombuffer(content, np.uint8) for _, content in beside if content]
    if kinds and suffix not in _TIFF:
        done, content = cv2.imencodeWithMetadata(suffix, bgr, kinds, chunks, flags)
    else:
        done, content = cv2.imencode(suffix, bgr, flags)
    if not done:
        size = f"{image.shape[0]}x{image.shape[1]}"
        raise DataError(f"an image of {size} does not fit into the format {suffix!r}: use .png")
    return content.tobytes()


def imdecode(content: bytes, where: str, flags: int) -> npt.NDArray[Any]:
    """Decode.

    Raises:
        DataError: OpenCV cannot, or the libraries below it report damage and go on, which only their words tell.
        MemoryError: too little memory for the pixels.
    """
    with _listening() as said:
        try:
            image = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
        except cv2.error:  # the header claims more pixels than OpenCV allocates
            image = None
    words = b"".join(said)
    if b"Insufficient memory" in words:
        raise MemoryError
    if image is None or _DAMAGE.search(words):
        raise DataError(damaged(where))
    os.write(2, words)
    return np.asarray(image)


@contextmanager
def _listening() -> Iterator[list[bytes]]:
    """Collect what is written to the process's standard error, complete after the block."""
    said: list[bytes] = []
    with _LISTENING, tempfile.TemporaryFile() as file:
        level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_WARNING)
        try:
            error = os.dup(2)
        except OSError:  # closed
            error = os.open(os.devnull, os.O_WRONLY)
        os.dup2(file.fileno(), 2)
        try:
            yield said
        finally:
            os.dup2(error, 2)
            os.close(error)
            cv2.utils.logging.setLogLevel(level)
            file.seek(0)
            said.append(file.read())


def usable_profile(profile: bytes, *, grey: bool = False) -> bytes:
    """Return the profile if it is one of these colours and libpng, the strictest, takes it; else nothing."""
    if profile[16:20] != (b"GRAY" if grey else b"RGB "):
        return b""
    pixel, kind = np.zeros((1, 1, 1 if grey else 3), np.uint8), [cv2.IMAGE_METADATA_ICCP]
    with _listening():
        done, _ = cv2.imencodeWithMetadata(".png", pixel, kind, [np.frombuffer(profile, np.uint8)])
    return profile if done else b""


def pixels_of(decoded: npt.NDArray[Any] | None) -> Pixels:
    """The kind of pixels of a format whose header is not read, decoded without conversion."""
    assert decoded is not None  # noqa: S101
    channels = 1 if decoded.ndim == 2 else decoded.shape[2]
    return Pixels("grey" if channels < 3 else "RGB", 8 * decoded.itemsize, channels in (2, 4))


def turned_upright(image: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """Undo an orientation as EXIF numbers it."""
    if orientation > 4:
        image = image.transpose(1, 0, 2)
    return image[:: -1 if orientation in (3, 4, 7, 8) else 1, :: -1 if orientation in (2, 3, 6, 7) else 1]


def _is_opaque(decoded: npt.NDArray[Any]) -> bool:
    return decoded.ndim == 3 and decoded.shape[2] == 4 and bool((decoded[..., 3] == np.iinfo(decoded.dtype).max).all())


def _require_convertible(kind: Pixels, where: str, opaque: bool, convert: Collection[Conversion] | None) -> None:
    needed: list[Conversion] = []
    if kind.bits == 16:
        needed.append("16-bit")
    if kind.transparent and not opaque:
        needed.append("transparency")
    if kind.colour == "CMYK":
        needed.append("CMYK")
    possible = kind.bits in (8, 16) and kind.colour in ("RGB", "grey", "CMYK")
    if possible and set(needed).issubset(convert or ()):
        return
    remedy = "scale it to 8 bits and save it as RGB" if kind.bits > 8 else "convert it to RGB (three channels)"
    asked = "" if convert is None or not possible else f", or write `convert: [{', '.join(needed)}]` into the manifest"
    raise DataError(f"{where} is {kind}, not 8-bit RGB: {remedy} first{asked}")


def _on_white(decoded: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return what a viewer shows of transparent pixels, from OpenCV's order to RGB."""
    white = np.iinfo(decoded.dtype).max
    share = decoded[..., 3:] / np.float64(white)
    return np.asarray(np.floor(decoded[..., 2::-1] * share + white * (1 - share) + 0.5), decoded.dtype)
