"""Files that are complete or absent: nothing half-written gets its final name."""

import errno
import glob
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from banet.errors import ResourceError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def writing_to(folder: Path, note: str = "") -> Iterator[None]:
    """Turn errors of the disk of a folder into one line; `note` ends the line about a full disk.

    Raises:
        ResourceError: the disk is full, or cannot be used.
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise ResourceError(f"the disk of {folder} is full: make room and run again{note}") from None
        raise ResourceError(f"{error.filename or folder} cannot be used ({error.strerror or error})") from None


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to; it becomes `path` if the block succeeds and is removed if it fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder to fill; it replaces `path` if the block succeeds and is removed if it fails."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    _remove_left(path)
    partial.mkdir(parents=True)
    try:
        yield partial
        shutil.rmtree(path, ignore_errors=True)
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _remove_left(path: Path) -> None:
    """Remove what killed processes left of a folder: the shards of a benchmark are many gigabytes."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        number = left.name.removesuffix(".part").rpartition(".")[2]
        if number.isdecimal() and (int(number) == os.getpid() or not _runs(int(number))):
            shutil.rmtree(left, ignore_errors=True)


def _runs(number: int) -> bool:
    """Whether a process with this number is running on this machine."""
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it belongs to somebody else
        pass
    return True


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write bytes, or text as UTF-8; the file gets its name when it is complete."""
    with whole_file(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
