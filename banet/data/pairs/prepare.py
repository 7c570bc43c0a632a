"""Custom data as a benchmark: the output of the fetch stage for them.

Pairs that are files stay in place and are listed; tables, clips and photographs become an archive in GoPro's layout.
"""

import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TypeVar

from banet.data.archives.file_list import write_listing
from banet.data.archives.layouts import PairFiles, in_order
from banet.data.archives.safety import summary
from banet.data.images.image_files import as_on_disk, called_alike
from banet.data.manifest import Benchmark, SynthesisParams
from banet.data.names import SHARP, TEST, TRAIN, chosen, nfc
from banet.data.pairs.folders import folder_pairs, listed_pairs
from banet.data.pairs.frames import clip_tasks, count_pairs, find_clips
from banet.data.pairs.pair_writer import PairTask, add_to_zip, write_pairs
from banet.data.pairs.photographs import find_photographs, photograph_tasks, require_usable
from banet.data.pairs.tables import find_tables, read_names, table_tasks
from banet.errors import DataError
from banet.files import whole_file
from banet.progress import OnProgress

AnyPair = TypeVar("AnyPair", PairFiles, PairTask)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairPlan:
    """Pairs to make."""

    total: int | None  # their number; None if only decoding a video can tell
    tasks: Iterable[PairTask]


def write_custom(
    benchmark: Benchmark,
    path: Path,
    *,
    root: Path = Path(),
    on_progress: OnProgress | None = None,
) -> None:
    """Write the listing or archive of custom data, whole or not at all; the same data give the same bytes.

    Args:
        benchmark: the manifest.
        path: the listing or archive, named by `benchmark.archive_names`.
        root: folder to which relative paths in the manifest refer.
        on_progress: called after each pair.

    Raises:
        DataError: says in one line what is wrong with the data.
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
    """Write pairs as a ZIP in GoPro's layout under one root; return their number."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        return write_pairs(plan.tasks, add_to_zip(archive, root), total=plan.total, on_progress=on_progress)


def plan_custom(benchmark: Benchmark, root: Path) -> PairPlan:
    """Plan the pairs of tables, clips or photographs, in the order of splits, sequences and numbers.

    Raises:
        DataError: says what is wrong with the data before any pair is made.
    """
    if benchmark.layout == "table":
        return _table_plan(benchmark, root)
    return _frames_plan(benchmark, root) if benchmark.layout == "frames" else _photograph_plan(benchmark, root)


def chosen_to_test(patterns: Sequence[str] | None, sequences: Mapping[str, Sequence[str]]) -> set[str]:
    """Choose the sequences that `test_sequences` moves from the train split to the test split.

    Args:
        patterns: names, or patterns of names where none is equal (`chosen`); None chooses nothing.
        sequences: the sequences of the train split by name. A clip is one sequence, a photograph one per stratum. A
            photograph is chosen by its name or by a pattern that matches all its sequences, so it stays in one split.

    Raises:
        DataError: a pattern that matches nothing, or patterns that leave nothing to train on.
    """
    to_test: set[str] = set()
    unmatched = []
    for pattern in patterns or ():
        matched = set(chosen(pattern, sequences))
        if nfc(pattern) not in map(nfc, matched):
            every = set(chosen(pattern, chain(*sequences.values())))
            matched |= {name for name, among in sequences.items() if every.issuperset(among)}
        to_test |= matched
        if not matched:
            unmatched.append(repr(pattern))
    known = summary(list(sequences)).replace("; ", ", ")
    if unmatched:
        raise DataError(f"test_sequences: {', '.join(unmatched)} matches none of {known}")
    if to_test and len(to_test) == len(sequences):
        raise DataError(f"test_sequences matches every sequence ({known}): none is left to train on")
    return {sequence for name in to_test for sequence in sequences[name]}


