"""Members of an archive: what makes them untrusted, and how their problems are told in one line."""

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from banet.errors import DataError

LARGEST_MEMBER = 256 * 2**20  # bytes of one image, unpacked; a larger one is not an image of a benchmark
LARGEST_LIST = 4 * 2**20  # bytes of one list of pairs; RealBlur's longest has 0.7 MB
BOMB_RATIO = 100  # bytes unpacked over bytes packed; images are packed already and stay near 1
SMALLEST_BOMB = 2**20  # bytes, unpacked; below it any ratio is harmless
LONGEST_NAME = 200  # characters of a name that an error shows
NAMED_MEMBERS = 5  # how many bad members an error names; it counts the rest

LITTER = re.compile(  # beside what starts with a dot, as .DS_Store, ._1.png, .ipynb_checkpoints, .Trash-1000, .nfs000…
    r"__MACOSX|Icon\r|Network Trash Folder|Temporary Items|"  # macOS
    r"Thumbs\.db.*|ehthumbs.*\.db|desktop\.ini|\$RECYCLE\.BIN|RECYCLER|System Volume Information|.*:Zone\.Identifier|"
    r"lost\+found|@eaDir|@tmp|@__thumb|[@#]Recycle|@Recently-Snapshot|[#~]snapshot|THMBNL|"  # Linux, stores, cameras
    r"__pycache__|.*~|~\$.*|#.*#",  # editors
    re.IGNORECASE | re.DOTALL,
)
LITTER_SAID = "hidden or left by systems and editors"

FETCH_AGAIN = "fetch the archive again"
UNTRUSTED = "the archive is not trusted, take it from its publisher"


class BadMemberError(Exception):
    """Why a member, or all from there on, cannot be used; the archive that holds it adds its own name and a remedy."""


class HostileArchiveError(BadMemberError):
    """The archive was made to do harm, or for something else than images."""


@dataclass(frozen=True, slots=True)
class Member:
    """One file in an archive; folders do not count."""

    name: str  # as the archive spells it
    size: int  # bytes, unpacked
    packed: int  # bytes in the archive; in a tar.gz its size, as only the whole is packed
    fault: str = ""  # what it is instead of a plain file, e.g. `a symbolic link`


def untrusted(members: Iterable[Member], archive_bytes: int) -> list[str]:
    """Name every member that no benchmark holds: names that point outside, links, one name twice, bombs.

    Members are never unpacked to disk, where they could do harm; an archive that tries to is refused all the same.
    """
    problems, seen, total = [], set(), 0
    for member in members:
        path, name = posixpath.normpath(member.name), shown(member.name)
        if points_outside(member.name):
            problems.append(f"the name {member.name[:LONGEST_NAME]!r} points outside")
        elif member.fault:
            problems.append(f"{name} is {member.fault}")
        elif path in seen:
            problems.append(f"{name} is in it twice")
        elif member.size > LARGEST_MEMBER:
            problems.append(too_large(member.name, member.size))
        elif is_bomb(member.size, member.packed):
            problems.append(f"{name} unpacks to {member.size} bytes from {member.packed}")
        seen.add(path)
        total += member.size
    if not problems and is_bomb(total, archive_bytes):
        problems.append(f"its members unpack to {total} bytes from {archive_bytes}")
    return problems


def points_outside(name: str) -> bool:
    """Whether unpacking this name would escape the target folder, on any system."""
    return name[:1] == "/" or ".." in name.split("/") or "\\" in name or (name[:1].isalpha() and name[1:2] == ":")


def is_bomb(size: int, packed: int) -> bool:
    """Whether `packed` bytes that unpack to `size` cannot be images."""
    return size >= SMALLEST_BOMB and size >= BOMB_RATIO * packed


def is_ignored(name: str) -> bool:
    """Whether a level of a path is hidden, or left behind by a system, a network store or an editor."""
    return any(
        (level.startswith(".") and level not in (".", "..")) or LITTER.fullmatch(level) for level in name.split("/")
    )


def as_text(archive: Path, name: str, content: bytes | None) -> str:
    """Decode a list file.

    Raises:
        DataError: it is not text, or is too large for a list (its content may then be None).
    """
    try:
        if content is not None and len(content) <= LARGEST_LIST:
            return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    raise DataError(f"{archive}: {shown(name)} is no list of pairs: {FETCH_AGAIN}")


def empty(name: str) -> str:
    """Say that a member has no bytes."""
    return f"{shown(name)} is empty"


def too_large(name: str, size: int) -> str:
    """Say that a member is larger than images are."""
    return f"{shown(name)} unpacks to {size} bytes, no image of a benchmark does"


def shown(name: str) -> str:
    """A member's name on one line, short and printable."""
    name = name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…"
    return name if name.isprintable() else repr(name)


def summary(problems: list[str]) -> str:
    """Name the first problems and count the rest."""
    more = len(problems) - NAMED_MEMBERS
    return "; ".join(problems[:NAMED_MEMBERS]) + (f"; and {more} more" if more > 0 else "")
