"""Folders of pictures: what counts, in what order, and which sequence a name belongs to."""

from pathlib import Path, PurePosixPath

import pytest

from banet.data.images.image_files import IMAGES, find_files, plain, sequence_of
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
    with pytest.raises(DataError, match=r"holds no pictures: files ending in \.bmp, .* count"):
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
