"""Pairs by the names of files, as each benchmark lays them out."""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from banet.data.archives.safety import is_ignored, shown
from banet.data.manifest import Benchmark
from banet.data.names import SHARP, nfc

HIDE_TEST = ("test-close-ups", "test-long-shot")

Place = tuple[str, str, str]  # split, sequence, frame
Half = tuple[Place, str, str | None]  # (pair, kind, file); None if listed but missing


@dataclass(frozen=True, slots=True, kw_only=True)
class PairFiles:
    """The files of one pair in an archive."""

    split: str
    sequence: str
    frame: str
    members: dict[str, str]  # kind of image (`sharp`, a variant): member of the archive

    @property
    def key(self) -> str:
        """Name of the pair, unique in its benchmark: sequence/frame."""
        return f"{self.sequence}/{self.frame}"


def find_pairs(
    benchmark: Benchmark, names: Collection[str], text: Callable[[str], str]
) -> tuple[list[PairFiles], list[str]]:
    """Find the pairs of a benchmark in the order of split, sequence and frame; frames that are numbers by their value.

    Args:
        benchmark: gives the layout and the kinds of image to keep.
        names: of files, with `/` between folders; folders above the benchmark's own are ignored, and so is what
            systems leave behind. Names in different Unicode forms are compared, and named, in one.
        text: gives the text of a list file by its name.

    Returns:
        The pairs, and what is wrong with them: images that are missing or found twice, one name for two pairs. If
        anything is wrong, the pairs must not be used.
    """
    kinds = (SHARP, *benchmark.variants)
    problems: list[str] = []
    members: dict[str, str] = {}
    for member in names:
        if not is_ignored(member) and (first := members.setdefault(nfc(member), member)) != member:
            problems.append(f"{shown(first)} is there twice, in two Unicode forms")
    found: dict[Place, dict[str, str]] = defaultdict(dict)
    for place, kind, name in _halves(benchmark, list(members), lambda name: nfc(text(members[name])), problems):
        has = found[place]
        if name is None:
            continue
        if kind in has:
            problems.append(f"{'/'.join(place)} has two images {kind}: {shown(has[kind])} and {shown(name)}")
        has.setdefault(kind, members[name])
    places = sorted(found, key=_order)
    problems += [f"{'/'.join(at)} lacks {kind}" for at in places for kind in kinds if kind not in found[at]]
    pairs = [PairFiles(split=at[0], sequence=at[1], frame=at[2], members=found[at]) for at in places]
    return pairs, problems or _same_names(pairs)


def in_order(pairs: Iterable[PairFiles]) -> list[PairFiles]:
    """Sort pairs by split, sequence and frame; frames that are numbers by their value."""
    return sorted(pairs, key=lambda pair: _order((pair.split, pair.sequence, pair.frame)))


def _halves(benchmark: Benchmark, names: list[str], text: Callable[[str], str], problems: list[str]) -> Iterator[Half]:
    if benchmark.layout == "hide":
        return _hide(benchmark, names)
    if benchmark.layout == "realblur":
        return _realblur(benchmark, names, text, problems)
    return _gopro(benchmark, names)


def _order(place: Place) -> tuple[str, str, int, str, str]:
    split, sequence, frame = place
    digits = frame.lstrip("0") if frame.isascii() and frame.isdecimal() else ""
    return split, sequence, len(digits), digits, frame


def _same_names(pairs: list[PairFiles]) -> list[str]:
    splits: dict[str, list[str]] = defaultdict(list)
    for pair in pairs:
        splits[pair.key].append(pair.split)
    return [f"{key} is in {' and '.join(among)}" for key, among in splits.items() if len(among) > 1]


