"""Parquet tables, one after the other: each gets a copy with its restored pictures, whole or not at all."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import accumulate, count, islice
from pathlib import Path
from typing import TypeVar

import pyarrow.parquet as pq

from banet.data.images.photograph_file import PhotographFile
from banet.errors import BanetError, DataError, ResourceError
from banet.files import sha256_of, whole_file
from banet.inference import fastest_device
from banet.progress import OnProgress
from banet.restoring.batch import (
    BatchOutcome,
    Outputs,
    Restoration,
    Restored,
    Start,
    encode,
    one_ahead,
    restore,
    writing,
)
from banet.restoring.spread_pictures import Row, photograph_of, spread
from banet.restoring.tables.image_table import ImageTable, rows_of

BAD = "bad_rows"  # in the record: a line for each

T = TypeVar("T")
R = TypeVar("R")
Results = Iterator[Restored | BanetError]


def restore_tables(
    start: Start,
    tables: list[ImageTable],
    folder: Path,
    *,
    column: str | None = None,
    over_ray: bool = False,
    on_progress: OnProgress = lambda done, total: None,
    on_message: Callable[[str], None] = lambda text: None,
) -> BatchOutcome:
    """Restore the pictures of tables whose copies are not there yet; a bad picture or table does not stop the others.

    Args:
        start: see `restore_over_ray`.
        tables: from `find_image_tables`.
        folder: of the copies; holds the record.
        column: that was named, if one was.
        over_ray: with a process for each GPU of a cluster, see `restore_over_ray`; else in this one.
        on_progress: is told how many rows are done.
        on_message: is told of outputs that look wrong.

    Returns:
        What became of the rows. Those whose picture is bad or missing are failures.

    Raises:
        ResourceError: the folder cannot be written.
        PartialError: the disk is full; tables that were done before are recorded.
        ServiceError: there is no cluster where one is named.
    """
    what = start("cpu" if over_ray else fastest_device(), None)
    outputs = Outputs(folder, replace(what, options={**what.options, "column": column}, compare=False), on_message)
    left, total = [], sum(table.rows for table in tables)
    for table in tables:
        if entry := outputs.record.entry(table.file):
            outputs.outcome.done_before += table.rows - len(entry[BAD])
            _name_bad(outputs, table, entry[BAD])
        else:
            left.append(table)
    results = _over_ray(start, left) if over_ray else _here(what, left)
    told = _telling(results, total - sum(table.rows for table in left), total, on_progress)
    for table in left:
        own, before = islice(told, table.rows), outputs.outcome.restored
        try:
            _restore(table, own, outputs)
        except (DataError, ResourceError) as error:
            outputs.outcome.restored = before
            if isinstance(error, ResourceError):
                raise outputs.stopped(error, total) from None
            outputs.fail(table.file, error)
            deque(own, maxlen=0)  # passes over its other rows
    on_progress(total, total)
    return outputs.outcome


def _restore(table: ImageTable, results: Results, outputs: Outputs) -> None:
    """Write and record the copy of a table."""
    bad: list[BanetError] = []
    place = table.file
    with writing(place.target):
        digest = sha256_of(place.source)
        with whole_file(place.target) as partial, pq.ParquetWriter(partial, table.schema_after) as file:
            rows = count(1)
            for batch in table.batches():
                found = list(islice(results, batch.num_rows))
                for one, row in zip(found, rows, strict=False):
                    if isinstance(one, BanetError):
                        bad.append(one)
                    else:
                        outputs.count(one, f"{place.target} row {row}")
                file.write_batch(table.with_results(batch, found))
        written = sha256_of(place.target)
    lines = [str(error) for error in bad]
    if all(isinstance(error, DataError) for error in bad):  # others, such as too little memory, may not come again
        outputs.record.add(place, digest, [written], {BAD: lines})
    _name_bad(outputs, table, lines)


def _name_bad(outputs: Outputs, table: ImageTable, lines: list[str]) -> None:
    for line in lines:
        outputs.fail(table.file, DataError(f"{table.file.source}: {line}"))


def _telling(results: Results, done: int, total: int, on_progress: OnProgress) -> Results:
    for number, result in enumerate(results, done):
        on_progress(number, total)
        yield result


def _parts(tables: list[ImageTable]) -> list[Row]:
    firsts = accumulate((table.rows for table in tables), initial=0)
    return [part for table, first in zip(tables, firsts, strict=False) for part in table.parts(first)]


def _over_ray(start: Start, tables: list[ImageTable]) -> Results:
    pictures = sum(table.rows for table in tables)
    for _, _, found in spread(start, _parts(tables), rows_of, pictures, in_order=True):
        yield found


def _here(what: Restoration, tables: list[ImageTable]) -> Results:
    """Read, restore and encode at the same time, each one picture."""

    @_passing_errors
    def read(row: Row) -> tuple[PhotographFile, str]:
        return photograph_of(row), row["where"]

    @_passing_errors
    def work(one: tuple[PhotographFile, str]) -> tuple[PhotographFile, PhotographFile]:
        return one[0], restore(what, *one)

    @_passing_errors
    def finish(both: tuple[PhotographFile, PhotographFile]) -> Restored:
        return encode(what, *both, both[0].ending)

    rows = (row for part in _parts(tables) for row in rows_of(part))
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        yield from one_ahead(writer, finish, map(work, one_ahead(reader, read, rows)))


def _passing_errors(work: Callable[[T], R]) -> Callable[[T | BanetError], R | BanetError]:
    """Pass on errors that are given, and return those of the work instead of raising them."""

    def step(given: T | BanetError) -> R | BanetError:
        try:
            return given if isinstance(given, BanetError) else work(given)
        except BanetError as error:
            return error

    return step
