"""What the folder of finished blocks is named by, and when it goes."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from banet.closure import ROOT
from banet.errors import DataError, ResourceError
from banet.scoring.resume import FORGOTTEN_DAYS, IMAGES_PER_BLOCK, FinishedBlocks, Work, finished_blocks, score_resumed
from banet.scoring.scores import ImageScores, Scores
from banet.scoring.table import write_table

Row = Callable[..., ImageScores]
PROGRAM = ROOT / "banet/scoring/table.py"
DEPENDS_ON = {"weights": "0" * 64, "shards": "1" * 64, "variants": ["blur"]}


def test_the_name_changes_with_everything_that_the_scores_depend_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = finished_blocks(tmp_path, "gopro", DEPENDS_ON, PROGRAM).folder
    assert own.name.startswith("scores-gopro-")
    assert finished_blocks(tmp_path, "gopro", dict(reversed(DEPENDS_ON.items())), PROGRAM).folder == own
    others = {
        finished_blocks(tmp_path, "hide", DEPENDS_ON, PROGRAM).folder,
        *(finished_blocks(tmp_path, "gopro", {**DEPENDS_ON, name: "other"}, PROGRAM).folder for name in DEPENDS_ON),
    }
    monkeypatch.setattr("banet.scoring.resume.opencv_version", lambda: "4.2.0")
    others.add(finished_blocks(tmp_path, "gopro", DEPENDS_ON, PROGRAM).folder)
    monkeypatch.undo()
    others.add(finished_blocks(tmp_path, "gopro", DEPENDS_ON, ROOT / "banet/scoring/scores.py").folder)  # other code
    assert len(others - {own}) == len(DEPENDS_ON) + 3
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


def test_blocks_that_nobody_touched_for_a_month_go_when_others_start(row: Row, tmp_path: Path) -> None:
    month = time.time() - (FORGOTTEN_DAYS + 1) * 24 * 3600
    own = finished_blocks(tmp_path, "gopro", DEPENDS_ON, PROGRAM)
    old, young = (finished_blocks(tmp_path, "hide", {"weights": text}, PROGRAM) for text in "ab")
    for kept in (own, old, young):
        kept.keep(0, [row("a/1", 20, 21)])
    (tmp_path / "runs").mkdir()
    for folder in (own.folder, old.folder, tmp_path / "runs"):
        os.utime(folder, (month, month))
    finished_blocks(tmp_path, "gopro", DEPENDS_ON, PROGRAM)
    assert set(tmp_path.iterdir()) == {own.folder, young.folder, tmp_path / "runs"}


def test_a_block_is_kept_though_another_process_that_is_done_removes_the_folder(
    row: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, times = FinishedBlocks(tmp_path / "kept"), []

    def removed_meanwhile(path: Path, rows: list[ImageScores]) -> None:
        times.append(path)
        if len(times) < 3:
            raise ResourceError("the folder is gone")
        write_table(path, rows)

    monkeypatch.setattr("banet.scoring.resume.write_table", removed_meanwhile)
    kept.keep(0, [row("a/1", 20, 21)])
    assert len(times) == 3
    assert kept.read(0, [("a/1", "blur")]) is not None


def _scores_of(key: str) -> ImageScores:
    if key == "fails":
        raise DataError("it fails")
    scores = Scores(psnr=20.0, ssim_matlab3d=0.5, ssim_channel=0.5)
    return ImageScores(key=key, sequence="s", stratum=None, variant="", blurred=None, restored=scores)


def test_what_is_done_is_counted_from_the_start_and_not_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def score(*keys: str) -> list[ImageScores]:
        told.clear()
        asked.clear()
        return score_resumed(
            lambda: lambda key: asked.append(key) or _scores_of(key),  # type: ignore[func-returns-value]
            [Work(item=key, key=key, variant="", pixels=1) for key in keys],
            protocol="gopro",
            kept=kept,
            workers=1,
            on_progress=lambda *done: told.append(done),
        )

    monkeypatch.setitem(IMAGES_PER_BLOCK, "gopro", 2)
    kept, asked, told = FinishedBlocks(tmp_path / "kept"), [], []  # type: ignore[var-annotated]
    with pytest.raises(DataError, match="it fails"):
        score("a", "b", "c", "d", "fails")
    assert (asked, told) == (["a", "b", "c", "d", "fails"], [(2, 5), (4, 5)])
    rows = score("a", "b", "other", "d", "e")
    assert asked == ["other", "d", "e"]
    assert told == [(2, 5), (4, 5), (5, 5)]
    assert [row.key for row in rows] == ["a", "b", "other", "d", "e"]
