"""The ways to store pixels that `pixels.py` measures.

Those of imagecodecs and blosc2 need these packages, which are no dependency; without them their rows are left out.
"""

import importlib.util
import mmap
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, cast

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from banet.data.shards import pixels
from banet.image import Image

CROP = 256
HEIGHT, WIDTH = 720, 1280  # of the images
RAW, COMPACT = "**raw**", "**compact**"
PLANES = 3

Encoded = Any  # each arm has its own
Array = npt.NDArray[np.uint8]
Shape = tuple[int, ...]
CropOf = Callable[[Encoded, int, int], Image]  # top, left


class Arm(NamedTuple):
    """One way to store images."""

    name: str
    cut: str  # tiles, bands
    encode: Callable[[Image], Encoded]
    size: Callable[[Encoded], int]  # bytes of an encoded image
    crop: CropOf


def tiled(
    name: str, cut: tuple[int, int], pack: Callable[[Image], Encoded], unpack: Callable[[memoryview, Shape], Image]
) -> Arm:
    """Cut images into tiles or bands, each encoded on its own, with a checksum."""
    rows, columns = cut

    def encode(image: Image) -> Encoded:
        height, width = image.shape[:2]
        tiles = {}
        for y in range(0, height, rows):
            for x in range(0, width, columns):
                tile = np.ascontiguousarray(image[y : y + rows, x : x + columns])
                packed = memoryview(pack(tile)).cast("B")
                tiles[y, x] = packed, zlib.crc32(packed), tile.shape
        return tiles

    def crop(tiles: Encoded, top: int, left: int) -> Image:
        out = np.empty((CROP, CROP, 3), np.uint8)
        for y in range(top // rows * rows, top + CROP, rows):
            for x in range(left // columns * columns, left + CROP, columns):
                packed, checksum, shape = tiles[y, x]
                if zlib.crc32(packed) != checksum:
                    raise ValueError("damaged")
                y0, x0 = max(y, top), max(x, left)
                part = unpack(packed, shape)[y0 - y : top + CROP - y, x0 - x : left + CROP - x]
                out[y0 - top : y0 - top + part.shape[0], x0 - left : x0 - left + part.shape[1]] = part
        return out

    def size(tiles: Encoded) -> int:
        return sum(len(packed) + 12 for packed, _, _ in tiles.values())

    return Arm(name, f"bands of {rows}" if columns > 1000 else f"{rows}x{columns}", encode, size, crop)


def sums(x: Array, axis: int) -> Array:
    """Running sums modulo 256 along an axis by doubling steps: the fastest of what numpy has."""
    step, size = 1, x.shape[axis]
    x = np.moveaxis(x, axis, 0)
    while step < size:
        x = np.concatenate([x[:step], x[step:] + x[:-step]])
        step *= 2
    return np.moveaxis(x, 0, axis)


def differences(x: Array, axis: int) -> Array:
    """Undone by `sums`."""
    return np.diff(x, axis=axis, prepend=np.uint8(0))


def from_planes(planes: Array) -> Image:
    """G, R-G, B-G to RGB."""
    green, red, blue = planes
    image: Image = cv2.merge((red + green, green, blue + green))
    return image


def to_planes(tile: Image) -> Array:
    """RGB to G, R-G, B-G."""
    red, green, blue = (tile[:, :, channel] for channel in range(PLANES))
    return np.stack([green, red - green, blue - green])


def plane_sums(x: Array, rows: int, columns: int) -> Array:
    """Sums over rows and columns at once."""
    added: Array = cv2.integral(x.reshape(-1, columns))[1:, 1:].astype(np.uint8)
    return added.reshape(-1, rows, columns)


def filtered(codec: str, level: int | None, name: str, cut: tuple[int, int]) -> Arm:
    """A general codec over residuals; the filters are named after what predicts a value."""
    code, none = pa.Codec(codec, compression_level=level), pa.Codec(codec)
    forward: dict[str, Callable[[Image], Array]] = {
        "nothing": lambda tile: tile,
        "left": lambda tile: differences(tile, 1),
        "planes, left": lambda tile: differences(tile.transpose(2, 0, 1), 2),
        "green, left": lambda tile: differences(to_planes(tile), 2),
        "green, up": lambda tile: differences(to_planes(tile), 1),
        "green, plane": lambda tile: differences(differences(to_planes(tile).reshape(-1, tile.shape[1]), 0), 1),
    }
    back: dict[str, Callable[[Array, Shape], Image]] = {
        "nothing": lambda x, s: x.reshape(s),
        "left": lambda x, s: sums(x.reshape(s), 1),
        "planes, left": lambda x, s: cv2.merge(list(sums(x.reshape(PLANES, *s[:2]), 2))),
        "green, left": lambda x, s: from_planes(sums(x.reshape(PLANES, *s[:2]), 2)),
        "green, up": lambda x, s: from_planes(sums(x.reshape(PLANES, *s[:2]), 1)),
        "green, plane": lambda x, s: from_planes(plane_sums(x, *s[:2])),
    }

    def unpack(packed: memoryview, shape: Shape) -> Image:
        return back[name](np.frombuffer(none.decompress(packed, int(np.prod(shape))), np.uint8), shape)

    title = f"{codec}{'' if level is None else f' {level}'} over differences ({name})"
    return tiled(
        title.replace(" over differences (nothing)", ""),
        cut,
        lambda t: code.compress(forward[name](t).tobytes()),
        unpack,
    )


def own(storage: pixels.Storage, name: str) -> Arm:
    """The module's own storages."""

    def crop(data: Encoded, top: int, left: int) -> Image:
        return pixels.decode_crop(data, HEIGHT, WIDTH, top, left, CROP, CROP, storage)

    return Arm(name, f"{pixels.TILE}x{pixels.TILE}", lambda image: pixels.encode(image, storage), len, crop)


def parquet(name: str, folder: Path, encode: Callable[[Image], bytes], crop: CropOf, how: str) -> Arm:
    """A file of one row: `pyarrow` reads the row group, with or without page checksums; `mapped` views its chunk."""

    def write(image: Image) -> Encoded:
        path = folder / f"{time.time_ns()}.parquet"
        options = {"use_dictionary": False, "write_statistics": False, "write_page_checksum": True}
        pq.write_table(
            pa.table({"sharp": pa.array([encode(image)], pa.large_binary())}), path, compression="none", **options
        )
        file = pq.ParquetFile(path, memory_map=True, page_checksum_verification=how == "page checksum")
        with path.open("rb") as stream:
            return file, memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))

    def read(opened: Encoded, top: int, left: int) -> Image:
        file, mapped = opened
        if how == "mapped":
            chunk = file.metadata.row_group(0).column(0)
            return crop(mapped[chunk.data_page_offset :][: chunk.total_compressed_size], top, left)
        return crop(file.read_row_group(0, ["sharp"], use_threads=False)["sharp"][0].as_buffer(), top, left)

    return Arm(f"{name}, Parquet, {how}", "", write, lambda opened: len(opened[1]), read)


