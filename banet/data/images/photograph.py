"""A photograph with all that it carries: read as it is, and written as it was.

OpenCV reads pixels, and writes PNG, WebP and AVIF. Pillow reads what is beside the pixels, and writes JPEG, whose
tables OpenCV cannot take over, and TIFF, where OpenCV drops profile and EXIF data. HEIC has a file of its own.
"""

import io
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.JpegImagePlugin
import PIL.PngImagePlugin

from banet.data.images.codec import (
    JPEG_QUALITY,
    WRITTEN,
    imdecode,
    pixels_of,
    turned_upright,
    usable_profile,
)
from banet.data.images.header import FORMATS, Pixels, read_header
from banet.data.images.heif import encode_heif, read_heif
from banet.data.images.photograph_file import HEIF, PhotographFile, Samples
from banet.data.images.tiff import encode_tiff, exif_of_tiff
from banet.data.images.xmp import with_provenance
from banet.errors import DataError

_JPEG, _TIFF = (".jpg", ".jpeg", ".jpe", ".jfif", ".jif"), (".tif", ".tiff")
_PNG, _WEBP, _AVIF = ".png", ".webp", ".avif"
_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"}  # of HEIC, in the first box of a file
_DEEPEST = {_PNG: 16, **dict.fromkeys(_TIFF, 16), **dict.fromkeys((_AVIF, *HEIF), 12)}  # bits of other formats: 8
_WITH_ALPHA = (_PNG, _WEBP, _AVIF, *_TIFF, *HEIF)
_FORMATS = {"JPEG": ".jpg", "MPO": ".jpg", "TIFF": ".tif", "WEBP": _WEBP, "AVIF": _AVIF}  # others: .png
_LARGEST_XMP = 65_000  # bytes, in one segment of a JPEG


def read_photograph(content: bytes, where: str) -> PhotographFile:
    """Read a picture as it is, whatever its depth.

    Args:
        content: bytes of the file.
        where: names the file in messages.

    Raises:
        DataError: not an image, damaged, too large, an animation, CMYK or the like, or of a kind that no library here
            reads whole: a TIFF of 16 bits in separate planes or of grey with alpha.
    """
    if not content:
        raise DataError(f"{where} is empty: fetch it again")
    brands = {content[at : at + 4] for at in range(8, min(int.from_bytes(content[:4]), 256), 4)}
    if content[4:8] == b"ftyp" and _BRANDS & brands:
        return read_heif(content, where)
    header = read_header(content, where)
    if content.startswith((b"II*\0", b"MM\0*")) and header.format != "TIFF":  # OpenCV would leave out channels or bits
        raise DataError(f"{where} is a TIFF of an unusual kind: save it as RGB of 8 or 16 bits, or as PNG")
    decoded = imdecode(content, where, cv2.IMREAD_UNCHANGED)
    kind = header.pixels or pixels_of(decoded)
    if kind.colour not in ("RGB", "grey") or decoded.dtype not in (np.uint8, np.uint16):
        raise DataError(f"{where} is {kind}: convert it to RGB (three channels) of 8 or 16 bits first")
    with warnings.catch_warnings(action="ignore"):
        try:
            opened: PIL.Image.Image = PIL.Image.open(io.BytesIO(content), formats=FORMATS)
        except Exception:  # whatever Pillow raises about a format that it does not know
            opened = PIL.Image.new("RGB", (1, 1))
        pixels, premultiplied = _samples(decoded, kind, opened, header.format, where)
        exif = exif_of_tiff(opened) if header.format == "TIFF" else header.exif
    if header.format != "TIFF":  # OpenCV turned that
        pixels = turned_upright(pixels, header.orientation)
    profile = usable_profile(header.profile, grey=pixels.shape[2] < 3)
    left_out = "its colour profile is damaged or not for its kind of colours, and was left out"
    xmp = opened.info.get("xmp") or opened.info.get("XML:com.adobe.xmp") or b""
    return PhotographFile(
        pixels=pixels,
        bits=8 if pixels.dtype == np.uint8 else _bits_of_avif(content) if header.format == "AVIF" else 16,
        profile=profile,
        exif=exif,
        xmp=xmp.encode() if isinstance(xmp, str) else xmp,
        ending=_FORMATS.get(header.format, _PNG),
        premultiplied=premultiplied,
        jpeg=_jpeg_options(opened),
        notes=(left_out,) if header.profile != profile else (),
    )


