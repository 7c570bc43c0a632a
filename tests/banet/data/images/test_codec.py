"""Images in files: RGB outside, lossless in PNG, and every kind of damage is an expected error."""

import io
import struct
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import PIL.ImageCms
import PIL.ImageOps
import pytest

from banet.data.images.codec import (
    converted_note,
    decode,
    decode_picture,
    encode_png,
    encode_webp,
    loss,
    read_image,
    require_writable,
    write_image,
)
from banet.errors import DataError
from banet.image import Image

RED_ON_BLUE = np.zeros((3, 4, 3), dtype=np.uint8)
RED_ON_BLUE[..., 2] = 200
RED_ON_BLUE[1, 2] = (250, 10, 0)


@pytest.fixture
def image() -> Image:
    noise = np.random.default_rng(0).integers(0, 256, (21, 30, 3), dtype=np.uint8)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 1.5), dtype=np.uint8)


@pytest.mark.parametrize("compression", [0, 3, 9])
def test_png_is_lossless(image: Image, compression: int) -> None:
    decoded = decode(encode_png(image, compression=compression), "x")
    assert np.array_equal(decoded, image)
    assert decoded.dtype == np.uint8
    assert decoded.flags.c_contiguous


def test_webp_is_exact_without_a_quality_and_close_and_small_with_one(image: Image) -> None:
    exact, good, poor = encode_webp(image), encode_webp(image, quality=90), encode_webp(image, quality=10)
    assert {content[8:12] for content in (exact, good, poor)} == {b"WEBP"}
    assert np.array_equal(decode(exact, "x"), image)
    assert len(poor) < len(good) < len(exact) < image.size
    errors = [np.abs(decode(content, "x").astype(int) - image).mean() for content in (good, poor)]
    assert 0 < errors[0] < 8 < errors[1] < 30
    assert decode(encode_webp(RED_ON_BLUE), "x")[1, 2].tolist() == [250, 10, 0]


