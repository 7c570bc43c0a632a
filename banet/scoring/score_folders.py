"""Scoring a folder of images that any method restored: against a folder of sharp ones, or a benchmark's shards."""

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from banet.data.images.codec import read_image
from banet.data.images.image_files import IMAGES, find_files, sequence_of
from banet.data.manifest import Benchmark
from banet.data.names import SHARP, TEST
from banet.data.shards.index import PairRow
from banet.data.shards.reader import ShardFolder
from banet.errors import DataError
from banet.scoring.evaluation import IMAGES_A_BLOCK
from banet.scoring.name_matching import Side, only_restored, only_sharp, pair_all, some, without_kinds
from banet.scoring.resume import FinishedBlocks, Work, finished_blocks, score_resumed
from banet.scoring.scores import ImageScores, Protocol, protocol_of, score, score_aligned

Size = tuple[int, int]
"""Height and width, pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePair:
    """A restored image and its sharp one in two folders."""

    name: PurePosixPath  # of the sharp one in its folder; in a benchmark's tree, without the folder `sharp`
    restored: Path
    sharp: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePair:
    """A restored image and its sharp one; it goes to other processes."""

    key: str  # sequence/frame, or the sharp image's name
    sequence: str
    stratum: str | None
    restored: Path
    sharp: Path | PairRow  # a file, or a row of the shards


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchedImages:
    """A method's images and the sharp ones, paired, and checked as far as names and headers tell."""

    restored: Path  # folder
    protocol: Protocol
    pairs: tuple[ImagePair, ...]
    pixels: tuple[int, ...]  # of each pair, about
    shards: Path | None = None  # that hold the sharp images
    data_digest: str = ""  # of the shards


def compare_folders(restored: Path, sharp: Path, protocol: Protocol) -> MatchedImages:
    """Pair two folders by name, in the order of the sharp names, and check all that names and headers tell.

    Args:
        restored: folder of 8-bit RGB images, losslessly stored.
        sharp: folder of as many sharp ones, or a benchmark's own tree; endings may differ.
        protocol: `realblur` aligns too.

    Raises:
        DataError: images that are missing, too many, lossy or of different sizes, in one line.
    """
    files = pair_folders(restored, sharp)
    _require_lossless([file.restored for file in files], restored)
    wanted = [_png_size(_head(file.sharp)) for file in files]
    _require_sizes([file.restored for file in files], wanted, restored)
    pairs = tuple(
        ImagePair(
            key=file.name.with_suffix("").as_posix(),
            sequence=sequence_of(file.name, "images"),
            stratum=None,
            restored=file.restored,
            sharp=file.sharp,
        )
        for file in files
    )
    pixels = tuple(
        size[0] * size[1] if size else file.sharp.stat().st_size for size, file in zip(wanted, files, strict=True)
    )
    return MatchedImages(restored=restored, protocol=protocol, pairs=pairs, pixels=pixels)


def compare_benchmark(restored: Path, shards: Path, benchmark: Benchmark) -> MatchedImages:
    """Pair a folder with the test images of a benchmark, by their keys and in that order; its protocol is the papers'.

    Args:
        restored: folder of 8-bit RGB images, losslessly stored.
        shards: the benchmark's, which are read once and compared with their digest.
        benchmark: its manifest.

    Raises:
        DataError: damaged shards, images that are missing, too many, lossy or of different sizes, in one line.
    """
    data = ShardFolder(shards.absolute())
    if data.summary.benchmark != benchmark.name:
        raise DataError(
            f"{shards} holds {data.summary.benchmark}, not {benchmark.name}: name its own shards (--shards)"
        )
    data.verify()
    rows = {PurePosixPath(f"{row.key}.png"): row for row in data.rows(TEST)}
    found = _pair(restored, f"{benchmark.name}'s test split", list(rows), f"give images of {benchmark.name}")
    pairs = tuple(
        ImagePair(
            key=row.key,
            sequence=row.sequence,
            stratum=benchmark.stratum(row.sequence),
            restored=restored / found[name],
            sharp=row,
        )
        for name, row in rows.items()
    )
    files = [pair.restored for pair in pairs]
    _require_lossless(files, restored)
    _require_sizes(files, [(row.height, row.width) for row in rows.values()], restored)
    return MatchedImages(
        restored=restored,
        protocol=protocol_of(benchmark),
        pairs=pairs,
        pixels=tuple(row.height * row.width for row in rows.values()),
        shards=shards.absolute(),
        data_digest=data.summary.digest,
    )


def pair_folders(restored: Path, sharp: Path) -> list[FilePair]:
    """Pair all images of two folders and the folders in them by name; `pair_all` says how.

    Raises:
        DataError: a folder that is missing or empty, images that are left over, or two of one name.
    """
    names = find_files(sharp, IMAGES, "images")
    taken = only_sharp(names)
    found = _pair(restored, str(sharp), taken, "give the two folders of one benchmark")
    shown = {name: without_kinds(name) for name in taken}
    if taken == names or len(set(shown.values())) < len(taken):
        shown = {name: name for name in taken}
    return [FilePair(name=shown[name], restored=restored / other, sharp=sharp / name) for name, other in found.items()]


