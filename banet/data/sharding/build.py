"""Turn the archives of a benchmark into shards: chunks of pairs, each written as one file by any free process.

The chunks depend only on the archive, so any number of processes writes the same bytes. Jobs read a ZIP or a listing
themselves; a tar is read once from start to end by one process, which sends the content along with the jobs.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from banet.data.archives.base import Archive
from banet.data.archives.layouts import PairFiles
from banet.data.archives.open import open_archive
from banet.data.archives.tar import TarArchive
from banet.data.images.codec import decode_picture
from banet.data.names import SHARP, TEST, Conversion
from banet.data.sharding.judgement import Measured, measure, sample
from banet.data.sharding.writer import ROWS_PER_SHARD, ShardWriter, WrittenShard, shard_name, write_shard
from banet.data.shards.pixels import Storage
from banet.data.shards.reader import Pair
from banet.errors import DataError
from banet.image import SMALLEST
from banet.metrics.ssim import WINDOW

SHARD_BYTES = 64 * 2**20  # of members per shard: enough shards for many cores, few enough to list
SSIM_PAIRS = 32  # pairs per split, evenly spaced: SSIM costs as much as all other work on a pair

Contents = dict[str, bytes]
"""The bytes of the members of a pair by kind of image."""
Chunk = list[tuple[PairFiles, Contents]]
"""The pairs of one shard; their contents are empty if the job reads the archive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardJob:
    """One shard to make, possibly in another process."""

    archive: Path | None  # None if the pairs bring their contents
    pairs: Chunk
    with_ssim: set[str]  # keys of the pairs whose SSIM is computed
    aligned: set[str]  # keys of the pairs whose images are aligned
    out: Path  # the shard
    variants: tuple[str, ...]
    storage: Storage
    convert: tuple[Conversion, ...] = ()  # pictures that are not 8-bit RGB


@dataclass(frozen=True, slots=True)
class ShardResult:
    """The result of a job; the shard must not be used if a member was unread or refused."""

    shard: WrittenShard
    unread: list[str]  # problems with members that the archive could not give
    refused: list[str]  # problems with members that are not images of a benchmark
    converted: Counter[str]  # number of images by what they were, if not 8-bit RGB
    measured: list[Measured]  # for the checks of the data


@dataclass(slots=True, kw_only=True)
class ShardPlan:
    """The jobs of one archive."""

    archive: Archive
    pairs: list[PairFiles]  # all in the archive
    writer: ShardWriter  # gets the shards
    numbers: Counter[str]  # split: number of its shards so far, which `jobs` counts on
    convert: tuple[Conversion, ...] = ()  # pictures that are not 8-bit RGB
    unread: list[str] = field(default_factory=list)  # problems with members that the archive could not give

    def jobs(self) -> Iterator[ShardJob]:
        """Yield the jobs in order, each made on demand."""
        with_ssim = _evenly_spaced(self.pairs)
        aligned = sample((pair.split, pair.key) for pair in self.pairs)
        sequential = isinstance(self.archive, TarArchive)
        for chunk in self._chunks(sequential=sequential):
            split = chunk[0][0].split
            yield ShardJob(
                archive=None if sequential else self.archive.path.absolute(),
                pairs=chunk,
                with_ssim=with_ssim.intersection(pair.key for pair, _ in chunk),
                aligned=aligned.intersection(pair.key for pair, _ in chunk),
                out=self.writer.folder.absolute() / shard_name(split, self.numbers[split]),
                variants=self.writer.variants,
                storage=self.writer.storage,
                convert=self.convert,
            )
            self.numbers[split] += 1

    def _chunks(self, *, sequential: bool) -> Iterator[Chunk]:
        """Cut the pairs of each split into chunks of limited size, in the order of the archive if it is sequential."""
        sizes = self.archive.sizes()
        waiting: dict[str, Chunk] = defaultdict(list)
        held: Counter[str] = Counter()  # bytes waiting
        coming: Iterable[tuple[PairFiles, Contents]] = ((pair, {}) for pair in self.pairs)
        if sequential:
            coming = self.archive.read_pairs(self.pairs, self.unread)
        for pair, contents in coming:
            waiting[pair.split].append((pair, contents))
            held[pair.split] += sum(sizes.get(name, 0) for name in pair.members.values())
            if held[pair.split] >= SHARD_BYTES or len(waiting[pair.split]) == ROWS_PER_SHARD:
                held.pop(pair.split)
                yield waiting.pop(pair.split)
        yield from waiting.values()


def make_shard(job: ShardJob) -> ShardResult:
    """Read, decode and check the pairs of a job and write their shard.

    Raises:
        OSError: the disk is full or cannot be used.
    """
    unread: list[str] = []
    refused: list[str] = []
    converted: Counter[str] = Counter()
    measured: list[Measured] = []
    read: Iterable[tuple[PairFiles, Contents]] = job.pairs
    if job.archive is not None:
        archive = _opened(job.archive, job.archive.stat().st_mtime_ns)
        read = archive.read_pairs([pair for pair, _ in job.pairs], unread)
    pairs = _measured(job, _decoded(job, read, refused, converted), measured)
    shard = write_shard(job.out, pairs, job.variants, job.storage, with_ssim=job.with_ssim)
    return ShardResult(shard, unread, refused, converted, measured)


def _measured(job: ShardJob, pairs: Iterable[Pair], measured: list[Measured]) -> Iterator[Pair]:
    for pair in pairs:
        measured.append(measure(pair, job.variants[0], align=pair.key in job.aligned))
        yield pair


def _decoded(
    job: ShardJob, read: Iterable[tuple[PairFiles, Contents]], refused: list[str], converted: Counter[str]
) -> Iterator[Pair]:
    for pair, contents in read:
        try:
            pictures = {
                kind: decode_picture(contents[kind], pair.members[kind], convert=job.convert)
                for kind in (SHARP, *job.variants)
            }
        except DataError as error:
            refused.append(str(error))
            continue
        images = {kind: picture.pixels for kind, picture in pictures.items()}
        converted.update(picture.converted for picture in pictures.values())
        sizes = {kind: f"{image.shape[0]}x{image.shape[1]}" for kind, image in images.items()}
        if len(set(sizes.values())) > 1:
            refused.append(f"{pair.key}: the images of a pair differ in size: {sizes}")
            continue
        height, width, _ = images[SHARP].shape
        smallest, what = (WINDOW, "scores need") if pair.split == TEST else (SMALLEST, "the network needs")
        if min(height, width) < smallest:
            size = f"{height}x{width} (height x width)"
            refused.append(f"leave out {pair.split}/{pair.key}: it is {size}, and {what} {smallest}x{smallest} or more")
            continue
        yield Pair(
            key=pair.key,
            split=pair.split,
            sequence=pair.sequence,
            images=images,
            members=pair.members,
            sha256={kind: sha256(content).hexdigest() for kind, content in contents.items()},
        )


def _evenly_spaced(pairs: Sequence[PairFiles]) -> set[str]:
    """Return the keys of at most `SSIM_PAIRS` evenly spaced pairs of each split."""
    splits: dict[str, list[str]] = defaultdict(list)
    for pair in pairs:
        splits[pair.split].append(pair.key)
    return {
        key
        for keys in splits.values()
        for i, key in enumerate(keys)
        if i * SSIM_PAIRS // len(keys) != (i - 1) * SSIM_PAIRS // len(keys)
    }


@lru_cache(maxsize=1)
def _opened(path: Path, changed: int) -> Archive:
    """Keep an archive open in this process; listing 200,000 members for every job would cost more than the job."""
    return open_archive(path)