def _samples(
    decoded: npt.NDArray[Any], kind: Pixels, opened: PIL.Image.Image, format_: str, where: str
) -> tuple[Samples, bool]:
    """Return samples in the order of RGB and alpha, and whether colours are multiplied by alpha."""
    premultiplied = False
    if format_ == "TIFF":
        tags: Any = getattr(opened, "tag_v2", {})
        bits, channels, planes = max(tags.get(258, (1,))), tags.get(277, 1), tags.get(284, 1) == 2
        has_alpha, premultiplied = channels in (2, 4), channels in (2, 4) and tags.get(338, (0,))[0] == 1
        if bits not in (1, 2, 4, 8, 16) or channels > 4 or tags.get(339, (1,))[0] not in (1, 4):
            raise DataError(f"{where} is a TIFF of {channels} channels of {bits} bits: save it as RGB of 8 or 16 bits")
        if (bits == 16 and channels > 1 and planes) or (channels == 2 and premultiplied):
            raise DataError(f"{where} is a TIFF in planes, or of grey by alpha, that cannot be read: save it as PNG")
        if has_alpha and not premultiplied and bits == 8:  # OpenCV would multiply colours by alpha
            return np.asarray(opened), False
    if kind.transparent and decoded.ndim == 2:  # one level of a grey PNG is transparent
        if decoded.dtype != np.uint8:
            raise DataError(f"{where} is a grey PNG of 16 bits with a transparent level: save it with an alpha channel")
        return np.asarray(opened.convert("LA")), False
    if decoded.ndim == 2:
        return decoded[..., None], False
    order = [2, 1, 0, 3][: decoded.shape[2]]
    return np.ascontiguousarray(decoded[..., [0, 3] if kind.colour == "grey" else order]), premultiplied


def require_holdable(photograph: PhotographFile, ending: str, where: str) -> None:
    """Check that a format can hold a picture, before the work for it begins.

    Raises:
        DataError: the picture has alpha or a colour profile, and the format has no place for it.
    """
    alpha = photograph.alpha
    if alpha is not None and ending not in _WITH_ALPHA and alpha.min() < 2**photograph.bits - 1:
        raise DataError(f"{where}: {ending!r} cannot hold transparency: use .png or .tif")
    if photograph.profile and ending not in (*_JPEG, *_WITH_ALPHA):
        raise DataError(f"{where}: {ending!r} cannot hold the picture's colour profile: use .png, .tif or .jpg")


def losses(photograph: PhotographFile, ending: str, quality: int | None) -> list[str]:
    """Say what a format does not keep of a picture."""
    lost = []
    if ending in _JPEG and (quality or not photograph.jpeg):
        lost.append(f"as JPEG of quality {quality or JPEG_QUALITY}: lossy, .png is not")
    elif ending in _JPEG:
        lost.append("as JPEG with the input's tables: lossy, .png is not")
    elif ending in HEIF and (quality or photograph.alpha is None):
        lost.append(f"as HEIC of quality {quality or JPEG_QUALITY}: lossy, .png is not")
    elif quality and ending in (_WEBP, _AVIF):
        lost.append(f"of quality {quality}: lossy")
    if photograph.profile[16:20] == b"GRAY" and not _is_grey_in(ending, photograph):
        lost.append("its profile of grey was left out: .tif keeps it")
    if photograph.bits > _DEEPEST.get(ending, 8):
        lost.append(f"{photograph.bits} bits were rounded to {_DEEPEST.get(ending, 8)}: .png and .tif keep them")
    return lost


def encode_photograph(
    photograph: PhotographFile, ending: str, facts: Mapping[str, str], *, quality: int | None
) -> bytes:
    """Encode a picture with all that it carries; lossless but for JPEG, if no quality is given.

    Args:
        photograph: which the format can hold, see `require_holdable`.
        ending: names the format.
        facts: of the restoration, for XMP.
        quality: from 1 (small) to 100 of a JPEG, WebP or AVIF; None: a JPEG gets the tables and the chroma subsampling
            of the JPEG that it was, or quality 95.

    Raises:
        DataError: the picture is too large for the format.
    """
    own = ending in (_AVIF, *HEIF)  # between 8 and 16 bits, too
    bits = min(16 if photograph.bits > 8 and not own else photograph.bits, _DEEPEST.get(ending, 8))
    pixels = _of_bits(photograph.pixels, photograph.bits, bits)
    if ending not in _WITH_ALPHA and pixels.shape[2] in (2, 4):
        pixels = pixels[..., :-1]
    xmp = with_provenance(photograph.xmp, facts)
    profile = photograph.profile if pixels.shape[2] > 2 or _is_grey_in(ending, photograph) else b""
    held = replace(photograph, pixels=pixels, bits=bits, xmp=xmp, profile=profile)
    if ending in _JPEG:
        return _encode_jpeg(held, facts, quality)
    if ending in _TIFF:
        return encode_tiff(
            held.pixels, exif=held.exif, xmp=held.xmp, profile=held.profile, premultiplied=held.premultiplied
        )
    if ending in HEIF:
        return encode_heif(held, quality)
    if ending == _PNG and pixels.shape[2] == 2 and bits == 8:  # OpenCV has no grey with alpha
        return _encode_grey_alpha(held)
    return _encode_by_opencv(held, ending, quality)


