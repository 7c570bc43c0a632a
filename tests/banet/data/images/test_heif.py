"""Photographs of phones come back as they went in, and what is wrong with one is told in a line."""

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageCms
import pillow_heif
import pytest

from banet.data.images.heif import require_output
from banet.data.images.photograph import encode_photograph, losses, read_photograph
from banet.data.images.photograph_file import PhotographFile
from banet.errors import DataError, ResourceError

PROFILE = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" dc:source="a lake"'
    b' xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)
FACTS = {"Digest": "0123"}


def smooth(channels: int, bits: int) -> np.ndarray[Any, np.dtype[Any]]:
    """Slopes, of which 4:2:0 loses little."""
    rows, columns = np.mgrid[:66, :98] / 97
    slopes = [0.2 + 0.6 * rows, 0.9 - 0.5 * columns, 0.3 + 0.3 * (rows + columns) / 2, columns > 0.2]
    chosen = slopes if channels == 4 else slopes[:channels]
    return np.asarray(np.stack(chosen, axis=-1) * (2**bits - 1) + 0.5).astype(np.uint8 if bits == 8 else "<u2")


def heic(pixels: np.ndarray[Any, np.dtype[Any]], bits: int = 8, **options: object) -> bytes:
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[pixels.shape[2]]
    file = io.BytesIO()
    options = {"quality": 95, "bit_depth": bits, "chroma": 420} | options
    mode = mode if bits == 8 else f"{mode};{bits}"
    pillow_heif.encode(mode, pixels.shape[1::-1], pixels.tobytes(), file, **options)
    return file.getvalue()


def through(photograph: PhotographFile, ending: str, quality: int | None = None) -> PhotographFile:
    return read_photograph(encode_photograph(photograph, ending, FACTS, quality=quality), "x")


@pytest.mark.parametrize("bits", [8, 10, 12])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_what_goes_in_comes_out(channels: int, bits: int) -> None:
    pixels = smooth(channels, bits)
    photograph = read_photograph(heic(np.rot90(pixels), bits, xmp=XMP), "x")  # written turned, as XMP says
    assert (photograph.bits, photograph.ending, photograph.notes) == (bits, ".heic", ())
    back = through(photograph, ".heic")
    assert (back.bits, back.pixels.shape, back.pixels.dtype.itemsize) == (bits, pixels.shape, 1 if bits == 8 else 2)
    assert np.abs(back.pixels.astype(float) - pixels).mean() < 2**bits / 250
    assert b"a lake" in back.xmp
    assert b'tiff:Orientation="1"' in back.xmp
    assert b'banet:Digest="0123"' in back.xmp
    as_png = through(photograph, ".png")
    assert (as_png.bits, as_png.pixels.shape) == (8 if bits == 8 else 16, pixels.shape)
    scaled = photograph.pixels.astype(float) * (2**as_png.bits - 1) / (2**bits - 1)
    np.testing.assert_allclose(as_png.pixels, scaled, atol=0.5)


def test_with_alpha_nothing_is_lost_unless_a_quality_is_given() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (33, 47, 4), dtype=np.uint8)
    pixels[:9, :, 3] = 0
    photograph = PhotographFile(pixels=pixels)
    np.testing.assert_array_equal(through(photograph, ".heic").pixels, pixels)
    assert losses(photograph, ".heic", None) == []
    assert (through(photograph, ".heic", 60).pixels != pixels).any()
    assert losses(photograph, ".heic", 60) == ["as HEIC of quality 60: lossy, .png is not"]
    assert losses(PhotographFile(pixels=pixels[..., :3]), ".heic", None)[0].startswith("as HEIC of quality 95")


