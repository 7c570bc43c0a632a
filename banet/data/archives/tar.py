"""A benchmark in a tar or tar.gz: no member can be reached but through all before it.

`tarfile` decodes the headers. It takes a damaged header for the end of the archive and leaves the checksum of a gzip
file unread; here both are errors.
"""

import gzip
import io
import tarfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

from banet.data.archives.base import Archive
from banet.data.archives.layouts import PairFiles
from banet.data.archives.safety import (
    BOMB_RATIO,
    LARGEST_LIST,
    LARGEST_MEMBER,
    SMALLEST_BOMB,
    UNTRUSTED,
    BadMemberError,
    HostileArchiveError,
    Member,
    as_text,
    empty,
    is_ignored,
    points_outside,
    shown,
    too_large,
)
from banet.data.names import SHARP
from banet.errors import DataError

LARGEST_WAIT = 2**30  # bytes of images that wait for the rest of their pairs
LARGEST_HEADER = 2**16  # bytes of the headers of one member, with its long name and POSIX attributes
PIECE = 2**16  # bytes read at once where content is only verified
GZIP_MAGIC = b"\x1f\x8b"

FAULTS = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
}


def is_tar(head: bytes) -> bool:
    """Whether a file's first 512 bytes start a gzip file or are a tar's header."""
    return head[:2] == GZIP_MAGIC or head[257:262] == b"ustar"


