"""Custom pairs that are files: two parallel folders, or a list of them."""

import csv
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from banet.data.archives.layouts import PairFiles
from banet.data.archives.safety import summary
from banet.data.images.image_files import IMAGES, find_files, plain, sequence_of
from banet.data.names import BLURRED, SEQUENCE, SHARP
from banet.errors import DataError


def folder_pairs(blurred: Path, sharp: Path, *, split: str, variant: str, pattern: str | None) -> list[PairFiles]:
    """Pair the pictures of two folders by their relative paths; endings may differ.

    Args:
        blurred: folder of blurred pictures.
        sharp: folder of sharp ones.
        split: that they are.
        variant: kind of image that the blurred ones are.
        pattern: names sequences, as in `sequence_of`.

    Raises:
        DataError: halves that are missing, two pictures of one name, names that do not match the pattern: all in one
            line.
    """
    halves = {variant: _by_name(blurred), SHARP: _by_name(sharp)}
    folders = {variant: blurred, SHARP: sharp}
    problems, pairs = [], []
    for name in dict.fromkeys([*halves[variant], *halves[SHARP]]):
        for kind, files in halves.items():
            if len(files[name]) != 1:
                here = " and ".join(str(folders[kind] / file) for file in files[name])
                other = next(folders[other] / file for other in halves for file in halves[other][name])
                problems.append(f"{here} are one picture's" if here else f"{other} has no {_called(kind)} picture")
        try:
            sequence = sequence_of(next(file for files in halves.values() for file in files[name]), split, pattern)
        except DataError as error:
            problems.append(str(error))
            continue
        if all(len(files[name]) == 1 for files in halves.values()):
            members = {kind: _absolute(folders[kind] / files[name][0]) for kind, files in halves.items()}
            pairs.append(_pair(split, sequence, PurePosixPath(name).name, members))
    if problems:
        raise DataError(f"{blurred} and {sharp}: {summary(problems)}")
    return pairs


def listed_pairs(path: Path, *, split: str, variant: str, pattern: str | None) -> list[PairFiles]:
    """Read a list of pairs: a header of the columns blurred, sharp and, optionally, sequence; then a pair a line.

    Columns are separated by commas, tabs or blanks, as in the header. Paths are relative to the list's folder. Without
    the column and a pattern, the sequence is named by the folders that both paths of a pair have in common.

    Raises:
        DataError: no such file, a header without the columns, lines of another number of columns, pictures that are
            not there: all in one line.
    """
    problems, pairs = [], []
    for number, row in _lines(path):
        if isinstance(row, str):
            problems.append(f"line {number} {row}")
            continue
        files = {variant: row[BLURRED], SHARP: row[SHARP]}
        missing = [text for text in files.values() if not text or not (path.parent / text).is_file()]
        problems += [f"line {number}: {text or 'an empty path'} is not a file" for text in missing]
        try:
            name = PurePosixPath(row[BLURRED]) if pattern else _common(path.parent, files)
            sequence = plain(row.get(SEQUENCE, ""), "") or sequence_of(name, split, pattern)
        except DataError as error:
            problems.append(f"line {number}: {error}")
            continue
        members = {kind: _absolute(path.parent / text) for kind, text in files.items()}
        pairs.append(_pair(split, sequence, PurePosixPath(files[variant]).stem, members))
    if problems:
        raise DataError(f"{path}: {summary(problems)}")
    if not pairs:
        raise DataError(f"{path} lists no pairs")
    return pairs


def _by_name(folder: Path) -> dict[str, list[PurePosixPath]]:
    found: dict[str, list[PurePosixPath]] = defaultdict(list)
    for file in find_files(folder, IMAGES, "pictures"):
        found[file.with_suffix("").as_posix()].append(file)
    return found


def _lines(path: Path) -> Iterator[tuple[int, dict[str, str] | str]]:
    """Number of each line and its values by column, or what is wrong with it."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            header = stream.readline()
            separator = next((mark for mark in ",\t" if mark in header), None)
            columns = _fields(header, separator)
            if not {BLURRED, SHARP} <= set(columns) <= {BLURRED, SHARP, SEQUENCE} or len(columns) > len(set(columns)):
                raise DataError(
                    f"{path}: the first line must name the columns {BLURRED}, {SHARP} and, if wanted, {SEQUENCE}, "
                    f"got {header.strip()[:100]!r}"
                )
            for number, line in enumerate(stream, 2):
                values = _fields(line, separator)
                if len(values) != len(columns) and line.strip():
                    yield number, f"has {len(values)} columns, not {len(columns)}"
                elif line.strip():
                    yield number, dict(zip(columns, values, strict=True))
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}): it should list pairs") from None
    except (UnicodeDecodeError, csv.Error):
        raise DataError(f"{path} is no list of pairs: it must be text (UTF-8)") from None


def _fields(line: str, separator: str | None) -> list[str]:
    if separator is None:
        return line.split()
    return [value.strip() for value in next(csv.reader([line], delimiter=separator), [])]


def _common(folder: Path, files: dict[str, str]) -> PurePosixPath:
    """The blurred picture's path, of its folders only those that the sharp one's has too: `street/blur/1` is street."""
    blurred, sharp = (PurePosixPath(os.path.relpath(folder / text, folder)) for text in files.values())
    return PurePosixPath(
        *(part for part in blurred.parts[:-1] if part in sharp.parts[:-1] and part != ".."), blurred.name
    )


def _pair(split: str, sequence: str, frame: str, members: dict[str, str]) -> PairFiles:
    return PairFiles(split=split, sequence=sequence, frame=plain(frame), members=members)


def _absolute(path: Path) -> str:
    return str(path.absolute())


def _called(kind: str) -> str:
    return SHARP if kind == SHARP else BLURRED