@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
def test_pixels_are_upright_and_no_viewer_turns_them_again(orientation: int) -> None:
    exif = PIL.Image.Exif()
    exif[0x010F], exif[0x0112] = "a camera", orientation
    exif.get_ifd(0x8769).update({0xA434: "a lens", 0xA002: 98, 0xA003: 66})
    content = heic(smooth(3, 8), exif=exif.tobytes(), icc_profile=PROFILE)  # written turned, as EXIF says
    turned = PIL.Image.fromarray(smooth(3, 8))
    turned.getexif()[0x0112] = orientation
    shown = np.asarray(PIL.ImageOps.exif_transpose(turned))
    photograph = read_photograph(content, "x")
    assert np.abs(photograph.pixels.astype(int) - shown).mean() < 2
    for ending in (".heic", ".jpg", ".png"):
        back = through(photograph, ending)
        assert np.abs(back.pixels.astype(int) - shown).mean() < 3
        assert back.profile == PROFILE
        read = PIL.Image.Exif()
        read.load(back.exif)
        details = read.get_ifd(0x8769)
        assert (read[0x010F], read[0x0112], details[0xA434]) == ("a camera", 1, "a lens")
        assert (details[0xA002], details[0xA003]) == back.pixels.shape[1::-1]


def test_sampling_tiles_and_kind_of_colours_stay() -> None:
    options = {"chroma": 444, "tile_size": 64, "color_primaries": 12, "full_range_flag": 0, "matrix_coefficients": 6}
    photograph = read_photograph(heic(smooth(3, 8), **options), "x")
    assert photograph.notes == (
        "its colours are wide and have no profile: .heic alone keeps them, and the network saw them unconverted",
    )
    written = pillow_heif.open_heif(encode_photograph(photograph, ".heic", FACTS, quality=None))
    assert (written.info["chroma"], written.info["tiling"]["tile_width"]) == (444, 64)
    colours = written.info["nclx_profile"]
    assert (colours["color_primaries"], colours["full_range_flag"]) == (12, 0)
    assert np.abs(np.asarray(written).astype(int) - smooth(3, 8)).mean() < 3


def test_other_pictures_are_written_as_viewers_know_them() -> None:
    for pixels, bits in ((smooth(3, 8), 8), (smooth(3, 16), 16)):
        photograph = PhotographFile(pixels=pixels, bits=bits)
        written = pillow_heif.open_heif(encode_photograph(photograph, ".heic", FACTS, quality=None))
        assert (written.info["chroma"], written.info["bit_depth"]) == (420, min(bits, 12))


def test_what_is_no_single_whole_picture_is_refused() -> None:
    content = heic(smooth(3, 8))
    for cut in (20, 60, 300, len(content) // 2, len(content) - 9):
        with pytest.raises(DataError, match=r"x.heic is not an image, or a damaged one"):
            read_photograph(content[:cut], "x.heic")
    at = content.index(b"ispe") + 8
    for side in (40_000, 2**31 - 1):
        with pytest.raises(DataError, match=r"x.heic (is not an image, or a damaged one|is .* more than the 179 mega)"):
            read_photograph(content[:at] + side.to_bytes(4) * 2 + content[at + 8 :], "x.heic")
    two = pillow_heif.from_bytes("RGB", (98, 66), smooth(3, 8).tobytes())
    two.add_frombytes("RGB", (98, 66), smooth(3, 8).tobytes())
    file = io.BytesIO()
    two.save(file)
    with pytest.raises(DataError, match=r"x.heic holds 2 pictures"):
        read_photograph(file.getvalue(), "x.heic")
    with pytest.raises(DataError, match=r"x.heic is HDR \(PQ\)"):
        read_photograph(heic(smooth(3, 10), 10, transfer_characteristics=16, color_primaries=9), "x.heic")


def test_an_output_is_checked_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_output(tmp_path / "a.HEIC")
    require_output(tmp_path / "a.png")
    with pytest.raises(DataError, match="does not exist: create it"):
        require_output(tmp_path / "no/a.heic")
    content = heic(smooth(3, 8))
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ResourceError, match=r"a.heic is HEIC.*: pip install 'banet\[heif\]'$"):
        require_output(tmp_path / "a.heic")
    with pytest.raises(ResourceError, match=r"b.heic is HEIC.*: pip install 'banet\[heif\]'$"):
        read_photograph(content, "b.heic")
