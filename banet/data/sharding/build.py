"""A benchmark's archives into shards: pairs in chunks, each chunk made into one file by whichever process is free.

The chunks depend on the archive alone, so that any number of processes writes the same bytes. A ZIP or a listing is
read by the processes that need it; a tar by one reader from start to end, which gives them the members' bytes.
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
from banet.data.images.codec import decode
from banet.data.names import SHARP
from banet.data.sharding.writer import ROWS_PER_SHARD, WrittenShard, shard_name, write_shard
from banet.data.shards.pixels import Storage
from banet.data.shards.reader import Pair
from banet.errors import DataError
from banet.image import Image

SHARD_BYTES = 64 * 2**20  # of members that make one shard: enough shards for many cores, few enough to list
SSIM_PAIRS = 32  # of a split, spread evenly: SSIM costs as much as all else that is done to a pair

Contents = dict[str, bytes]
"""The bytes of a pair's members by kind of image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardJob:
    """One shard to make; it goes to another process."""

    archive: Path
    pairs: tuple[PairFiles, ...]
    contents: tuple[Contents, ...] | None  # of the pairs, where the archive is read by the sender
    ssim: frozenset[str]  # keys of pairs whose SSIM is taken
    out: Path  # of the shard
    variants: tuple[str, ...]
    storage: Storage


@dataclass(frozen=True, slots=True)
class ShardResult:
    """What came of a job."""

    shard: WrittenShard
    unread: tuple[str, ...]  # members that the archive does not give
    refused: tuple[str, ...]  # members that are no images of a benchmark; with either the shard is not to be used


@dataclass(slots=True, kw_only=True)
class ShardPlan:
    """The jobs of one archive."""

    archive: Archive
    pairs: list[PairFiles]  # all of the archive
    folder: Path  # gets the shards
    variants: tuple[str, ...]
    storage: Storage
    numbers: Counter[str]  # split: shards there already, counted on
    unread: list[str] = field(default_factory=list)  # members that the archive did not give

    def jobs(self) -> Iterator[ShardJob]:
        """Yield the jobs in order; each is made when it is asked for."""
        sizes = self.archive.sizes()
        sizes_of = {pair.key: sum(sizes.get(name, 0) for name in pair.members.values()) for pair in self.pairs}
        ssim = _spread(self.pairs)
        for pairs, contents in self._chunks(sizes_of):
            split = pairs[0].split
            yield ShardJob(
                archive=self.archive.path.absolute(),
                pairs=tuple(pairs),
                contents=None if contents is None else tuple(contents),
                ssim=frozenset(pair.key for pair in pairs if pair.key in ssim),
                out=self.folder.absolute() / shard_name(split, self.numbers[split]),
                variants=self.variants,
                storage=self.storage,
            )
            self.numbers[split] += 1

    def _chunks(self, sizes: dict[str, int]) -> Iterator[tuple[list[PairFiles], list[Contents] | None]]:
        """Cut the pairs of every split into chunks of some bytes; those of a tar in the order in which they come."""
        waiting: dict[str, list[tuple[PairFiles, Contents]]] = defaultdict(list)
        held: Counter[str] = Counter()
        sequential = isinstance(self.archive, TarArchive)
        coming: Iterable[tuple[PairFiles, Contents]] = ((pair, {}) for pair in self.pairs)
        if sequential:
            coming = self.archive.read_pairs(self.pairs, self.unread)

        def taken(split: str) -> tuple[list[PairFiles], list[Contents] | None]:
            held.pop(split)
            pairs, contents = zip(*waiting.pop(split), strict=True)
            return list(pairs), list(contents) if sequential else None

        for pair, contents in coming:
            waiting[pair.split].append((pair, contents))
            held[pair.split] += sizes[pair.key]
            if held[pair.split] >= SHARD_BYTES or len(waiting[pair.split]) == ROWS_PER_SHARD:
                yield taken(pair.split)
        for split in list(waiting):
            yield taken(split)


def make_shard(job: ShardJob) -> ShardResult:
    """Do a job: read, decode and check the pairs, write the shard.

    Raises:
        OSError: the disk is full, or cannot be used.
    """
    unread: list[str] = []
    refused: list[str] = []
    if job.contents is None:
        read = _opened(job.archive, job.archive.stat().st_mtime_ns).read_pairs(list(job.pairs), unread)
    else:
        read = zip(job.pairs, job.contents, strict=True)
    shard = write_shard(job.out, _decoded(job, read, refused), job.variants, job.storage, with_ssim=job.ssim)
    return ShardResult(shard, tuple(unread), tuple(refused))


def _decoded(job: ShardJob, read: Iterable[tuple[PairFiles, Contents]], refused: list[str]) -> Iterator[Pair]:
    for pair, contents in read:
        try:
            images = {kind: decode(contents[kind], pair.members[kind]) for kind in (SHARP, *job.variants)}
            require_equal_sizes(images, pair.key)
        except DataError as error:
            refused.append(str(error))
            continue
        yield Pair(
            key=pair.key,
            split=pair.split,
            sequence=pair.sequence,
            images=images,
            members=pair.members,
            sha256={kind: sha256(content).hexdigest() for kind, content in contents.items()},
        )


def _spread(pairs: Sequence[PairFiles]) -> set[str]:
    """Keys of at most `SSIM_PAIRS` pairs of each split, spread evenly."""
    splits: dict[str, list[str]] = defaultdict(list)
    for pair in pairs:
        splits[pair.split].append(pair.key)
    return {
        key
        for keys in splits.values()
        for i, key in enumerate(keys)
        if len(keys) <= SSIM_PAIRS or i * SSIM_PAIRS // len(keys) != (i - 1) * SSIM_PAIRS // len(keys)
    }


def require_equal_sizes(images: dict[str, Image], where: str) -> None:
    """Check that the images of a pair have one size.

    Raises:
        DataError: names the pair and the sizes.
    """
    sizes = {kind: f"{image.shape[0]}x{image.shape[1]}" for kind, image in images.items()}
    if len(set(sizes.values())) > 1:
        raise DataError(f"{where}: the images of a pair differ in size: {sizes}")


@lru_cache(maxsize=1)
def _opened(path: Path, changed: int) -> Archive:
    """The archive in this process; listing 200,000 members for every job would cost more than the job."""
    return open_archive(path)