def rows_crop(buffer: Encoded, top: int, left: int) -> Image:
    """Slice whole rows of pixels."""
    image = np.frombuffer(buffer, np.uint8).reshape(HEIGHT, WIDTH, 3)
    return image[top : top + CROP, left : left + CROP].copy()


def decode_png(content: bytes | memoryview) -> Image:
    """Decode a whole file."""
    return cast(Image, cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB))


def image_codecs() -> list[Arm]:
    """Codecs for images, over tiles."""
    options = [cv2.IMWRITE_PNG_COMPRESSION, 1]
    arms = [
        tiled(
            "PNG 1 (OpenCV)",
            (side, side),
            lambda t: cv2.imencode(".png", t[..., ::-1], options)[1],
            lambda b, _: decode_png(b),
        )
        for side in (64, 128, 256)
    ]
    if importlib.util.find_spec("imagecodecs") is None:
        return arms
    import imagecodecs as ic

    def planes(tile: Image) -> Array:
        return np.ascontiguousarray(tile.transpose(2, 0, 1)).reshape(-1, tile.shape[1])

    def without_shape(decode: Callable[[memoryview], Image]) -> Callable[[memoryview, Shape], Image]:
        return lambda packed, _: decode(packed)

    def from_rows(planes: Array) -> Image:
        image: Image = cv2.merge(list(planes.reshape(PLANES, -1, planes.shape[1])))
        return image

    codecs: dict[str, tuple[Any, Any]] = {
        "PNG 1 (libpng)": (lambda t: ic.png_encode(t, level=1), ic.png_decode),
        "QOI": (ic.qoi_encode, ic.qoi_decode),
        "WebP lossless, method 0": (lambda t: ic.webp_encode(t, level=0, lossless=True, method=0), ic.webp_decode),
        "WebP lossless": (lambda t: ic.webp_encode(t, lossless=True), ic.webp_decode),
        "JPEG XL lossless, effort 1": (lambda t: ic.jpegxl_encode(t, lossless=True, effort=1), ic.jpegxl_decode),
        "JPEG XL lossless, effort 2": (lambda t: ic.jpegxl_encode(t, lossless=True, effort=2), ic.jpegxl_decode),
        "JPEG-LS": (ic.jpegls_encode, ic.jpegls_decode),
        "HTJ2K reversible": (lambda t: ic.htj2k_encode(t, reversible=True), ic.htj2k_decode),
        "JPEG XR lossless": (lambda t: ic.jpegxr_encode(t, level=1.0), ic.jpegxr_decode),
        "LJPEG": (lambda t: ic.ljpeg_encode(planes(t)), lambda b: from_rows(ic.ljpeg_decode(b))),
    }
    cuts = {"QOI": [(64, 64), (128, 128), (32, 1280)], "WebP lossless": [(128, 128), (256, 256)]}
    for name, (encode, decode) in codecs.items():
        arms += [tiled(name, cut, encode, without_shape(decode)) for cut in cuts.get(name, [(128, 128)])]
    return arms


