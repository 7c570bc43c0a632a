"""Archives read member by member, never unpacked: ZIP in any order, tar and tar.gz from first to last."""

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from banet.data.archive_base import Archive, RandomArchive
from banet.data.layouts import SHARP, PairMembers
from banet.data.listing import HEADER, ListedFiles
from banet.data.members import (
    LARGEST_MEMBER,
    NAMED_MEMBERS,
    BadMemberError,
    Member,
    empty,
    points_outside,
    shown,
    summary,
    too_large,
)
from banet.data.tar import is_tar
from banet.data.tar_archive import TarArchive
from banet.errors import DataError
from banet.image import Image

__all__ = ["NAMED_MEMBERS", "SHARP", "Archive", "PairMembers", "open_archive", "require_equal_sizes", "summary"]

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
LOOKS = {  # first bytes of files that are often in an archive's place
    b"<": "a web page",
    b"Rar!": "a RAR archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"BZh": "packed by bzip2",
    b"\xfd7zXZ": "packed by xz",
    b"\x28\xb5\x2f\xfd": "packed by zstd",
}


def open_archive(path: Path) -> Archive:
    """Open a ZIP, a tar, a tar.gz or a listing of own files; which one, its first bytes say, whatever its name.

    Raises:
        DataError: it is missing, no archive, or a ZIP that has been cut short.
    """
    try:
        with path.open("rb") as file:
            head = file.read(512)
        if head.startswith(HEADER):
            return ListedFiles(path)
        return TarArchive(path) if is_tar(head) else ZipArchive(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}): run the fetch stage") from None
    except (BadMemberError, *ZIP_ERRORS):
        looks = next((look for start, look in LOOKS.items() if head.lstrip().startswith(start)), None)
        kind = "tar" if ".tar" in path.name or path.suffix == ".tgz" else "ZIP"
        what = f"{looks}, not a ZIP or tar.gz" if looks else f"not a whole {kind} archive"
        raise DataError(f"{path} is {what}: delete it and run the fetch stage again") from None


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
        """Read a member in pieces of a size; asking for a size keeps a false header from unpacking without end."""
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


def require_equal_sizes(images: dict[str, Image], where: str) -> None:
    """Check that the images of a pair have one size.

    Raises:
        DataError: names the pair and the sizes.
    """
    sizes = {kind: f"{image.shape[0]}x{image.shape[1]}" for kind, image in images.items()}
    if len(set(sizes.values())) > 1:
        raise DataError(f"{where}: the images of a pair differ in size: {sizes}")
