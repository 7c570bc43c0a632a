"""Photographs come back from every format as they went in: depth, channels, alpha, profile, EXIF data, XMP, tables."""

import io
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import PIL.Image
import PIL.ImageCms
import PIL.JpegImagePlugin
import pytest
from icc_profiles import GAMMA, profile_of

from banet.data.images.photograph import encode_photograph, losses, read_photograph, require_holdable
from banet.data.images.photograph_file import PhotographFile
from banet.errors import DataError

PROFILE = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
GREY_PROFILE = profile_of(None, GAMMA)
FACTS = {"Model": 'models:/a "b"/3', "Digest": "0123", "Precision": "float32"}
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" dc:source="a lake"/></rdf:RDF>'
    b"</x:xmpmeta>"
)


def samples(channels: int, bits: int = 8) -> np.ndarray[Any, np.dtype[Any]]:
    pixels = np.random.default_rng(0).integers(
        0, 2**bits, (37, 51, channels), dtype=np.uint8 if bits == 8 else np.uint16
    )
    if channels in (2, 4):
        pixels[:9, :, -1] = 0
    return pixels


def exif_of(orientation: int = 1) -> bytes:
    exif = PIL.Image.Exif()
    exif[0x010F], exif[0x0112] = "a camera", orientation
    exif.get_ifd(0x8769).update({0xA434: "a lens", 0xA002: 51, 0xA003: 37, 0x927C: b"maker's note"})
    exif.get_ifd(0x8825).update({1: "N", 2: (46.0, 3.0, 2.0)})
    return exif.tobytes()


def through(photograph: PhotographFile, ending: str, quality: int | None = None) -> PhotographFile:
    return read_photograph(encode_photograph(photograph, ending, FACTS, quality=quality), "x")


KINDS = [
    (ending, channels, bits)
    for ending in (".png", ".tif", ".webp", ".avif")
    for channels in (1, 2, 3, 4)
    for bits in (8, 16)
]


@pytest.mark.parametrize(
    ("ending", "channels", "bits"), [kind for kind in KINDS if kind != (".tif", 2, 16)]
)  # see below
def test_what_goes_in_comes_out(ending: str, channels: int, bits: int) -> None:
    profile = PROFILE if channels > 2 else GREY_PROFILE
    exif = exif_of().removeprefix(b"Exif\0\0")
    photograph = PhotographFile(pixels=samples(channels, bits), bits=bits, profile=profile, exif=exif, xmp=XMP)
    back = through(photograph, ending)
    most = {".webp": 8, ".avif": 12}.get(ending, 16)
    no_grey_alpha = channels == 2 and (ending, bits) not in ((".png", 8), (".tif", 8))
    written = 4 if no_grey_alpha else 3 if ending == ".webp" and channels == 1 else channels
    assert (back.bits, back.pixels.shape) == (min(bits, most), (37, 51, written))
    order = {(1, 3): [0, 0, 0], (2, 4): [0, 0, 0, 1]}.get((channels, written), list(range(channels)))
    expected = np.floor(photograph.pixels[..., order] / (2**bits - 1) * (2**back.bits - 1) + 0.5)
    np.testing.assert_array_equal(back.pixels, expected)  # under alpha 0 too
    assert back.profile == (profile if (written > 2) == (channels > 2) else b"")
    assert any("profile of grey" in note for note in losses(photograph, ending, None)) == (not back.profile)
    assert b"a lake" in back.xmp
    assert b'banet:Model=\'models:/a "b"/3\' banet:Digest="0123"' in back.xmp
    read = PIL.Image.Exif()
    read.load(back.exif)
    assert (read[0x010F], read.get_ifd(0x8769)[0xA434], read.get_ifd(0x8825)[1]) == ("a camera", "a lens", "N")
    assert read.get_ifd(0x8769)[0x927C] == b"maker's note"


@pytest.mark.parametrize("bits", [10, 12])
def test_an_avif_of_more_than_8_bits_keeps_its_depth(bits: int) -> None:
    photograph = PhotographFile(pixels=samples(3, bits), bits=bits, ending=".avif")
    back = through(photograph, ".avif")
    assert back.bits == bits
    np.testing.assert_array_equal(back.pixels, photograph.pixels)
    assert through(photograph, ".png").bits == 16


