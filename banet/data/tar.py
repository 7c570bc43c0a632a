"""A tar, plain or gzipped, read once from its first byte to its last.

`tarfile` takes a damaged header for the end of the archive, and leaves gzip's checksum unread when it stops early; here
both are errors. Single headers are still decoded by `tarfile`.
"""

import tarfile
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

from banet.data.members import BOMB_RATIO, SMALLEST_BOMB, BadMemberError, HostileArchiveError, Member, points_outside

BLOCK = tarfile.BLOCKSIZE
PIECE = 64 * 2**10  # bytes read from the file at once; unpacked they come in up to twice as many
LARGEST_HEADER = 2**16  # bytes of a long name or of POSIX attributes
GZIP_MAGIC = b"\x1f\x8b"
GZIP = 31  # zlib's code for gzip with its checksum and length verified

FAULTS = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
}
PLAIN_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)


def is_tar(head: bytes) -> bool:
    """Whether a file's first block starts a gzip file or is a tar's header."""
    return head[:2] == GZIP_MAGIC or head[257:262] == b"ustar"


class TarStream:
    """The bytes of a tar, unpacked as they are taken; holds less than 256 KiB.

    Attributes:
        position: bytes taken so far.
        packed: bytes of the file used so far.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._input = file.read(PIECE)
        self._inflate = zlib.decompressobj(GZIP) if self._input[:2] == GZIP_MAGIC else None
        self._piece = memoryview(b"")
        self._unpacked = 0
        self.position = self.packed = 0

    def take(self, size: int) -> bytes:
        """Take exactly `size` bytes.

        Raises:
            BadMemberError: the archive is damaged or ends before.
        """
        return b"".join(self._slices(size))

    def skip(self, size: int) -> None:
        """Pass over exactly `size` bytes, verified all the same."""
        for _ in self._slices(size):
            pass

    def rest(self) -> Iterator[memoryview]:
        """Take what is left, piece by piece, through the checksum at its end."""
        while self._piece or self._fill():
            yield self._piece
            self._piece = self._piece[:0]

    def _slices(self, size: int) -> Iterator[memoryview]:
        self.position += size
        while size:
            if not self._piece and not self._fill():
                raise BadMemberError("cut short")
            part = self._piece[:size]
            self._piece = self._piece[size:]
            size -= len(part)
            yield part

    def _fill(self) -> bool:
        try:
            piece = self._next_piece()
        except zlib.error as error:
            raise BadMemberError(f"damaged ({error})") from None
        self._piece = memoryview(piece)
        self._unpacked += len(piece)
        # at the first bytes of a bomb, before its size is known
        if self._unpacked > max(16 * SMALLEST_BOMB, BOMB_RATIO * self.packed):
            raise HostileArchiveError(f"unpacked to over {BOMB_RATIO} times its bytes")
        return bool(piece)

    def _next_piece(self) -> bytes:
        while True:
            data = self._input or self._file.read(PIECE)
            self._input = b""
            if self._inflate is None:
                self.packed += len(data)
                return data
            if not data:
                if self._inflate.eof:
                    return b""
                raise BadMemberError("cut short")
            used = len(data)
            if self._inflate.eof:  # padding, or one more gzip file: tools that pack in parallel write several
                data = data.lstrip(b"\0")
                if not data:
                    continue
                self._inflate = zlib.decompressobj(GZIP)
            piece = self._inflate.decompress(data, 2 * PIECE)
            self._input = self._inflate.unconsumed_tail or self._inflate.unused_data
            self.packed += used - len(self._input)
            if piece:
                return piece


def read_members(stream: TarStream, keep: Callable[[Member], bool]) -> Iterator[tuple[Member, bytes | None]]:
    """Yield every file of a tar with its content, if `keep` wants it; at the end all bytes have been read and verified.

    Raises:
        BadMemberError: the archive is damaged or cut short; the members before are good as far as the tar can tell.
    """
    attributes: dict[str, str] = {}
    while (block := stream.take(BLOCK)).strip(b"\0"):
        info = _header(block)
        if info.type in (tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE):
            attributes |= _attributes(info, _take_padded(stream, _header_size(info.size)))
        elif info.type in (tarfile.GNUTYPE_LONGLINK, tarfile.XGLTYPE):  # a link's target; the maker's comment
            _take_padded(stream, _header_size(info.size))
        else:
            member = _member(info, attributes)
            attributes = {}
            before, content = stream.packed, None
            if keep(member):
                content = _take_padded(stream, member.size)
            else:
                stream.skip(_padded(member.size))
            if not info.isdir() or points_outside(member.name):
                yield Member(member.name, member.size, stream.packed - before, member.fault), content
    for piece in stream.rest():
        if bytes(piece).strip(b"\0"):
            raise BadMemberError("followed by data that is not its own")


def require_header(stream: TarStream) -> None:
    """Check that a file starts like a tar.

    Raises:
        BadMemberError: it does not.
    """
    if (block := stream.take(BLOCK)).strip(b"\0"):
        _header(block)


def _member(info: tarfile.TarInfo, attributes: dict[str, str]) -> Member:
    """Make a member of its header; links and devices have no content whatever size they state."""
    sparse = info.type == tarfile.GNUTYPE_SPARSE or any(key.startswith("GNU.sparse") for key in attributes)
    known = info.type in PLAIN_FILES
    fault = "a sparse file" if sparse else FAULTS.get(info.type, "" if known or info.isdir() else "no plain file")
    size = _number(attributes["size"]) if "size" in attributes else info.size
    if size < 0:
        raise BadMemberError("damaged (a negative size)")
    return Member(attributes.get("path", info.name), 0 if info.isdir() or info.type in FAULTS else size, 0, fault)


def _header(block: bytes) -> tarfile.TarInfo:
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        raise BadMemberError(f"damaged ({error})") from None


def _header_size(size: int) -> int:
    if not 0 <= size <= LARGEST_HEADER:
        raise BadMemberError(f"damaged (a header of {size} bytes)")
    return size


def _attributes(info: tarfile.TarInfo, content: bytes) -> dict[str, str]:
    """Read GNU's long name, or POSIX attributes: lines of `LENGTH KEY=VALUE`, each LENGTH counting its whole line."""
    if info.type == tarfile.GNUTYPE_LONGNAME:
        return {"path": content.partition(b"\0")[0].decode("utf-8", "surrogateescape")}
    found, at = {}, 0
    while at < len(content):
        space = content.find(b" ", at, at + 20)
        end = at + _number(content[at:space].decode("ascii", "replace"))
        key, equals, value = content[space + 1 : end - 1].partition(b"=")
        if not at < space < end <= len(content) or not equals:
            raise BadMemberError("damaged (attributes of a member)")
        found[key.decode("utf-8", "surrogateescape")] = value.decode("utf-8", "surrogateescape")
        at = end
    return found


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise BadMemberError("damaged (attributes of a member)")
    return int(text)


def _take_padded(stream: TarStream, size: int) -> bytes:
    content = stream.take(size)
    stream.skip(_padded(size) - size)
    return content


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK
