"""What the folder of finished blocks is named by, and when it goes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from banet.errors import ResourceError
from banet.scoring.resume import FinishedBlocks, finished_blocks
from banet.scoring.scores import ImageScores

Row = Callable[..., ImageScores]
DEPENDS_ON = {"weights": "0" * 64, "shards": "1" * 64, "variants": ["blur"]}


def test_the_name_changes_with_everything_that_the_scores_depend_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = finished_blocks(tmp_path, "gopro", DEPENDS_ON).folder
    assert own.name.startswith("scores-gopro-")
    assert finished_blocks(tmp_path, "gopro", dict(reversed(DEPENDS_ON.items()))).folder == own
    others = {
        finished_blocks(tmp_path, "hide", DEPENDS_ON).folder,
        *(finished_blocks(tmp_path, "gopro", {**DEPENDS_ON, name: "other"}).folder for name in DEPENDS_ON),
    }
    monkeypatch.setattr("banet.scoring.resume.opencv_version", lambda: "4.2.0")
    others.add(finished_blocks(tmp_path, "gopro", DEPENDS_ON).folder)
    assert len(others - {own}) == len(DEPENDS_ON) + 2
    assert list(tmp_path.iterdir()) == []


def test_blocks_are_read_as_they_were_kept_until_they_are_removed(row: Row, tmp_path: Path) -> None:
    kept, rows = FinishedBlocks(tmp_path / "kept"), [row("a/1", 20, 21), row("a/2", 22, 23)]
    keys = [(r.key, r.variant) for r in rows]
    assert kept.read(3, keys) is None
    kept.keep(3, rows)
    assert kept.read(3, keys) == rows
    assert kept.read(3, keys[:1]) is None
    kept.remove()
    kept.remove()
    assert not kept.folder.exists()


def test_a_folder_that_cannot_be_written_is_one_line(row: Row, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match="file"):
        FinishedBlocks(tmp_path / "file" / "kept").keep(0, [row("a/1", 20, 21)])
