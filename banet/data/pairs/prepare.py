"""Custom data as a benchmark: what the fetch stage leaves of them.

Pairs that lie in files stay there and are listed; tables, clips and photographs become an archive in GoPro's layout.
"""

import os
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from banet.data.archives.file_list import write_listing
from banet.data.archives.layouts import PairFiles, in_order
from banet.data.archives.safety import summary
from banet.data.custom_spec import AVERAGE, PAIRS, CustomSplit
from banet.data.manifest import Benchmark, SynthesisParams
from banet.data.names import SHARP, TEST, TRAIN
from banet.data.pairs.folders import folder_pairs, listed_pairs
from banet.data.pairs.frames import clip_tasks, count_pairs, find_clips
from banet.data.pairs.pair_writer import PairTask, add_to_zip, write_pairs
from banet.data.pairs.photographs import find_photographs, photograph_tasks, require_usable
from banet.data.pairs.tables import find_tables, read_names, table_tasks
from banet.errors import DataError
from banet.files import whole_file
from banet.progress import OnProgress


@dataclass(frozen=True, slots=True, kw_only=True)
class PairPlan:
    """Pairs to be made."""

    total: int | None  # how many; None where only decoding a video tells
    tasks: Iterable[PairTask]


def write_custom(
    benchmark: Benchmark, path: Path, *, root: Path = Path(), on_progress: OnProgress | None = None
) -> None:
    """Write the listing or the archive of custom data, whole or not at all; the same data give the same bytes.

    Args:
        benchmark: the manifest.
        path: of the listing or archive, named by `benchmark.archive_names`.
        root: what relative paths of the manifest start from.
        on_progress: is told how far it is.

    Raises:
        DataError: what is wrong with the data, in one line.
    """
    try:
        if benchmark.layout in ("folders", "list"):
            write_listing(path, _file_pairs(benchmark, root), on_progress=on_progress)
            return
        with whole_file(path) as partial:
            write_zip(partial, plan_custom(benchmark, root), root=benchmark.name, on_progress=on_progress)
    except DataError as error:
        raise DataError(f"benchmark {benchmark.name}: {error}") from None


