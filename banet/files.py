"""Files that are complete or absent: nothing half-written gets its final name."""

import errno
import fcntl
import glob
import hashlib
import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from banet.errors import ResourceError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
PROBE_S = 0.2  # longer than `holder` holds a lock to see whether it is free


def cache_folder() -> Path | None:
    """Return the user's cache, for what can be made again; None where it cannot be written."""
    try:
        given = Path(os.environ.get("XDG_CACHE_HOME", ""))
        folder = (given if given.is_absolute() else Path.home() / ".cache") / "banet"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # read-only, or no home
        return None
    return folder if os.access(folder, os.W_OK | os.X_OK) else None


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
    _remove_left(path)
    with _whole(path) as partial:
        yield partial


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
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
    """Remove what killed processes left of a file or folder: the shards of a benchmark are many gigabytes."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        number = left.name.removesuffix(".part").rpartition(".")[2]
        if number.isdecimal() and (int(number) == os.getpid() or not _runs(int(number))):
            shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)


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
    with _whole(path) as partial:  # looking for what is left would list the folder for each of many small files
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hold(file: Path, what: str) -> int:
    """Hold a lock until the descriptor that is returned is closed, or this process ends in whatever way.

    Raises:
        ResourceError: another holds it; says that `what` is done by which process, and how to end it.
    """
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        if not _locked(descriptor, fcntl.LOCK_EX):
            time.sleep(PROBE_S)
            if not _locked(descriptor, fcntl.LOCK_EX):
                os.close(descriptor)
                raise ResourceError(f"{what} by {_described(file)}")
        if os.fstat(descriptor).st_nlink:
            break
        os.close(descriptor)  # whoever held it has removed the file
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()} on {socket.gethostname()} since {datetime.now():%Y-%m-%d %H:%M:%S}".encode())
    return descriptor


def holder(file: Path) -> str | None:
    """Say which process holds a lock, since when, and how to end it; None if it is free."""
    with file.open() as stream:
        return None if _locked(stream.fileno(), fcntl.LOCK_SH) else _described(file)


def _locked(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _described(file: Path) -> str:
    process = file.read_text() or "of an unknown number"
    return f"the process {process}: wait until it ends, or end it with `kill {process.partition(' ')[0]}`"
