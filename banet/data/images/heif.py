"""Photographs of phones, HEIC: read and written by pillow-heif, which is installed by the extra `heif` alone."""

import io
from pathlib import Path
from typing import Any

import numpy as np

from banet.data.images.codec import JPEG_QUALITY, require_writable, usable_profile
from banet.data.images.exif import upright
from banet.data.images.header import MOST_PIXELS, TooLargeError, damaged
from banet.data.images.photograph_file import HEIF, PhotographFile
from banet.data.images.video import HDR, USUAL_PRIMARIES
from banet.errors import DataError, ResourceError

_COLOURS = {
    "color_primaries": 1,
    "transfer_characteristics": 13,
    "matrix_coefficients": 6,
    "full_range_flag": 1,
}  # sRGB
_WITHOUT_LOSS = {"quality": -1, "chroma": 444, "matrix_coefficients": 0, "full_range_flag": 1}
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def require_heif(where: Path | str) -> Any:  # noqa: ANN401  # a module without types
    """Return the package that reads and writes HEIC.

    Raises:
        ResourceError: it is not installed.
    """
    try:
        import pillow_heif
    except ModuleNotFoundError:
        raise ResourceError(f"{where} is HEIC, which needs another package: pip install 'banet[heif]'") from None
    return pillow_heif


def require_output(path: Path) -> None:
    """Check the name of an output, HEIC or what `require_writable` takes, before the work for it begins.

    Raises:
        DataError: as `require_writable`.
        ResourceError: HEIC cannot be written here.
    """
    if path.suffix.lower() not in HEIF:
        require_writable(path)
    elif not path.parent.is_dir():
        raise DataError(f"{path}: the folder {path.parent} does not exist: create it first")
    else:
        require_heif(path)


def read_heif(content: bytes, where: str) -> PhotographFile:
    """Read the picture that a HEIC file shows; its views beside that (depth, HDR gain) are left out.

    Raises:
        DataError: damaged, too large, of several pictures or HDR.
        ResourceError: the package is not installed.
    """
    package = require_heif(where)
    try:
        opened = package.open_heif(content, convert_hdr_to_8bit=False, hdr_to_16bit=False)
        width, height = opened.size
        if width * height > MOST_PIXELS:
            most = f"more than the {MOST_PIXELS / 1e6:.0f} megapixels that are taken here: make it smaller first"
            raise TooLargeError(f"{where} is {height}x{width} (height x width), {most}")
        info = opened.info
        colours = info.get("nclx_profile", {})
        if len(opened) > 1:
            raise DataError(f"{where} holds {len(opened)} pictures: save them as single pictures, and give those")
        if curve := HDR.get(colours.get("transfer_characteristics")):
            raise DataError(f"{where} is HDR ({curve}): save it in the usual range of brightness first")
        pixels = np.asarray(opened)
    except (DataError, MemoryError):
        raise
    except Exception:  # the package raises five classes, and others for odd files
        raise DataError(damaged(where)) from None
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    given = info.get("icc_profile") or b""
    profile = usable_profile(given, grey=pixels.shape[2] < 3)
    wide = colours.get("color_primaries", 1) not in USUAL_PRIMARIES
    said = {
        "its colour profile is damaged or not for its kind of colours, and was left out": len(profile) != len(given),
        "its views beside the picture (depth, HDR gain, …) were left out": info.get("aux") or info["depth_images"],
        "its colours are wide and have no profile: .heic alone keeps them, and the network saw them unconverted": wide,
    }
    return PhotographFile(
        pixels=np.ascontiguousarray(pixels),
        bits=info["bit_depth"],
        profile=profile,
        exif=upright((info.get("exif") or b"").removeprefix(b"Exif\0\0")),
        xmp=(info.get("xmp") or b"").rstrip(b"\0"),
        ending=HEIF[0],
        premultiplied=opened.premultiplied_alpha,
        heif={key: info[key] for key in ("chroma", "tiling", "pixel_aspect_ratio") if key in info}
        | {key: colours[key] for key in _COLOURS if key in colours},
        notes=tuple(note for note, holds in said.items() if holds),
    )


def encode_heif(held: PhotographFile, quality: int | None) -> bytes:
    """Encode a picture of 8, 10 or 12 bits: without loss if it has alpha and no quality is given.

    Args:
        held: its sampling of colours, tiles and kind of colours are kept if it was HEIC; else the sampling is 4:2:0,
            which all viewers know.
        quality: from 1 (small) to 100; None: 95.

    Raises:
        DataError: the picture is too large.
        ResourceError: the package is not installed.
    """
    height, width, channels = held.pixels.shape
    package, file = require_heif(f"the output of {height}x{width}"), io.BytesIO()
    mode = _MODES[channels][:-1] + "a" if held.premultiplied else _MODES[channels]
    options: dict[str, Any] = {"chroma": 420, **_COLOURS, **held.heif, "bit_depth": held.bits}
    options["quality"] = quality or JPEG_QUALITY
    if held.alpha is not None and quality is None:
        options |= _WITHOUT_LOSS
    beside = {"exif": held.exif or None, "xmp": held.xmp, "icc_profile": held.profile or None}
    pixels = held.pixels.astype(held.pixels.dtype.newbyteorder("<")).tobytes()
    try:
        package.encode(
            f"{mode};{held.bits}" if held.bits > 8 else mode, (width, height), pixels, file, **beside, **options
        )
    except (OSError, RuntimeError, SyntaxError, ValueError) as error:
        raise DataError(f"an image of {height}x{width} does not fit into HEIC ({error}): use .png") from None
    return file.getvalue()
