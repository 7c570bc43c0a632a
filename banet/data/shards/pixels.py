"""The pixels of an image as bytes, lossless and in tiles, which lets a crop be read without the rest of the image.

A tile has 128x128 pixels, or fewer at the right and lower border. The bytes are the n tiles, row by row, then a table:
for each tile the distance of its start from the end (n little-endian uint64), then its CRC-32 (n uint32), seeded with
the size and the storage. Since all distances count from the end, bytes in front, such as the page header in a mapped
Parquet file, do not matter. A crop reads only the tiles that it touches, at most nine for 256x256.

`raw`: a tile is its RGB pixels, row by row. `compact`: its planes G, R-G and B-G, one below the other, each value
minus its prediction from the upper and left neighbours (upper + left - upper left), in zstd. Sums over rows and columns
modulo 256 undo this in one call. docs/benchmarks.md lists the alternatives that were measured.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple, TypeAlias

import cv2
import numpy as np
import pyarrow as pa

from banet.errors import DataError
from banet.image import Image, require_image

Storage = Literal["raw", "compact"]
"""`raw`: fastest to read, three bytes per pixel. `compact`: about a third of that for photographs."""
Stored: TypeAlias = bytes | memoryview | pa.Buffer

TILE: Final = 128  # pixels; smaller tiles cost more calls and bytes, larger ones more pixels outside the crop
ZSTD_LEVEL: Final = 1  # higher levels are slower and save little, since the residuals are mostly noise
_ENTRY: Final = 12  # bytes in the table per tile: uint64 and uint32


class _Part(NamedTuple):
    """A rectangle of an image, pixels."""

    top: int
    left: int
    height: int
    width: int


class _Tile(NamedTuple):
    """A tile that a part touches."""

    number: int  # in the table
    height: int  # pixels
    width: int  # pixels
    inside: tuple[slice, slice]  # the shared rectangle, in rows and columns of the tile
    place: tuple[slice, slice]  # the same, in rows and columns of the part


def encode(image: Image, storage: Storage) -> bytes:
    """Encode an image, uint8 RGB (H, W, 3), of any size from 1x1 up.

    Raises:
        DataError: another type or shape.
    """
    image = require_image(image)
    height, width = image.shape[:2]
    pack = _pack_compact if storage == "compact" else _pack_raw
    parts = [pack(image[tile.place]) for tile in _tiles(height, width, _Part(0, 0, height, width))]
    begins = _ENTRY * len(parts) + np.cumsum([len(part) for part in reversed(parts)])[::-1]
    start = _checksum_start(height, width, storage)
    sums = [zlib.crc32(part, start) for part in parts]
    return b"".join([*parts, struct.pack(f"<{len(parts)}Q{len(parts)}I", *begins, *sums)])


def decode_crop(
    data: Stored, height: int, width: int, top: int, left: int, crop_height: int, crop_width: int, storage: Storage
) -> Image:
    """Decode a part of an image from the tiles that it touches.

    Args:
        data: result of `encode`, or a buffer that ends with it; only the table and the touched tiles are read.
        height: of the whole image, pixels.
        width: of the whole image, pixels.
        top: first row of the part.
        left: first column of the part.
        crop_height: rows of the part, at least 1.
        crop_width: columns of the part, at least 1.
        storage: as given to `encode`.

    Returns:
        uint8 RGB (crop_height, crop_width, 3), contiguous, a copy.

    Raises:
        DataError: a touched tile is damaged, or the image has another size or storage.
        ValueError: the part reaches outside the image.
    """
    part = _Part(top, left, crop_height, crop_width)
    if not (0 <= top < top + crop_height <= height and 0 <= left < left + crop_width <= width):
        raise ValueError(f"no {crop_height}x{crop_width} pixels at ({top}, {left}) in an image of {height}x{width}")
    tiles = _read_tiles(memoryview(data), height, width, part, _checksum_start(height, width, storage))
    return _unpack_compact(tiles, part) if storage == "compact" else _unpack_raw(tiles, part)


def _pack_raw(pixels: Image) -> bytes:
    return pixels.tobytes()


def _unpack_raw(tiles: Iterator[tuple[_Tile, memoryview]], part: _Part) -> Image:
    crop = np.empty((part.height, part.width, 3), np.uint8)
    for tile, content in tiles:
        if len(content) != tile.height * tile.width * 3:
            raise _damaged(f"tile {tile.number} has {len(content)} bytes, not {tile.height * tile.width * 3}")
        crop[tile.place] = np.frombuffer(content, np.uint8).reshape(tile.height, tile.width, 3)[tile.inside]
    return crop


def _pack_compact(pixels: Image) -> bytes:
    red, green, blue = (pixels[:, :, channel] for channel in range(3))
    planes = np.concatenate([green, red - green, blue - green])  # modulo 256, here and below
    for axis in (0, 1):
        planes = np.diff(planes, axis=axis, prepend=np.uint8(0))
    return bytes(pa.Codec("zstd", compression_level=ZSTD_LEVEL).compress(planes.tobytes(), asbytes=True))


def _unpack_compact(tiles: Iterator[tuple[_Tile, memoryview]], part: _Part) -> Image:
    codec = pa.Codec("zstd")
    planes = np.empty((3, part.height, part.width), np.uint8)
    for tile, content in tiles:
        try:
            residuals = codec.decompress(content, tile.height * tile.width * 3)
        except (pa.ArrowException, OSError, ValueError):
            raise _damaged(f"tile {tile.number} does not decompress to {tile.height}x{tile.width} pixels") from None
        sums = cv2.integral(np.frombuffer(residuals, np.uint8).reshape(3 * tile.height, tile.width))
        planes[:, *tile.place] = sums[1:, 1:].reshape(3, tile.height, tile.width)[:, *tile.inside]
    green, red, blue = planes
    red += green
    blue += green
    crop: Image = cv2.merge((red, green, blue))
    return crop


def _read_tiles(
    stored: memoryview, height: int, width: int, part: _Part, start: int
) -> Iterator[tuple[_Tile, memoryview]]:
    """Yield the tiles that a part touches, each with its bytes; `start` seeds their checksums."""
    count = -(-height // TILE) * -(-width // TILE)
    end = len(stored)
    if end < _ENTRY * count:
        raise _damaged(f"{end} bytes for {count} tiles")
    begins = np.frombuffer(stored, "<u8", count, offset=end - _ENTRY * count)
    sums = np.frombuffer(stored, "<u4", count, offset=end - 4 * count)
    for tile in _tiles(height, width, part):
        begin = int(begins[tile.number])
        behind = int(begins[tile.number + 1]) if tile.number + 1 < count else _ENTRY * count
        if not behind < begin <= end:
            raise _damaged(f"tile {tile.number} is outside the {end} bytes")
        content = stored[end - begin : end - behind]
        if zlib.crc32(content, start) != sums[tile.number]:
            raise _damaged(f"tile {tile.number} has another checksum")
        yield tile, content


def _tiles(height: int, width: int, part: _Part) -> Iterator[_Tile]:
    """Yield the tiles of an image of height x width pixels that a part touches, row by row."""
    tiles_across = -(-width // TILE)
    for row in range(part.top // TILE, -(-(part.top + part.height) // TILE)):
        inside_y, place_y, tile_height = _overlap(row, height, part.top, part.height)
        for column in range(part.left // TILE, -(-(part.left + part.width) // TILE)):
            inside_x, place_x, tile_width = _overlap(column, width, part.left, part.width)
            number = row * tiles_across + column
            yield _Tile(number, tile_height, tile_width, (inside_y, inside_x), (place_y, place_x))


def _overlap(index: int, size: int, start: int, length: int) -> tuple[slice, slice, int]:
    """Intersect tile `index` with a part along one axis: the slice in the tile, in the part, and the tile's size."""
    begin, end = index * TILE, min(index * TILE + TILE, size)
    low, high = max(begin, start), min(end, start + length)
    return slice(low - begin, high - begin), slice(low - start, high - start), end - begin


def _checksum_start(height: int, width: int, storage: Storage) -> int:
    """Return the checksums' seed, which differs for every size and storage."""
    return zlib.crc32(f"{height}x{width} {storage}".encode())


def _damaged(how: str) -> DataError:
    return DataError(f"the stored pixels are damaged ({how})")
