"""Folders of pictures: what counts, in what order, and which sequence a name belongs to."""

import os
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
import pytest

from banet.data.images.codec import read_image
from banet.data.images.image_files import IMAGES, as_on_disk, called_alike, find_files, plain, sequence_of
from banet.errors import DataError


def test_pictures_are_found_in_all_folders_in_natural_order(tmp_path: Path) -> None:
    for name in ("b/f_10.png", "b/f_9.JPG", "a/1.png", "a2/1.png", "a10/1.png", "2.png", "notes.txt", ".hid.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX/1.png").touch()
    found = [name.as_posix() for name in find_files(tmp_path, IMAGES, "pictures")]
    assert found == ["2.png", "a/1.png", "a2/1.png", "a10/1.png", "b/f_9.JPG", "b/f_10.png"]


def test_no_folder_and_an_empty_one_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere is not a folder: it should hold pictures"):
        find_files(tmp_path / "nowhere", IMAGES, "pictures")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match=r"holds no pictures: files ending in \.avif, .* count; passed over: \.txt 1"):
        find_files(tmp_path, IMAGES, "pictures")


@pytest.mark.parametrize(
    ("name", "sequence"),
    [
        ("street/0001.png", "street"),
        ("town/street/0001.png", "town_street"),
        ("street_0001.png", "street"),
        ("GOPR0384_11_00-000001.png", "GOPR0384_11_00"),  # as flattened copies of GoPro are named
        ("street-12 - 0001.png", "street-12"),
        ("street.png", "street"),
        ("109fromGOPR1096.MP4.png", "109fromGOPR1096.MP"),
        ("0001.png", "train"),
        ("_0001.png", "train"),
        ("../0001.png", "train"),
    ],
)
def test_a_sequence_is_the_folder_or_the_name_without_its_number(name: str, sequence: str) -> None:
    assert sequence_of(PurePosixPath(name), "train") == sequence


def test_a_pattern_names_sequences() -> None:
    assert sequence_of(PurePosixPath("day1/cam2_0001.png"), "train", r"(cam\d)_") == "cam2"
    assert sequence_of(PurePosixPath("day1/cam2/1.png"), "train", "(day1/cam2)") == "day1_cam2"
    with pytest.raises(DataError, match=r"day1/1\.png does not match sequence '\(cam\)'"):
        sequence_of(PurePosixPath("day1/1.png"), "train", "(cam)")


@pytest.mark.parametrize(("text", "name"), [("../../a", "_.._a"), (r"a\b", "a_b"), (" .a ", "a"), ("..", "_")])
def test_a_plain_name_is_one_level_and_not_hidden(text: str, name: str) -> None:
    assert plain(text) == name


def listed(folder: Path) -> list[str]:
    return [name.as_posix() for name in find_files(folder, IMAGES, "pictures")]


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.mark.parametrize(
    "litter",
    [
        *("s/.ipynb_checkpoints/1.png", "@eaDir/1.png/THUMB.png", ".Trash-1000/files/1.png", ".thumbnails/1.png"),
        *("__MACOSX/s/1.png", "s/._1.png", ".DS_Store", "Thumbs.db", "THUMBS.DB", "ehthumbs_vista.db", "Desktop.ini"),
        *("#recycle/1.png", "$RECYCLE.BIN/1.png", "System Volume Information/1.png", "lost+found/1.png", "Icon\r"),
        *(
            ".@__thumb/1.png",
            "@Recycle/1.png",
            "1.png~",
            "clip~/1.png",
            "~$1.png",
            "#1.png#",
            ".nfs0001",
            ".snapshot/1.png",
        ),
        *(".fuse_hidden1.png", "@Recently-Snapshot/1.png", "1.png:Zone.Identifier"),
    ],
)
def test_what_systems_and_editors_leave_behind_is_passed_over_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], litter: str
) -> None:
    root = tmp_path / ".data/@eaDir"  # only levels below the folder that a user names count
    touch(root, "s/1.png", litter)
    assert listed(root) == ["s/1.png"]
    said = f"{root}: 1 file or folder is passed over: hidden or left by systems and editors 1\n"
    assert capsys.readouterr().err == said


