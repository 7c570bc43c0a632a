"""Writing shards: pairs into Parquet files, then the index and the summary over all of them."""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Container, Iterable
from dataclasses import asdict, dataclass, replace
from hashlib import file_digest, sha256
from itertools import chain, islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from banet.data.names import SHARP
from banet.data.shards import index
from banet.data.shards.index import Entry, StoredImage
from banet.data.shards.pixels import Storage, encode
from banet.data.shards.reader import SUMMARY, Pair, ShardFile, Sizes, Summary
from banet.files import whole_file, write_atomically
from banet.metrics.psnr import psnr
from banet.metrics.ssim import ssim_matlab3d

ROWS_PER_SHARD = 1024  # pairs that one file holds at most
DECIMALS = 6  # of means: what another order of the sums changes lies behind them


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenShard:
    """A shard that lies under its final name."""

    file: ShardFile
    entries: tuple[Entry, ...]  # of its pairs in order; `shard` is still 0


def write_shard(
    path: Path,
    pairs: Iterable[Pair],
    variants: tuple[str, ...],
    storage: Storage,
    *,
    with_ssim: Container[str] = (),
) -> WrittenShard:
    """Write one shard, which appears whole or not at all; of its pairs one at a time is held.

    A pair is a row group of its own, so that it is read alone. The same pairs make the same bytes.

    Args:
        path: of the shard.
        pairs: in their order.
        variants: kinds of blurred images.
        storage: of the pixels.
        with_ssim: keys of the pairs whose blurred images' SSIM is computed; it costs as much as everything else.
    """
    kinds = (SHARP, *variants)
    schema = _schema(kinds)
    entries: list[Entry] = []
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
                entry = _entry(pair, stored, with_ssim=pair.key in with_ssim)
                fixed = {name: getattr(entry, name) for name in schema.names[: -len(kinds)]}
                file.write_table(pa.Table.from_pylist([fixed | stored], schema=schema))
                entries.append(entry)
        digest, size, footer = _sha256(partial), partial.stat().st_size, pq.read_metadata(partial)
    written = ShardFile(name=path.name, rows=len(entries), bytes=size, sha256=digest)
    return WrittenShard(file=written, entries=_placed(entries, footer))


class ShardWriter:
    """Collect the shards of a new folder; `finish` adds the index and the summary."""

    def __init__(self, folder: Path, variants: tuple[str, ...], storage: Storage = "compact") -> None:
        self.folder = folder
        self.variants = variants
        self.storage = storage
        self.files: list[ShardFile] = []
        self.entries: list[Entry] = []

    def add(self, shard: WrittenShard) -> None:
        """Take a shard of the folder, written elsewhere."""
        self.entries += (replace(entry, shard=len(self.files)) for entry in shard.entries)
        self.files.append(shard.file)

    def write(self, split: str, pairs: Iterable[Pair]) -> None:
        """Write the pairs of one split here and now; one at a time is held."""
        pairs = iter(pairs)
        for first in pairs:
            number = sum(file.name.startswith(f"{split}-") for file in self.files)
            chunk = chain([first], islice(pairs, ROWS_PER_SHARD - 1))
            self.add(write_shard(self.folder / shard_name(split, number), chunk, self.variants, self.storage))

    def finish(self, benchmark: str) -> Summary:
        """Write the index and the summary; return the latter."""
        path = self.folder / index.INDEX
        with whole_file(path) as partial:
            index.write(index.to_table(self.entries, (SHARP, *self.variants)), str(partial))
        written = ShardFile(name=path.name, rows=len(self.entries), bytes=path.stat().st_size, sha256=_sha256(path))
        summary = summarize(benchmark, self.variants, self.storage, written, self.files, self.entries)
        write_atomically(self.folder / SUMMARY, json.dumps(asdict(summary), indent=2) + "\n")
        return summary


def shard_name(split: str, number: int) -> str:
    """Name of the shard with this number in its split."""
    return f"{split}-{number:05d}.parquet"


