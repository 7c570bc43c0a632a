"""Custom pairs stored as files: two parallel folders, or a list of pairs."""

import csv
import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from banet.data.archives.layouts import PairFiles
from banet.data.archives.safety import LITTER_SAID, is_ignored, summary
from banet.data.images.image_files import IMAGES, as_on_disk, find_files, plain, sequence_of
from banet.data.names import BLURRED, SEQUENCE, SHARP, nfc
from banet.errors import DataError
from banet.progress import say

Line = tuple[int, dict[str, str] | str]
"""The number of a line of a list, and its values by column or what is wrong with it."""


def folder_pairs(blurred: Path, sharp: Path, *, split: str, variant: str, pattern: str | None) -> list[PairFiles]:
    """Pair the pictures of two folders by their relative paths; file endings may differ.

    `variant` is the kind of the blurred images, and `pattern` names the sequences, see `sequence_of`.

    Raises:
        DataError: pictures without the other half, two pictures with the same name, names that do not match the
            pattern: all in one line.
    """
    folders = {BLURRED: blurred, SHARP: sharp}
    halves = {kind: _by_name(folder) for kind, folder in folders.items()}
    problems, pairs = [], []
    for name in dict.fromkeys([*halves[BLURRED], *halves[SHARP]]):
        paths = {kind: [folder / file for file in halves[kind][name]] for kind, folder in folders.items()}
        for kind, same in paths.items():
            if len(same) > 1:
                problems.append(f"{' and '.join(map(str, same))} have the same name")
            elif not same:
                problems.append(f"{(paths[BLURRED] + paths[SHARP])[0]} has no {kind} picture")
        try:
            sequence = sequence_of((halves[BLURRED][name] + halves[SHARP][name])[0], split, pattern)
        except DataError as error:
            problems.append(str(error))
        if not problems:
            pairs.append(_pair(split, sequence, variant, paths[BLURRED][0], paths[SHARP][0]))
    if problems:
        raise DataError(f"{blurred} and {sharp}: {summary(problems)}")
    return pairs


def listed_pairs(path: Path, *, split: str, variant: str, pattern: str | None) -> list[PairFiles]:
    """Read a list of pairs: a header with the columns blurred, sharp and optionally sequence, then one pair per line.

    Columns are separated by commas, tabs or blanks, whichever the header uses. Paths are relative to the folder of the
    list. Without that column and a pattern, a sequence is named after the folders that both paths of a pair share.
    Pairs that are hidden, or left by systems and editors, beside other listed ones are passed over.

    Raises:
        DataError: a missing list, a wrong header, lines with a wrong number of columns, missing pictures: all in one
            line.
    """
    problems, pairs = [], []
    for number, row in _without_litter(path, list(_lines(path))):
        if isinstance(row, str):
            problems.append(f"line {number} {row}")
            continue
        blurred, sharp = row[BLURRED], row[SHARP]
        files = {text: as_on_disk(path.parent / text) for text in (blurred, sharp)}
        missing = [text for text, file in files.items() if not text or not file.is_file()]
        problems += [f"line {number}: {text or 'an empty path'} is not a file" for text in missing]
        try:
            name = PurePosixPath(blurred) if pattern else _common(path.parent, blurred, sharp)
            sequence = plain(row.get(SEQUENCE, ""), "") or sequence_of(name, split, pattern)
        except DataError as error:
            problems.append(f"line {number}: {error}")
            continue
        pairs.append(_pair(split, sequence, variant, files[blurred], files[sharp]))
    if problems:
        raise DataError(f"{path}: {summary(problems)}")
    if not pairs:
        raise DataError(f"{path} lists no pairs")
    return pairs


def _by_name(folder: Path) -> dict[str, list[PurePosixPath]]:
    found: dict[str, list[PurePosixPath]] = defaultdict(list)
    for file in find_files(folder, IMAGES, "pictures"):
        found[nfc(file.with_suffix("").as_posix())].append(file)
    return found


def _without_litter(path: Path, lines: list[Line]) -> list[Line]:
    """Leave out pictures that are hidden, and those of a hidden folder beside which others are listed."""
    rows = {number: row for number, row in lines if isinstance(row, dict)}
    litter: set[int] = set()
    for kind in (BLURRED, SHARP):
        folders = {n: Path(os.path.normpath(path.parent.absolute() / row[kind])).parents for n, row in rows.items()}
        below = Counter(folder for each in folders.values() for folder in each)
        for n, row in rows.items():
            beside_others = [folder.name for folder in folders[n] if below[folder.parent] > below[folder]]
            if any(map(is_ignored, (PurePosixPath(row[kind]).name, *beside_others))):
                litter.add(n)
    if litter:
        say(f"{path}: {len(litter)} pairs are passed over: {LITTER_SAID}")
    return [line for line in lines if line[0] not in litter]


def _lines(path: Path) -> Iterator[Line]:
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
        raise DataError(f"{path} is not a list of pairs: it must be UTF-8 text") from None


def _fields(line: str, separator: str | None) -> list[str]:
    if separator is None:
        return line.split()
    return [value.strip() for value in next(csv.reader([line], delimiter=separator), [])]


def _common(folder: Path, blurred: str, sharp: str) -> PurePosixPath:
    """Return the blurred picture's path without folders that the sharp one's lacks: `street/blur/1` is `street/1`."""
    *above, name = PurePosixPath(os.path.relpath(folder / blurred, folder)).parts
    shared = PurePosixPath(os.path.relpath(folder / sharp, folder)).parts[:-1]
    return PurePosixPath(*(part for part in above if part in shared and part != ".."), name)


def _pair(split: str, sequence: str, variant: str, blurred: Path, sharp: Path) -> PairFiles:
    members = {variant: str(blurred.absolute()), SHARP: str(sharp.absolute())}
    return PairFiles(split=split, sequence=sequence, frame=plain(blurred.stem), members=members)