def kept_blocks(storage: Path, comparison: MatchedImages) -> FinishedBlocks:
    """Return where blocks lie that are done, named by every image's path, size and time of change.

    Raises:
        DataError: an image that was removed meanwhile.
    """
    depends_on = {
        "protocol": comparison.protocol,
        "shards": comparison.data_digest,
        "pairs": [
            (pair.key, pair.sequence, pair.stratum, _stamp(pair.restored), _stamp(pair.sharp))
            for pair in comparison.pairs
        ],
    }
    return finished_blocks(storage, "folder", depends_on, Path(__file__))


def score_comparison(
    comparison: MatchedImages,
    *,
    kept: FinishedBlocks | None = None,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[ImageScores]:
    """Score every restored image, in the order of the pairs.

    Args:
        comparison: what is compared.
        kept: where blocks that are done lie; only the others are scored.
        workers: processes; None takes one for few small images and else one a core.
        on_progress: is told how many images are done, of how many.

    Raises:
        DataError: images that are damaged, not 8-bit RGB or, where no header told it, of different sizes.
        ResourceError: no OpenCV, a full disk, or workers that die.
    """
    size = IMAGES_A_BLOCK[comparison.protocol]
    firsts = range(0, len(comparison.pairs), size)
    blocks = [
        Work(
            item=comparison.pairs[first : first + size],
            keys=tuple((pair.key, "") for pair in comparison.pairs[first : first + size]),
            pixels=sum(comparison.pixels[first : first + size]),
        )
        for first in firsts
    ]
    start = partial(_open, comparison.protocol, comparison.shards)
    return score_resumed(start, blocks, kept=kept, workers=workers, on_progress=on_progress)


def _pair(
    restored: Path, label: str, sharp: Sequence[PurePosixPath], remedy: str
) -> dict[PurePosixPath, PurePosixPath]:
    names = only_restored(find_files(restored, IMAGES, "images"), sharp)
    return pair_all(Side(label=str(restored), names=names), Side(label=label, names=sharp), remedy)


def _require_lossless(files: Iterable[Path], folder: Path) -> None:
    """Refuse lossy restored images: their scores would be JPEG's too, and no paper's; a sharp photograph may be one."""
    lossy = [file.relative_to(folder) for file in files if _is_lossy(_head(file))]
    if lossy:
        raise DataError(
            f"{folder} holds {some(lossy)} in a lossy format (JPEG, WebP), whatever the ending: the score would be "
            "that of the compression too: let the method write PNG"
        )


def _require_sizes(files: Iterable[Path], sizes: Iterable[Size | None], folder: Path) -> None:
    """Check the sizes that headers tell before the first image is scored."""
    problems = []
    for file, wanted in zip(files, sizes, strict=True):
        found = _png_size(_head(file))
        if found and wanted and found != wanted:
            problems.append(f"{file.relative_to(folder)} {_shown(found)}, not {_shown(wanted)}")
    if problems:
        raise DataError(f"{folder} holds {some(problems)} (height x width): restore whole images, and do not crop")


def _open(protocol: Protocol, shards: Path | None) -> Callable[[Sequence[ImagePair]], list[ImageScores]]:
    """Open the shards, once a process."""
    return partial(_score_pairs, protocol, ShardFolder(shards) if shards is not None else None)


def _score_pairs(protocol: Protocol, shards: ShardFolder | None, pairs: Sequence[ImagePair]) -> list[ImageScores]:
    return [_score_pair(protocol, shards, pair) for pair in pairs]


def _score_pair(protocol: Protocol, shards: ShardFolder | None, pair: ImagePair) -> ImageScores:
    restored = read_image(pair.restored)
    if isinstance(pair.sharp, Path):
        sharp = read_image(pair.sharp)
    else:
        assert shards is not None  # noqa: S101
        sharp = shards.read(pair.sharp, (SHARP,)).images[SHARP]
    try:
        return ImageScores(
            key=pair.key,
            sequence=pair.sequence,
            stratum=pair.stratum,
            variant="",
            blurred=None,
            restored=score(restored, sharp),
            realblur=score_aligned(restored, sharp, protocol),
        )
    except DataError as error:
        raise DataError(f"{pair.restored}: {error}") from None


def _stamp(file: Path | PairRow) -> tuple[str, int, int]:
    """What tells that a file is another one now: its path, bytes and time of change; of a row, its key and size."""
    if isinstance(file, PairRow):
        return file.key, file.height, file.width
    try:
        found = file.stat()
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror})") from None
    return str(file.resolve()), found.st_size, found.st_mtime_ns


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(32)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from None


def _is_lossy(head: bytes) -> bool:
    """Whether a file is JPEG, or WebP that may be lossy."""
    webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    return head.startswith(b"\xff\xd8") or (webp and head[12:16] != b"VP8L")


def _png_size(head: bytes) -> Size | None:
    if not head.startswith(b"\x89PNG\r\n\x1a\n") or len(head) < 24:
        return None
    width, height = struct.unpack_from(">II", head, 16)
    return height, width


def _shown(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
