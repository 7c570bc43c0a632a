"""TIFF files of 8 and 16 bits, with what a photograph carries; Pillow writes the tags, but no RGB of 16 bits."""

import io
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from banet.data.images.exif import DETAILS

_GPS, _XMP, _ICC = 0x8825, 700, 34675  # tags
_TOLD = (270, 271, 272, 282, 283, 296, 305, 306, 315, 33432, DETAILS, _GPS)  # nothing of how pixels are stored
_STRIP = 2**18  # bytes


def encode_tiff(
    pixels: npt.NDArray[Any], *, exif: bytes, xmp: bytes, profile: bytes, premultiplied: bool = False
) -> bytes:
    """Encode (height, width, 1 to 4 channels) of uint8 or uint16: strips of Deflate over differences of neighbours.

    Args:
        pixels: grey or RGB, with or without alpha.
        exif: from its byte order on.
        xmp: a packet.
        profile: ICC.
        premultiplied: colours are multiplied by alpha.
    """
    height, width, channels = pixels.shape
    rows = max(1, _STRIP // (width * channels * pixels.itemsize))
    strips = []
    for top in range(0, height, rows):
        band = pixels[top : top + rows].astype(pixels.dtype.newbyteorder("<"))
        strips.append(zlib.compress(np.diff(band, axis=1, prepend=band[:, :1] * 0).tobytes(), 3))
    ends = np.cumsum([len(strip) for strip in strips]).tolist()
    tags = ImageFileDirectory_v2()
    for number, value in (_tags_of(exif) if exif else {}).items():
        tags[number] = value
    tags[256], tags[257], tags[258] = width, height, (8 * pixels.itemsize,) * channels
    tags[259], tags[262], tags[317] = 8, 1 if channels < 3 else 2, 2  # Deflate, grey or RGB, differences
    tags[277], tags[278], tags[284] = channels, rows, 1
    tags[273], tags[279] = (0, *ends[:-1]), tuple(map(len, strips))  # Pillow adds where the tags end
    if channels in (2, 4):
        tags[338] = 1 if premultiplied else 2
    for number, part in ((_XMP, xmp), (_ICC, profile)):
        if part:
            tags.tagtype[number], tags[number] = 1 if number == _XMP else 7, part
    file = io.BytesIO()
    tags.save(file)
    file.writelines(strips)
    return file.getvalue()


def exif_of_tiff(opened: PIL.Image.Image) -> bytes:
    """Return what a TIFF's own tags say of the photograph as EXIF data, from their byte order on."""
    read, made = opened.getexif(), PIL.Image.Exif()
    for number, value in _told(read).items():
        made[number] = value
    return made.tobytes().removeprefix(b"Exif\0\0") if made else b""


def _tags_of(exif: bytes) -> dict[int, Any]:
    read = PIL.Image.Exif()
    read.load(exif)
    return _told(read)


def _told(read: PIL.Image.Exif) -> dict[int, Any]:
    found: dict[int, Any] = {number: read[number] for number in _TOLD if number in read}
    return found | {number: dict(part) for number in (DETAILS, _GPS) if (part := read.get_ifd(number))}