def _file_pairs(benchmark: Benchmark, root: Path) -> list[PairFiles]:
    pairs: list[PairFiles] = []
    for name, split in benchmark.splits.items():
        variant, pattern = benchmark.variants[0], benchmark.sequence
        if benchmark.layout == "list":
            pairs += listed_pairs(_place(root, split.list), split=name, variant=variant, pattern=pattern)
        else:
            blurred, sharp = _place(root, split.blurred), _place(root, split.sharp)
            pairs += folder_pairs(blurred, sharp, split=name, variant=variant, pattern=pattern)
    trained = {pair.sequence: [pair.sequence] for pair in pairs if pair.split == TRAIN}
    to_test = chosen_to_test(benchmark.test_sequences, trained)
    _require_own_names((pair.key for pair in pairs), "pairs")
    return in_order(_with_tests(pairs, to_test))


def _table_plan(benchmark: Benchmark, root: Path) -> PairPlan:
    keys: list[str] = []
    trained: dict[str, list[str]] = {}
    tasks: list[Iterator[PairTask]] = []
    for name, split in benchmark.splits.items():
        files = find_tables(_place(root, split.table))
        rows = read_names(files, name, benchmark.sequence)
        keys += [f"{sequence}/{frame}" for sequence, frame in rows]
        trained |= {sequence: [sequence] for sequence, _ in rows if name == TRAIN}
        tasks.append(table_tasks(files, name, rows, benchmark.variants[0], benchmark.convert))
    to_test = chosen_to_test(benchmark.test_sequences, trained)
    _require_own_names(keys, "pairs")
    return PairPlan(total=len(keys), tasks=_with_tests(chain(*tasks), to_test))


def _frames_plan(benchmark: Benchmark, root: Path) -> PairPlan:
    found = [
        (name, split, clip)
        for name, split in benchmark.splits.items()
        for clip in find_clips(_place(root, split.frames), split.average)
    ]
    trained = {clip.name: [clip.name] for name, _, clip in found if name == TRAIN}
    to_test = chosen_to_test(benchmark.test_sequences, trained)
    _require_own_names((clip.name for _, _, clip in found), "clips")
    totals = [count_pairs([clip], split.average) for _, split, clip in found]
    tasks = chain.from_iterable(
        clip_tasks(clip, name, count=split.average, light=split.light, blur=benchmark.variants[0])
        for name, split, clip in found
    )
    total = None if None in totals else sum(count or 0 for count in totals)
    return PairPlan(total=total, tasks=_with_tests(tasks, to_test))


def _photograph_plan(benchmark: Benchmark, root: Path) -> PairPlan:
    params = benchmark.synthesis or SynthesisParams()
    found = {
        name: find_photographs(_place(root, split.photographs), benchmark.convert)
        for name, split in benchmark.splits.items()
    }
    every = list(chain(*found.values()))
    trained = {one.name: [f"{one.name}_{stratum}" for stratum in params.strata] for one in found.get(TRAIN, ())}
    to_test = chosen_to_test(benchmark.test_sequences, trained)
    _require_own_names((photograph.name for photograph in every), "photographs")
    require_usable(every, params)
    kinds = (*benchmark.variants, SHARP)
    tasks = chain.from_iterable(
        photograph_tasks(found[name], params, name, pairs=split.pairs, kinds=kinds)
        for name, split in benchmark.splits.items()
    )
    total = sum(len(found[name]) * len(params.strata) * split.pairs for name, split in benchmark.splits.items())
    return PairPlan(total=total, tasks=_with_tests(tasks, to_test))


def _place(root: Path, text: str | None) -> Path:
    return as_on_disk(Path(os.path.normpath(root / Path(text or "").expanduser())))


def _with_tests(pairs: Iterable[AnyPair], to_test: set[str]) -> Iterator[AnyPair]:
    """Move the pairs of the chosen train sequences to the test split."""
    for pair in pairs:
        yield replace(pair, split=TEST) if pair.split == TRAIN and pair.sequence in to_test else pair


def _require_own_names(names: Iterable[str], what: str) -> None:
    if problems := called_alike(names, what):
        raise DataError(f"{summary(problems)}: each needs its own name, in both splits together")
