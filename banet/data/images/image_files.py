"""Folders of people's own pictures: which files count, in what order, and which sequence a picture belongs to."""

import os
import re
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from banet.data.archives.safety import is_ignored
from banet.errors import DataError

IMAGES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
VIDEOS = frozenset({".mp4", ".mov", ".avi", ".mkv", ".m4v", ".webm", ".mpg", ".mpeg", ".mts"})


def find_files(folder: Path, endings: Collection[str], what: str) -> list[PurePosixPath]:
    """Find files by their endings in a folder and all below, relative to it; numbers in names count by their value.

    What systems leave behind (`.DS_Store`, `__MACOSX/`, hidden files) and links to other folders are passed over.

    Raises:
        DataError: there is no such folder, or no such file in it; `what` says what was looked for.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: it should hold {what}")
    found = []
    for above, _, names in os.walk(folder):
        place = PurePosixPath(Path(above).relative_to(folder).as_posix())
        found += [place / name for name in names if Path(name).suffix.lower() in endings]
    found = [name for name in found if not is_ignored(name.as_posix())]
    if not found:
        raise DataError(f"{folder} holds no {what}: files ending in {', '.join(sorted(endings))} count")
    return sorted(found, key=natural)


def natural(name: PurePosixPath) -> tuple[tuple[str | int, ...], ...]:
    """Key that puts `frame_9` before `frame_10`."""
    return tuple(
        tuple(int(part) if i % 2 else part for i, part in enumerate(re.split("([0-9]+)", level)))
        for level in (*name.parts[:-1], name.stem, name.suffix)
    )


def sequence_of(name: PurePosixPath, otherwise: str, pattern: str | None = None) -> str:
    """Name the sequence of a picture, from its path within the folder that holds all.

    Its folders, joined with `_`. At the top level, the name without the number at its end and the separators before
    it: `street_0001` belongs to `street`, `GOPR0384_11_00-000001` to `GOPR0384_11_00`, `0001` to `otherwise`.

    Args:
        name: relative path.
        otherwise: the sequence of pictures whose names are numbers.
        pattern: regular expression with one group, sought in the path, which is the sequence instead.

    Raises:
        DataError: the pattern is not found.
    """
    if pattern is not None:
        match = re.search(pattern, name.as_posix())
        if match is None or not match[1]:
            raise DataError(f"{name} does not match sequence {pattern!r}")
        return plain(match[1], otherwise)
    if len(name.parts) > 1:
        return plain("_".join(name.parts[:-1]), otherwise)
    return plain(re.sub("[-_. ]*[0-9]+$", "", name.stem), otherwise)


def plain(text: str, otherwise: str = "_") -> str:
    """A sequence's or frame's name as one level of an archive's: folders joined, no hidden name, never empty."""
    text = text.encode("utf-8", "replace").decode()  # a name on disk may be no text
    return re.sub(r"[/\\]+", "_", text.strip()).lstrip(".") or otherwise
