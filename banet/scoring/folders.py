"""Scoring a folder of images that any method restored against the folder of the sharp ones, paired by name."""

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from banet.data.codec import read_image
from banet.data.pictures import IMAGES, find_files, sequence_of
from banet.errors import DataError
from banet.scoring.evaluation import IMAGES_A_BLOCK
from banet.scoring.scores import ImageScores, Protocol, score, score_aligned
from banet.scoring.spread import spread, workers_for

NAMED = 3  # files that a message names; it counts the rest
COMMON = 0.1  # of the smaller folder: with fewer names in common the folders are of two benchmarks
REFLECTED, PLAIN = "scene244_reflect", "scene244"  # RealBlur's archive and its authors' script call one scene so

Size = tuple[int, int]
"""Height and width, pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePair:
    """A restored image and its sharp one; it goes to other processes."""

    name: PurePosixPath  # of the sharp one in its folder
    restored: Path
    sharp: Path


def score_folders(
    restored: Path,
    sharp: Path,
    protocol: Protocol,
    *,
    workers: int | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> list[ImageScores]:
    """Score every restored image, in the order of the names; everything that names and headers tell is checked first.

    Args:
        restored: folder of 8-bit RGB images, losslessly stored.
        sharp: folder of as many sharp ones, of the same names; endings may differ.
        protocol: `realblur` aligns too.
        workers: processes; None takes one for few small images and else one a core.
        report: is told how many images are done, of how many.

    Raises:
        DataError: images that are missing, too many, lossy, not 8-bit RGB or of different sizes, in one line.
        ResourceError: no OpenCV, or workers that die.
    """
    pairs = pair_folders(restored, sharp)
    _require_lossless(pairs, restored)
    pixels = _require_equal_sizes(pairs, restored)
    size = IMAGES_A_BLOCK[protocol]
    blocks = [tuple(pairs[first : first + size]) for first in range(0, len(pairs), size)]
    done: dict[int, list[ImageScores]] = {}
    for number, scores in spread(partial(_open, protocol), blocks, workers=workers_for(pixels, workers)):
        done[number] = scores
        report(sum(map(len, done.values())), len(pairs))
    return [score for number in range(len(blocks)) for score in done[number]]


def pair_folders(restored: Path, sharp: Path) -> list[FilePair]:
    """Pair all images of two folders and the folders in them: by relative name, else without the last ending.

    Only the last ending counts: `109fromGOPR1096.MP4.png` has the dots of its video in its name. RealBlur's scene 244
    has two names. Nothing may be left over on either side.

    Raises:
        DataError: a folder that is missing or empty, images that are left over, or two of one name.
    """
    names = {folder: find_files(folder, IMAGES, "images") for folder in (restored, sharp)}
    found: dict[PurePosixPath, PurePosixPath] = {}  # sharp: restored
    for called in (_whole, _without_ending, _one_name_of_scene):
        taken = set(found.values())
        left = {called(name): name for name in names[restored] if name not in taken}
        for name in names[sharp]:
            if name not in found and called(name) in left:
                found[name] = left.pop(called(name))
    taken = set(found.values())
    missing = [name for name in names[sharp] if name not in found]
    extra = [name for name in names[restored] if name not in taken]
    _require_none_left(restored, sharp, names, missing, extra)
    return [FilePair(name=name, restored=restored / found[name], sharp=sharp / name) for name in names[sharp]]


def _require_none_left(
    restored: Path,
    sharp: Path,
    names: dict[Path, list[PurePosixPath]],
    missing: list[PurePosixPath],
    extra: list[PurePosixPath],
) -> None:
    common = len(names[sharp]) - len(missing)
    if common < COMMON * min(map(len, names.values())):
        sides = "; ".join(f"{folder} holds {_some(found)}" for folder, found in names.items())
        raise DataError(f"{common or 'no'} names in common: {sides}: give the two folders of one benchmark")
    problems = []
    if missing:
        problems.append(f"{restored} lacks {_some(missing)} of {sharp}")
    if extra:
        problems.append(f"{restored} has {_some(extra)} that {sharp} lacks, or has under another ending too")
    if problems:
        counts = f"{len(names[restored])} restored images, {len(names[sharp])} sharp ones"
        raise DataError(f"{'; '.join(problems)} ({counts}): every image is scored, and once")


def _require_lossless(pairs: Iterable[FilePair], folder: Path) -> None:
    """Refuse lossy restored images: their scores would be JPEG's too, and no paper's; a sharp photograph may be one."""
    lossy = [pair.restored.relative_to(folder) for pair in pairs if _is_lossy(_head(pair.restored))]
    if lossy:
        raise DataError(
            f"{folder} holds {_some(lossy)} in a lossy format (JPEG, WebP), whatever the ending: the score would be "
            "that of the compression too: let the method write PNG"
        )


def _require_equal_sizes(pairs: Iterable[FilePair], folder: Path) -> int:
    """Check the sizes that headers tell before the first image is scored; return about how many pixels there are."""
    pixels, problems = 0, []
    for pair in pairs:
        found, wanted = _png_size(_head(pair.restored)), _png_size(_head(pair.sharp))
        pixels += wanted[0] * wanted[1] if wanted else pair.sharp.stat().st_size
        if found and wanted and found != wanted:
            problems.append(f"{pair.restored.relative_to(folder)} {_shown(found)}, not {_shown(wanted)}")
    if problems:
        raise DataError(f"{folder} holds {_some(problems)} (height x width): restore whole images, and do not crop")
    return pixels


def _open(protocol: Protocol) -> Callable[[Sequence[FilePair]], list[ImageScores]]:
    return partial(_score_pairs, protocol)


def _score_pairs(protocol: Protocol, pairs: Sequence[FilePair]) -> list[ImageScores]:
    return [_score_pair(protocol, pair) for pair in pairs]


def _score_pair(protocol: Protocol, pair: FilePair) -> ImageScores:
    restored, sharp = read_image(pair.restored), read_image(pair.sharp)
    try:
        return ImageScores(
            key=pair.name.with_suffix("").as_posix(),
            sequence=sequence_of(pair.name, "images"),
            stratum=None,
            variant="",
            blurred=None,
            restored=score(restored, sharp),
            realblur=score_aligned(restored, sharp, protocol),
        )
    except DataError as error:
        raise DataError(f"{pair.restored}: {error}") from None


def _whole(name: PurePosixPath) -> str:
    return name.as_posix()


def _without_ending(name: PurePosixPath) -> str:
    return name.with_suffix("").as_posix()


def _one_name_of_scene(name: PurePosixPath) -> str:
    return _without_ending(name).replace(REFLECTED, PLAIN)


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(32)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from None


def _is_lossy(head: bytes) -> bool:
    """Whether a file is JPEG, or WebP that may be lossy."""
    webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    return head.startswith(b"\xff\xd8") or (webp and head[12:16] != b"VP8L")


def _png_size(head: bytes) -> Size | None:
    if not head.startswith(b"\x89PNG\r\n\x1a\n") or len(head) < 24:
        return None
    width, height = struct.unpack_from(">II", head, 16)
    return height, width


def _shown(size: Size) -> str:
    return f"{size[0]}x{size[1]}"


def _some(names: Sequence[object]) -> str:
    """Count and name the first: `5 images (a.png, b.png, c.png, …)`."""
    more = ", …" if len(names) > NAMED else ""
    what = "image" if len(names) == 1 else "images"
    return f"{len(names)} {what} ({', '.join(map(str, names[:NAMED]))}{more})"
