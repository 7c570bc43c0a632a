"""The index of a folder of shards: a Parquet file with one row per pair that gives the place of each image.

With it a pair is read without opening the footer of its shard, and the keys of 100,000 pairs are one read.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

INDEX = "index.parquet"

COLUMNS = (
    ("key", pa.string()),  # sequence/frame, unique in the benchmark
    ("split", pa.string()),
    ("sequence", pa.string()),
    ("height", pa.int32()),  # pixels
    ("width", pa.int32()),  # pixels
)
IMAGE = pa.struct(
    [
        ("offset", pa.int64()),  # bytes before the column chunk that ends with the stored pixels
        ("bytes", pa.int64()),  # length of that column chunk
        ("pixels", pa.string()),  # SHA-256 of the stored pixels: the same for equal images
        ("member", pa.string()),  # name in the archive
        ("sha256", pa.string()),  # digest of that member
        ("psnr", pa.float64()),  # of a blurred image, dB; infinite if it equals the sharp one
        ("ssim", pa.float64()),  # `ssim_matlab3d` of a blurred image, if it was computed
    ]
)

IndexRow = dict[str, Any]
"""One pair: the values of `COLUMNS`, `shard` (its number in the summary), and for each kind of image an `IMAGE`."""


@dataclass(frozen=True, slots=True)
class PairRow:
    """What a reader knows about a pair."""

    number: int  # row of the index
    key: str
    split: str
    sequence: str
    height: int  # pixels
    width: int  # pixels


class Index:
    """An index in memory: rows by number, and the place of each image."""

    def __init__(self, table: pa.Table, kinds: Sequence[str]) -> None:
        self.table = table
        self.shards = table["shard"].to_numpy()
        self._places = {kind: _places(table, kind) for kind in kinds}

    def rows(self, split: str) -> list[PairRow]:
        """Return the rows of one split in the order of their keys."""
        columns = [self.table[name].to_pylist() for name, _ in COLUMNS]
        found = (
            PairRow(number, *values) for number, values in enumerate(zip(*columns, strict=True)) if values[1] == split
        )
        return sorted(found, key=lambda row: row.key)

    def place(self, row: PairRow, kind: str) -> tuple[int, int]:
        """Return offset and length, in bytes, of the column chunk of an image."""
        offsets, lengths = self._places[kind]
        return int(offsets[row.number]), int(lengths[row.number])


def write(rows: list[IndexRow], kinds: Sequence[str], path: Path) -> None:
    """Write an index; the same rows give the same bytes."""
    table = pa.Table.from_pylist(rows, schema=_schema(kinds))
    pq.write_table(table, path, compression="zstd", write_page_checksum=True)


def read(content: pa.Buffer, kinds: Sequence[str]) -> Index:
    """Read an index from its bytes.

    Raises:
        ValueError: its columns are not those of an index.
        pa.ArrowException, OSError: it is damaged.
    """
    table = pq.read_table(pa.BufferReader(content), page_checksum_verification=True)
    if table.schema != _schema(kinds):
        raise ValueError("it has other columns")
    return Index(table, kinds)


def duplicates(rows: Iterable[IndexRow], kinds: Sequence[str]) -> list[tuple[str, ...]]:
    """Find images that are in two splits: the sorted names `split/key kind` of each group of equal images."""
    groups: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for row in rows:
        for kind in kinds:
            groups[row[kind]["pixels"]].append((row["split"], f"{row['split']}/{row['key']} {kind}"))
    across = (group for group in groups.values() if len({split for split, _ in group}) > 1)
    return sorted(tuple(sorted(name for _, name in group)) for group in across)


def _schema(kinds: Sequence[str]) -> pa.Schema:
    return pa.schema([*COLUMNS, ("shard", pa.int32()), *((kind, IMAGE) for kind in kinds)])


def _places(table: pa.Table, kind: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    column = table[kind].combine_chunks()
    return tuple(column.field(name).to_numpy(zero_copy_only=False) for name in ("offset", "bytes"))
