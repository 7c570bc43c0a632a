"""The part of a download that has arrived, with what is needed to go on with it later."""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from hashlib import sha256
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

from banet.data.links import SourceError
from banet.files import write_atomically

if TYPE_CHECKING:
    import requests

HEAD = 16  # first bytes kept in memory, to see what kind of file comes


class Partial:
    """What one source gave so far of the file `path`: a hidden file, and beside it a JSON of what its server said."""

    def __init__(self, path: Path, source: str) -> None:
        self.final = path
        self.source = source
        tag = sha256(source.encode()).hexdigest()[:8]
        self.path = path.with_name(f".{tag}.{path.name}")  # the same ending, so that readers know the format
        self.record = path.with_name(f".{tag}.{path.name}.json")
        self.file: FileIO | None = None
        self._empty()

    def _empty(self) -> None:
        self.size = 0  # bytes that have arrived
        self.total: int | None = None  # bytes of the whole file, where the server says so
        self.validator: str | None = None  # the server's own mark of this version of the file
        self.digest = sha256()
        self.head = b""
        self.pieces = 0  # answers that the bytes came from

    @staticmethod
    def all_of(path: Path) -> Iterator[Path]:
        """The partial files and records of every source of the file `path`."""
        name = re.compile(rf"\.[0-9a-f]{{8}}\.{re.escape(path.name)}(\.json)?")
        return (file for file in list(path.parent.iterdir()) if name.fullmatch(file.name))

    def load(self) -> None:
        """Take what an earlier process left; its bytes are read again, for the digest."""
        try:
            said = json.loads(self.record.read_text(encoding="utf-8"))
            validator, total = said["validator"], said["total"]
            self.digest = sha256_of(self.path)
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return  # none, or not ours to understand
        self.validator, self.total, self.size = validator, total, self.path.stat().st_size
        with self.path.open("rb") as stream:
            self.head = stream.read(HEAD)
        self.pieces = 2 if self.size else 0  # in doubt of what a killed process left
        if self.total is not None and self.size > self.total:
            self.restart()

    def request(self) -> dict[str, str]:
        """Headers that ask for the rest, provided that the file is still the same."""
        if not self.size:
            return {}
        return {"Range": f"bytes={self.size}-"} | ({"If-Range": self.validator} if self.validator else {})

    def begin(self, response: "requests.Response") -> None:
        """Get ready for an answer's bytes: they go on where the partial file ends, or it begins again.

        Raises:
            SourceError: the answer does not go on where it ends; the next one will be asked for the whole.
        """
        if response.status_code == 200:
            if self.size:
                self.restart()  # the file changed, or the server knows no ranges
            self.total = _length(response.headers)
            self.validator = _validator(response.headers)
        else:
            self._continue(response)
        record = {"source": self.source, "validator": self.validator, "total": self.total}
        write_atomically(self.record, json.dumps(record))
        self.file = FileIO(self.path, "ab" if self.size else "wb")
        self.pieces += 1

    def _continue(self, response: "requests.Response") -> None:
        said = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        start, total = said.groups() if said else ("", "*")
        mark = _validator(response.headers)
        same = mark is None or self.validator is None or mark == self.validator
        if self.total is not None and total != "*":
            same = same and int(total) == self.total
        if response.status_code != 206 or start != str(self.size) or not same:
            self.restart()
            raise SourceError("the file is not the one that was begun: it begins again", retry=True)
        self.total = self.total if total == "*" else int(total)

    def append(self, chunk: bytes) -> None:
        """Write what has arrived."""
        assert self.file is not None  # noqa: S101
        rest = memoryview(chunk)
        while rest:
            written = self.file.write(rest)
            self.digest.update(rest[:written])
            self.size += written
            rest = rest[written:]
        if len(self.head) < HEAD:
            self.head = (self.head + chunk)[:HEAD]

    def restart(self) -> None:
        """Forget the bytes."""
        self.close()
        self._empty()
        self.path.unlink(missing_ok=True)

    def discard(self) -> None:
        """Forget the bytes and the record."""
        self.restart()
        self.record.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file; it can be continued."""
        if self.file is not None:
            self.file.close()
            self.file = None

    def sync(self) -> None:
        """Have all bytes on the disk, and the file closed."""
        self.close()
        with self.path.open("rb") as stream:
            os.fsync(stream.fileno())

    def publish(self) -> None:
        """Give the file its final name."""
        self.path.replace(self.final)
        self.record.unlink(missing_ok=True)
        folder = os.open(self.final.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def sha256_of(path: Path) -> "hashlib._Hash":
    """The running SHA-256 of a file, so that more can be added."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256")


def _length(headers: Mapping[str, str]) -> int | None:
    said = headers.get("Content-Length", "")
    return int(said) if said.isdecimal() and "Transfer-Encoding" not in headers else None


def _validator(headers: Mapping[str, str]) -> str | None:
    """A strong ETag, else the date of the last change: what If-Range accepts."""
    tag = headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")