@pytest.mark.parametrize("sampling", [0, 1, 2])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_jpeg_keeps_its_tables_and_sampling(mode: str, sampling: int) -> None:
    smooth = PIL.Image.linear_gradient("L").resize((64, 48)).convert(mode)
    file = io.BytesIO()
    smooth.save(file, "JPEG", quality=71, subsampling=sampling, exif=exif_of(), icc_profile=PROFILE, dpi=(300, 300))
    photograph = read_photograph(file.getvalue(), "x")
    assert photograph.pixels.shape == (48, 64, 3 if mode == "RGB" else 1)
    written = PIL.Image.open(io.BytesIO(encode_photograph(photograph, ".jpg", FACTS, quality=None)))
    assert isinstance(written, PIL.JpegImagePlugin.JpegImageFile)
    assert (written.mode, written.quantization) == (mode, PIL.Image.open(file).quantization)  # type: ignore[attr-defined]
    assert mode == "L" or PIL.JpegImagePlugin.get_sampling(written) == sampling
    assert written.info["dpi"] == (300, 300)
    assert written.getexif()[0x010F] == "a camera"
    assert written.info.get("icc_profile") == (PROFILE if mode == "RGB" else None)
    assert photograph.notes == (() if mode == "RGB" else photograph.notes[:1])
    assert b"banet:Digest" in written.info["xmp"]
    finer = PIL.Image.open(io.BytesIO(encode_photograph(photograph, ".jpg", FACTS, quality=98)))
    assert finer.quantization[0][0] < written.quantization[0][0]  # type: ignore[attr-defined]
    assert mode == "L" or PIL.JpegImagePlugin.get_sampling(finer) == sampling
    assert losses(photograph, ".jpg", None) == ["as JPEG with the input's tables: lossy, .png is not"]
    assert losses(photograph, ".jpg", 80) == ["as JPEG of quality 80: lossy, .png is not"]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pixels_are_upright_and_no_viewer_turns_them_again(kind: str, orientation: int) -> None:
    file = io.BytesIO()
    image = PIL.Image.linear_gradient("L").resize((51, 37)).convert("RGB")
    image.paste((255, 0, 0), (0, 0, 20, 10))
    xmp = XMP.replace(
        b"dc:source", b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="%d" dc:source' % orientation
    )
    more = {"quality": 100} if kind in ("JPEG", "AVIF") else {"lossless": True} if kind == "WEBP" else {}
    image.save(file, kind, exif=exif_of(orientation), **(more if kind in ("PNG", "TIFF") else more | {"xmp": xmp}))
    shown = np.asarray(PIL.ImageOps.exif_transpose(PIL.Image.open(file)).convert("RGB"))
    photograph = read_photograph(file.getvalue(), "x")
    assert np.abs(photograph.pixels.astype(int) - shown).mean() < 2
    for ending in (".png", ".jpg", ".webp", ".tif", ".avif"):
        content = encode_photograph(photograph, ending, FACTS, quality=None)
        with PIL.Image.open(io.BytesIO(content)) as written:
            assert written.getexif().get(0x0112, 1) == 1
            assert written.size == shown.shape[1::-1]
            details = written.getexif().get_ifd(0x8769)
            sides = (details[0xA002], details[0xA003])
            assert sides == ((37, 51) if orientation > 4 and kind != "TIFF" else (51, 37))
            if kind not in ("PNG", "TIFF"):
                assert b'tiff:Orientation="1"' in read_photograph(content, "x").xmp


def test_a_restored_picture_that_is_restored_again_has_one_provenance() -> None:
    photograph = PhotographFile(pixels=samples(3), xmp=XMP)
    twice = encode_photograph(through(photograph, ".png"), ".png", FACTS | {"Digest": "4567"}, quality=None)
    assert twice.count(b"banet:Digest") == 1
    assert b'banet:Digest="4567"' in twice
    assert twice.count(b"a lake") == 1


