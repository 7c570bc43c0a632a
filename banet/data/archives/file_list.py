"""Custom pairs that stay where they are: a listing of their files, read as an archive is.

The listing is what DVC tracks: it holds the size and SHA-256 of every file, and a file that has changed since is
refused.
"""

import csv
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from banet.data.archives.base import RandomArchive
from banet.data.archives.layouts import PairFiles
from banet.data.archives.safety import LARGEST_MEMBER, BadMemberError, Member, empty, shown, summary, too_large
from banet.data.manifest import Benchmark
from banet.data.names import SHARP
from banet.errors import DataError
from banet.files import sha256_of, whole_file
from banet.progress import OnProgress

COLUMNS = ("split", "sequence", "frame", "kind", "path", "bytes", "sha256")
HEADER = ",".join(COLUMNS).encode()


@dataclass(frozen=True, slots=True)
class _File:
    """A line of the listing."""

    split: str
    sequence: str
    frame: str
    kind: str
    path: str
    bytes: int
    sha256: str


def write_listing(path: Path, pairs: Sequence[PairFiles], *, on_progress: OnProgress | None = None) -> None:
    """Write the listing of pairs whose members are absolute paths; every file is read once.

    Raises:
        DataError: files that cannot be read or are empty: all in one line.
    """
    problems: list[str] = []
    with (
        whole_file(path) as partial,
        partial.open("w", encoding="utf-8", errors="surrogateescape", newline="") as stream,
        ThreadPoolExecutor(os.cpu_count()) as pool,  # hashing and reading let other threads run
    ):
        lines = csv.writer(stream, lineterminator="\n")
        lines.writerow(COLUMNS)
        for done, (pair, found) in enumerate(zip(pairs, pool.map(_measured, pairs), strict=True), 1):
            problems += [text for text in found.values() if isinstance(text, str)]
            for kind, file in found.items():
                if not isinstance(file, str):
                    lines.writerow((pair.split, pair.sequence, pair.frame, kind, pair.members[kind], *file))
            if on_progress is not None:
                on_progress(done, len(pairs))
        if problems:
            raise DataError(summary(problems))


class ListedFiles(RandomArchive):
    """The files of a listing; its members are their absolute paths."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._lines = list(_read(path))
        self._files = {file.path: file for file in self._lines}  # one sharp picture may serve several pairs

    @property
    def remedy(self) -> str:
        """What makes the listing true again."""
        return f"list the files as they are now, `dvc repro -f fetch@{self.path.absolute().parent.name}`"

    def close(self) -> None:
        """Do nothing: every file is closed when it is read."""

    def members(self) -> list[Member]:
        """List the files with the sizes that they had."""
        return [Member(file.path, file.bytes, file.bytes) for file in self._files.values()]

    def require_whole(self) -> None:
        """Read every file once and verify it."""
        problems = []
        for name in self._files:
            try:
                self._content(name)
            except BadMemberError as error:
                problems.append(str(error))
        self._require_none(problems)

    def pairs(self, benchmark: Benchmark) -> list[PairFiles]:
        """Give the pairs in the order of the listing: split, sequence and frame.

        Raises:
            DataError: the listing lacks a kind of image that the manifest names.
        """
        members: dict[tuple[str, str, str], dict[str, str]] = defaultdict(dict)
        for file in self._lines:
            members[file.split, file.sequence, file.frame][file.kind] = file.path
        kinds = (SHARP, *benchmark.variants)
        self._require_none(
            [f"{'/'.join(at)} lacks {kind}" for at, has in members.items() for kind in kinds if kind not in has]
        )
        return [PairFiles(split=at[0], sequence=at[1], frame=at[2], members=has) for at, has in members.items()]

    def _content(self, name: str) -> bytes:
        file = self._files.get(name)
        if file is None:
            raise BadMemberError(f"{shown(name)} is not listed")
        try:
            if Path(name).stat().st_size == file.bytes:
                content = Path(name).read_bytes()
                if sha256(content).hexdigest() == file.sha256:
                    return content
        except OSError as error:
            raise BadMemberError(f"{shown(name)} cannot be read ({error.strerror or error})") from None
        raise BadMemberError(f"{shown(name)} has changed since it was fetched")


def _measured(pair: PairFiles) -> dict[str, tuple[int, str] | str]:
    """Size and digest of each file of a pair, or what is wrong with it."""
    found: dict[str, tuple[int, str] | str] = {}
    for kind, name in pair.members.items():
        try:
            size = Path(name).stat().st_size
            digest = sha256_of(Path(name))
        except OSError as error:
            found[kind] = f"{shown(name)} cannot be read ({error.strerror or error})"
            continue
        problem = too_large(name, size) if size > LARGEST_MEMBER else "" if size else empty(name)
        found[kind] = problem or (size, digest)
    return found


def _read(path: Path) -> Iterator[_File]:
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as stream:
            lines = csv.reader(stream, strict=True)
            next(lines)
            for split, sequence, frame, kind, name, size, digest in lines:
                yield _File(split, sequence, frame, kind, name, int(size), digest)
    except (ValueError, csv.Error):
        raise DataError(f"{path} is damaged: delete it and run the fetch stage again") from None