def _gopro(benchmark: Benchmark, names: list[str]) -> Iterator[Half]:
    """`ROOT/SPLIT/SEQUENCE/KIND/FRAME.png`, with one text file per sequence beside the kinds."""
    kinds = (SHARP, *benchmark.variants)
    for name in names:
        path = PurePosixPath(name)
        if len(path.parts) >= 4 and _is_png(path) and path.parts[-2] in kinds:
            split, sequence, kind = path.parts[-4:-1]
            yield (split, sequence, path.stem), kind, name


def _hide(benchmark: Benchmark, names: list[str]) -> Iterator[Half]:
    """`ROOT/{train, test/test-close-ups, test/test-long-shot}/NAME.png` blurred, `ROOT/GT/NAME.png` sharp.

    GT holds the sharp images of both splits; those without a blurred one are ignored, as an archive may hold only one
    split. Splits that the manifest does not count are ignored too. A name may contain dots
    (`109fromGOPR1096.MP4.png`).
    """
    sharp: dict[str, list[str]] = defaultdict(list)
    blurred: list[tuple[Place, str]] = []
    for name in names:
        path = PurePosixPath("/", name)  # the root gives every file two folders above
        if not _is_png(path):
            continue
        above, folder = path.parts[-3:-1] if len(path.parts) > 2 else ("", "")
        if folder == "GT":
            sharp[path.name].append(name)
        elif folder == "train":
            blurred.append((("train", "train", path.stem), name))
        elif above == "test" and folder in HIDE_TEST:
            blurred.append((("test", folder, path.stem), name))
    for place, name in blurred:
        if not benchmark.counts or place[0] in benchmark.counts:
            yield place, benchmark.variants[0], name
            yield from ((place, SHARP, twin) for twin in sharp[PurePosixPath(name).name])


def _realblur(
    benchmark: Benchmark, names: list[str], text: Callable[[str], str], problems: list[str]
) -> Iterator[Half]:
    """`ROOT/SCENE/{gt/gt_K.png, blur/blur_K.png}`, and for each split a list: sharp image, blank, blurred image.

    One archive holds two roots (J and R) and their lists; only listed images count. A scene is named after its folder
    (one may be `scene244_reflect`).
    """
    root = benchmark.root or ""
    images: dict[str, list[str]] = defaultdict(list)
    for name in names:
        parts = PurePosixPath(name).parts
        if root in parts:
            images["/".join(parts[parts.index(root) :])].append(name)
    for split, wanted in (benchmark.lists or {}).items():
        lists = [name for name in names if name == wanted or name.endswith(f"/{wanted}")]
        if len(lists) != 1:
            problems.append(f"the list {wanted} is " + (f"there twice: {' and '.join(lists)}" if lists else "missing"))
            continue
        for line, scene, sharp, blurred in _lines(text(lists[0])):
            if PurePosixPath(scene).parent.name != root:
                problems.append(f"{shown(lists[0])} line {line} is not {root}/SCENE/gt/gt_K.png …/blur/blur_K.png")
                continue
            place, folder = (split, PurePosixPath(scene).name, blurred), f"{root}/{PurePosixPath(scene).name}"
            yield from _images(place, SHARP, images[f"{folder}/gt/gt_{sharp}.png"])
            yield from _images(place, benchmark.variants[0], images[f"{folder}/blur/blur_{blurred}.png"])


def _lines(text: str) -> Iterator[tuple[int, str, str, str]]:
    """Yield number, scene's path, sharp and blurred image's numbers of every line; no path if a line is not a pair."""
    for number, line in enumerate(text.splitlines(), 1):
        match = re.fullmatch(r"(\S+)/gt/gt_(\d+)\.png\s+\1/blur/blur_(\d+)\.png", line.strip())
        if match:
            yield number, match[1], match[2], match[3]
        elif line.strip():
            yield number, "", "", ""


def _images(place: Place, kind: str, names: list[str]) -> Iterator[Half]:
    if not names:
        yield place, kind, None
    yield from ((place, kind, name) for name in names)


def _is_png(path: PurePosixPath) -> bool:
    return path.suffix.lower() == ".png"