@pytest.mark.parametrize("ending", [".png", ".webp", ".avif"])
def test_nothing_follows_the_xmp_and_the_same_picture_gives_the_same_bytes(ending: str) -> None:
    """OpenCV's writer of PNG takes a packet for text that ends with a 0, and read on in memory."""
    photograph = PhotographFile(pixels=samples(3), xmp=XMP)
    written = {encode_photograph(photograph, ending, FACTS, quality=None) for _ in range(20)}
    assert len(written) == 1
    assert read_photograph(written.pop(), "x").xmp.endswith(b"</x:xmpmeta>")


def test_colours_multiplied_by_alpha_stay_so() -> None:
    pixels = samples(4)
    pixels[..., :3] = np.minimum(pixels[..., :3], pixels[..., 3:])
    back = through(PhotographFile(pixels=pixels, premultiplied=True), ".tif")
    assert back.premultiplied
    np.testing.assert_array_equal(back.pixels, pixels)


def test_a_transparent_level_and_a_palette_become_channels() -> None:
    file = io.BytesIO()
    PIL.Image.fromarray(samples(1)[..., 0]).save(file, "PNG", transparency=7)
    grey = read_photograph(file.getvalue(), "x")
    np.testing.assert_array_equal(grey.pixels[..., 1] == 0, samples(1)[..., 0] == 7)
    file = io.BytesIO()
    PIL.Image.fromarray(samples(3)).quantize(16).save(file, "PNG")
    assert read_photograph(file.getvalue(), "x").pixels.shape == (37, 51, 3)


@pytest.mark.parametrize(
    ("mode", "kind", "found"),
    [
        ("CMYK", "JPEG", "CMYK"),
        ("CMYK", "TIFF", "CMYK"),
        ("LAB", "TIFF", "LAB"),
        ("F", "TIFF", "32-bit grey"),
    ],
)
def test_other_colours_are_refused_in_one_line(mode: str, kind: str, found: str) -> None:
    file = io.BytesIO()
    PIL.Image.new(mode, (20, 16)).save(file, kind)
    with pytest.raises(DataError, match=f"^x is .*{found}.*: (convert|save) it"):
        read_photograph(file.getvalue(), "x")


def test_a_tiff_that_would_be_read_wrongly_is_refused() -> None:
    grey_alpha = encode_photograph(PhotographFile(pixels=samples(2, 16), bits=16), ".tif", FACTS, quality=None)
    with pytest.raises(DataError, match="x is a TIFF of an unusual kind: save it"):
        read_photograph(grey_alpha, "x")


def test_what_a_format_cannot_hold_is_refused_before_the_work() -> None:
    pixels = samples(4)
    clear = PhotographFile(pixels=pixels.copy())
    pixels[..., 3] = 255
    opaque = PhotographFile(pixels=pixels)
    for ending in (".jpg", ".bmp"):
        with pytest.raises(DataError, match=f"x: '{ending}' cannot hold transparency"):
            require_holdable(clear, ending, "x")
    require_holdable(opaque, ".jpg", "x")
    assert through(opaque, ".jpg").pixels.shape == (37, 51, 3)
    with pytest.raises(DataError, match="cannot hold the picture's colour profile"):
        require_holdable(replace(opaque, profile=PROFILE), ".bmp", "x")
    deep = PhotographFile(pixels=samples(3, 16), bits=16)
    assert losses(deep, ".webp", None) == ["16 bits were rounded to 8: .png and .tif keep them"]
    wide = PhotographFile(pixels=np.zeros((8, 70000, 3), np.uint8))
    for ending in (".jpg", ".webp"):
        with pytest.raises(DataError, match=f"8x70000 does not fit into the format '{ending}'"):
            encode_photograph(wide, ending, FACTS, quality=None)


def test_damaged_exif_and_a_profile_of_other_colours_are_left_out() -> None:
    file = io.BytesIO()
    PIL.Image.new("L", (20, 16)).save(file, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\0\0", icc_profile=PROFILE)
    photograph = read_photograph(file.getvalue(), "x")
    assert (photograph.exif, photograph.profile, len(photograph.notes)) == (b"", b"", 1)
    assert "colour profile" in photograph.notes[0]


def test_the_depth_is_the_files_and_not_the_values() -> None:
    dark = np.full((16, 20, 3), 200, np.uint16)
    photograph = read_photograph(cv2.imencode(".png", dark)[1].tobytes(), "x")
    assert (photograph.bits, photograph.pixels.max()) == (16, 200)