def blosc() -> list[Arm]:
    """Blosc2's arrays, a chunk a tile."""
    if importlib.util.find_spec("blosc2") is None:
        return []
    import blosc2

    def arm(codec: str, name: str, block: int) -> Arm:
        params = {"codec": blosc2.Codec[codec], "clevel": 1, "nthreads": 1, "filters": [blosc2.Filter[name]]}
        return Arm(
            f"blosc2 {codec.lower()}, {name.lower()}, blocks of {block} rows",
            "128x128",
            lambda image: blosc2.asarray(
                image, chunks=(128, 128, 3), blocks=(block, 128, 3), cparams=params
            ).to_cframe(),
            len,
            lambda data, y, x: blosc2.ndarray_from_cframe(data)[y : y + CROP, x : x + CROP],
        )

    blosc2.set_nthreads(1)
    names = ("SHUFFLE", "BITSHUFFLE", "DELTA")
    return [arm(codec, name, block) for codec in ("ZSTD", "LZ4") for name in names for block in (128, 32)]


def all_arms(folder: Path) -> list[Arm]:
    """Everything that was tried, the PNG files aside."""
    tile, best = (128, 128), "green, plane"
    bands = [(16, 1280), (32, 1280), (64, 1280)]
    raw, compact = own("raw", RAW), own("compact", COMPACT)
    return [
        raw,
        tiled("raw", (64, 64), lambda t: t, lambda b, s: np.frombuffer(b, np.uint8).reshape(s)),
        tiled("raw", (16, 1280), lambda t: t, lambda b, s: np.frombuffer(b, np.uint8).reshape(s)),
        *(parquet("raw rows", folder, lambda i: i.tobytes(), rows_crop, h) for h in ("page checksum", "no checksum")),
        parquet(RAW, folder, raw.encode, raw.crop, "mapped"),
        compact,
        parquet(COMPACT, folder, compact.encode, compact.crop, "page checksum"),
        parquet(COMPACT, folder, compact.encode, compact.crop, "mapped"),
        *(filtered("zstd", 1, best, cut) for cut in ((64, 64), tile, (256, 256), *bands)),
        *(filtered("zstd", level, best, tile) for level in (3, 9)),
        *(filtered("zstd", 1, name, tile) for name in ("green, up", "green, left", "planes, left", "left")),
        *(filtered("zstd", 1, "left", cut) for cut in bands),
        *(filtered("zstd", level, "left", tile) for level in (3, 9)),
        *(filtered("lz4_raw", None, name, tile) for name in (best, "left")),
        filtered("lz4_raw", None, "nothing", (HEIGHT, WIDTH)),
        *image_codecs(),
        *blosc(),
    ]
