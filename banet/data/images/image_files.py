"""Folders of users' own pictures: which files count, in what order, and which sequence a picture belongs to."""

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path, PurePosixPath

from banet.data.archives.safety import is_ignored
from banet.errors import DataError

IMAGES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
VIDEOS = frozenset(  # what PyAV opens and cameras or programs write; animations are no films
    {
        *(".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".f4v", ".mkv", ".webm", ".avi", ".divx", ".wmv", ".asf"),
        *(".mpg", ".mpeg", ".mpe", ".m2v", ".vob", ".mod", ".tod", ".ts", ".mts", ".m2ts", ".m2t", ".flv", ".ogv"),
        *(".mxf", ".dv", ".y4m", ".h264", ".264", ".h265", ".hevc"),
    }
)


def find_files(folder: Path, endings: Collection[str], what: str) -> list[PurePosixPath]:
    """Find files with these endings in a folder and its subfolders; paths are relative and in natural order.

    System files (`.DS_Store`, `__MACOSX/`), hidden files and links to other folders are skipped.

    Raises:
        DataError: the folder does not exist or holds no such file; `what` names the files in the message.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: it should hold {what}")
    found = []
    for above, _, names in os.walk(folder):
        parent = PurePosixPath(Path(above).relative_to(folder).as_posix())
        found += [parent / name for name in names if Path(name).suffix.lower() in endings]
    found = [name for name in found if not is_ignored(name.as_posix())]
    if not found:
        raise DataError(f"{folder} holds no {what}: files ending in {', '.join(sorted(endings))} count")
    return sorted(found, key=natural)


def natural(name: PurePosixPath) -> tuple[tuple[str | int, ...], ...]:
    """Sort key that puts `frame_9` before `frame_10`."""
    return tuple(
        tuple(int(part) if i % 2 else part for i, part in enumerate(re.split("([0-9]+)", level)))
        for level in (*name.parts[:-1], name.stem, name.suffix)
    )


def sequence_of(name: PurePosixPath, otherwise: str, pattern: str | None = None) -> str:
    """Name the sequence of a picture: its folders joined with `_`, or at the top level its name without its number.

    `street_0001` belongs to `street`, `GOPR0384_11_00-000001` to `GOPR0384_11_00`, `0001` to `otherwise`.

    Args:
        name: path relative to the folder that holds all pictures.
        otherwise: the sequence of pictures whose names are only numbers.
        pattern: regular expression whose one group, searched in the path, gives the sequence instead.

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
    """Turn the name of a sequence or frame into one level of a path: not hidden, and `otherwise` if empty."""
    text = text.encode("utf-8", "replace").decode()  # a name on disk may not be valid text
    return re.sub(r"[/\\]+", "_", text.strip()).lstrip(".") or otherwise


def called_alike(names: Iterable[str], what: str) -> list[str]:
    """Describe every name that occurs more than once, e.g. `2 clips are called street`."""
    return [f"{number} {what} are called {name}" for name, number in Counter(names).items() if number > 1]
