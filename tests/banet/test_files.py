"""Files and folders are whole under their final name, or not there."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from banet.errors import ResourceError
from banet.files import whole_file, whole_folder, write_atomically, writing_to


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole_with_its_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c.txt"
    with whole_file(path) as partial:
        partial.write_text("new")
        assert not path.exists()
        assert partial.parent == path.parent  # the same file system: renaming is one step
    assert path.read_text() == "new"
    assert names(path.parent) == ["c.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_what_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "c.txt"
    path.write_text("old")
    with pytest.raises(error), whole_file(path) as partial:
        partial.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert names(tmp_path) == ["c.txt"]


@pytest.mark.parametrize(("content", "stored"), [("é\n", "é\n".encode()), (b"\x00\xff", b"\x00\xff"), ("", b"")])
def test_text_is_utf8_and_bytes_are_bytes(tmp_path: Path, content: str | bytes, stored: bytes) -> None:
    write_atomically(tmp_path / "new" / "a", content)
    write_atomically(tmp_path / "new" / "a", content)
    assert (tmp_path / "new" / "a").read_bytes() == stored
    assert names(tmp_path / "new") == ["a"]


def test_a_folder_appears_whole_and_replaces_the_old(tmp_path: Path) -> None:
    path = tmp_path / "x" / "shards"
    for text in ("one", "two"):
        with whole_folder(path) as partial:
            (partial / text).write_text(text)
            assert text not in (names(path) if path.exists() else [])
    assert names(path) == ["two"]
    assert names(path.parent) == ["shards"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_folder(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "shards"
    path.mkdir()
    (path / "old").write_text("old")
    with pytest.raises(error), whole_folder(path) as partial:
        (partial / "half").write_text("half")
        raise error
    assert names(path) == ["old"]
    assert names(tmp_path) == ["shards"]


def test_what_a_killed_process_of_the_same_number_left_is_no_obstacle(tmp_path: Path) -> None:
    left = tmp_path / f".shards.{os.getpid()}.part"
    left.mkdir()
    (left / "stale").write_text("stale")
    with whole_folder(tmp_path / "shards") as partial:
        (partial / "new").write_text("new")
    assert names(tmp_path / "shards") == ["new"]
    assert names(tmp_path) == ["shards"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_killed_processes_left_goes_and_what_is_being_written_stays(tmp_path: Path, kind: str) -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()  # its number is free now
    dead, alive = (tmp_path / f".shards.{number}.part" for number in (child.pid, os.getppid()))
    other = tmp_path / f".other.{child.pid}.part"
    for left in (dead, alive, other):
        left.mkdir() if kind == "folder" else left.touch()
    with (whole_folder if kind == "folder" else whole_file)(tmp_path / "shards") as partial:
        partial.touch()
    assert names(tmp_path) == sorted([alive.name, other.name, "shards"])


def test_a_full_disk_is_one_line_with_the_folder(tmp_path: Path) -> None:
    said = f"the disk of {tmp_path} is full: make room and run again, halves stay"
    with pytest.raises(ResourceError, match=rf"^{said}$"), writing_to(tmp_path, ", halves stay"):
        raise OSError(errno.ENOSPC, "No space left on device")
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match=r"file/x cannot be used \(Not a directory\)"), writing_to(tmp_path):
        (tmp_path / "file" / "x").write_text("")
