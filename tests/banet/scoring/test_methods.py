"""What is kept of a method for the report: read as it was written, replaced as a whole, refused where damaged."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from banet.data.images.codec import read_image, write_image
from banet.errors import ConfigError, DataError
from banet.scoring.methods import read_methods, require_name, write_method
from banet.scoring.scores import ImageScores

Row = Callable[..., ImageScores]
Keep = Callable[..., Path]
NAMES = ("MIMO-UNet+", "BANet (released)", "Très bon réseau", "x" * 64)


@pytest.fixture
def keep(row: Row, tmp_path: Path) -> Keep:
    def make(name: str, *keys: str, digest: str = "d") -> Path:
        rows = [row(key, None, 30 + i) for i, key in enumerate(keys or ("a/1",))]
        picture = tmp_path / "1.bmp"
        write_image(picture, np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8))
        return write_method(
            tmp_path / "methods",
            name=name,
            benchmark="gopro",
            data_digest=digest,
            rows=rows,
            samples={rows[0].key: picture},
        )

    return make


def test_methods_are_read_as_they_were_written_by_name(keep: Keep, row: Row, tmp_path: Path) -> None:
    for name in NAMES:
        keep(name, "test-close-ups/1from.MP4", "b/2", digest=name)
    found = read_methods(tmp_path / "methods", "gopro")
    assert [(method.name, method.benchmark, method.data_digest) for method in found] == [
        (name, "gopro", name) for name in sorted(NAMES)
    ]
    assert found[0].rows == (row("test-close-ups/1from.MP4", None, 30), row("b/2", None, 31))
    sample = found[0].sample("test-close-ups/1from.MP4")
    assert sample == found[0].folder / "samples/test-close-ups/1from.MP4.png"
    assert np.array_equal(read_image(sample), read_image(tmp_path / "1.bmp"))
    assert found[0].sample("b/2") is None
    assert (found[0].folder / "scores.csv").read_text().startswith('"key"')
    assert read_methods(tmp_path / "methods", "hide") == ()
    assert read_methods(tmp_path / "none", "gopro") == ()


def test_a_method_is_replaced_as_a_whole(keep: Keep, tmp_path: Path) -> None:
    keep("A", "a/1")
    keep("A", "b/1")
    (method,) = read_methods(tmp_path / "methods", "gopro")
    assert [row.key for row in method.rows] == ["b/1"]
    assert [path.name for path in (method.folder / "samples").rglob("*.png")] == ["1.png"]
    assert method.sample("a/1") is None
    assert method.sample("b/1") is not None


def test_a_method_that_cannot_be_written_leaves_the_earlier_one(keep: Keep, row: Row, tmp_path: Path) -> None:
    folder = keep("A", "a/1")
    with pytest.raises(DataError):
        write_method(
            tmp_path / "methods",
            name="A",
            benchmark="gopro",
            data_digest="e",
            rows=[row("a/1", None, 20)],
            samples={"a/1": tmp_path / "none.png"},
        )
    assert [method.data_digest for method in read_methods(tmp_path / "methods", "gopro")] == ["d"]
    assert list(folder.parent.iterdir()) == [folder]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "is empty"),
        (" ", "is empty"),
        ("a/b", "has a character"),
        ("a\\b", "has a character"),
        ("a\nb", "has a character"),
        ("a\udc80", "has a character"),
        (".a", "begins with a dot"),
        ("..", "begins with a dot"),
        ("a ", "ends with a space"),
        ("x" * 65, "is longer than 64 characters"),
        ("🐝" * 64, "is longer than 64 characters"),
    ],
)
def test_names_that_are_no_folders_are_refused(name: str, reason: str, keep: Keep, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=reason) as raised:
        require_name(name)
    assert "\n" not in str(raised.value)
    with pytest.raises(ConfigError):
        keep(name)
    assert not (tmp_path / "methods").exists()


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("method.json", None),
        ("method.json", "{"),
        ("method.json", '{"name": "A", "benchmark": "gopro", "data_digest": "d"}'),
        ("method.json", '{"name": "B", "benchmark": "gopro", "data_digest": "d", "images": 1}'),
        ("method.json", '{"name": "A", "benchmark": "gopro", "data_digest": "d", "images": 2}'),
        ("method.json", '{"name": "A", "benchmark": "hide", "data_digest": "d", "images": 1}'),
        ("scores.parquet", None),
        ("scores.parquet", "PAR1"),
    ],
)
def test_a_damaged_folder_is_named_with_the_remedy(keep: Keep, tmp_path: Path, file: str, content: str | None) -> None:
    folder = keep("A")
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(content)
    with pytest.raises(DataError) as raised:
        read_methods(tmp_path / "methods", "gopro")
    text = str(raised.value)
    assert text.startswith(f"{folder} is damaged (")
    assert "score it again: banet score --restored FOLDER --benchmark gopro --method 'A'" in text
    assert "\n" not in text


def test_methods_and_keys_are_found_in_another_unicode_form(keep: Keep, tmp_path: Path) -> None:
    mac, linux = "cafe\u0301", "caf\u00e9"
    folder = keep(linux, f"{linux}/1")
    (folder / "samples" / linux).rename(folder / "samples" / mac)
    folder.rename(folder.with_name(mac))
    (folder.parent / "@eaDir").mkdir()
    keep(mac, f"{linux}/1")
    (method,) = read_methods(tmp_path / "methods", "gopro")
    assert (method.name, method.folder.name) == (linux, mac)
    assert method.sample(f"{linux}/1") is not None
    assert len(list(folder.parent.iterdir())) == 2
    (method.folder / "samples" / linux).rename(method.folder / "samples" / mac)
    assert method.sample(f"{linux}/1") == method.folder / f"samples/{mac}/1.png"
