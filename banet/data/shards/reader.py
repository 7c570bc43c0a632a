"""Read shards: a benchmark as Parquet, one row per pair, one column per kind of image.

A row holds key, split, sequence, height and width, and the pixels of each kind of image, stored by `pixels.py`. Beside
the shards, `index.parquet` gives the place of each image and `summary.json` describes the whole. Pages and tiles carry
checksums, so damage is noticed where it is read.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import pyarrow as pa

from banet.data.names import SHARP
from banet.data.shards import index
from banet.data.shards.index import Index, PairRow
from banet.data.shards.pixels import Storage, decode_crop
from banet.data.shards.storage import Location, copy, inside, location, read_range, read_whole, sizes
from banet.errors import DataError
from banet.image import Image
from banet.parsing import parse

SUMMARY = "summary.json"
REMEDY = "run the shard stage again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The images of a pair, each uint8 RGB (H, W, 3), before writing or after reading."""

    key: str  # sequence/frame, unique in the benchmark
    split: str
    sequence: str
    images: dict[str, Image]  # by kind: `sharp`, a variant
    members: Mapping[str, str] = field(default_factory=dict)  # by kind: name in the archive; empty after reading
    sha256: Mapping[str, str] = field(default_factory=dict)  # by kind: digest of that member; empty after reading


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardFile:
    """One Parquet file."""

    name: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """The sizes of a split's images, (height, width) in pixels."""

    smallest: tuple[int, ...]  # by area
    largest: tuple[int, ...]
    pixels: int  # number in all its sharp images


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a folder of shards holds."""

    benchmark: str
    variants: tuple[str, ...]
    storage: Storage  # of the pixels
    digest: str  # SHA-256 over the digests of the index and the shards: identifies the data
    counts: dict[str, dict[str, int]]  # split: {sequence: pairs}
    sizes: dict[str, Sizes]  # by split
    blurred_psnr: dict[str, dict[str, float]]  # split: {variant: mean PSNR of the blurred images, dB}
    blurred_ssim: dict[str, dict[str, float]]  # the same for `ssim_matlab3d`, over `ssim_pairs` of them
    ssim_pairs: dict[str, int]  # split: number of pairs in the mean SSIM, evenly spaced
    identical: int  # blurred images that equal the sharp one; the mean PSNR leaves them out
    duplicates: tuple[tuple[str, ...], ...]  # `split/key kind` of equal images that are in two splits
    index: ShardFile
    files: tuple[ShardFile, ...]


class ShardFolder:
    """A folder of shards with random access to single rows; it can be pickled."""

    def __init__(self, folder: Location) -> None:
        self.folder = folder
        self.summary = read_summary(folder)
        there = sizes(folder)
        for file in (self.summary.index, *self.summary.files):
            path, size = inside(folder, file.name), there.get(file.name)
            if size is None:
                raise DataError(f"the shard {path} is missing: {REMEDY}")
            if size != file.bytes:
                raise DataError(f"the shard {path} has {size} bytes, not {file.bytes}: it is damaged, {REMEDY}")

    def __reduce__(self) -> tuple[type["ShardFolder"], tuple[Location]]:
        return ShardFolder, (self.folder,)

    def verify(self) -> None:
        """Read every file once and check its digest.

        Raises:
            DataError: names the damaged file.
        """
        for file in (self.summary.index, *self.summary.files):
            if sha256(read_range(self.folder, file.name, file.sha256, 0, file.bytes)).hexdigest() != file.sha256:
                raise DataError(f"{inside(self.folder, file.name)} has changed since it was written: {REMEDY}")

    def rows(self, split: str) -> list[PairRow]:
        """Return the rows of one split in the order of their keys.

        Raises:
            DataError: the split is empty or unknown, or the index is damaged.
        """
        if not self.summary.counts.get(split):
            known = ", ".join(self.summary.counts) or "nothing"
            raise DataError(f"{self.folder} has no pairs in the split {split!r}: it has {known}")
        return self._index.rows(split)

    def read(self, row: PairRow, kinds: tuple[str, ...]) -> Pair:
        """Read the images of one row.

        Raises:
            DataError: a kind that the shards do not hold, or damaged pixels.
        """
        images = self.read_crop(row, kinds, 0, 0, row.height, row.width)
        return Pair(key=row.key, split=row.split, sequence=row.sequence, images=images)

    def read_crop(
        self, row: PairRow, kinds: tuple[str, ...], top: int, left: int, height: int, width: int
    ) -> dict[str, Image]:
        """Read one part of the images of a row, uint8 RGB (height, width, 3).

        From a folder only the touched tiles are read; from an object store each image, in one request.

        Raises:
            DataError: as `read`.
            ServiceError: the object store does not answer.
        """
        unknown = [kind for kind in kinds if kind not in (SHARP, *self.summary.variants)]
        if unknown:
            known = ", ".join(self.summary.variants)
            raise DataError(f"{self.folder} holds no variant {unknown[0]!r}: it holds {known} (benchmark.variant)")
        file = self.summary.files[self._index.shards[row.number]]
        images = {}
        try:
            for kind in kinds:
                stored = read_range(self.folder, file.name, file.sha256, *self._index.place(row, kind))
                images[kind] = decode_crop(
                    stored, row.height, row.width, top, left, height, width, self.summary.storage
                )
        except (DataError, OSError, ValueError) as error:
            where, reason = inside(self.folder, file.name), " ".join(str(error).split())
            raise DataError(f"{where} is damaged at {row.key} ({reason}): {REMEDY}") from None
        return images

    @cached_property
    def _index(self) -> Index:
        try:
            content = read_whole(self.folder, index.INDEX)
            if sha256(content).hexdigest() != self.summary.index.sha256:
                raise ValueError("it has changed since it was written")
            return index.read(content, (SHARP, *self.summary.variants))
        except (pa.ArrowException, OSError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise DataError(f"{inside(self.folder, index.INDEX)} is damaged ({reason}): {REMEDY}") from None


def publish(shards: ShardFolder, root: str) -> Location:
    """Copy a folder of shards to `root/BENCHMARK/DIGEST`, where all nodes of a cluster can read it; return that place.

    Files that are already there stay, since the digest in the name identifies them.

    Raises:
        ResourceError: a disk is full or cannot be used.
        ServiceError: the object store does not answer or refuses the files.
    """
    summary = shards.summary
    place = inside(inside(location(root), summary.benchmark), summary.digest[:16])
    names = [*(file.name for file in (*summary.files, summary.index)), SUMMARY]
    copy(Path(shards.folder), names, place)
    return place


def read_pairs(folder: Location, *, split: str, columns: tuple[str, ...] = ("blur", SHARP)) -> Iterator[Pair]:
    """Yield all pairs of a split in the order of their keys."""
    shards = ShardFolder(folder)
    for row in shards.rows(split):
        yield shards.read(row, columns)


def read_summary(folder: Location) -> Summary:
    """Read the summary of a folder of shards.

    Raises:
        DataError: there are no shards, or the summary is damaged.
        ServiceError: the object store does not answer.
    """
    path = inside(folder, SUMMARY)
    try:
        values = json.loads(read_whole(folder, SUMMARY).to_pybytes())
    except OSError:
        raise DataError(
            f"{folder} holds no shards ({SUMMARY} is missing): {REMEDY}, dvc repro shard@BENCHMARK"
        ) from None
    except ValueError as error:
        raise DataError(f"{path} is damaged ({error}): {REMEDY}") from None
    return parse(Summary, values, where=str(path))
