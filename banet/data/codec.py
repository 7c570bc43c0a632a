"""Image files to arrays and back. OpenCV is BGR inside; above this file an image is RGB, uint8, (H, W, 3)."""

from pathlib import Path

import cv2
import numpy as np

from banet.errors import DataError
from banet.files import write_atomically
from banet.image import Image


def decode(content: bytes, where: str) -> Image:
    """Decode PNG, JPEG, … to RGB; a photograph is turned upright as its EXIF tag says.

    Raises:
        DataError: no image, or a truncated or damaged one; `where` names it.
    """
    if not content:
        raise DataError(f"{where} is empty: fetch it again")
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error:  # a header that claims more pixels than OpenCV allocates
        image = None
    if image is None:
        raise DataError(f"{where} is not an image, or a damaged one: fetch it again, or save it as PNG or JPEG")
    return np.ascontiguousarray(image, dtype=np.uint8)


def read_image(path: Path) -> Image:
    """Read one image file.

    Raises:
        DataError: the file is missing, unreadable or no image.
    """
    try:
        return decode(path.read_bytes(), str(path))
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from None


def encode_png(image: Image, *, compression: int = 3) -> bytes:
    """Encode as PNG, losslessly; compression from 0 (fast) to 9 (small)."""
    return _encode(image, ".png", [cv2.IMWRITE_PNG_COMPRESSION, compression])


def require_writable(path: Path) -> None:
    """Check an output's name before any work is done for it.

    Raises:
        DataError: an ending that names no image format, or a folder that does not exist.
    """
    if not path.suffix or not cv2.haveImageWriter(f"x{path.suffix}"):
        raise DataError(f"{path}: no image format has the ending {path.suffix!r}: use .png or .jpg")
    if not path.parent.is_dir():
        raise DataError(f"{path}: the folder {path.parent} does not exist: create it first")


def write_image(path: Path, image: Image) -> None:
    """Write PNG, JPEG, WebP, … by the ending of the name, whole or not at all.

    Raises:
        DataError: an ending that names no image format, an image too large for it, or a folder that cannot be written.
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
