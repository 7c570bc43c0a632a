"""Write shards: pairs into Parquet files, then the index and the summary of all of them."""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Container, Iterable
from dataclasses import asdict, dataclass
from hashlib import sha256
from itertools import chain, islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from banet.data.names import SHARP
from banet.data.shards import index
from banet.data.shards.index import COLUMNS, IndexRow
from banet.data.shards.pixels import Storage, encode
from banet.data.shards.reader import SUMMARY, Pair, ShardFile, Sizes, Summary
from banet.files import sha256_of, whole_file, write_atomically
from banet.metrics.psnr import psnr
from banet.metrics.ssim import ssim_matlab3d

ROWS_PER_SHARD = 1024  # most pairs in one file
DECIMALS = 6  # of means, rounded so that the order of summation cannot show


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenShard:
    """A finished shard."""

    file: ShardFile
    rows: list[IndexRow]  # of its pairs in order, without the number of the shard


def write_shard(
    path: Path,
    pairs: Iterable[Pair],
    variants: tuple[str, ...],
    storage: Storage,
    *,
    with_ssim: Container[str] = (),
) -> WrittenShard:
    """Write one shard, whole or not at all, with only one pair in memory.

    Each pair is its own row group and can be read alone. The same pairs give the same bytes. `with_ssim` holds the keys
    of the pairs whose SSIM is computed, which costs as much as everything else.
    """
    kinds = (SHARP, *variants)
    schema = pa.schema([*COLUMNS, *((kind, pa.large_binary()) for kind in kinds)])
    rows: list[IndexRow] = []
    with whole_file(path) as partial:
        with pq.ParquetWriter(
            partial,
            schema,
            compression="none",
            use_dictionary=False,
            write_statistics=False,
            write_page_checksum=True,
        ) as file:
            for pair in pairs:
                stored = {kind: encode(pair.images[kind], storage) for kind in kinds}
                row = _row(pair, stored, with_ssim=pair.key in with_ssim)
                file.write_table(pa.Table.from_pylist([row | stored], schema=schema))
                rows.append(row)
        digest, size, footer = sha256_of(partial), partial.stat().st_size, pq.read_metadata(partial)
    for number, row in enumerate(rows):
        for kind in kinds:
            chunk = footer.row_group(number).column(schema.get_field_index(kind))
            row[kind] |= {"offset": chunk.data_page_offset, "bytes": chunk.total_compressed_size}
    return WrittenShard(file=ShardFile(name=path.name, rows=len(rows), bytes=size, sha256=digest), rows=rows)


class ShardWriter:
    """Collects the shards of a new folder; `finish` adds the index and the summary."""

    def __init__(self, folder: Path, variants: tuple[str, ...], storage: Storage = "compact") -> None:
        self.folder = folder
        self.variants = variants
        self.storage = storage
        self.files: list[ShardFile] = []
        self.rows: list[IndexRow] = []

    def add(self, shard: WrittenShard) -> None:
        """Add a shard that was written into the folder."""
        self.rows += (row | {"shard": len(self.files)} for row in shard.rows)
        self.files.append(shard.file)

    def write(self, split: str, pairs: Iterable[Pair]) -> None:
        """Write the pairs of one split in this process, with only one pair in memory."""
        pairs = iter(pairs)
        for first in pairs:
            number = sum(file.name.startswith(f"{split}-") for file in self.files)
            chunk = chain([first], islice(pairs, ROWS_PER_SHARD - 1))
            self.add(write_shard(self.folder / shard_name(split, number), chunk, self.variants, self.storage))

    def finish(self, benchmark: str) -> Summary:
        """Write the index and the summary; return the summary."""
        path = self.folder / index.INDEX
        with whole_file(path) as partial:
            index.write(self.rows, (SHARP, *self.variants), partial)
        written = ShardFile(name=path.name, rows=len(self.rows), bytes=path.stat().st_size, sha256=sha256_of(path))
        summary = self._summary(benchmark, written)
        write_atomically(self.folder / SUMMARY, json.dumps(asdict(summary), indent=2) + "\n")
        return summary

    def _summary(self, benchmark: str, index_file: ShardFile) -> Summary:
        splits: dict[str, list[IndexRow]] = defaultdict(list)
        for row in self.rows:
            splits[row["split"]].append(row)
        names = "".join(f"{file.name} {file.sha256}\n" for file in (index_file, *self.files))
        with_ssim = {
            split: sum(row[self.variants[0]]["ssim"] is not None for row in rows) for split, rows in splits.items()
        }
        return Summary(
            benchmark=benchmark,
            variants=self.variants,
            storage=self.storage,
            digest=sha256(names.encode()).hexdigest(),
            counts={split: dict(Counter(row["sequence"] for row in rows)) for split, rows in splits.items()},
            sizes={split: _sizes(rows) for split, rows in splits.items()},
            blurred_psnr={split: _means(rows, self.variants, "psnr") for split, rows in splits.items()},
            blurred_ssim={split: _means(rows, self.variants, "ssim") for split, rows in splits.items()},
            ssim_pairs=with_ssim,
            identical=sum(row[variant]["psnr"] == math.inf for row in self.rows for variant in self.variants),
            duplicates=tuple(index.duplicates(self.rows, (SHARP, *self.variants))),
            index=index_file,
            files=tuple(self.files),
        )


def shard_name(split: str, number: int) -> str:
    """Return the file name of a shard by its number in its split."""
    return f"{split}-{number:05d}.parquet"


def _means(rows: list[IndexRow], variants: tuple[str, ...], score: str) -> dict[str, float]:
    """Return the mean of a score by variant, over the images for which it is known and finite."""
    means = {}
    for variant in variants:
        values = [row[variant][score] for row in rows]
        finite = [value for value in values if value is not None and math.isfinite(value)]
        if finite:
            means[variant] = round(math.fsum(finite) / len(finite), DECIMALS)
    return means


def _sizes(rows: list[IndexRow]) -> Sizes:
    sizes = sorted({(row["height"], row["width"]) for row in rows}, key=lambda size: (size[0] * size[1], size))
    return Sizes(smallest=sizes[0], largest=sizes[-1], pixels=sum(row["height"] * row["width"] for row in rows))


def _row(pair: Pair, stored: dict[str, bytes], *, with_ssim: bool) -> IndexRow:
    """Describe a pair; the places of its images are known only once its shard is complete."""
    sharp = pair.images[SHARP]
    row: IndexRow = {"key": pair.key, "split": pair.split, "sequence": pair.sequence}
    row["height"], row["width"] = sharp.shape[:2]
    for kind, content in stored.items():
        blurred = None if kind == SHARP else pair.images[kind]
        row[kind] = {
            "pixels": sha256(content).hexdigest(),
            "member": pair.members.get(kind),
            "sha256": pair.sha256.get(kind),
            "psnr": None if blurred is None else psnr(blurred, sharp),
            "ssim": ssim_matlab3d(blurred, sharp) if with_ssim and blurred is not None else None,
        }
    return row
