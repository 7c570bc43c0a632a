"""Images in files: RGB outside, lossless in PNG, and every kind of damage is an expected error."""

import struct
import zlib
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest

from banet.data.codec import decode, encode_png, read_image, require_writable, write_image
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


def png(height: int, width: int, rows: bytes, *, color: int = 2) -> bytes:
    """A PNG written by hand, so that the order of channels is that of the standard."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_channels_are_rgb() -> None:
    rows = b"".join(b"\0" + row.tobytes() for row in RED_ON_BLUE)
    assert np.array_equal(decode(png(3, 4, rows), "x"), RED_ON_BLUE)
    bgr = cv2.imdecode(np.frombuffer(encode_png(RED_ON_BLUE), np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(np.asarray(bgr)[..., ::-1], RED_ON_BLUE)


def test_grey_and_transparent_images_become_rgb() -> None:
    grey = png(1, 2, b"\0" + bytes([7, 200]), color=0)
    assert decode(grey, "x").tolist() == [[[7, 7, 7], [200, 200, 200]]]
    transparent = png(1, 1, b"\0" + bytes([10, 20, 30, 255]), color=6)
    assert decode(transparent, "x").tolist() == [[[10, 20, 30]]]


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


def test_a_header_that_claims_a_huge_image_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError, match=r"bomb.png is not an image, or a damaged one"):
        decode(png(60_000, 60_000, b"\0" * 100), "bomb.png")
    capfd.readouterr()


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
