"""Files that are whole or absent: nothing half-written carries a final name."""

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
    """Turn what the disk of a folder says into one line; `note` ends the line about a full one.

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
    """Give a name beside `path` to write to; it becomes `path` when the block ends well, and goes when it fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Give a folder beside `path` to fill; it replaces `path` when the block ends well, and goes when it fails."""
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
    """Remove what killed processes have left beside a folder: a benchmark's shards are many gigabytes."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        number = left.name.removesuffix(".part").rpartition(".")[2]
        if number.isdecimal() and (int(number) == os.getpid() or not _runs(int(number))):
            shutil.rmtree(left, ignore_errors=True)


def _runs(number: int) -> bool:
    """Whether a process of this number runs on this machine."""
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        pass
    return True


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write bytes, or text as UTF-8, under the final name only when they are all on disk."""
    with whole_file(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


def sha256_of(path: Path) -> "hashlib._Hash":
    """The running SHA-256 of a file, so that more can be added."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256")