def write_zip(path: Path, plan: PairPlan, *, root: str, on_progress: OnProgress | None = None) -> int:
    """Write pairs as a ZIP in GoPro's layout under one root; return how many there were."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        return write_pairs(plan.tasks, add_to_zip(archive, root), total=plan.total, on_progress=on_progress)


def plan_custom(benchmark: Benchmark, root: Path = Path()) -> PairPlan:
    """Say what pairs a table, clips or photographs give, in the order of splits, sequences and numbers.

    Raises:
        DataError: what is wrong with them before any pair is made.
    """
    if benchmark.layout == "table":
        return _table_plan(benchmark, root)
    return _frames_plan(benchmark, root) if benchmark.layout == "frames" else _photograph_plan(benchmark, root)


def chosen_to_test(patterns: Sequence[str] | None, sequences: Mapping[str, Sequence[str]]) -> set[str]:
    """Choose the sequences of the train split that `test_sequences` makes test ones.

    Args:
        patterns: names or patterns; none if None.
        sequences: those of the train split. A photograph's has the names of its strata: a pattern that matches all of
            them chooses it, one that matches some does not, so that no photograph stands in two splits.

    Raises:
        DataError: a pattern that matches nothing, or patterns that leave nothing to train on.
    """
    chosen, idle = set(), []
    for pattern in patterns or ():
        matched = {name for name, parts in sequences.items() if _matches(pattern, name, parts)}
        chosen |= matched
        if not matched:
            idle.append(repr(pattern))
    if idle:
        raise DataError(f"test_sequences: {', '.join(idle)} matches none of {_some(sequences)}")
    if chosen and len(chosen) == len(sequences):
        raise DataError(f"test_sequences matches every sequence ({_some(sequences)}): none is left to train on")
    return chosen


def _file_pairs(benchmark: Benchmark, root: Path) -> list[PairFiles]:
    pairs: list[PairFiles] = []
    for name, split in (benchmark.splits or {}).items():
        variant, pattern = benchmark.variants[0], benchmark.sequence
        if benchmark.layout == "list":
            pairs += listed_pairs(_place(root, split.list), split=name, variant=variant, pattern=pattern)
        else:
            blurred, sharp = _place(root, split.blurred), _place(root, split.sharp)
            pairs += folder_pairs(blurred, sharp, split=name, variant=variant, pattern=pattern)
    trained = {pair.sequence: () for pair in pairs if pair.split == TRAIN}
    chosen = chosen_to_test(benchmark.test_sequences, trained)
    pairs = [replace(pair, split=TEST) if _is_test(pair.split, pair.sequence, chosen) else pair for pair in pairs]
    _require_one_each((pair.sequence, pair.frame) for pair in pairs)
    return in_order(pairs)


def _table_plan(benchmark: Benchmark, root: Path) -> PairPlan:
    tables, named = [], []
    for name, split in (benchmark.splits or {}).items():
        files = find_tables(_place(root, split.table))
        rows = [(name, *row) for row in read_names(files, name, benchmark.sequence)]
        tables.append((files, len(rows)))
        named += rows
    chosen = chosen_to_test(benchmark.test_sequences, {place[1]: () for place in named if place[0] == TRAIN})
    places = [(TEST if _is_test(split, name, chosen) else split, name, frame) for split, name, frame in named]
    _require_one_each(place[1:] for place in places)

    def tasks() -> Iterable[PairTask]:
        start = 0
        for files, count in tables:
            yield from table_tasks(files, places[start : start + count], benchmark.variants[0])
            start += count

    return PairPlan(total=len(places), tasks=tasks())


def _frames_plan(benchmark: Benchmark, root: Path) -> PairPlan:
    found = []
    for name, split in (benchmark.splits or {}).items():
        count = split.average or AVERAGE
        found += [(name, split, clip) for clip in find_clips(_place(root, split.frames), count)]
    chosen = chosen_to_test(benchmark.test_sequences, {clip.name: () for name, _, clip in found if name == TRAIN})
    _require_apart((clip.name for _, _, clip in found), "clip")
    totals = [count_pairs([clip], split.average or AVERAGE) for _, split, clip in found]

    def tasks() -> Iterable[PairTask]:
        for name, split, clip in found:
            yield from clip_tasks(
                clip,
                TEST if _is_test(name, clip.name, chosen) else name,
                count=split.average or AVERAGE,
                light=split.light or "encoded",
                blur=benchmark.variants[0],
            )

    return PairPlan(total=None if None in totals else sum(total or 0 for total in totals), tasks=tasks())


def _photograph_plan(benchmark: Benchmark, root: Path) -> PairPlan:
    params = benchmark.synthesis or SynthesisParams()
    found = []
    for name, split in (benchmark.splits or {}).items():
        found += [(name, split, photograph) for photograph in find_photographs(_place(root, split.photographs))]
    strata = {
        photograph.name: [f"{photograph.name}_{stratum}" for stratum in params.strata]
        for name, _, photograph in found
        if name == TRAIN
    }
    chosen = chosen_to_test(benchmark.test_sequences, strata)
    _require_apart((photograph.name for _, _, photograph in found), "photograph")
    require_usable([photograph for _, _, photograph in found], params)

    def tasks() -> Iterable[PairTask]:
        for name, split, photograph in found:
            yield from photograph_tasks(
                [photograph],
                params,
                TEST if _is_test(name, photograph.name, chosen) else name,
                pairs=split.pairs or PAIRS,
                kinds=(*benchmark.variants, SHARP),
            )

    return PairPlan(total=sum(pairs_of(split, params) for _, split, _ in found), tasks=tasks())


def pairs_of(split: CustomSplit, params: SynthesisParams) -> int:
    """How many pairs each photograph of a split gives."""
    return (split.pairs or PAIRS) * len(params.strata)


def _place(root: Path, text: str | None) -> Path:
    return Path(os.path.normpath(root / Path(text or "").expanduser()))


def _is_test(split: str, sequence: str, chosen: set[str]) -> bool:
    return split == TRAIN and sequence in chosen


def _matches(pattern: str, name: str, parts: Sequence[str]) -> bool:
    return fnmatchcase(name, pattern) or (bool(parts) and all(fnmatchcase(part, pattern) for part in parts))


def _require_one_each(keys: Iterable[tuple[str, ...]]) -> None:
    problems = [f"{number} pairs are called {'/'.join(key)}" for key, number in Counter(keys).items() if number > 1]
    if problems:
        raise DataError(f"{summary(problems)}: each needs a name of its own in its sequence, in both splits together")


def _require_apart(names: Iterable[str], what: str) -> None:
    twice = [f"{what} {name}" for name, number in Counter(names).items() if number > 1]
    if twice:
        raise DataError(f"{summary(twice)} in both splits: each belongs to one")


def _some(sequences: Iterable[str]) -> str:
    return summary(list(sequences)).replace("; ", ", ")
