"""Which pictures are restored, and where each result goes: a file, a folder with its tree, or a pattern of names."""

import glob
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from banet.data.archives.safety import summary
from banet.data.images.image_files import IMAGES, find_files
from banet.data.images.photograph_file import HEIF
from banet.errors import DataError

RECORD = ".banet-deblur.jsonl"  # in the folder of outputs
TABLE = ".parquet"
_ENDINGS = {"picture": IMAGES.union(HEIF), "table": frozenset({TABLE})}
_SAME_FORMAT = {  # endings of inputs that are written: as they are, or by the ending of the format; others: .png
    **{ending: ending for ending in (TABLE, ".png", ".jpg", ".jpeg", ".jpe", ".webp", ".avif", ".tif", ".tiff", *HEIF)},
    **dict.fromkeys((".jfif", ".jif"), ".jpg"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureFile:
    """One picture of many."""

    source: Path
    target: Path

    @property
    def compared(self) -> Path:
        """Where it is shown before and after, side by side."""
        return compared_path(self.target)


def compared_path(target: Path) -> Path:
    """Return the name of the picture that shows another before and after, e.g. sharp-compared.png of sharp.png."""
    return target.with_stem(f"{target.stem}-compared")


def holds_tables(given: str) -> bool:
    """Whether a file or pattern is of Parquet tables, or a folder holds such tables and no pictures."""
    path = Path(given)
    endings = {each.suffix.lower() for each in path.rglob("*")} if path.is_dir() else {path.suffix.lower()}
    return TABLE in endings and not endings & _ENDINGS["picture"]


def many_pictures(given: str, output: Path, *, compare: bool, what: str = "picture") -> list[PictureFile] | None:
    """Find the pictures of a folder or pattern; None if `given` is neither, and so names one file.

    Args:
        given: a folder, or a pattern such as `photos/**/*.jpg` if nothing exists under that very name. Outputs keep the
            tree below the folder, or below the pattern's part without wildcards.
        output: the folder of outputs.
        compare: whether each output gets a second picture beside it.
        what: picture, or table: Parquet files are looked for.

    Raises:
        DataError: there are no such pictures, two would write one output, or an output would be one of the inputs or
            lie inside the folder of inputs.
    """
    path = Path(given)
    if path.is_dir():
        top = path
        names = [Path(name) for name in find_files(path, _ENDINGS[what], f"{what}s")]
    elif glob.has_magic(given) and not path.exists():
        top = _without_wildcards(path)
        found = (Path(name) for name in glob.iglob(given, recursive=True))  # noqa: PTH207  # Path's skips no folder
        names = sorted(
            name.relative_to(top) for name in found if name.suffix.lower() in _ENDINGS[what] and name.is_file()
        )
        if not names:
            raise DataError(f"no {what} matches {given}: write another pattern, such as 'photos/**/*.jpg'")
    else:
        return None
    if output.exists() and not output.is_dir():
        raise DataError(f"{output} is a file, but several {what}s need a folder: name another")
    inside = output.resolve()
    if path.is_dir() and inside.is_relative_to(path.resolve()):
        raise DataError(f"{output} lies inside {given}, whose {what}s are restored: name a folder outside it")
    pictures = [PictureFile(source=top / name, target=output / name.with_suffix(_ending(name))) for name in names]
    _require_apart(pictures, compare)
    return pictures


def _ending(name: Path) -> str:
    same = _SAME_FORMAT.get(name.suffix.lower(), ".png")
    return name.suffix if name.suffix.lower() == same else same


def _without_wildcards(pattern: Path) -> Path:
    parts = pattern.parts
    first = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:first])


def _require_apart(pictures: Collection[PictureFile], compare: bool) -> None:
    writers: dict[Path, list[str]] = defaultdict(list)
    for picture in pictures:
        for target in (picture.target, picture.compared) if compare else (picture.target,):
            writers[target].append(str(picture.source))
    shared = [f"{' and '.join(names)} would both write {target}" for target, names in writers.items() if names[1:]]
    if shared:
        raise DataError(f"{summary(shared)}: rename one of them, or restore them into two folders")
    sources = {picture.source.resolve() for picture in pictures}
    lost = [str(target) for target in writers if target.resolve() in sources]
    if lost:
        raise DataError(f"{summary(lost)} would be overwritten, but is an input: name another folder for the outputs")
