"""Matching restored with sharp images by name, as benchmarks and methods' repositories name them.

GoPro's image 1 is `GOPR0384_11_00/sharp/000001.png` in its archive, `GOPR0384_11_00-000001.png` in MPRNet's test set,
and `GOPR0384_11_00_000001.png` in MIMO-UNet's; the script of RealBlur's authors writes `scene230_blur_7.png` for the
archive's `scene230/gt/gt_7.png`. A name counts only if no other image of its side has it. Images that are left over are
an error, and never paired by guesswork.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from banet.errors import DataError

NAMED = 3  # files that a message names; the rest is counted
COMMON = 0.1  # share of the smaller side: with fewer names in common, the sides belong to two benchmarks
REFLECTED, PLAIN = "scene244_reflect", "scene244"  # the same scene in RealBlur's archive and in its authors' script

SHARP = frozenset({"sharp", "gt", "target"})  # words for the kind of image in the names of folders and files
BLURRED = frozenset({"blur", "blur_gamma", "blurred", "blurry", "input"})
RESTORED = frozenset({"restored", "deblurred", "output"})
KINDS = SHARP | BLURRED | RESTORED

Tokens = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """The images of one side."""

    label: str  # for messages: a folder, or a benchmark's split
    names: Sequence[PurePosixPath]  # relative, without duplicates


def pair_all(restored: Side, sharp: Side, remedy: str) -> dict[PurePosixPath, PurePosixPath]:
    """Pair all images, by the first of these that matches; no image may be left over on either side.

    The relative name; the name without its last ending (`109fromGOPR1096.MP4.png` contains the ending of its video);
    with one name for RealBlur's scene of two names; with `/`, `-` and `_` treated alike; without the words for the kind
    of image; and at last without the upper folders that only one side has.

    Args:
        restored: must have exactly the images of `sharp`.
        sharp: the other side.
        remedy: for sides of two benchmarks.

    Returns:
        The restored name for each sharp name, in the order of the sharp names.

    Raises:
        DataError: images that are left over, or share a name.
    """
    found = pair_names(restored.names, sharp.names)
    taken = set(found.values())
    missing = [name for name in sharp.names if name not in found]
    extra = [name for name in restored.names if name not in taken]
    if len(found) < COMMON * min(len(sharp.names), len(restored.names)):
        sides = "; ".join(f"{side.label} holds {some(side.names)}" for side in (restored, sharp))
        raise DataError(f"{len(found) or 'no'} names in common: {sides}: {remedy}")
    problems = []
    if missing:
        problems.append(f"{restored.label} lacks {some(missing)} of {sharp.label}")
    if extra:
        problems.append(f"{restored.label} has {some(extra)} that {sharp.label} lacks, or twice with different endings")
    if problems:
        counts = f"{len(restored.names)} restored images, {len(sharp.names)} sharp ones"
        raise DataError(f"{'; '.join(problems)} ({counts}): every image must be there exactly once")
    return {name: found[name] for name in sharp.names}


def pair_names(restored: Sequence[PurePosixPath], sharp: Sequence[PurePosixPath]) -> dict[PurePosixPath, PurePosixPath]:
    """Pair what can be paired, as `pair_all` says; return the restored name by sharp name."""
    found: dict[PurePosixPath, PurePosixPath] = {}
    taken: set[PurePosixPath] = set()

    def add(name: PurePosixPath, other: PurePosixPath) -> None:
        if name not in found and other not in taken:
            found[name] = other
            taken.add(other)

    for called in (PurePosixPath.as_posix, _without_ending, _one_name_of_scene, _flat, _flat_without_kinds):
        there = _unique(restored, called)
        for key, name in _unique(sharp, called).items():
            if key in there:
                add(name, there[key])
    if len(found) < len(sharp):
        for name, other in _by_tails(restored, sharp):
            add(name, other)
    return found


def only_sharp(names: Sequence[PurePosixPath]) -> list[PurePosixPath]:
    """Keep the sharp images of a benchmark's own tree, which has folders of several kinds side by side."""
    return _of_kind(names, SHARP, BLURRED | RESTORED)


def only_restored(names: Sequence[PurePosixPath], sharp: Collection[PurePosixPath]) -> list[PurePosixPath]:
    """Keep the restored images among the files that methods write.

    Left out are folders of other kinds side by side with restored ones, and the copy `x_gt.png` of the sharp image that
    NAFNet and its relatives write beside `x.png`, unless there is a sharp image with that name.
    """
    names = _of_kind(names, RESTORED, BLURRED | SHARP)
    there, wanted = {_without_ending(name) for name in names}, {_without_ending(name) for name in sharp}

    def is_copy(name: PurePosixPath) -> bool:
        text = _without_ending(name)
        plain, _, kind = text.rpartition("_")
        return kind.lower() in SHARP | BLURRED and plain in there and text not in wanted

    return [name for name in names if not is_copy(name)]


