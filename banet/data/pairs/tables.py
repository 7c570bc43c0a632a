"""Custom pairs in Parquet tables: one row per pair, with encoded images in the columns `blurred` and `sharp`.

A column of images is binary, or the struct of bytes and path that Hugging Face writes. The columns `sequence` and
`name` are optional: without them the struct's path names sequence and frame, and without a path the row number does.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from banet.data.archives.safety import summary
from banet.data.images.codec import decode, encode_png
from banet.data.images.image_files import find_files, plain, sequence_of
from banet.data.names import BLURRED, SEQUENCE, SHARP, Conversion
from banet.data.pairs.pair_writer import PairTask
from banet.errors import DataError

NAME = "name"
PNG = b"\x89PNG\r\n\x1a\n"
ROWS_AT_ONCE = 4  # pairs of images in memory


def find_tables(path: Path) -> list[Path]:
    """Return the table at `path`, or those of a folder in the order of their names.

    Raises:
        DataError: there is none, or one lacks the columns.
    """
    files = [path] if path.is_file() else [path / name for name in find_files(path, {".parquet"}, "Parquet tables")]
    for file in files:
        with _open(file) as table:
            for column in (BLURRED, SHARP):
                _require_images(file, table.schema_arrow, column)
    return files


def read_names(files: list[Path], split: str, pattern: str | None) -> list[tuple[str, str]]:
    """Return sequence and frame of every row, in order, without reading the images.

    Raises:
        DataError: a damaged table, or names that do not match the pattern.
    """
    names: list[tuple[str, str]] = []
    for file in files:
        with _open(file) as table:
            schema = table.schema_arrow
            wanted = [column for column in (SEQUENCE, NAME) if column in schema.names]
            if NAME not in wanted and _has(schema.field(BLURRED).type, "path"):
                wanted.append(f"{BLURRED}.path")
            rows = _rows(table, file, wanted, 1024) if wanted else ({} for _ in range(table.metadata.num_rows))
            names += [_named(row, number, split, pattern) for number, row in enumerate(rows, len(names) + 1)]
    return names


def table_tasks(
    files: list[Path], split: str, names: list[tuple[str, str]], blur: str, convert: tuple[Conversion, ...] = ()
) -> Iterator[PairTask]:
    """Yield the pairs of tables in order, named by `read_names`, with only a few rows in memory at once.

    Raises:
        DataError: rows without an image, all in one line, after the last good pair before the first of them.
    """
    left = iter(names)
    problems: list[str] = []
    for file in files:
        with _open(file) as table:
            for number, row in enumerate(_rows(table, file, [BLURRED, SHARP], ROWS_AT_ONCE), 1):
                sequence, frame = next(left)
                images = {blur: _bytes(row[BLURRED]), SHARP: _bytes(row[SHARP])}
                where = f"{file} row {number}"
                problems += [f"{where} has no image {kind}" for kind, content in images.items() if not content]
                if not problems:
                    encoded = partial(_as_png, images, where, convert)
                    yield PairTask(split=split, sequence=sequence, frame=frame, encoded=encoded)
    if problems:
        raise DataError(summary(problems))


def _as_png(images: dict[str, bytes], where: str, convert: tuple[Conversion, ...]) -> dict[str, bytes]:
    """Turn images in any format into PNG; PNG files are not encoded again."""
    return {
        kind: content if content.startswith(PNG) else encode_png(decode(content, f"{where}, {kind}", convert=convert))
        for kind, content in images.items()
    }


def _open(file: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file, buffer_size=2**20, pre_buffer=False)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file} is not a Parquet table, or it is damaged ({_line(error)})") from None


def _rows(table: pq.ParquetFile, file: Path, columns: list[str], at_once: int) -> Iterator[dict[str, Any]]:
    try:
        for batch in table.iter_batches(at_once, columns=columns):
            yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file} is damaged ({_line(error)})") from None


def _require_images(file: Path, schema: pa.Schema, column: str) -> None:
    if column not in schema.names:
        raise DataError(f"{file} has no column {column!r}: it has {', '.join(schema.names)}")
    kind = schema.field(column).type
    if _has(kind, "bytes"):
        kind = kind.field("bytes").type
    if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        raise DataError(
            f"{file}: {column} is {kind}: it must hold encoded images: binary, or structs of bytes and path"
        )


def _has(kind: pa.DataType, field: str) -> bool:
    return bool(pa.types.is_struct(kind)) and int(kind.get_field_index(field)) >= 0


def _named(row: dict[str, Any], number: int, split: str, pattern: str | None) -> tuple[str, str]:
    image = row.get(BLURRED) or {}
    name = PurePosixPath(str(row.get(NAME) or image.get("path") or f"{number:06d}"))
    sequence = plain(str(row.get(SEQUENCE) or ""), "")
    return sequence or sequence_of(name, split, pattern), plain(name.stem)


def _bytes(value: Any) -> bytes:  # noqa: ANN401
    return (value.get("bytes") if isinstance(value, dict) else value) or b""


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