def summarize(
    benchmark: str,
    variants: tuple[str, ...],
    storage: Storage,
    index_file: ShardFile,
    files: list[ShardFile],
    entries: list[Entry],
) -> Summary:
    """Say what some shards hold; the order of their entries changes nothing but the order of the splits."""
    splits: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        splits[entry.split].append(entry)
    names = "".join(f"{file.name} {file.sha256}\n" for file in (index_file, *files))
    blurred = [entry.images[variant] for entry in entries for variant in variants]
    return Summary(
        benchmark=benchmark,
        variants=variants,
        storage=storage,
        digest=sha256(names.encode()).hexdigest(),
        counts={split: dict(Counter(entry.sequence for entry in among)) for split, among in splits.items()},
        sizes={split: _sizes(among) for split, among in splits.items()},
        blurred_psnr={split: _means(among, variants, "psnr") for split, among in splits.items()},
        blurred_ssim={split: _means(among, variants, "ssim") for split, among in splits.items()},
        ssim_pairs={
            split: sum(entry.images[variants[0]].ssim is not None for entry in among) for split, among in splits.items()
        },
        identical=sum(image.psnr == math.inf for image in blurred),
        duplicates=tuple(index.duplicates(entries)),
        index=index_file,
        files=tuple(files),
    )


def _means(entries: list[Entry], variants: tuple[str, ...], score: str) -> dict[str, float]:
    """Mean of a score by variant, over the images that have it and where it is finite."""
    means = {}
    for variant in variants:
        values = [getattr(entry.images[variant], score) for entry in entries]
        finite = [value for value in values if value is not None and math.isfinite(value)]
        if finite:
            means[variant] = round(math.fsum(finite) / len(finite), DECIMALS)
    return means


def _sizes(entries: list[Entry]) -> Sizes:
    sizes = sorted({(entry.height, entry.width) for entry in entries}, key=lambda size: (size[0] * size[1], size))
    return Sizes(smallest=sizes[0], largest=sizes[-1], pixels=sum(entry.height * entry.width for entry in entries))


def _schema(kinds: tuple[str, ...]) -> pa.Schema:
    texts = [(name, pa.string()) for name in ("key", "split", "sequence")]
    sides = [(name, pa.int32()) for name in ("height", "width")]
    return pa.schema([*texts, *sides, *((kind, pa.large_binary()) for kind in kinds)])


def _entry(pair: Pair, stored: dict[str, bytes], *, with_ssim: bool) -> Entry:
    """Describe a pair; where it lies is known when its shard is whole."""
    sharp, images = pair.images[SHARP], {}
    for kind, content in stored.items():
        blurred = None if kind == SHARP else pair.images[kind]
        images[kind] = StoredImage(
            offset=0,
            bytes=0,
            pixels=sha256(content).hexdigest(),
            member=pair.members.get(kind),
            sha256=pair.sha256.get(kind),
            psnr=None if blurred is None else psnr(blurred, sharp),
            ssim=ssim_matlab3d(blurred, sharp) if with_ssim and blurred is not None else None,
        )
    height, width = sharp.shape[:2]
    return Entry(
        key=pair.key, split=pair.split, sequence=pair.sequence, height=height, width=width, shard=0, images=images
    )


def _placed(entries: list[Entry], footer: pq.FileMetaData) -> tuple[Entry, ...]:
    """Add to the entries of a shard where its footer says that their images lie."""
    columns = {footer.row_group(0).column(i).path_in_schema: i for i in range(footer.num_columns)} if entries else {}
    placed = []
    for row, entry in enumerate(entries):
        group = footer.row_group(row)
        chunks = {kind: group.column(columns[kind]) for kind in entry.images}
        images = {
            kind: replace(image, offset=chunks[kind].data_page_offset, bytes=chunks[kind].total_compressed_size)
            for kind, image in entry.images.items()
        }
        placed.append(replace(entry, images=images))
    return tuple(placed)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()
