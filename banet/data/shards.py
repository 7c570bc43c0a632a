"""Shards: a benchmark as Parquet, one row a pair, a column a kind of image, pixels as `banet.data.pixels` stores them.

A row: key, split, sequence, height, width, and for `sharp` and each variant the stored pixels. Pages and tiles
carry checksums, so that damage is noticed where it is read. `summary.json` beside them tells what is there.
"""

import json
import mmap
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from hashlib import file_digest, sha256
from itertools import chain, islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from banet.data.archive import SHARP
from banet.data.pixels import Storage, decode_crop, encode
from banet.errors import DataError
from banet.files import whole_file, write_atomically
from banet.image import Image
from banet.parsing import parse

SUMMARY = "summary.json"
ROWS_PER_SHARD = 256
REMEDY = "run the shard stage again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One row: the images of a pair, each uint8 RGB (H, W, 3)."""

    key: str  # sequence/frame, unique in the benchmark
    split: str
    sequence: str
    images: dict[str, Image]  # by kind: `sharp`, a variant


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardFile:
    """One Parquet file."""

    name: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a folder of shards holds."""

    benchmark: str
    variants: tuple[str, ...]
    storage: Storage  # of the pixels
    digest: str  # SHA-256 over the digests of the shards: names these data
    counts: dict[str, dict[str, int]]  # split: {sequence: pairs}
    blurred_psnr: dict[str, dict[str, float]]  # split: {variant: mean PSNR of the blurred input, dB}
    files: tuple[ShardFile, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """Where a pair lies."""

    shard: int
    row: int
    key: str
    split: str
    sequence: str
    height: int  # pixels
    width: int  # pixels


class ShardFolder:
    """A folder of shards, open for random access to single rows; it can be sent to other processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.summary = read_summary(folder)
        for file in self.summary.files:
            _require_size(folder / file.name, file.bytes)

    def __reduce__(self) -> tuple[type["ShardFolder"], tuple[Path]]:
        return ShardFolder, (self.folder,)

    def verify(self) -> None:
        """Read every shard once and compare it with its digest.

        Raises:
            DataError: names the damaged shard.
        """
        for file in self.summary.files:
            if _sha256(self.folder / file.name) != file.sha256:
                raise DataError(f"the shard {self.folder / file.name} is not what was written: {REMEDY}")

    def rows(self, split: str) -> list[Row]:
        """Return the rows of one split in the order of their keys.

        Raises:
            DataError: the split is empty or unknown, or a shard is damaged.
        """
        if not self.summary.counts.get(split):
            known = ", ".join(self.summary.counts) or "nothing"
            raise DataError(f"{self.folder} has no pairs in the split {split!r}: it has {known}")
        rows = []
        for i, file in enumerate(self.summary.files):
            try:
                columns = self._file(i).read(["key", "split", "sequence", "height", "width"]).to_pylist()
            except (pa.ArrowException, OSError, ValueError) as error:
                reason = " ".join(str(error).split())
                raise DataError(f"{self.folder / file.name} is damaged ({reason}): {REMEDY}") from None
            if len(columns) != file.rows:
                raise DataError(f"{self.folder / file.name} has {len(columns)} rows, not {file.rows}: {REMEDY}")
            rows += [Row(shard=i, row=j, **values) for j, values in enumerate(columns)]
        return sorted((row for row in rows if row.split == split), key=lambda row: row.key)

    def read(self, row: Row, kinds: tuple[str, ...]) -> Pair:
        """Read the images of one row.

        Raises:
            DataError: a kind that the shards do not hold, or damaged pixels.
        """
        images = self.read_crop(row, kinds, 0, 0, row.height, row.width)
        return Pair(key=row.key, split=row.split, sequence=row.sequence, images=images)

    def read_crop(
        self, row: Row, kinds: tuple[str, ...], top: int, left: int, height: int, width: int
    ) -> dict[str, Image]:
        """Read one part of the images of a row, uint8 RGB (height, width, 3); only the tiles that it touches.

        Raises:
            DataError: as `read`.
        """
        unknown = [kind for kind in kinds if kind not in (SHARP, *self.summary.variants)]
        if unknown:
            known = ", ".join(self.summary.variants)
            raise DataError(f"{self.folder} holds no variant {unknown[0]!r}: it holds {known} (benchmark.variant)")
        name = self.summary.files[row.shard].name
        try:
            stored = _stored_pixels(self.folder / name, row.row, kinds)
            return {
                kind: decode_crop(data, row.height, row.width, top, left, height, width, self.summary.storage)
                for kind, data in stored.items()
            }
        except (DataError, pa.ArrowException, OSError, ValueError, IndexError, KeyError) as error:
            reason = " ".join(str(error).split())
            raise DataError(f"{self.folder / name} is damaged at {row.key} ({reason}): {REMEDY}") from None

    def _file(self, shard: int) -> pq.ParquetFile:
        return _open_shard(self.folder / self.summary.files[shard].name)