def _is_grey_in(ending: str, grey: PhotographFile) -> bool:
    """Whether a format has one channel for grey, beside alpha if there is some."""
    if grey.pixels.shape[2] == 1:
        return ending != _WEBP
    return ending in _TIFF or (ending == _PNG and grey.bits == 8) or ending not in _WITH_ALPHA


def _of_bits(pixels: Samples, have: int, want: int) -> Samples:
    if have == want:
        return pixels
    scaled: Samples = (pixels.astype(np.uint32) * (2**want - 1) * 2 + (2**have - 1)) // (
        2 * (2**have - 1)
    )  # half rounded up
    return scaled.astype(np.uint8) if want == 8 else scaled.astype(np.uint16)


def _as_pillow(pixels: Samples) -> PIL.Image.Image:
    return PIL.Image.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels))


def _encode_jpeg(held: PhotographFile, facts: Mapping[str, str], quality: int | None) -> bytes:
    options = dict(held.jpeg) or {"quality": JPEG_QUALITY, "subsampling": 0}
    if quality is not None:
        options = {"quality": quality, "subsampling": options["subsampling"]}
    xmp = held.xmp if len(held.xmp) < _LARGEST_XMP else with_provenance(b"", facts)
    file = io.BytesIO()
    exif = b"Exif\0\0" + held.exif if held.exif else b""
    try:
        _as_pillow(held.pixels).save(file, "JPEG", exif=exif, xmp=xmp, icc_profile=held.profile or None, **options)
    except (OSError, ValueError):
        raise _too_large(held, ".jpg") from None
    return file.getvalue()


def _encode_grey_alpha(held: PhotographFile) -> bytes:
    file, text = io.BytesIO(), PIL.PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", held.xmp.decode())
    _as_pillow(held.pixels).save(
        file, "PNG", pnginfo=text, exif=held.exif or None, icc_profile=held.profile or None, compress_level=3
    )
    return file.getvalue()


def _encode_by_opencv(held: PhotographFile, ending: str, quality: int | None) -> bytes:
    channels = held.pixels.shape[2]
    order = {1: [0], 2: [0, 0, 0, 1], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[channels]
    flags = list(WRITTEN[ending])
    if ending == _WEBP:
        exact = [cv2.IMWRITE_WEBP_LOSSLESS_MODE, cv2.IMWRITE_WEBP_LOSSLESS_PRESERVE_COLOR]  # under alpha 0 too
        flags = exact if quality is None else [cv2.IMWRITE_WEBP_QUALITY, quality]
    elif ending == _AVIF:
        flags = [cv2.IMWRITE_AVIF_QUALITY, quality or 100, cv2.IMWRITE_AVIF_DEPTH, held.bits]
    kinds = (cv2.IMAGE_METADATA_ICCP, cv2.IMAGE_METADATA_EXIF, cv2.IMAGE_METADATA_XMP)
    xmp = held.xmp + b"\0" if ending == _PNG else held.xmp  # without it, OpenCV reads on in memory to the next 0
    beside = [(kind, part) for kind, part in zip(kinds, (held.profile, held.exif, xmp), strict=True) if part]
    image = np.ascontiguousarray(held.pixels[..., order])
    try:
        if ending in _WITH_ALPHA:
            chunks = [np.frombuffer(part, np.uint8) for _, part in beside]
            done, content = cv2.imencodeWithMetadata(ending, image, [kind for kind, _ in beside], chunks, flags)
        else:
            done, content = cv2.imencode(ending, image, flags)
    except cv2.error:
        done = False
    if not done:
        raise _too_large(held, ending)
    return bytes(content.tobytes())


def _too_large(held: PhotographFile, ending: str) -> DataError:
    size = f"{held.pixels.shape[0]}x{held.pixels.shape[1]}"
    return DataError(f"an image of {size} does not fit into the format {ending!r}: use .png")


def _jpeg_options(opened: PIL.Image.Image) -> dict[str, Any]:
    if not isinstance(opened, PIL.JpegImagePlugin.JpegImageFile):
        return {}
    sampling = PIL.JpegImagePlugin.get_sampling(opened)  # -1: one that Pillow does not write
    dpi = {"dpi": opened.info["dpi"]} if "dpi" in opened.info else {}
    return {"qtables": opened.quantization, "subsampling": max(sampling, 0)} | dpi


def _bits_of_avif(content: bytes) -> int:
    """Read the bits of a sample, 8, 10 or 12, from the box that lists them by channel."""
    at = content.find(b"pixi")
    return content[at + 9] if at >= 0 and content[at + 9 : at + 10] in (b"\x0a", b"\x0c") else 12
