"""Matching restored with sharp images by name, as benchmarks and methods' repositories name them.

GoPro's image 1 is `GOPR0384_11_00/sharp/000001.png` in its archive, `GOPR0384_11_00-000001.png` in MPRNet's test set,
and `GOPR0384_11_00_000001.png` in MIMO-UNet's; the script of RealBlur's authors writes `scene230_blur_7.png` for the
archive's `scene230/gt/gt_7.png`. A name counts only if no other image of its side has it. Images that are left over are
an error, and never paired by guesswork. What methods add to all names of a folder (`NAME_NAFNet-width64.png`,
`NAME_out.png`, `NAME.jpg.png`) is seen through, and said.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from os.path import commonprefix
from pathlib import PurePosixPath

from banet.data.images.image_files import IMAGES
from banet.data.names import nfc
from banet.errors import DataError
from banet.progress import say

NAMED = 3  # files that a message names; the rest is counted
COMMON = 0.1  # share of the smaller side: with fewer names in common, the sides belong to two benchmarks
REFLECTED, PLAIN = "scene244_reflect", "scene244"  # the same scene in RealBlur's archive and in its authors' script

SHARP = frozenset({"sharp", "gt", "target"})  # words for the kind of image in the names of folders and files
BLURRED = frozenset({"blur", "blur_gamma", "blurred", "blurry", "input"})
RESTORED = frozenset({"restored", "deblurred", "output"})
KINDS = SHARP | BLURRED | RESTORED

Tokens = tuple[str, ...]
Pairs = dict[PurePosixPath, PurePosixPath]
"""The restored name by sharp name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """The images of one side."""

    label: str  # for messages: a folder, or a benchmark's split
    names: Sequence[PurePosixPath]  # relative, without duplicates


def pair_all(restored: Side, sharp: Side, remedy: str) -> Pairs:
    """Pair all images, by the first of these that matches; no image may be left over on either side.

    The relative name; the name without its last ending (`109fromGOPR1096.MP4.png` contains the ending of its video);
    with one name for RealBlur's scene of two names; with `/`, `-` and `_` treated alike; without the words for the kind
    of image; and at last without the upper folders that only one side has. If images are left over, the same without
    an ending or a beginning that all names of one side have in common, which is said on standard error.

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
    if len(found) < max(len(restored.names), len(sharp.names)):
        found = _see_through(restored, sharp, found)
    taken = set(found.values())
    missing = [name for name in sharp.names if name not in found]
    extra = [name for name in restored.names if name not in taken]
    _require_once(restored, extra)
    _require_once(sharp, missing)
    if len(found) < COMMON * min(len(sharp.names), len(restored.names)):
        sides = "; ".join(f"{side.label} holds {some(side.names)}" for side in (restored, sharp))
        raise DataError(f"{len(found) or 'no'} names in common: {sides}: {remedy}")
    problems = []
    if missing:
        problems.append(f"{restored.label} lacks {some(missing)} of {sharp.label}")
    if extra:
        problems.append(f"{restored.label} has {some(extra)} that {sharp.label} lacks")
    if problems:
        counts = f"{len(restored.names)} restored images, {len(sharp.names)} sharp ones"
        raise DataError(f"{'; '.join(problems)} ({counts}): every image must be there exactly once")
    return {name: found[name] for name in sharp.names}


def pair_names(restored: Sequence[PurePosixPath], sharp: Sequence[PurePosixPath], *, tails: bool = True) -> Pairs:
    """Pair what can be paired, as `pair_all` says, at last without the upper folders if `tails`."""
    found: dict[PurePosixPath, PurePosixPath] = {}
    taken: set[PurePosixPath] = set()

    def add(name: PurePosixPath, other: PurePosixPath) -> None:
        if name not in found and other not in taken:
            found[name] = other
            taken.add(other)

    for called in (_whole, _without_ending, _one_name_of_scene, _flat, _flat_without_kinds):
        there = _unique(restored, called)
        for key, name in _unique(sharp, called).items():
            if key in there:
                add(name, there[key])
    if tails and len(found) < len(sharp):
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


def _whole(name: PurePosixPath) -> str:
    return nfc(name.as_posix())


def _without_ending(name: PurePosixPath) -> str:
    return nfc(name.with_suffix("").as_posix())


def _see_through(restored: Side, sharp: Side, found: Pairs) -> Pairs:
    """Pair more images by leaving out what all names of one side have in common, and say so; else return `found`."""
    said = ""
    for side in (restored, sharp):
        for before, after in _common_parts(side.names):
            cut = {name.with_name(f"{_core(name)[len(before) :].removesuffix(after)}.png"): name for name in side.names}
            if len(cut) < len(side.names):
                continue  # two names would become one
            ours, theirs = (cut if one is side else {name: name for name in one.names} for one in (restored, sharp))
            paired = pair_names(list(ours), list(theirs), tails=not before)
            if len(paired) > len(found):
                found = {theirs[name]: ours[other] for name, other in paired.items()}
                parts = [f"the beginning {before}"] * bool(before) + [f"the ending {after}"] * bool(after)
                what = f"{' and '.join(parts)} of all names" if parts else "the first of two endings, as in .jpg.png,"
                said = f"{side.label}: {what} is left out"
    if said:
        say(said)
    return found


def _common_parts(names: Sequence[PurePosixPath]) -> list[tuple[str, str]]:
    """What all names begin and end with, cut where no letter or digit is; the endings alone and the shortest first.

    Left out are beginnings that leave only numbers, since frames of other sequences have the same, and of a single
    image an ending that begins with a number.
    """
    cores = [_core(name) for name in names]
    first = commonprefix(cores)  # noqa: RUF071
    last = commonprefix([core[::-1] for core in cores])[::-1]  # noqa: RUF071
    starts = ["", *(first[: i + 1] for i, mark in enumerate(first) if not mark.isalnum())]
    ends = ["", *(last[i:] for i in reversed(range(len(last))) if not last[i].isalnum())]
    if len(names) == 1:
        ends = [end for end in ends if not re.match(r"[\W_]+\d+([\W_]|$)", end)]
    return [
        (before, after)
        for before, after in product(starts, ends)
        if all(
            re.search(r"[^\W\d_]" if before else r"[^\W_]", core[len(before) : len(core) - len(after)])
            for core in cores
        )
    ]


def _core(name: PurePosixPath) -> str:
    """The name of a file without its endings of images, of which some methods write two."""
    while name.suffix.lower() in IMAGES:
        name = name.with_suffix("")
    return nfc(name.name)


def _require_once(side: Side, left_over: Sequence[PurePosixPath]) -> None:
    """Refuse images that are there with several endings: no other name helps."""
    times = Counter(map(_without_ending, side.names))
    twice = [name for name in left_over if times[_without_ending(name)] > 1]
    if twice:
        texts = set(map(_without_ending, twice))
        endings = ", ".join(sorted({name.suffix for name in side.names if _without_ending(name) in texts}))
        raise DataError(f"{side.label} has {some(twice)} with several endings ({endings}): keep one file of each image")


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