def read_pairs(folder: Path, *, split: str, columns: tuple[str, ...] = ("blur", SHARP)) -> Iterator[Pair]:
    """Read all pairs of a split, one after the other, in the order of their keys."""
    shards = ShardFolder(folder)
    for row in shards.rows(split):
        yield shards.read(row, columns)


def read_summary(folder: Path) -> Summary:
    """Read what a folder of shards says of itself.

    Raises:
        DataError: there are no shards, or the summary is damaged.
    """
    path = folder / SUMMARY
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise DataError(f"{folder} holds no shards ({SUMMARY} is missing): {REMEDY}") from None
    except ValueError as error:
        raise DataError(f"{path} is damaged ({error}): {REMEDY}") from None
    return parse(Summary, values, where=str(path))


class ShardWriter:
    """Write pairs that come in order into shards of a new folder; `finish` adds the summary."""

    def __init__(self, folder: Path, variants: tuple[str, ...], storage: Storage = "compact") -> None:
        self.folder = folder
        self.storage = storage
        self.variants = variants
        self.kinds = (SHARP, *variants)
        texts = [(name, pa.string()) for name in ("key", "split", "sequence")]
        sides = [(name, pa.int32()) for name in ("height", "width")]
        self.schema = pa.schema([*texts, *sides, *((kind, pa.large_binary()) for kind in self.kinds)])
        self.files: list[ShardFile] = []
        self.counts: dict[str, Counter[str]] = {}
        self.psnr: dict[str, dict[str, list[float]]] = {}

    def write(self, split: str, pairs: Iterable[tuple[Pair, dict[str, float]]]) -> None:
        """Write the pairs of one split, each with the PSNR of its blurred images, dB; one at a time is held."""
        pairs = iter(pairs)
        for first in pairs:
            self._write_file(split, chain([first], islice(pairs, ROWS_PER_SHARD - 1)))

    def finish(self, benchmark: str) -> Summary:
        """Write and return the summary."""
        names = "".join(f"{file.name} {file.sha256}\n" for file in self.files)
        summary = Summary(
            benchmark=benchmark,
            variants=self.variants,
            storage=self.storage,
            digest=_sha256_text(names),
            counts={split: dict(counter) for split, counter in self.counts.items()},
            blurred_psnr={split: {v: float(np.mean(x)) for v, x in by.items()} for split, by in self.psnr.items()},
            files=tuple(self.files),
        )
        write_atomically(self.folder / SUMMARY, json.dumps(asdict(summary), indent=2) + "\n")
        return summary

    def _write_file(self, split: str, pairs: Iterable[tuple[Pair, dict[str, float]]]) -> None:
        number = sum(file.name.startswith(f"{split}-") for file in self.files)
        path = self.folder / f"{split}-{number:05d}.parquet"
        rows = 0
        with (
            whole_file(path) as partial,
            pq.ParquetWriter(
                partial,
                self.schema,
                compression="none",
                use_dictionary=False,
                write_statistics=False,
                write_page_checksum=True,
            ) as file,
        ):
            for pair, scores in pairs:
                file.write_table(self._row(pair))  # a row group of its own: a row is read alone
                self._count(split, pair, scores)
                rows += 1
        self.files.append(ShardFile(name=path.name, rows=rows, bytes=path.stat().st_size, sha256=_sha256(path)))

    def _row(self, pair: Pair) -> pa.Table:
        height, width = pair.images[SHARP].shape[:2]
        values = {"key": pair.key, "split": pair.split, "sequence": pair.sequence, "height": height, "width": width}
        values |= {kind: encode(pair.images[kind], self.storage) for kind in self.kinds}
        return pa.Table.from_pylist([values], schema=self.schema)

    def _count(self, split: str, pair: Pair, scores: dict[str, float]) -> None:
        self.counts.setdefault(split, Counter())[pair.sequence] += 1
        for variant, value in scores.items():
            self.psnr.setdefault(split, {}).setdefault(variant, []).append(value)


@lru_cache(maxsize=64)
def _open_shard(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, memory_map=True, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is damaged ({' '.join(str(error).split())}): {REMEDY}") from None


def _stored_pixels(path: Path, row: int, kinds: tuple[str, ...]) -> dict[str, memoryview]:
    """Return the mapped column chunks of a row by kind: each holds one value, uncompressed, and ends with it."""
    mapped, file = _map_shard(path), _open_shard(path)
    group = file.metadata.row_group(row)
    names = file.schema_arrow.names
    chunks = {kind: group.column(names.index(kind)) for kind in kinds}
    return {
        kind: mapped[chunk.data_page_offset : chunk.data_page_offset + chunk.total_compressed_size]
        for kind, chunk in chunks.items()
    }


@lru_cache(maxsize=64)
def _map_shard(path: Path) -> memoryview:
    with path.open("rb") as stream:
        return memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))


def _require_size(path: Path, size: int) -> None:
    if not path.is_file():
        raise DataError(f"the shard {path} is missing: {REMEDY}")
    if path.stat().st_size != size:
        raise DataError(f"the shard {path} has {path.stat().st_size} bytes, not {size}: it is damaged, {REMEDY}")


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


def _sha256_text(text: str) -> str:
    return sha256(text.encode()).hexdigest()
