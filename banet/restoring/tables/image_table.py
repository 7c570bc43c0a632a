"""Parquet tables with a column of encoded images: which are restored, their rows, and what is added to them.

The column is binary, or the struct of bytes and path that Hugging Face writes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from banet.data.archives.safety import summary
from banet.data.shards.index import COLUMNS
from banet.errors import BanetError, DataError
from banet.restoring.batch import Restored
from banet.restoring.input_files import TABLE, PictureFile, many_pictures
from banet.restoring.spread_pictures import Row

ADDED = (pa.field("restored", pa.binary()), pa.field("error", pa.string()))
USUAL = ("image", "bytes")  # names of the column, if there are several
ROWS, BYTES = 256, 2**24  # at most, of what is in memory at once; more only if one row has more


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageTable:
    """One table, and where its copy goes."""

    file: PictureFile
    schema: pa.Schema
    column: str  # of images
    groups: tuple[tuple[int, int], ...]  # number of rows of each row group, and how many of them are read at once

    @property
    def rows(self) -> int:
        """How many there are."""
        return sum(rows for rows, _ in self.groups)

    def parts(self, first: int) -> list[Row]:
        """Return what `rows_of` takes for each row group; `first` is the number of the first row among all tables."""
        parts: list[Row] = []
        done = 0
        for group, (rows, at_once) in enumerate(self.groups):
            path = str(self.file.source.absolute())
            place = {"path": path, "column": self.column, "group": group, "rows": rows, "at_once": at_once}
            parts.append(place | {"number": first + done, "row": done + 1})
            done += rows
        return parts

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield all rows and columns, a few rows at a time.

        Raises:
            DataError: the table is damaged.
        """
        try:
            with _open(self.file.source) as table:
                for group, (_, at_once) in enumerate(self.groups):
                    yield from table.iter_batches(at_once, row_groups=[group])
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{self.file.source} is damaged ({_line(error)})") from None

    def with_results(self, batch: pa.RecordBatch, results: Sequence[Restored | BanetError]) -> pa.RecordBatch:
        """Add what became of each picture to its row."""
        restored = [None if isinstance(one, BanetError) else one.content for one in results]
        errors = [str(one) if isinstance(one, BanetError) else None for one in results]
        added = [pa.array(values, field.type) for values, field in zip((restored, errors), ADDED, strict=True)]
        return pa.RecordBatch.from_arrays([*batch.columns, *added], schema=self.schema_after)

    @property
    def schema_after(self) -> pa.Schema:
        """The schema of the copy: the same with two more columns."""
        schema = self.schema
        for field in ADDED:
            schema = schema.append(field)
        return schema


def find_image_tables(given: str, output: Path, column: str | None) -> list[ImageTable]:
    """Find the tables of a folder or pattern, or the one of that name.

    Args:
        given: see `many_pictures`.
        output: folder of the copies; of one table, its copy.
        column: of images; None: the only one, or one that has a usual name.

    Raises:
        DataError: there is none, one has no such column or is a shard of a benchmark, or a copy would be an input.
    """
    files = many_pictures(given, output, compare=False, what="table")
    if files is None:
        target = output / Path(given).name if output.is_dir() else output
        if target.suffix.lower() != TABLE:
            raise DataError(f"{target} does not end in {TABLE}, but the copy of a table is one: name another output")
        if target.exists() and Path(given).exists() and target.samefile(given):
            raise DataError(f"{target} is the input itself, which would be lost: name another output")
        files = [PictureFile(source=Path(given), target=target)]
    tables, problems = [], []
    for file in files:
        try:
            tables.append(_image_table(file, column))
        except DataError as error:
            problems.append(str(error))
    if problems:
        raise DataError(summary(problems))
    return tables


def rows_of(part: Row) -> Iterator[Row]:
    """Yield the rows of a row group, all of them even if it is damaged."""
    done, empty = 0, {"content": b"", "digest": "", "ending": ""}

    def row(**more: object) -> Row:
        where = f"row {part['row'] + done}"
        return empty | {"number": part["number"] + done, "where": where, "fault": ""} | more

    try:
        with _open(Path(part["path"])) as table:
            for batch in table.iter_batches(part["at_once"], row_groups=[part["group"]], columns=[part["column"]]):
                for value in batch.column(0).to_pylist():
                    content = value.get("bytes") if isinstance(value, dict) else value
                    yield row(content=content) if content else row(fault=f"row {part['row'] + done} has no image")
                    done += 1
    except (pa.ArrowException, OSError) as error:
        while done < part["rows"]:
            yield row(fault=f"row {part['row'] + done} cannot be read ({_line(error)})")
            done += 1


def _image_table(file: PictureFile, column: str | None) -> ImageTable:
    try:
        with _open(file.source) as table:
            schema, footer = table.schema_arrow, table.metadata
            sizes = [footer.row_group(group) for group in range(footer.num_row_groups)]
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file.source} is not a Parquet table, or it is damaged ({_line(error)})") from None
    groups = [(size.num_rows, BYTES * size.num_rows // max(size.total_byte_size, 1)) for size in sizes]
    return ImageTable(
        file=file,
        schema=schema,
        column=_column(file.source, schema, column),
        groups=tuple((rows, max(1, min(at_once, ROWS))) for rows, at_once in groups),
    )


def _column(file: Path, schema: pa.Schema, column: str | None) -> str:
    """Return the name of the column of images."""
    if schema.names[: len(COLUMNS)] == [name for name, _ in COLUMNS]:
        raise DataError(f"{file} is a shard of a benchmark: `banet evaluate` restores and scores those")
    if taken := [field.name for field in ADDED if field.name in schema.names]:
        raise DataError(f"{file} has a column {taken[0]!r} already, which is to be added: rename or drop that")
    there = ", ".join(f"{field.name} ({field.type})" for field in schema) or "none"
    found = [field.name for field in schema if _holds_images(field.type)]
    if column is not None and (column not in found or schema.names.count(column) > 1):
        raise DataError(f"{file} has no single column {column!r} of encoded images: its columns are {there}")
    if not found:
        raise DataError(f"{file} has no column of encoded images, binary or a struct of bytes: its columns are {there}")
    usual = [name for name in USUAL if found.count(name) == 1]
    if column is None and len(found) > 1 and not usual:
        raise DataError(f"{file} has {len(found)} columns of bytes, {', '.join(found)}: name that of images, --column")
    return column or (found[0] if len(found) == 1 else usual[0])


def _holds_images(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        kind = kind.field("bytes").type
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _open(file: Path) -> pq.ParquetFile:
    return pq.ParquetFile(file, buffer_size=2**20, pre_buffer=False)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
