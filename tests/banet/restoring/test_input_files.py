"""Which pictures are restored, where to, and what is refused before the start."""

from pathlib import Path

import pytest

from banet.errors import DataError
from banet.restoring.input_files import many_pictures

ALL = ["a.PNG", "b.jpg", "trip/c.tif", "trip/deep/d.jpg", "trip/e.png"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for name in ("a.PNG", "b.jpg", "trip/c.tif", "trip/deep/d.jfif", "trip/e.pgm", "notes.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def targets(given: Path | str, output: Path, *, compare: bool = False) -> list[str]:
    pictures = many_pictures(str(given), output, compare=compare)
    assert pictures is not None
    return [picture.target.relative_to(output).as_posix() for picture in pictures]


def test_a_folder_keeps_its_tree_and_formats_that_can_be_written(photos: Path, tmp_path: Path) -> None:
    assert targets(photos, tmp_path / "out") == ALL


def test_a_pattern_keeps_the_tree_below_its_fixed_part(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert targets(photos / "**/*", tmp_path / "out") == [
        "a.PNG",
        "b.jpg",
        "trip/c.tif",
        "trip/deep/d.jpg",
        "trip/e.png",
    ]
    assert targets(photos / "trip/*.tif", tmp_path / "out") == ["c.tif"]
    monkeypatch.chdir(photos)
    assert targets("*.jpg", tmp_path / "out") == ["b.jpg"]


def test_a_file_is_one_picture_also_if_its_name_looks_like_a_pattern(photos: Path, tmp_path: Path) -> None:
    (photos / "a[1].png").touch()
    for name in ("b.jpg", "a[1].png", "missing.jpg"):
        assert many_pictures(str(photos / name), tmp_path / "out", compare=False) is None


def test_what_would_be_lost_is_refused(photos: Path, tmp_path: Path) -> None:
    for out in (photos, photos / "trip", photos / "new"):
        with pytest.raises(DataError, match=f"{out} lies inside {photos}"):
            many_pictures(str(photos), out, compare=False)
    with pytest.raises(DataError, match=r"b\.jpg would be overwritten, but is an input"):
        many_pictures(str(photos / "*.jpg"), photos, compare=False)
    (tmp_path / "link").symlink_to(photos)
    with pytest.raises(DataError, match="lies inside"):
        many_pictures(str(tmp_path / "link"), photos / "new", compare=False)
    with pytest.raises(DataError, match=r"notes\.txt is a file, but several pictures need a folder"):
        many_pictures(str(photos), photos / "notes.txt", compare=False)
    with pytest.raises(DataError, match=r"no picture matches .*\*\.gif"):
        many_pictures(str(photos / "*.gif"), tmp_path / "out", compare=False)


def test_two_inputs_of_one_output_are_refused_before_the_start(photos: Path, tmp_path: Path) -> None:
    (photos / "trip/deep/d.jpg").touch()
    with pytest.raises(DataError, match=r"d\.jfif and .*d\.jpg would both write .*out/trip/deep/d\.jpg: rename one"):
        many_pictures(str(photos), tmp_path / "out", compare=False)
    (photos / "trip/deep/d.jpg").unlink()
    (photos / "b-compared.jpg").touch()
    assert len(targets(photos, tmp_path / "out")) == 6
    with pytest.raises(DataError, match=r"would both write .*out/b-compared\.jpg"):
        many_pictures(str(photos), tmp_path / "out", compare=True)