def test_webp_has_a_largest_side() -> None:
    with pytest.raises(DataError, match=r"an image of 1x16384 does not fit into the format '.webp': use .png"):
        encode_webp(np.zeros((1, 16_384, 3), dtype=np.uint8))


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(height: int, width: int, rows: bytes, *, color: int = 2, bits: int = 8, extra: bytes = b"") -> bytes:
    """A PNG written by hand, so that the order of channels is that of the standard."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def jpeg_frame(components: int, *, bits: int = 8, before: bytes = b"") -> bytes:
    """The head of a JPEG: markers up to the start of its frame, 8x8."""
    body = struct.pack(">BHHB", bits, 8, 8, components) + b"".join(bytes([i, 0x11, 0]) for i in range(components))
    return b"\xff\xd8" + before + b"\xff\xc2" + struct.pack(">H", len(body) + 2) + body + b"\xff\xda"


def encoded(suffix: str, array: np.ndarray) -> bytes:
    done, content = cv2.imencode(suffix, array)
    assert done
    return content.tobytes()


def saved(mode: str, kind: str, **options: Any) -> bytes:  # noqa: ANN401  # as Pillow takes them
    file = io.BytesIO()
    PIL.Image.fromarray(RED_ON_BLUE).convert(mode).save(file, kind, **options)
    return file.getvalue()


def test_channels_are_rgb() -> None:
    rows = b"".join(b"\0" + row.tobytes() for row in RED_ON_BLUE)
    assert np.array_equal(decode(png(3, 4, rows), "x"), RED_ON_BLUE)
    bgr = cv2.imdecode(np.frombuffer(encode_png(RED_ON_BLUE), np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(np.asarray(bgr)[..., ::-1], RED_ON_BLUE)


PALETTE = chunk(b"PLTE", bytes([0, 0, 0, 10, 20, 30, 255, 0, 7]))
LEVELS = np.arange(64, dtype=np.uint8).reshape(8, 8) * 3
FOUR = np.dstack([LEVELS] * 4)
APP = b"\xff\xff\xe0" + struct.pack(">H", 6) + b"\xff\xc0ab"  # a filling byte, and what is no start of frame


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (png(1, 1, b"\0" + bytes([7, 254]), color=4), "grey with transparency"),
        (png(1, 1, b"\0" + bytes([7]), color=0, extra=chunk(b"tRNS", b"\0\7")), "grey with transparency"),
        (png(1, 1, b"\0" + bytes([10, 20, 30, 254]), color=6), "RGB with transparency"),
        (png(1, 1, b"\0" + bytes(3), extra=chunk(b"tRNS", b"\0" * 6)), "RGB with transparency"),
        (png(1, 1, b"\0\0", color=3, extra=PALETTE + chunk(b"tRNS", b"\x80")), "RGB with transparency"),
        (png(1, 1, b"\0" + bytes(6), bits=16), "16-bit RGB"),
        (png(1, 1, b"\0" + bytes(2), color=0, bits=16), "16-bit grey"),
        (png(1, 1, b"\0" + bytes(8), color=6, bits=16), "16-bit RGB with transparency"),
        (jpeg_frame(4), "CMYK"),
        (jpeg_frame(4, before=APP), "CMYK"),
        (jpeg_frame(3, bits=12), "12-bit RGB"),
        (saved("CMYK", "TIFF"), "CMYK"),
        (saved("LA", "TIFF"), "grey with transparency"),
        (encoded(".tiff", FOUR[..., :3].astype(np.uint16)), "16-bit RGB"),
        (encoded(".tiff", FOUR[..., :3].astype(np.float32)), "32-bit RGB"),
        (encoded(".webp", FOUR), "RGB with transparency"),
    ],
)
def test_what_is_not_8_bit_rgb_is_named_and_refused(content: bytes, found: str) -> None:
    with pytest.raises(DataError) as caught:
        decode(content, "a/b.png")
    remedy = "scale it to 8 bits and save it as RGB" if "-bit" in found else "convert it to RGB (three channels)"
    assert str(caught.value) == f"a/b.png is {found}, not 8-bit RGB: {remedy} first"


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff", ".webp", ".jpg"])
def test_8_bit_rgb_is_accepted_in_every_format(image: Image, suffix: str) -> None:
    decoded = decode(encoded(suffix, image[..., ::-1]), "x")
    assert decoded.shape == image.shape
    assert suffix in (".webp", ".jpg") or np.array_equal(decoded, image)


@pytest.mark.parametrize(("bits", "row"), [(8, bytes([2, 0, 1, 2])), (2, bytes([0b10_00_01_10]))])
def test_a_palette_of_colours_is_rgb(bits: int, row: bytes) -> None:
    decoded = decode(png(1, 4, b"\0" + row, color=3, bits=bits, extra=PALETTE), "x")
    assert decoded.tolist() == [[[255, 0, 7], [0, 0, 0], [10, 20, 30], [255, 0, 7]]]


@pytest.mark.parametrize(
    ("content", "levels", "kind"),
    [
        (png(1, 2, b"\0" + bytes([7, 200]), color=0), [[7, 7, 7], [200, 200, 200]], "grey"),
        (png(1, 2, b"\0\x40", color=0, bits=1), [[0, 0, 0], [255, 255, 255]], "grey"),
        (png(1, 1, b"\0" + bytes([7, 255]), color=4), [[7, 7, 7]], "grey with an opaque alpha channel"),
        (png(1, 1, b"\0" + bytes([1, 2, 3, 255]), color=6), [[1, 2, 3]], "RGB with an opaque alpha channel"),
        (png(1, 1, b"\0\1", color=3, extra=PALETTE + chunk(b"tRNS", b"\xff")), [[10, 20, 30]], "RGB with an opaque"),
        (encoded(".tiff", np.full((1, 2), 7, np.uint8)), [[7, 7, 7]] * 2, "grey"),
        (encoded(".bmp", np.full((1, 2), 7, np.uint8)), [[7, 7, 7]] * 2, "grey"),
        (png(1, 1, b"\0" + bytes([10, 20, 30])), [[10, 20, 30]], ""),
    ],
)
def test_grey_and_an_opaque_alpha_channel_are_taken_and_told(content: bytes, levels: list[int], kind: str) -> None:
    picture = decode_picture(content, "x")
    assert picture.pixels.tolist() == [levels]
    assert picture.converted.startswith(kind)
    assert bool(kind) == bool(picture.converted)


def test_what_was_converted_is_said_in_numbers() -> None:
    assert converted_note({"grey": 2, "": 9, "CMYK": 1}) == "converted to 8-bit RGB: 1 CMYK, 2 grey"
    assert converted_note({"": 9}) is None


def test_conversions_that_are_asked_for_by_name() -> None:
    deep = png(1, 1, b"\0" + struct.pack(">3H", 257 * 9, 257 * 9 + 128, 257 * 9 + 129), bits=16)
    assert decode(deep, "x", convert=["16-bit"]).tolist() == [[[9, 9, 10]]]
    half = png(1, 2, b"\0" + bytes([10, 20, 30, 102, 1, 2, 3, 0]), color=6)
    assert decode(half, "x", convert=["transparency"]).tolist() == [[[157, 161, 165], [255, 255, 255]]]
    both = png(1, 1, b"\0" + bytes(8), color=6, bits=16)
    assert decode(both, "x", convert=["transparency", "16-bit"]).tolist() == [[[255, 255, 255]]]
    assert decode_picture(saved("CMYK", "JPEG"), "x", convert=["CMYK"])[2:] == (b"", "CMYK")
    for content, names in ((deep, "16-bit"), (half, "transparency"), (both, "16-bit, transparency")):
        with pytest.raises(DataError, match=rf"first, or write `convert: \[{names}\]` into the manifest$"):
            decode(content, "x", convert=[])


@pytest.mark.parametrize(
    "content",
    [
        png(1, 1, b"\0" + bytes(3), extra=chunk(b"tEXt", b"abc")),
        png(1, 2, b"\0" + bytes([7, 200]), color=0),
        jpeg_frame(3, before=APP),
        jpeg_frame(4, before=APP),
        encoded(".webp", FOUR),
        encoded(".bmp", LEVELS),
    ],
)
def test_a_header_cut_off_anywhere_is_an_expected_error(content: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    for cut in range(1, min(len(content), 80)):
        with pytest.raises(DataError, match=r"^x is "):
            decode(content[:cut], "x")
    capfd.readouterr()


def test_a_photograph_is_turned_upright(image: Image) -> None:
    ok, content = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 100])
    assert ok
    jpeg = content.tobytes()
    tag = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)  # orientation 6: to be turned by 90 degrees clockwise
    exif = b"Exif\0\0" + b"II*\0" + struct.pack("<IH", 8, 1) + tag + struct.pack("<I", 0)
    turned = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]
    assert np.array_equal(decode(turned, "x"), np.rot90(decode(jpeg, "x"), -1))


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_truncated_image_is_refused_wherever_it_was_cut(
    image: Image, suffix: str, capfd: pytest.CaptureFixture[str]
) -> None:
    content = np.asarray(cv2.imencode(suffix, image)[1]).tobytes()
    for cut in (1, 7, 8, 20, 33, 60, len(content) // 2, len(content) - 200, len(content) - 20, len(content) - 1):
        with pytest.raises(DataError, match=r"a/b.png is not an image, or a damaged one"):
            decode(content[:cut], "a/b.png")
    capfd.readouterr()  # the libraries complain on standard error


def test_a_flipped_bit_in_a_png_never_gives_another_image(image: Image, capfd: pytest.CaptureFixture[str]) -> None:
    content = bytearray(encode_png(image))
    for at in range(8, len(content), 5):
        content[at] ^= 0x10
        with suppress(DataError):
            assert np.array_equal(decode(bytes(content), "x"), image)
        content[at] ^= 0x10
    capfd.readouterr()


SPECIAL: dict[str, tuple[str, list[int]]] = {
    "baseline": (".jpg", []),
    "progressive": (".jpg", [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
    "restarts": (".jpg", [cv2.IMWRITE_JPEG_RST_INTERVAL, 4]),
    "png": (".png", []),
    "lzw": (".tiff", [cv2.IMWRITE_TIFF_COMPRESSION, cv2.IMWRITE_TIFF_COMPRESSION_LZW]),
    "deflate": (".tiff", [cv2.IMWRITE_TIFF_COMPRESSION, cv2.IMWRITE_TIFF_COMPRESSION_ADOBE_DEFLATE]),
    "packbits": (".tiff", [cv2.IMWRITE_TIFF_COMPRESSION, cv2.IMWRITE_TIFF_COMPRESSION_PACKBITS]),
    "jpeg in tiff": (
        ".tiff",
        [cv2.IMWRITE_TIFF_COMPRESSION, cv2.IMWRITE_TIFF_COMPRESSION_JPEG, 278, 16],
    ),  # rows of a strip
    "avif": (".avif", []),
}


@pytest.mark.parametrize("name", SPECIAL)
def test_an_image_damaged_in_the_middle_is_refused(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    smooth = np.asarray(cv2.resize(noise, (200, 160), interpolation=cv2.INTER_CUBIC), np.uint8)
    content = np.asarray(cv2.imencode(SPECIAL[name][0], smooth, SPECIAL[name][1])[1]).tobytes()
    assert decode(content, "x").shape == (160, 200, 3)
    rng = np.random.default_rng(1)
    for at in np.linspace(0.45, 0.8, 5) * len(content):
        middle = slice(int(at), int(at) + min(1000, len(content) // 6))
        damaged = bytearray(content)
        damaged[middle] = rng.bytes(middle.stop - middle.start)
        with pytest.raises(DataError, match=r"^a/b.jpg is not an image, or a damaged one: fetch it again"):
            decode(bytes(damaged), "a/b.jpg")
    assert capfd.readouterr().err == ""  # the libraries' own words are not passed on


def test_few_bytes_of_a_deflated_tiff_are_noticed(image: Image) -> None:
    flags = [cv2.IMWRITE_TIFF_COMPRESSION, cv2.IMWRITE_TIFF_COMPRESSION_ADOBE_DEFLATE]
    content = bytearray(np.asarray(cv2.imencode(".tiff", image, flags)[1]).tobytes())
    middle = len(content) // 2
    content[middle : middle + 16] = bytes(16)
    with pytest.raises(DataError, match="damaged"):
        decode(bytes(content), "x")


def test_a_wrong_checksum_anywhere_in_a_png_is_refused() -> None:
    content = png(1, 1, b"\0" + bytes(3), extra=chunk(b"tEXt", b"a\0b"))
    decode(content + b"after the end", "x")
    with pytest.raises(DataError, match="damaged"):
        decode(content.replace(b"a\0b", b"a\0c"), "x")


def test_odd_but_intact_files_are_taken(image: Image, capfd: pytest.CaptureFixture[str]) -> None:
    jpeg = encoded(".jpg", image)
    expected = decode(jpeg, "x")
    preview = b"\xff\xe1" + struct.pack(">H", len(jpeg) + 2) + jpeg  # with its own start and end
    for odd in (
        jpeg + bytes(999) + jpeg,
        jpeg[:2] + preview + jpeg[2:],
        jpeg[:2] + b"\xff\xfe\0\2\xff\xe5\0\3x" + jpeg[2:],
        jpeg.replace(b"\xff\xdb", b"\xff\xff\xff\xdb", 1),
    ):
        assert np.array_equal(decode(odd, "x"), expected)
    views = [PIL.Image.fromarray(image), PIL.Image.fromarray(image[::-1])]
    file = io.BytesIO()
    views[0].save(file, "MPO", save_all=True, append_images=views[1:])  # as phones write them
    assert decode(file.getvalue(), "x").shape == image.shape
    assert np.array_equal(decode(saved("RGB", "TIFF", tiffinfo={65000: "private"}), "x"), RED_ON_BLUE)
    assert "65000" in capfd.readouterr().err  # what is no damage is still told


def test_a_header_that_claims_a_huge_image_is_refused_by_it() -> None:
    with pytest.raises(
        DataError, match=r"bomb.png has 3600000000 pixels, more than the 179 megapixels .*make it small"
    ):
        decode(png(60_000, 60_000, b"\0" * 100), "bomb.png")
    with pytest.raises(DataError, match=r"a.png is 40x60 \(height x width\), more than the 0 megapixels"):
        decode(png(40, 60, b""), "a.png", most_pixels=2399)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF", "TIFF"])
def test_an_animation_is_refused_with_the_number_of_its_frames(kind: str) -> None:
    frames = [PIL.Image.fromarray(np.roll(RED_ON_BLUE, i, 1)) for i in range(3)]
    file = io.BytesIO()
    frames[0].save(file, kind, save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match=r"a.gif holds 3 frames or pages: save them as single pictures"):
        decode(file.getvalue(), "a.gif")
    assert decode(saved("RGB", kind), "x").shape == RED_ON_BLUE.shape


def test_thumbnails_are_no_pages() -> None:
    file = io.BytesIO()
    small = PIL.Image.fromarray(RED_ON_BLUE[:2, :2])
    small.encoderinfo = {"tiffinfo": {254: 1}}  # of a page that is appended
    PIL.Image.fromarray(RED_ON_BLUE).save(file, "TIFF", save_all=True, append_images=[small])
    assert np.array_equal(decode(file.getvalue(), "x"), RED_ON_BLUE)


PROFILE = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 5, 6, 7, 8])
def test_profile_and_exif_travel_and_nobody_turns_the_picture_twice(
    tmp_path: Path, kind: str, orientation: int
) -> None:
    exif = PIL.Image.Exif()
    exif[0x010F], exif[0x0112] = "a camera", orientation
    content = saved("RGB", kind, exif=exif.tobytes(), icc_profile=PROFILE)
    shown = PIL.ImageOps.exif_transpose(PIL.Image.open(io.BytesIO(content))).convert("RGB")
    picture = decode_picture(content, "x")
    assert np.abs(picture.pixels.astype(int) - np.asarray(shown)).max() <= 4
    for ending in (".png", ".jpg", ".webp", ".tif", ".avif"):
        path = tmp_path / f"a{ending}"
        write_image(path, picture.pixels, profile=picture.profile, exif=picture.exif)
        with PIL.Image.open(path) as written:
            assert written.info["icc_profile"] == PROFILE
            assert written.size == PIL.ImageOps.exif_transpose(written).size == shown.size
            assert (kind, ending) != ("JPEG", ".jpg") or written.getexif()[0x010F] == "a camera"
        assert np.abs(read_image(path).astype(int) - picture.pixels).max() <= (60 if ending == ".jpg" else 0)


def test_a_profile_that_is_not_of_rgb_is_not_given_to_rgb() -> None:
    grey = saved("L", "PNG", icc_profile=PROFILE.replace(b"RGB ", b"GRAY"))
    assert decode_picture(grey, "x").profile == b""
    damaged = saved("RGB", "JPEG", icc_profile=PROFILE[:200])
    assert decode_picture(damaged, "x").profile == b""


def test_a_format_without_profiles_is_refused_for_a_picture_with_one(tmp_path: Path) -> None:
    require_writable(tmp_path / "a.bmp")
    with pytest.raises(DataError, match=r"a.bmp: '.bmp' cannot hold the picture's colour profile: use .png"):
        require_writable(tmp_path / "a.bmp", profile=PROFILE)


@pytest.mark.parametrize("ending", [".png", ".PNG", ".webp", ".tif", ".bmp", ".avif", ".jp2", ".ppm", ".ras"])
def test_what_is_written_is_what_was_given_unless_a_loss_is_told(tmp_path: Path, image: Image, ending: str) -> None:
    image = np.tile(image, (2, 2, 1))  # JPEG 2000 takes none below 32x32
    write_image(tmp_path / f"a{ending}", image)
    assert np.array_equal(read_image(tmp_path / f"a{ending}"), image)
    assert loss(tmp_path / f"a{ending}") == ""
    assert "JPEG of quality 95: lossy" in loss(Path("a.JPG"))


@pytest.mark.parametrize("ending", [".gif", ".pbm", ".pgm", ".pam", ".hdr"])
def test_formats_that_cannot_hold_a_picture_are_refused(tmp_path: Path, image: Image, ending: str) -> None:
    with pytest.raises(DataError, match=f"'{ending}' cannot hold the picture's colours: use .png or .jpg"):
        write_image(tmp_path / f"a{ending}", image)


@pytest.mark.parametrize("content", [b"\0" * 100, b"GIF", b"frames 7 offset 0"])
def test_what_is_no_image_is_refused(content: bytes) -> None:
    with pytest.raises(DataError, match=r"x.png is not an image.*save it as PNG or JPEG"):
        decode(content, "x.png")


def test_an_empty_file_is_called_empty() -> None:
    with pytest.raises(DataError, match=r"x.png is empty: fetch it again"):
        decode(b"", "x.png")


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a b é.PNG"])
def test_files_come_back(tmp_path: Path, image: Image, name: str) -> None:
    path = tmp_path / "new folder" / name
    write_image(path, image)
    read = read_image(path)
    assert read.shape == image.shape
    if path.suffix.lower() == ".png":
        assert np.array_equal(read, image)
    assert [file.name for file in path.parent.iterdir()] == [name]


def test_jpeg_is_written_close_to_the_image(tmp_path: Path) -> None:
    image = np.full((16, 16, 3), (200, 100, 50), dtype=np.uint8)
    write_image(tmp_path / "a.jpg", image)
    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - image).max() <= 4


@pytest.mark.parametrize("name", ["a.txt", "a", "a.docx"])
def test_an_ending_that_is_no_format_is_refused(tmp_path: Path, image: Image, name: str) -> None:
    with pytest.raises(DataError, match=r"no image format has the ending .*use .png or .jpg"):
        write_image(tmp_path / name, image)
    assert list(tmp_path.iterdir()) == []


def test_an_outputs_name_can_be_checked_before_the_work(tmp_path: Path) -> None:
    for name in ("a.png", "a.JPG", "a.webp"):
        require_writable(tmp_path / name)
    with pytest.raises(DataError, match=r"a.docx: no image format has the ending '.docx': use .png or .jpg"):
        require_writable(tmp_path / "a.docx")
    with pytest.raises(DataError, match=r"the folder .*nowhere does not exist: create it first"):
        require_writable(tmp_path / "nowhere" / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_an_image_too_large_for_its_format_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError, match=r"an image of 1x70000 does not fit into the format '.jpg': use .png"):
        write_image(tmp_path / "a.jpg", np.zeros((1, 70_000, 3), dtype=np.uint8))
    assert list(tmp_path.iterdir()) == []
    capfd.readouterr()


def test_missing_and_unreadable_files_are_named(tmp_path: Path, image: Image) -> None:
    with pytest.raises(DataError, match=r"no.png cannot be read \(No such file"):
        read_image(tmp_path / "no.png")
    with pytest.raises(DataError, match=r"cannot be read \(Is a directory"):
        read_image(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"a.png cannot be written \("):
        write_image(tmp_path / "file" / "a.png", image)
