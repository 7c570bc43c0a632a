"""Pairs written by several processes: in order, a few at a time, and errors keep their line."""

import multiprocessing
import os
import signal
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from banet.data.pairs.pair_writer import DoubtfulPair, PairTask, add_to_folder, add_to_zip, write_pairs
from banet.errors import DataError, ResourceError


def made(frame: str, fault: str) -> dict[str, bytes]:
    if fault == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault:
        raise DataError(f"{frame} is {fault}")
    files = {"blur": frame.encode(), "sharp": b"s"}
    return DoubtfulPair(files, (f"frame {int(frame) % 7} jumps",)) if int(frame) % 2 else files


def task(frame: str, fault: str = "") -> PairTask:
    return PairTask(split="train", sequence="s", frame=frame, encoded=partial(made, frame, fault))


def counted(count: int, asked: list[int]) -> Iterator[PairTask]:
    for i in range(count):
        asked.append(i)
        yield task(str(i))
    yield task(str(count), fault="grey")


@pytest.mark.parametrize("processes", [1, 2])
def test_pairs_come_in_order_a_few_at_a_time_until_one_fails(
    processes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multiprocessing, "cpu_count", lambda: processes)
    asked: list[int] = []
    ahead: list[int] = []
    names: list[str] = []
    with pytest.raises(DataError, match=r"^12 is grey$"):
        write_pairs(
            counted(12, asked),
            lambda name, _: names.append(name),
            on_progress=lambda done, _: ahead.append(len(asked) - done),
        )
    assert max(ahead) < 2 * processes
    assert names == [f"train/s/{kind}/{frame}.png" for frame in range(12) for kind in ("blur", "sharp")]


def test_files_go_into_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiprocessing, "cpu_count", lambda: 1)
    assert write_pairs([task("1"), task("2")], add_to_folder(tmp_path), total=2) == 2
    assert (tmp_path / "train/s/blur/2.png").read_bytes() == b"2"
    assert len(list(tmp_path.rglob("*.png"))) == 4


def test_a_zip_is_stored_without_a_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiprocessing, "cpu_count", lambda: 1)
    reports: list[tuple[int, int | None]] = []
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        write_pairs([task("1"), task("2")], add_to_zip(archive, "a"), on_progress=lambda *said: reports.append(said))
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.namelist()[:2] == ["a/train/s/blur/1.png", "a/train/s/sharp/1.png"]
        assert {(info.date_time[0], info.compress_type) for info in archive.infolist()} == {(1980, zipfile.ZIP_STORED)}
    assert reports == [(1, None), (2, None)]


def test_a_killed_process_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiprocessing, "cpu_count", lambda: 2)
    with pytest.raises(ResourceError, match="a process that makes pairs was killed: check that memory suffices"):
        write_pairs([task("1"), task("2", fault="killed"), task("3")], add_to_folder(tmp_path))


@pytest.mark.parametrize("processes", [1, 2])
def test_doubtful_pairs_are_written_and_told_once(
    processes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(multiprocessing, "cpu_count", lambda: processes)
    assert write_pairs([task(str(i)) for i in range(18)], add_to_folder(tmp_path)) == 18
    assert len(list(tmp_path.rglob("*.png"))) == 36
    error = capsys.readouterr().err
    assert error.startswith("warning: 9 of 18 pairs may show what no camera sees: frame 1 jumps; frame 3 jumps; ")
    assert "; and 2 more: " in error
    assert error.count("\n") == 1
    write_pairs([task("2")], add_to_folder(tmp_path))
    assert capsys.readouterr().err == ""