def test_links_are_followed_but_not_in_circles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    touch(tmp_path, "far/deep/1.png", "in/a/2.png", "far/3.png")
    links = {
        "in/s2": "far/deep",
        "in/s3": "far/deep",
        "in/up": "in",
        "in/a/top": ".",
        "far/deep/back": "far",
        "in/4.png": "far/3.png",
    }
    for link, target in links.items():
        (tmp_path / link).symlink_to(tmp_path / target)
    assert listed(tmp_path / "in") == ["4.png", "a/2.png", "s2/1.png", "s3/1.png"]
    assert ": links to a folder that they are in 4\n" in capsys.readouterr().err


def test_broken_links_are_named_and_pipes_are_not_waited_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    touch(tmp_path, "1.png")
    os.mkfifo(tmp_path / "2.png")
    assert listed(tmp_path) == ["1.png"]
    assert "pipes or devices 1" in capsys.readouterr().err
    (tmp_path / "s2").symlink_to(tmp_path / "gone")
    (tmp_path / "s3").symlink_to("s3")
    (tmp_path / ".#1.png").symlink_to("user@host.123")  # the lock of an editor
    with pytest.raises(DataError) as caught:
        listed(tmp_path)
    for text in (
        f"{tmp_path / 's2'} is a broken link to {tmp_path / 'gone'}",
        f"{tmp_path / 's3'} is a broken link to s3",
    ):
        assert text in str(caught.value)
    assert "user@host" not in str(caught.value)


def test_every_ending_that_counts_is_decoded_and_others_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    touch(tmp_path, *(f"{i}{ending.upper()}" for i, ending in enumerate(sorted(IMAGES))))
    touch(tmp_path, "a.heic", "b.HEIC", "c.psd", "readme.txt", "noending")
    assert len(listed(tmp_path)) == len(IMAGES)
    said = capsys.readouterr().err
    assert ": 5 files or folders are passed over: .heic 2, " in said
    assert said.endswith("; save pictures among them as PNG or JPEG\n")
    (tmp_path / "a.heic").unlink()
    (tmp_path / "b.HEIC").unlink()
    (tmp_path / "c.psd").unlink()
    listed(tmp_path)
    assert "save" not in capsys.readouterr().err
    families = {
        ".jpg": "jpg jpeg jpe jfif jif",
        ".jp2": "jp2 j2k j2c jpc jpf jpx",
        ".ppm": "ppm pgm pnm",
        ".bmp": "bmp dib",
    }
    families |= {".ras": "ras sr", ".tif": "tif tiff", ".png": "png", ".webp": "webp", ".avif": "avif", ".pam": "pam"}
    assert {f".{one}" for names in families.values() for one in names.split()} == IMAGES
    for ending, names in families.items():
        done, encoded = cv2.imencode(ending, np.full((64, 64, 3), 90, np.uint8))
        assert done, ending
        for name in names.split():
            (tmp_path / f"picture.{name}").write_bytes(encoded.tobytes())
            assert read_image(tmp_path / f"picture.{name}").shape == (64, 64, 3)


def test_names_that_look_alike_are_one(tmp_path: Path) -> None:
    mac, linux = "cafe\u0301", "caf\u00e9"
    assert plain(mac) == linux
    assert sequence_of(PurePosixPath(f"{mac}/1.png"), "train") == linux
    assert sequence_of(PurePosixPath(f"{mac}/1.png"), "train", f"({linux})") == linux
    touch(tmp_path, f"{mac}/{mac}.png")
    assert as_on_disk(tmp_path / linux / f"{linux}.png") == tmp_path / mac / f"{mac}.png"
    assert as_on_disk(tmp_path / "none" / linux) == tmp_path / "none" / linux
    assert called_alike([plain(mac), plain(linux)], "clips") == [f"2 clips are called {linux}"]
