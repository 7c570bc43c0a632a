"""Folders of users' own pictures: which files count, in what order, and which sequence a picture belongs to."""

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path, PurePosixPath

from banet.data.archives.safety import LITTER_SAID, NAMED_MEMBERS, is_ignored, shown, summary
from banet.data.names import nfc
from banet.errors import DataError
from banet.progress import say

IMAGES = frozenset(  # all that OpenCV decodes to 8-bit pictures; a file's content decides what it is
    f".{ending}"
    for ending in (
        *("png", "jpg", "jpeg", "jpe", "jfif", "jif", "bmp", "dib", "tif", "tiff", "webp", "avif"),
        *("jp2", "j2k", "j2c", "jpc", "jpf", "jpx", "ppm", "pgm", "pnm", "pam", "ras", "sr"),
    )
)
VIDEOS = frozenset(  # what PyAV opens and cameras or programs write; animations are no films
    {
        *(".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".f4v", ".mkv", ".webm", ".avi", ".divx", ".wmv", ".asf"),
        *(".mpg", ".mpeg", ".mpe", ".m2v", ".vob", ".mod", ".tod", ".ts", ".mts", ".m2ts", ".m2t", ".flv", ".ogv"),
        *(".mxf", ".dv", ".y4m", ".h264", ".264", ".h265", ".hevc"),
    }
)
SIDE_FILES = re.compile(  # counted, without the advice to save them as pictures
    r"\.(txt|md|csv|tsv|jsonl?|xml|xmp|aae|ya?ml|log|html?|pdf|py|sh|db|mat|np[yz]|parquet|zip|t?gz|tar|md5|sha256|lnk|url)"
)
LEADS_BACK, BROKEN, NO_FILE = "links to a folder that they are in", "broken links", "pipes or devices"


def find_files(folder: Path, endings: Collection[str], what: str) -> list[PurePosixPath]:
    """Find files with these endings in a folder and its subfolders; paths are relative and in natural order.

    Links are followed, and files below them bear the link's name. Everything else is passed over, and one line on
    standard error counts it: other endings, what is hidden or left by systems and editors (below the folder: its own
    path does not count), and links to a folder that they are in.

    Raises:
        DataError: the folder does not exist or holds no such file (`what` names the files in the message), a folder
            cannot be read, or links are broken.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: it should hold {what}")
    found, broken, passed_over = [], [], Counter[str]()
    for path, fault in _walk(folder):
        ending = path.suffix.lower()
        if fault == BROKEN:
            broken.append(f"{path} is a broken link to {path.readlink()}")
        elif fault or ending not in endings:
            passed_over[fault or ending or "without an ending"] += 1
        else:
            found.append(PurePosixPath(path.relative_to(folder).as_posix()))
    if broken:
        raise DataError(f"{summary(broken)}: bring back what it leads to, or remove it")
    said = _counted(passed_over, endings)
    if not found:
        there = f"; passed over: {said}" if said else ""
        raise DataError(f"{folder} holds no {what}: files ending in {', '.join(sorted(endings))} count{there}")
    if said:
        total = passed_over.total()
        say(f"{folder}: {total} {'file or folder is' if total == 1 else 'files or folders are'} passed over: {said}")
    return sorted(found, key=lambda name: (natural(name), name.as_posix()))


def _walk(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[tuple[Path, str]]:
    """Yield what is below a folder, and why it is passed over; of a folder that is not, what is inside."""
    try:
        above = (*above, folder.resolve())
        for entry in list(os.scandir(folder)):
            path = Path(entry.path)
            known = path if entry.is_symlink() else entry  # what is no link needs no further look at the disk
            if is_ignored(entry.name):
                yield path, LITTER_SAID
            elif known is path and not path.exists():
                yield path, BROKEN
            elif known.is_dir():
                leads_back = known is path and any(one.is_relative_to(path.resolve()) for one in above)
                yield from [(path, LEADS_BACK)] if leads_back else _walk(path, above)
            else:
                yield path, "" if known.is_file() else NO_FILE
    except OSError as error:
        raise DataError(f"{error.filename or folder} cannot be read ({error.strerror})") from None


def _counted(passed_over: Counter[str], endings: Collection[str]) -> str:
    """Count what is passed over, the most frequent first, with a remedy for what may be pictures."""
    kinds = [f"{shown(kind)} {number}" for kind, number in passed_over.most_common()]
    said = ", ".join(kinds[:NAMED_MEMBERS]) + (
        f" and {len(kinds) - NAMED_MEMBERS} more kinds" if kinds[NAMED_MEMBERS:] else ""
    )
    pictures = {kind for kind in passed_over if kind.startswith(".") and not SIDE_FILES.fullmatch(kind)} - VIDEOS
    return f"{said}; save pictures among them as PNG or JPEG" if pictures and IMAGES.issubset(endings) else said


def as_on_disk(path: Path) -> Path:
    """The path as the disk spells it, if it is there in another Unicode form; else the path itself."""
    if path == path.parent or os.path.lexists(path):
        return path
    above = as_on_disk(path.parent)
    entries = above.iterdir() if above.is_dir() else iter(())
    return next((entry for entry in entries if nfc(entry.name) == nfc(path.name)), above / path.name)


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
        match = re.search(nfc(pattern), nfc(name.as_posix()))
        if match is None or not match[1]:
            raise DataError(f"{name} does not match sequence {pattern!r}")
        return plain(match[1], otherwise)
    if len(name.parts) > 1:
        return plain("_".join(name.parts[:-1]), otherwise)
    return plain(re.sub("[-_. ]*[0-9]+$", "", name.stem), otherwise)


def plain(text: str, otherwise: str = "_") -> str:
    """Turn the name of a sequence or frame into one level of a path: NFC, not hidden, and `otherwise` if empty."""
    text = nfc(text.encode("utf-8", "replace").decode())  # a name on disk may not be valid text
    return re.sub(r"[/\\]+", "_", text.strip()).lstrip(".") or otherwise


def called_alike(names: Iterable[str], what: str) -> list[str]:
    """Describe every name that occurs more than once, e.g. `2 clips are called street`."""
    return [f"{number} {what} are called {name}" for name, number in Counter(names).items() if number > 1]
