"""Scoring images restored by any method, against a folder of sharp images or a benchmark's shards."""

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from banet.data.images.codec import read_image
from banet.data.images.image_files import IMAGES, find_files, sequence_of
from banet.data.manifest import Benchmark
from banet.data.names import SHARP, TEST, nfc
from banet.data.shards.index import PairRow
from banet.data.shards.reader import ShardFolder
from banet.errors import DataError
from banet.memory import enough_memory
from banet.scoring.name_matching import Side, only_restored, only_sharp, pair_all, some, without_kinds
from banet.scoring.resume import FinishedBlocks, Work, finished_blocks, score_resumed
from banet.scoring.scores import ImageScores, Protocol, protocol_of, score, score_aligned

Size = tuple[int, int]
"""Height and width, pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePair:
    """A restored image and its sharp one; sent to other processes."""

    key: str  # sequence/frame, or the sharp image's name
    sequence: str
    stratum: str | None
    restored: Path
    sharp: Path | PairRow  # a file, or a row of the shards
    pixels: int  # about


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchedImages:
    """A method's images and the sharp ones in pairs, checked as far as names and headers allow."""

    restored: Path  # folder
    protocol: Protocol
    pairs: tuple[ImagePair, ...]
    shards: Path | None = None  # with the sharp images
    data_digest: str = ""  # of the shards
    not_rgb: int = 0  # restored images that are grey or have an alpha channel, as PNG headers tell


def compare_folders(restored: Path, sharp: Path, protocol: Protocol) -> MatchedImages:
    """Pair all images of two folders by name, as `pair_all` says, in the order of the sharp names; check the headers.

    Args:
        restored: folder of 8-bit RGB images, losslessly stored.
        sharp: folder of as many sharp images, or a benchmark's own tree; endings may differ.
        protocol: of the scores.

    Raises:
        DataError: a folder without images; or images that are missing, too many, lossy or of different sizes.
    """
    names = find_files(sharp, IMAGES, "images")
    taken = only_sharp(names)
    found = _pair(restored, str(sharp), taken, "give the two folders of one benchmark, with equal names")
    shown = {name: without_kinds(name) for name in taken}
    if taken == names or len(set(shown.values())) < len(taken):
        shown = {name: name for name in taken}
    sizes = [_png_size(_head(sharp / name)) for name in found]
    not_rgb = _require_headers(restored, found.values(), sizes)
    pairs = tuple(
        ImagePair(
            key=nfc(shown[name].with_suffix("").as_posix()),
            sequence=sequence_of(shown[name], "images"),
            stratum=None,
            restored=restored / other,
            sharp=sharp / name,
            pixels=size[0] * size[1] if size else (sharp / name).stat().st_size,
        )
        for (name, other), size in zip(found.items(), sizes, strict=True)
    )
    return MatchedImages(restored=restored, protocol=protocol, pairs=pairs, not_rgb=not_rgb)


def compare_benchmark(restored: Path, shards: Path, benchmark: Benchmark) -> MatchedImages:
    """Pair a folder with the test images of a benchmark, in the order of their keys; its protocol is the papers'.

    Args:
        restored: folder of 8-bit RGB images, losslessly stored.
        shards: the benchmark's, whose digest is checked.
        benchmark: its manifest.

    Raises:
        DataError: damaged shards; or images that are missing, too many, lossy or of different sizes.
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
            stratum=benchmark.stratum(row.sequence, data.summary.counts[TEST]),
            restored=restored / found[name],
            sharp=row,
            pixels=row.height * row.width,
        )
        for name, row in rows.items()
    )
    not_rgb = _require_headers(restored, found.values(), [(row.height, row.width) for row in rows.values()])
    return MatchedImages(
        restored=restored,
        protocol=protocol_of(benchmark),
        pairs=pairs,
        shards=shards.absolute(),
        data_digest=data.summary.digest,
        not_rgb=not_rgb,
    )


def kept_blocks(storage: Path, comparison: MatchedImages) -> FinishedBlocks:
    """Return the finished blocks in `storage`, found by the path, size and time of change of every image.

    Raises:
        DataError: an image was removed meanwhile.
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
    """Score every restored image, in the order of the pairs, as `score_resumed` does.

    Raises:
        DataError: images that are damaged, not 8-bit RGB or, if the headers did not show it, of different sizes.
        ResourceError: no OpenCV, a full disk, or workers that die.
    """
    return score_resumed(
        partial(_open, comparison.protocol, comparison.shards),
        [Work(item=pair, key=pair.key, variant="", pixels=pair.pixels) for pair in comparison.pairs],
        protocol=comparison.protocol,
        kept=kept,
        workers=workers,
        on_progress=on_progress,
    )


def _pair(
    restored: Path, label: str, sharp: Sequence[PurePosixPath], remedy: str
) -> dict[PurePosixPath, PurePosixPath]:
    names = only_restored(find_files(restored, IMAGES, "images"), sharp)
    return pair_all(Side(label=str(restored), names=names), Side(label=label, names=sharp), remedy)


def _require_headers(folder: Path, names: Iterable[PurePosixPath], sizes: Iterable[Size | None]) -> int:
    """Refuse lossy restored images, and those whose header tells another size, before the first image is scored.

    Return how many are grey or have an alpha channel.

    A lossy restored image would be scored for its compression too, as in no paper; a sharp photograph may be a JPEG.
    """
    heads = {name: _head(folder / name) for name in names}
    lossy = [name for name, head in heads.items() if _is_lossy(head)]
    if lossy:
        raise DataError(
            f"{folder} holds {some(lossy)} in a lossy format (JPEG, WebP, JPEG 2000, AVIF), whatever the ending, and "
            "the score would include the compression: let the method write PNG"
        )
    found = zip(heads, map(_png_size, heads.values()), sizes, strict=True)
    wrong = [
        f"{name} {size[0]}x{size[1]}, not {wanted[0]}x{wanted[1]}"
        for name, size, wanted in found
        if size and wanted and size != wanted
    ]
    if wrong:
        raise DataError(f"{folder} holds {some(wrong)} (height x width): restore whole images, without cropping")
    return sum(_png_size(head) is not None and head[25] in (0, 4, 6) for head in heads.values())


def _open(protocol: Protocol, shards: Path | None) -> Callable[[ImagePair], ImageScores]:
    """Open the shards, once per process."""
    return partial(_score_pair, protocol, ShardFolder(shards) if shards is not None else None)


def _score_pair(protocol: Protocol, shards: ShardFolder | None, pair: ImagePair) -> ImageScores:
    with enough_memory(str(pair.restored), "use fewer --workers or a larger machine"):
        return _scores(protocol, shards, pair)


def _scores(protocol: Protocol, shards: ShardFolder | None, pair: ImagePair) -> ImageScores:
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
    """What tells that a file has changed: its path, size and time of change; for a row of the shards, key and size."""
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
    """Whether a file is JPEG, or WebP, JPEG 2000 or AVIF that may be lossy."""
    webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    other = head.startswith((b"\xff\xd8", b"\xff\x4f\xff\x51")) or head[4:8] == b"jP  " or head[4:8] == b"ftyp"
    return other or (webp and head[12:16] != b"VP8L")


def _png_size(head: bytes) -> Size | None:
    if not head.startswith(b"\x89PNG\r\n\x1a\n") or len(head) < 24:
        return None
    width, height = struct.unpack_from(">II", head, 16)
    return height, width
