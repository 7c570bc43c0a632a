"""What an image file says of itself, read before any pixel is decoded."""

import io
import re
import struct
import warnings
import zlib
from typing import NamedTuple

import PIL.Image

from banet.data.images.exif import orientation_of, upright
from banet.errors import DataError

MOST_PIXELS = 178_956_970  # of any picture: where Pillow stops; OpenCV alone would try 1,073,741,824
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "AVIF", "JPEG2000", "BMP", "PPM", "SUN")
PAGE_KIND = 0x00FE  # TIFF: bits 1 for a thumbnail, 4 for a mask
DEFLATE = 8, 32946  # TIFF: numbers of the compression
PNG = b"\x89PNG\r\n\x1a\n"


class TooLargeError(DataError):
    """A picture has more pixels than are taken."""


class Pixels(NamedTuple):
    """The kind of pixels in a file."""

    colour: str
    bits: int = 8  # per channel
    transparent: bool = False  # has an alpha channel, even if it is opaque everywhere

    def __str__(self) -> str:
        bits = f"{self.bits}-bit " if self.bits > 8 else ""
        return f"{bits}{self.colour}{' with transparency' if self.transparent else ''}"


class ImageHeader(NamedTuple):
    """What is known before the pixels are."""

    pixels: Pixels | None = None  # None if only decoding tells
    profile: bytes = b""  # the ICC profile of its colours
    exif: bytes = b""  # for a picture whose pixels are upright
    orientation: int = 1  # how the pixels of the file are turned, as EXIF numbers it; of a TIFF OpenCV knows it
    format: str = ""  # Pillow's name of it


_KINDS = {  # Pillow's modes of which OpenCV would make RGB or grey without a word
    "CMYK": Pixels("CMYK"),
    "LAB": Pixels("LAB"),
    **dict.fromkeys(("LA", "PA"), Pixels("grey", transparent=True)),
}


def read_header(content: bytes, where: str, *, most_pixels: int = MOST_PIXELS) -> ImageHeader:
    """Read the header of an image file; one that cannot be read is left to the decoder to judge.

    Raises:
        DataError: more pixels than allowed; an animation or several pages; a PNG whose checksums are wrong.
    """
    too_large = f"more than the {most_pixels / 1e6:.0f} megapixels that are taken here: make it smaller first"
    if content.startswith(PNG) and not _checksums_hold(content):
        raise DataError(damaged(where))
    try:
        with warnings.catch_warnings(action="ignore"):  # Pillow's, of large or odd files
            opened = PIL.Image.open(io.BytesIO(content), formats=FORMATS)
            width, height = opened.size
            profile = opened.info.get("icc_profile") or b""
            exif = (opened.info.get("exif") or b"").removeprefix(b"Exif\0\0")  # getexif() would decode a PNG
            intact = opened.format != "TIFF" or _strips_hold(opened, content)
            frames = 1 if width * height > most_pixels else _frames(opened)
    except PIL.Image.DecompressionBombError as error:
        found = "".join(re.findall(r"\((\d+) pixels\)", str(error)))
        raise TooLargeError(f"{where} has {found} pixels, {too_large}") from None
    except Exception:  # whatever a damaged or unknown header makes Pillow raise
        return ImageHeader(_pixels(content))
    if not intact:
        raise DataError(damaged(where))
    if width * height > most_pixels:
        raise TooLargeError(f"{where} is {height}x{width} (height x width), {too_large}")
    if frames > 1:
        raise DataError(f"{where} holds {frames} frames or pages: save them as single pictures, and give those")
    return ImageHeader(
        pixels=_pixels(content) or _KINDS.get(opened.mode),
        profile=profile,
        exif=upright(exif),
        orientation=orientation_of(exif),
        format=opened.format or "",
    )


def damaged(where: str) -> str:
    """The message for what cannot be decoded, or not without complaint."""
    return f"{where} is not an image, or a damaged one: fetch it again, or save it as PNG or JPEG"


def _frames(opened: PIL.Image.Image) -> int:
    """Count frames of animations and pages, without thumbnails, masks and the further views in phones' JPEGs."""
    frames: int = getattr(opened, "n_frames", 1)
    if frames == 1 or opened.format == "MPO":
        return 1
    if opened.format != "TIFF":
        return frames
    shown = 0
    for page in range(frames):
        opened.seek(page)
        shown += not opened.tag_v2.get(PAGE_KIND, 0) & 5  # type: ignore[attr-defined]
    return shown


def _checksums_hold(content: bytes) -> bool:
    at = len(PNG)
    while at + 12 <= len(content):
        end = at + 8 + int.from_bytes(content[at : at + 4])
        if zlib.crc32(memoryview(content)[at + 4 : end]) != int.from_bytes(content[end : end + 4]):
            return False
        if content[at + 4 : at + 8] == b"IEND":
            return True
        at = end + 4
    return False


def _strips_hold(opened: PIL.Image.Image, content: bytes) -> bool:
    """Check the strips or tiles of a TIFF that Deflate compressed: libtiff stops before their checksums."""
    tags = opened.tag_v2  # type: ignore[attr-defined]
    if tags.get(259) not in DEFLATE:
        return True
    starts, sizes = (tags.get(strips) or tags.get(tiles) or () for strips, tiles in ((273, 324), (279, 325)))
    try:
        for start, size in zip(starts, sizes, strict=True):
            zlib.decompress(memoryview(content)[start : start + size])
    except (zlib.error, ValueError):
        return False
    return True


def _pixels(content: bytes) -> Pixels | None:
    """Read the kind of pixels of a PNG or JPEG; None for other formats and for incomplete headers."""
    try:
        if content.startswith(PNG):
            return _pixels_of_png(content)
        if content.startswith(b"\xff\xd8"):
            return _pixels_of_jpeg(content)
    except (IndexError, struct.error):  # cut off
        pass
    return None


def _pixels_of_png(content: bytes) -> Pixels:
    bits, kind = content[24], content[25]  # in IHDR, the first chunk; kind: 1 palette + 2 colour + 4 alpha
    transparent = bool(kind & 4)
    at = 8
    while (name := content[at + 4 : at + 8]) not in (b"IDAT", b""):
        transparent |= name == b"tRNS"
        at += 12 + int(struct.unpack_from(">I", content, at)[0])  # plus length, name and checksum
    return Pixels("RGB" if kind & 2 else "grey", max(bits, 8), transparent)


def _pixels_of_jpeg(content: bytes) -> Pixels | None:
    at = 2
    while content[at] == 0xFF:
        marker = content[at + 1]
        if marker == 0xDA:  # start of the pixels
            break
        if marker == 0xFF:  # a fill byte
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # start of frame
            bits, channels = content[at + 4], content[at + 9]
            return Pixels({1: "grey", 3: "RGB", 4: "CMYK"}.get(channels, f"of {channels} channels"), bits)
        else:
            at += 2 + int(struct.unpack_from(">H", content, at + 2)[0])
    return None
