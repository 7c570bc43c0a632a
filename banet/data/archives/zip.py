"""A benchmark in a ZIP: members are read in any order, each verified by its checksum."""

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from banet.data.archives.base import RandomArchive
from banet.data.archives.safety import (
    LARGEST_MEMBER,
    BadMemberError,
    Member,
    empty,
    points_outside,
    shown,
    too_large,
)

PIECE = 2**18  # bytes read at once where a member is only verified
PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others can be unpacked in one piece only, however large
ENCRYPTED = 0x1  # flag of a member

ZIP_ERRORS = (  # all that zipfile raises on damaged bytes
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    OverflowError,
)


class ZipArchive(RandomArchive):
    """A ZIP; its members are read in any order."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.file = zipfile.ZipFile(path)

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def members(self) -> list[Member]:
        """List the files; folders only where their names point outside."""
        return [
            Member(info.filename, info.file_size, info.compress_size, _zip_fault(info))
            for info in self.file.infolist()
            if not info.is_dir() or points_outside(info.filename)
        ]

    def require_whole(self) -> None:
        """Read every member once and verify its checksum."""
        self._require_trust(self.members())
        problems = []
        for info in self.file.infolist():
            try:
                for _ in self._pieces(info, PIECE):
                    pass
            except BadMemberError as error:
                problems.append(str(error))
        self._require_none(problems)

    def _locked(self, names: list[str]) -> list[str]:
        locks = ((name, _lock(self.file.getinfo(name))) for name in names)
        return [_unreadable(name, lock) for name, lock in locks if lock]

    def _content(self, name: str) -> bytes:
        try:
            info = self.file.getinfo(name)
        except KeyError:
            raise BadMemberError(f"{shown(name)} is missing") from None
        if info.file_size > LARGEST_MEMBER:
            raise BadMemberError(too_large(name, info.file_size))
        content = b"".join(self._pieces(info, info.file_size))
        if not content:
            raise BadMemberError(empty(name))
        return content

    def _pieces(self, info: zipfile.ZipInfo, size: int) -> Iterator[bytes]:
        """Read a member in pieces of at most `size` + 1 bytes, so a member with a false size is noticed early."""
        if lock := _lock(info):
            raise BadMemberError(_unreadable(info.filename, lock))
        try:
            with self.file.open(info) as stream:
                read = 0
                while piece := stream.read(size + 1):
                    read += len(piece)
                    yield piece
            if read != info.file_size:
                raise BadMemberError(_unreadable(info.filename, f"{read} bytes of {info.file_size}"))
        except ZIP_ERRORS as error:
            raise BadMemberError(_unreadable(info.filename, str(error) or type(error).__name__)) from None


def _zip_fault(info: zipfile.ZipInfo) -> str:
    return "a symbolic link" if stat.S_ISLNK(info.external_attr >> 16) else ""


def _lock(info: zipfile.ZipInfo) -> str:
    """Why a member cannot be read even where it is whole."""
    if info.flag_bits & ENCRYPTED:
        return "it is password-protected"
    return "" if info.compress_type in PACKINGS else f"it is packed by method {info.compress_type}, not deflated"


def _unreadable(name: str, reason: str) -> str:
    return f"{shown(name)} cannot be read ({reason})"