class TarArchive(Archive):
    """A tar or tar.gz; every pass reads it from its start."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._members: list[Member] | None = None
        self._texts: dict[str, bytes] = {}
        with path.open("rb") as file:
            next(_TarBytes(file).headers(), None)

    def close(self) -> None:
        """Do nothing: every pass closes the file that it opened."""

    def members(self) -> list[Member]:
        """List the files, in one pass whose result is kept."""
        if self._members is None:
            self.require_whole()
        return self._members or []

    def read(self, member: str) -> bytes:
        """Read one member, in a pass up to it."""
        pair = PairFiles(split="", sequence="", frame="", members={SHARP: member})
        return next(self.read_pairs([pair]))[1][SHARP]

    def text(self, member: str) -> str:
        """Read a list file, kept from the pass that listed the members."""
        self.members()
        return as_text(self.path, member, self._texts.get(member))

    def require_whole(self) -> None:
        """Read every byte once and verify the checksum of a gzip file; a plain tar has none for its contents."""
        members: list[Member] = []
        texts: dict[str, bytes] = {}
        problems: list[str] = []
        for member, content in self._pass(_is_list, problems):
            members.append(member)
            if content is not None:
                texts[member.name] = content
        self._require_trust(members)
        self._require_none(problems)
        self._members, self._texts = members, texts

    def read_pairs(
        self, pairs: list[PairFiles], problems: list[str] | None = None
    ) -> Iterator[tuple[PairFiles, dict[str, bytes]]]:
        """Yield pairs with the bytes of their images, each as soon as it is complete."""
        uses: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for i, pair in enumerate(pairs):
            for kind, name in pair.members.items():
                uses[name].append((i, kind))
        waiting: dict[int, dict[str, bytes]] = defaultdict(dict)
        found: list[str] = []
        lost: set[int] = set()  # pairs that will not be complete
        held = 0
        for member, content in self._pass(lambda member: member.name in uses and member.size <= LARGEST_MEMBER, found):
            for i, kind in uses.pop(member.name, ()):
                if not content:
                    found.append(_why_unread(member))
                    lost.add(i)
                else:
                    waiting[i][kind] = content
                    held += len(content)
                if i in lost or len(waiting[i]) == len(pairs[i].members):
                    contents = waiting.pop(i, {})
                    held -= sum(map(len, contents.values()))
                    if i not in lost:
                        yield pairs[i], contents
            if held > LARGEST_WAIT:
                raise DataError(
                    f"{self.path}: images of its pairs are over {LARGEST_WAIT} bytes apart: make a ZIP of it"
                )
        self._report(found + [f"{shown(name)} is missing" for name in uses], problems)

    def _pass(self, keep: Callable[[Member], bool], problems: list[str]) -> Iterator[tuple[Member, bytes | None]]:
        """Yield the files, with the content of those to keep; where the tar breaks off, `problems` gets why."""
        at = "its start"
        try:
            with self.path.open("rb") as file:
                tar = _TarBytes(file)
                for header in tar.headers():
                    at = shown(header.name)
                    member = _member(header)
                    content = tar.take(member.size) if keep(member) else None
                    if not header.isdir() or points_outside(member.name):
                        yield member, content
        except HostileArchiveError as error:
            raise DataError(f"{self.path}: it is {error} at {at}: {UNTRUSTED}") from None
        except BadMemberError as error:
            problems.append(f"it is {error} at {at}")
        except OSError as error:
            problems.append(f"it cannot be read ({error.strerror or error}) at {at}")


class _TarBytes(io.RawIOBase):
    """The bytes of a tar, unpacked as they are taken, in the shape of a file that `tarfile` can read headers from.

    Whatever takes bytes raises BadMemberError where the archive is damaged or cut short.
    """

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file
        self._unpacked = gzip.GzipFile(fileobj=file) if file.peek(2)[:2] == GZIP_MAGIC else file
        self._position = self._header_bytes = 0
        self._last_read = b""

    def headers(self) -> Iterator[tarfile.TarInfo]:
        """Yield each member's header, its content being next; after the last, every byte has been read and verified."""
        try:
            with tarfile.open(fileobj=self, mode="r:", encoding="utf-8") as archive:
                while header := archive.next():
                    archive.members, archive.pax_headers = [], {}  # type: ignore[attr-defined]  # else they pile up
                    self._header_bytes = 0
                    yield header
        except (tarfile.TarError, ValueError, RecursionError) as error:
            raise BadMemberError(f"damaged ({shown(str(error))})") from None
        if self._last_read.strip(b"\0"):  # tarfile stops at a damaged header as it does at the zeros of the end
            raise BadMemberError("damaged (a bad header)")
        while piece := self._piece(PIECE):
            if piece.strip(b"\0"):
                raise BadMemberError("followed by data that is not its own")

    def read(self, size: int = -1) -> bytes:
        """Take exactly `size` bytes of headers."""
        self._header_bytes += size
        if size < 0 or self._header_bytes > LARGEST_HEADER:
            raise BadMemberError(f"damaged (a header of {size} bytes)")
        self._last_read = self.take(size)
        return self._last_read

    def take(self, size: int) -> bytes:
        """Take exactly `size` bytes."""
        taken = self._piece(size)
        if len(taken) != size:
            raise BadMemberError("cut short")
        return taken

    def seek(self, position: int, _whence: int = io.SEEK_SET) -> int:
        """Pass over what comes before a position, verified all the same."""
        if position < self._position:
            raise BadMemberError("damaged (members that overlap)")
        while left := position - self._position:
            self.take(min(left, PIECE))
        return position

    def tell(self) -> int:
        """Bytes taken or passed over so far."""
        return self._position

    def _piece(self, size: int) -> bytes:
        try:
            piece = self._unpacked.read(size)
        except EOFError:
            raise BadMemberError("cut short") from None
        except (zlib.error, gzip.BadGzipFile) as error:
            raise BadMemberError(f"damaged ({error})") from None
        self._position += len(piece)
        if self._position > max(16 * SMALLEST_BOMB, BOMB_RATIO * self._file.tell()):  # whatever sizes its headers state
            raise HostileArchiveError(f"unpacked to over {BOMB_RATIO} times its bytes")
        return piece


def _member(header: tarfile.TarInfo) -> Member:
    """Make a member of its header; links, devices and the like are refused unread, so their size does not matter."""
    known = header.isreg() or header.isdir()
    fault = "a sparse file" if header.issparse() else FAULTS.get(header.type, "" if known else "not a plain file")
    size = header.size if header.isreg() and not fault else 0
    if size < 0:
        raise BadMemberError("damaged (a negative size)")
    return Member(header.name, size, size, fault)


def _is_list(member: Member) -> bool:
    return member.name.endswith(".txt") and member.size <= LARGEST_LIST and not is_ignored(member.name)


def _why_unread(member: Member) -> str:
    if member.fault:
        return f"{shown(member.name)} is {member.fault}"
    return too_large(member.name, member.size) if member.size else empty(member.name)
