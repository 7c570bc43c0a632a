"""The index of a folder of shards: one Parquet file with a row a pair, which says where its pixels lie and what it is.

With it a pair is read without opening its shard's own footer, and the keys of 100,000 pairs are one read. The columns
are the fields of `Entry`; each kind of image is a struct of `StoredImage`.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

INDEX = "index.parquet"

_TEXTS = ("key", "split", "sequence")
_NUMBERS = ("height", "width", "shard")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredImage:
    """One image: where it lies in its shard, where it came from, what it is."""

    offset: int  # bytes from the start of the shard to the column chunk that ends with the stored pixels
    bytes: int  # of that column chunk
    pixels: str  # SHA-256 of the stored pixels: equal for equal images
    member: str | None  # of the archive
    sha256: str | None  # of that member's bytes
    psnr: float | None  # of a blurred image, dB; infinite where it equals the sharp one
    ssim: float | None  # of a blurred image, `ssim_matlab3d`, where it was taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One pair."""

    key: str  # sequence/frame, unique in the benchmark
    split: str
    sequence: str
    height: int  # pixels
    width: int  # pixels
    shard: int  # number of the file in the summary
    images: dict[str, StoredImage]  # by kind


@dataclass(frozen=True, slots=True)
class PairRow:
    """A pair as a reader knows it."""

    number: int  # in the index
    key: str
    split: str
    sequence: str
    height: int  # pixels
    width: int  # pixels


class Index:
    """An index that was read: rows by number, and where each image lies."""

    def __init__(self, table: pa.Table, kinds: Sequence[str]) -> None:
        self.table = table
        self.shards = table["shard"].to_numpy()
        self._places = {kind: _places(table, kind) for kind in kinds}

    def rows(self, split: str) -> list[PairRow]:
        """Return the rows of one split in the order of their keys."""
        columns = [self.table[name].to_pylist() for name in (*_TEXTS, "height", "width")]
        found = (
            PairRow(number, *values) for number, values in enumerate(zip(*columns, strict=True)) if values[1] == split
        )
        return sorted(found, key=lambda row: row.key)

    def place(self, row: PairRow, kind: str) -> tuple[int, int]:
        """Return offset and length, bytes, of the column chunk of an image."""
        offsets, lengths = self._places[kind]
        return int(offsets[row.number]), int(lengths[row.number])


def to_table(entries: Iterable[Entry], kinds: Sequence[str]) -> pa.Table:
    """Return the index of some entries, in their order."""
    rows = [{name: getattr(entry, name) for name in (*_TEXTS, *_NUMBERS)} | _images(entry) for entry in entries]
    return pa.Table.from_pylist(rows, schema=_schema(kinds))


def write(table: pa.Table, path: str) -> None:
    """Write an index; the same entries, the same bytes."""
    pq.write_table(table, path, compression="zstd", write_page_checksum=True)


def read(content: pa.Buffer, kinds: Sequence[str]) -> Index:
    """Read an index from its bytes.

    Raises:
        ValueError: it has other columns than an index.
        pa.ArrowException, OSError: it is damaged.
    """
    table = pq.read_table(pa.BufferReader(content), page_checksum_verification=True)
    if table.schema != _schema(kinds):
        raise ValueError("it has other columns")
    return Index(table, kinds)


def duplicates(entries: Iterable[Entry]) -> list[tuple[str, ...]]:
    """Find images that stand in two splits: names `split/key kind`, a group of equal images each, in order."""
    groups: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for entry in entries:
        for kind, image in entry.images.items():
            groups[image.pixels].append((entry.split, f"{entry.split}/{entry.key} {kind}"))
    across = (group for group in groups.values() if len({split for split, _ in group}) > 1)
    return sorted(tuple(sorted(name for _, name in group)) for group in across)


def _images(entry: Entry) -> dict[str, dict[str, object]]:
    return {kind: asdict(image) for kind, image in entry.images.items()}


def _schema(kinds: Sequence[str]) -> pa.Schema:
    image = pa.struct(
        [("offset", pa.int64()), ("bytes", pa.int64())]
        + [(name, pa.string()) for name in ("pixels", "member", "sha256")]
        + [(name, pa.float64()) for name in ("psnr", "ssim")]
    )
    texts = [(name, pa.string()) for name in _TEXTS]
    numbers = [(name, pa.int32()) for name in _NUMBERS]
    return pa.schema([*texts, *numbers, *((kind, image) for kind in kinds)])


def _places(table: pa.Table, kind: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    column = table[kind].combine_chunks()
    return tuple(column.field(name).to_numpy(zero_copy_only=False) for name in ("offset", "bytes"))