def without_kinds(name: PurePosixPath) -> PurePosixPath:
    """Leave out folders that only name the kind of image: `GOPR0384_11_00/000001.png`."""
    return PurePosixPath(*(part for part in name.parts[:-1] if _kind(part) not in KINDS), name.name)


def some(names: Sequence[object]) -> str:
    """Count the images and name the first: `5 images (a.png, b.png, c.png, …)`."""
    more = ", …" if len(names) > NAMED else ""
    what = "image" if len(names) == 1 else "images"
    return f"{len(names)} {what} ({', '.join(map(str, names[:NAMED]))}{more})"


def _unique(
    names: Sequence[PurePosixPath], called: Callable[[PurePosixPath], Hashable]
) -> dict[Hashable, PurePosixPath]:
    """Names by what `called` makes of them, if that is unique."""
    times = Counter(map(called, names))
    return {key: name for name in names if times[key := called(name)] == 1}


def _without_ending(name: PurePosixPath) -> str:
    return name.with_suffix("").as_posix()


def _one_name_of_scene(name: PurePosixPath) -> str:
    return _without_ending(name).replace(REFLECTED, PLAIN)


def _flat(name: PurePosixPath) -> Tokens:
    return _tokens(_one_name_of_scene(name))


def _flat_without_kinds(name: PurePosixPath) -> Tokens:
    return _joined(_levels(name))


def _by_tails(
    restored: Sequence[PurePosixPath], sharp: Sequence[PurePosixPath]
) -> Iterator[tuple[PurePosixPath, PurePosixPath]]:
    """Pairs in which one name is the other's tail, cut between folders: `1.png` and `test/1.png`.

    Never `street_1.png` and `1.png`, nor `a/1.png` and `b/1.png`; and only if neither fits a second image.
    """
    fits: dict[PurePosixPath, set[PurePosixPath]] = defaultdict(set)  # sharp: restored
    fits_back: dict[PurePosixPath, set[PurePosixPath]] = defaultdict(set)
    for longer, shorter, turned in ((sharp, restored, False), (restored, sharp, True)):
        whole = defaultdict(list)
        for name in shorter:
            whole[_joined(_levels(name))].append(name)
        for name in longer:
            levels = _levels(name)
            for tail in {_joined(levels[first:]) for first in range(len(levels))} - {()}:
                for other in whole.get(tail, ()):
                    one, two = (other, name) if turned else (name, other)
                    fits[one].add(two)
                    fits_back[two].add(one)
    for name in sharp:
        if len(fits[name]) == 1:
            (other,) = fits[name]
            if len(fits_back[other]) == 1:
                yield name, other


def _levels(name: PurePosixPath) -> list[Tokens]:
    """The tokens of each folder's and the file's name, without words for kinds of images.

    A folder is left out only if the word is its whole name, and `sharp_turn` stays; in a file's name such words are
    left out at both ends and before the frame number.
    """
    *folders, file = _one_name_of_scene(name).split("/")
    levels = [_tokens(folder) for folder in folders if _kind(folder) not in KINDS]
    tokens = list(_tokens(re.sub("blur[-_]gamma", "blur", file, flags=re.IGNORECASE)))
    while tokens and _kind(tokens[0]) in KINDS:
        del tokens[0]
    while tokens and _kind(tokens[-1]) in KINDS:
        del tokens[-1]
    while len(tokens) > 1 and _kind(tokens[-2]) in KINDS:
        del tokens[-2]
    return [*levels, tuple(tokens)] if tokens or levels else [_tokens(file)]


def _joined(levels: Sequence[Tokens]) -> Tokens:
    return tuple(token for level in levels for token in level)


def _tokens(text: str) -> Tokens:
    return tuple(token for token in re.split("[-_/]", text) if token)


def _kind(word: str) -> str:
    return word.lower().replace("-", "_")


def _of_kind(names: Sequence[PurePosixPath], wanted: Collection[str], others: Collection[str]) -> list[PurePosixPath]:
    """Where folders of the wanted kind are beside folders of other kinds, keep only what is in the former."""
    kinds: dict[Tokens, set[str]] = defaultdict(set)  # names inside, by folder
    for name in names:
        for level, part in enumerate(name.parts[:-1]):
            kinds[name.parts[:level]].add(_kind(part))
    mixed = {folder for folder, found in kinds.items() if found & set(wanted) and found & set(others)}

    def is_left_out(name: PurePosixPath) -> bool:
        return any(name.parts[:level] in mixed and _kind(part) not in wanted for level, part in enumerate(name.parts))

    return [name for name in names if not is_left_out(name)]
