"""Where shards are: a folder, mapped into memory, or an object store (s3://…, gs://…), read by ranges."""

import mmap
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias
from urllib.parse import unquote, urlsplit

import pyarrow as pa
from pyarrow import fs

from banet.errors import ConfigError, ServiceError
from banet.files import whole_file, writing_to

OPEN_FILES = 256  # shards kept open per process; reopening one costs less than decoding a crop
COPIES = 8  # files copied in parallel
PIECE = 8 * 2**20  # bytes copied at once

Location: TypeAlias = Path | str
"""A folder, or the URI of one in an object store."""


def location(text: str) -> Location:
    """Parse the path of a folder, also as file:///…, or the URI of a folder in an object store."""
    if re.match(r"[A-Za-z][-+.\w]*://", text) is None:
        return Path(text)
    address = urlsplit(text)
    if address.scheme == "file":
        return Path(unquote(address.path))
    return text.rstrip("/") if not address.query else text


def inside(place: Location, name: str) -> Location:
    """Return the location of a file or folder inside a place; a URI keeps its query (`?endpoint_override=…`)."""
    if isinstance(place, Path):
        return place / name
    start, mark, query = place.partition("?")
    return f"{start.rstrip('/')}/{name}{mark}{query}"


def sizes(place: Location) -> dict[str, int]:
    """Return the sizes of the files in a place, in bytes by name; empty if the place does not exist.

    Raises:
        ServiceError: the object store does not answer.
    """
    if isinstance(place, Path):
        return {file.name: file.stat().st_size for file in place.iterdir() if file.is_file()} if place.is_dir() else {}
    with asking(place):
        files, path = _remote(place)
        found = files.get_file_info(fs.FileSelector(path, allow_not_found=True))
    return {info.base_name: info.size for info in found if info.is_file}


def read_whole(place: Location, name: str) -> pa.Buffer:
    """Read a small file.

    Raises:
        OSError: it is missing or cannot be read.
        ServiceError: the object store does not answer.
    """
    if isinstance(place, Path):
        return pa.py_buffer((place / name).read_bytes())
    with asking(place):
        files, path = _remote(place)
        with files.open_input_file(f"{path}/{name}") as file:
            return file.read_buffer()


def read_range(place: Location, name: str, digest: str, offset: int, size: int) -> memoryview:
    """Read `size` bytes of a file from `offset` on; in a folder, pages are read from disk only when they are used.

    Files stay open; `digest` makes sure that a file replaced under the same name is opened again.

    Raises:
        OSError, ValueError: the file cannot be read or is too short.
        ServiceError: the object store does not answer.
    """
    if isinstance(place, Path):
        part = _mapped(place / name, digest)[offset : offset + size]
    else:
        with asking(place):
            part = memoryview(_opened(place, name, digest).read_at(size, offset))
    if len(part) != size:
        raise ValueError(f"it ends before byte {offset + size}")
    return part


def copy(folder: Path, names: list[str], place: Location) -> int:
    """Copy files of a folder to a place unless they are there; the last of `names` is copied after all others.

    A file appears under its name only when complete. Returns the number of files copied.

    Raises:
        ResourceError: the disk is full or cannot be used.
        ServiceError: the object store does not answer or refuses the files.
    """
    there = sizes(place)
    missing = [name for name in names if there.get(name) != (folder / name).stat().st_size]
    with ThreadPoolExecutor(COPIES) as pool:
        list(pool.map(lambda name: _copy(folder, name, place), [name for name in missing if name != names[-1]]))
    if names[-1] in missing:
        _copy(folder, names[-1], place)
    return len(missing)


def _copy(folder: Path, name: str, place: Location) -> None:
    if isinstance(place, Path):
        with writing_to(place), whole_file(place / name) as partial:
            shutil.copyfile(folder / name, partial)
        return
    with asking(place):
        files, path = _remote(place)
        with (folder / name).open("rb") as source, files.open_output_stream(f"{path}/{name}") as target:
            shutil.copyfileobj(source, target, PIECE)


@contextmanager
def asking(place: str) -> Iterator[None]:
    """Turn an error of an object store's client into one line; a missing file stays FileNotFoundError."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise ServiceError(f"the object store of {_shown(place)} does not answer as expected ({reason})") from None


@lru_cache(maxsize=8)
def _remote(place: str) -> tuple[fs.FileSystem, str]:
    try:
        files, path = fs.FileSystem.from_uri(place)
    except (pa.ArrowException, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{_shown(place)} is neither a folder nor the URI of an object store ({reason})") from None
    return files, path.rstrip("/")


@lru_cache(maxsize=OPEN_FILES)
def _opened(place: str, name: str, digest: str) -> pa.NativeFile:
    files, path = _remote(place)
    return files.open_input_file(f"{path}/{name}")


@lru_cache(maxsize=OPEN_FILES)
def _mapped(path: Path, digest: str) -> memoryview:
    with path.open("rb") as stream:
        return memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))


def _shown(place: str) -> str:
    """Return a URI without parts that may hold a key."""
    return re.sub(r"//[^/@]*@", "//", place).partition("?")[0]
