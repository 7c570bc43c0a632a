"""Two restorations of the same photographs: paired by name, and the order and sides in which they are shown."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from banet.data.images.codec import read_image
from banet.data.images.image_files import IMAGES, find_files
from banet.data.names import nfc
from banet.errors import DataError

NAMED = 3  # files that a message names at most

Method = Literal["a", "b"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedPhotograph:
    """One photograph, restored twice."""

    name: str  # of the file in its folder, without the ending
    a: Path
    b: Path
    blurred: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Photographs:
    """What is compared."""

    photographs: tuple[ComparedPhotograph, ...]
    left_out: int  # files that only one of the two folders holds
    digest: str  # SHA-256 over names and files: choices are about these images and no others


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One question: which of the two is better?"""

    photograph: ComparedPhotograph
    left: Method
    right: Method


def read_photographs(
    a: Path, b: Path, blurred: Path | None, *, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> Photographs:
    """Pair two folders by relative name without the ending, and check that both images of a pair have the same size.

    Args:
        a: folder of the first method's images, 8-bit RGB.
        b: folder of the second's; names that only one folder holds are left out and counted.
        blurred: folder with the blurred photographs of all pairs; others in it are ignored.
        on_progress: called after each pair with the number of pairs read and their total.

    Raises:
        DataError: a folder is missing or empty, no name is in both, a blurred photograph is missing, images of a pair
            differ in size, or a folder holds two images of one name.
    """
    folders = [folder for folder in (a, b, blurred) if folder is not None]
    if a.resolve() == b.resolve():
        raise DataError(f"{a} and {b} are the same folder: name the folders of two methods")
    files = {folder: _by_name(folder) for folder in folders}
    names = [name for name in files[a] if name in files[b]]
    if not names:
        held = f"{_holds(a, files[a])}; {_holds(b, files[b])}"
        raise DataError(f"no names in common: {held}: a photograph must have one name in both")
    if blurred is not None and (missing := [name for name in names if name not in files[blurred]]):
        raise DataError(f"{blurred} lacks the blurred {_some(missing)}: add them, or leave out --input")
    photographs, digest = [], hashlib.sha256()
    for name in names:
        chosen = [folder / files[folder][name] for folder in folders]
        _require_one_size(chosen)
        for path in chosen:
            digest.update(name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
        third = chosen[2] if blurred is not None else None
        photographs.append(ComparedPhotograph(name=name, a=chosen[0], b=chosen[1], blurred=third))
        on_progress(len(photographs), len(names))
    left_out = len(files[a].keys() ^ files[b].keys())
    return Photographs(photographs=tuple(photographs), left_out=left_out, digest=digest.hexdigest())


def trials(photographs: tuple[ComparedPhotograph, ...], *, seed: int, participant: int) -> tuple[Trial, ...]:
    """The questions for one participant, in this participant's own random order and sides.

    The arguments alone decide it, on every version of Python: a resumed study continues as it was. Method a is on the
    left as often as on the right (for an odd number of photographs, once more or once less).

    Args:
        photographs: what is compared, with distinct names.
        seed: of the study.
        participant: from 1.
    """

    def draw(what: str) -> bytes:
        return hashlib.sha256(f"{seed}/{participant}/{what}".encode()).digest()

    order = sorted(photographs, key=lambda one: draw(f"order/{one.name}"))
    by_side = sorted(order, key=lambda one: draw(f"side/{one.name}"))
    half = (len(order) + draw("odd")[0] % 2) // 2
    left = {one.name for one in by_side[:half]}  # a
    return tuple(
        Trial(photograph=one, left="a", right="b") if one.name in left else Trial(photograph=one, left="b", right="a")
        for one in order
    )


def _by_name(folder: Path) -> dict[str, PurePosixPath]:
    found: dict[str, PurePosixPath] = {}
    for path in find_files(folder, IMAGES, "images"):
        name = nfc(path.with_suffix("").as_posix())
        if name in found:
            raise DataError(f"{folder} holds {found[name]} and {path}, two images of one name: keep one")
        found[name] = path
    return found


def _require_one_size(paths: list[Path]) -> None:
    sizes = [read_image(path).shape[:2] for path in paths]
    for path, size in zip(paths, sizes, strict=True):
        if size != sizes[0]:
            shown = [f"{height}x{width}" for height, width in (sizes[0], size)]
            raise DataError(
                f"{paths[0]} is {shown[0]} and {path} is {shown[1]} (height x width), which gives the method away: "
                "restore both at the same size"
            )


def _holds(folder: Path, files: dict[str, PurePosixPath]) -> str:
    return f"{folder} holds {_some([str(path) for path in files.values()])}"


def _some(names: list[str]) -> str:
    more = f", … ({len(names)} in all)" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}"
