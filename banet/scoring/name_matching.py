"""Which restored image belongs to which sharp one: by the names that benchmarks and methods' repositories give them.

GoPro's image 1 is `GOPR0384_11_00/sharp/000001.png` in its archive, `GOPR0384_11_00-000001.png` where MPRNet's test set
was restored and `GOPR0384_11_00_000001.png` where MIMO-UNet's was; RealBlur's authors' script takes
`scene230_blur_7.png` for the archive's `scene230/gt/gt_7.png`. A name counts only where no other image of its side has
it, so that images are left over, which is an error, and never paired by guess.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from banet.errors import DataError

NAMED = 3  # files that a message names; it counts the rest
COMMON = 0.1  # of the smaller side: with fewer names in common they are of two benchmarks
REFLECTED, PLAIN = "scene244_reflect", "scene244"  # RealBlur's archive and its authors' script call one scene so

SHARP = frozenset({"sharp", "gt", "target"})  # words for the kind of an image, in folders' and files' names
BLURRED = frozenset({"blur", "blur_gamma", "blurred", "blurry", "input"})
RESTORED = frozenset({"restored", "deblurred", "output"})
KINDS = SHARP | BLURRED | RESTORED

Tokens = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """The images of one side."""

    label: str  # names it in messages: a folder, or a benchmark's split
    names: Sequence[PurePosixPath]  # relative, each once


def pair_all(restored: Side, sharp: Side, remedy: str) -> dict[PurePosixPath, PurePosixPath]:
    """Pair all images, by the first of these that fits; nothing may be left over on either side.

    The relative name; without the last ending (`109fromGOPR1096.MP4.png` has the dots of its video in its name); with
    one name for RealBlur's scene of two; with `/`, `-` and `_` the same; without the words for the kind of image; the
    last of these where folders above are on one side only.

    Args:
        restored: whose images must be all that `sharp` has, and no more.
        sharp: side with as many.
        remedy: for sides of two benchmarks.

    Returns:
        Sharp names, in their order, and the restored one of each.

    Raises:
        DataError: images that are left over, or have one name, in one line.
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
        problems.append(f"{restored.label} has {some(extra)} that {sharp.label} lacks, or has under another ending too")
    if problems:
        counts = f"{len(restored.names)} restored images, {len(sharp.names)} sharp ones"
        raise DataError(f"{'; '.join(problems)} ({counts}): every image is scored, and once")
    return {name: found[name] for name in sharp.names}


def pair_names(restored: Sequence[PurePosixPath], sharp: Sequence[PurePosixPath]) -> dict[PurePosixPath, PurePosixPath]:
    """Pair what can be paired, as `pair_all` says: the restored name of each sharp one."""
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
    if len(found) < len(sharp):
        for name, other in _by_tails(restored, sharp):
            add(name, other)
    return found


def only_sharp(names: Sequence[PurePosixPath]) -> list[PurePosixPath]:
    """Take a benchmark's own tree for its sharp images: where folders of several kinds lie side by side, only those."""
    return _of_kind(names, SHARP, BLURRED | RESTORED)


def only_restored(names: Sequence[PurePosixPath], sharp: Collection[PurePosixPath]) -> list[PurePosixPath]:
    """Take what methods write for its restored images.

    Where folders of several kinds lie side by side, only those, and not the copy `x_gt.png` of the sharp image that
    NAFNet and its kin write beside `x.png`, unless there is a sharp image of that name.
    """
    names = _of_kind(names, RESTORED, BLURRED | SHARP)
    there, wanted = {_without_ending(name) for name in names}, {_without_ending(name) for name in sharp}

    def is_copy(name: PurePosixPath) -> bool:
        text = _without_ending(name)
        plain, _, kind = text.rpartition("_")
        return kind.lower() in SHARP | BLURRED and plain in there and text not in wanted

    return [name for name in names if not is_copy(name)]


def without_kinds(name: PurePosixPath) -> PurePosixPath:
    """Leave out folders that say the kind of image only: `GOPR0384_11_00/000001.png`."""
    return PurePosixPath(*(part for part in name.parts[:-1] if _kind(part) not in KINDS), name.name)


def some(names: Sequence[object]) -> str:
    """Count and name the first: `5 images (a.png, b.png, c.png, …)`."""
    more = ", …" if len(names) > NAMED else ""
    what = "image" if len(names) == 1 else "images"
    return f"{len(names)} {what} ({', '.join(map(str, names[:NAMED]))}{more})"


def _unique(
    names: Sequence[PurePosixPath], called: Callable[[PurePosixPath], Hashable]
) -> dict[Hashable, PurePosixPath]:
    """Names by what they are called, where that is one image's."""
    times = Counter(map(called, names))
    return {key: name for name in names if times[key := called(name)] == 1}


def _whole(name: PurePosixPath) -> str:
    return name.as_posix()


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
    """Pairs of which one name is the other's end, from a folder or the file on: `1.png` and `test/1.png`.

    Never `street_1.png` and `1.png`, nor `a/1.png` and `b/1.png`; and only where neither fits a second image.
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
    """The parts of each folder's and the file's name, without words for kinds.

    Of folders only those go that are called so, and `sharp_turn` stays; of a file's name they go at both ends and
    before the frame.
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
    """Where folders of the wanted kind lie beside folders of other kinds, leave out all that is not in the former."""
    kinds: dict[Tokens, set[str]] = defaultdict(set)  # folder: what lies in it is called
    for name in names:
        for level, part in enumerate(name.parts[:-1]):
            kinds[name.parts[:level]].add(_kind(part))
    mixed = {folder for folder, found in kinds.items() if found & set(wanted) and found & set(others)}

    def is_left_out(name: PurePosixPath) -> bool:
        return any(name.parts[:level] in mixed and _kind(part) not in wanted for level, part in enumerate(name.parts))

    return [name for name in names if not is_left_out(name)]
