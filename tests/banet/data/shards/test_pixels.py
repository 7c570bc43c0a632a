"""Pixels as bytes: the same values come back for every image and every crop, and damage never passes for pixels."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from banet.data.shards import pixels
from banet.data.shards.pixels import TILE, Storage, Stored, decode_crop, encode
from banet.errors import DataError
from banet.image import Image

STORAGES: tuple[Storage, ...] = ("raw", "compact")
RAW = "000e1c2a38465462707e8c9aa8b6c4d2e0ee1e000000000000003d5f6075"
COMPACT = "28b52ffd20129100000e2a2a7e000066d6d60000001c00000000002700000000000000f09fbaf0"
SIZES = ((1, 1), (1, 300), (300, 1), (2, 3), (127, 128), (128, 129), (129, 257), (200, 310))


def decode(data: Stored, height: int, width: int, storage: Storage) -> Image:
    return decode_crop(data, height, width, 0, 0, height, width, storage)


def noise(height: int, width: int, seed: int = 0) -> Image:
    return np.random.default_rng([seed, height, width]).integers(0, 256, (height, width, 3), dtype=np.uint8)


def flat(height: int, width: int) -> Image:
    return np.full((height, width, 3), (255, 0, 128), np.uint8)


def extremes(height: int, width: int) -> Image:
    y, x = np.indices((height, width))
    return np.where((y + x)[..., None] % 2 == [0, 1, 0], 255, 0).astype(np.uint8)


def smooth(height: int, width: int) -> Image:
    y, x = np.indices((height, width))
    waves = np.stack([np.sin(y / 40 + x / 50), np.cos(x / 30), np.sin(y / 60)], axis=-1)
    return (
        (127.5 + 120 * waves + np.random.default_rng(0).normal(0, 1, (height, width, 1))).clip(0, 255).astype(np.uint8)
    )


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("make", [noise, flat, extremes, smooth])
def test_an_image_comes_back_as_it_was(
    make: Callable[[int, int], Image], size: tuple[int, int], storage: Storage
) -> None:
    image = make(*size)
    decoded = decode(encode(image, storage), *size, storage)
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, image)


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("size", [(5, 7), (8, 8), (1, 9), (9, 4)])
def test_every_crop_of_a_small_image_is_its_part(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], storage: Storage
) -> None:
    monkeypatch.setattr(pixels, "TILE", 4)  # several tiles, whole and cut
    image = noise(*size)
    data = encode(image, storage)
    for top, left in np.ndindex(size):
        for height, width in itertools.product(range(1, size[0] - top + 1), range(1, size[1] - left + 1)):
            crop = decode_crop(data, *size, top, left, height, width, storage)
            np.testing.assert_array_equal(crop, image[top : top + height, left : left + width])


@pytest.mark.parametrize("storage", STORAGES)
def test_random_crops_of_random_images_are_their_parts(storage: Storage) -> None:
    rng = np.random.default_rng(0)
    for seed in range(60):
        height, width = (int(side) for side in rng.integers(1, 3 * TILE, 2))
        image = noise(height, width, seed) >> rng.integers(0, 8, dtype=np.uint8)  # from noise to nearly flat
        rows, columns = int(rng.integers(1, height + 1)), int(rng.integers(1, width + 1))
        top, left = int(rng.integers(height - rows + 1)), int(rng.integers(width - columns + 1))
        crop = decode_crop(encode(image, storage), height, width, top, left, rows, columns, storage)
        np.testing.assert_array_equal(crop, image[top : top + rows, left : left + columns])


@pytest.mark.parametrize("storage", STORAGES)
def test_views_of_images_are_encoded_as_their_values(storage: Storage) -> None:
    image = noise(140, 150)
    turned = np.rot90(image)[::-1]
    np.testing.assert_array_equal(decode(encode(turned, storage), 150, 140, storage), turned)
    assert encode(turned, storage) == encode(np.ascontiguousarray(turned), storage)


@pytest.mark.parametrize("storage", STORAGES)
def test_a_crop_is_a_contiguous_copy_that_may_be_written(storage: Storage) -> None:
    data = encode(noise(200, 200), storage)
    crop = decode_crop(data, 200, 200, 10, 20, 150, 100, storage)
    assert crop.flags.c_contiguous
    assert crop.flags.writeable
    crop[:] = 0
    assert decode_crop(data, 200, 200, 10, 20, 150, 100, storage).any()


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("view", [memoryview, pa.py_buffer, lambda data: memoryview(b"a page's header" + data)])
def test_buffers_are_read_and_what_stands_before_does_not_matter(
    view: Callable[[bytes], Stored], storage: Storage
) -> None:
    image = noise(150, 140)
    np.testing.assert_array_equal(decode(view(encode(image, storage)), 150, 140, storage), image)


@pytest.mark.parametrize("storage", STORAGES)
def test_a_parquet_column_of_one_value_a_row_group_is_read_where_it_lies(tmp_path: Path, storage: Storage) -> None:
    images = [noise(150, 140, seed) for seed in range(3)]
    table = pa.table({"sharp": pa.array([encode(image, storage) for image in images], pa.large_binary())})
    path = tmp_path / "shard.parquet"
    options = {"compression": "none", "use_dictionary": False, "write_page_checksum": True}
    pq.write_table(table, path, row_group_size=1, **options)
    content = memoryview(path.read_bytes())
    for row, image in enumerate(images):
        chunk = pq.read_metadata(path).row_group(row).column(0)
        stored = content[chunk.data_page_offset : chunk.data_page_offset + chunk.total_compressed_size]
        np.testing.assert_array_equal(decode(stored, 150, 140, storage), image)


def test_only_the_touched_tiles_are_read() -> None:
    image = noise(2 * TILE, 2 * TILE)
    data = bytearray(encode(image, "raw"))
    data[0] ^= 1  # the first tile
    crop = decode_crop(memoryview(data), 2 * TILE, 2 * TILE, TILE, 0, TILE, 2 * TILE, "raw")
    np.testing.assert_array_equal(crop, image[TILE:])
    with pytest.raises(DataError, match="tile 0 has another checksum"):
        decode_crop(memoryview(data), 2 * TILE, 2 * TILE, TILE - 1, TILE - 1, 1, 1, "raw")


@pytest.mark.parametrize("storage", STORAGES)
def test_damage_of_any_byte_is_noticed(monkeypatch: pytest.MonkeyPatch, storage: Storage) -> None:
    monkeypatch.setattr(pixels, "TILE", 4)
    data = encode(noise(5, 7), storage)
    for place, flip in itertools.product(range(len(data)), (1, 0x80, 0xFF)):
        damaged = bytearray(data)
        damaged[place] ^= flip
        with pytest.raises(DataError, match=r"^the stored pixels are damaged \(tile [^\n]*\)$"):
            decode(memoryview(damaged), 5, 7, storage)


@pytest.mark.parametrize("storage", STORAGES)
def test_a_part_of_the_bytes_is_refused(storage: Storage) -> None:
    data = encode(noise(20, 30), storage)
    for length in range(len(data)):
        for part in (data[:length], data[len(data) - length :]):
            with pytest.raises(DataError, match="the stored pixels are damaged"):
                decode(part, 20, 30, storage)


@pytest.mark.parametrize(("wrote", "read"), [STORAGES, STORAGES[::-1]])
def test_the_other_storage_is_refused(wrote: Storage, read: Storage) -> None:
    with pytest.raises(DataError, match="another checksum"):
        decode(encode(noise(20, 30), wrote), 20, 30, read)


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("size", [(30, 20), (20, 31), (600, 1), (200, 300)])
def test_another_size_is_refused(size: tuple[int, int], storage: Storage) -> None:
    with pytest.raises(DataError, match="the stored pixels are damaged"):
        decode(encode(noise(20, 30), storage), *size, storage)


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("content", [b"", b"\0", b"no pixels at all"])
def test_tiles_of_a_wrong_length_are_refused_though_their_sums_agree(
    monkeypatch: pytest.MonkeyPatch, content: bytes, storage: Storage
) -> None:
    monkeypatch.setattr(pixels, f"_pack_{storage}", lambda _: content)
    with pytest.raises(DataError, match="tile 0"):
        decode(encode(noise(2, 2), storage), 2, 2, storage)


@pytest.mark.parametrize("part", [(0, 0, 0, 1), (0, 0, 1, 0), (-1, 0, 2, 2), (0, 6, 1, 2), (4, 0, 2, 1), (9, 9, 1, 1)])
def test_a_crop_outside_the_image_is_refused(part: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="in an image of 5x7"):
        decode_crop(encode(noise(5, 7), "raw"), 5, 7, *part, "raw")


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(DataError, match="must be uint8 RGB"):
        encode(np.zeros((4, 4), np.uint8), "raw")


def test_compact_is_small_on_smooth_images_and_never_much_larger() -> None:
    assert len(encode(smooth(256, 256), "compact")) < 0.4 * len(encode(smooth(256, 256), "raw"))
    assert len(encode(noise(256, 256), "compact")) < 1.001 * len(encode(noise(256, 256), "raw"))


def test_what_was_written_once_stays_readable() -> None:
    image = np.arange(18, dtype=np.uint8).reshape(2, 3, 3) * 14
    assert encode(image, "raw") == bytes.fromhex(RAW)
    np.testing.assert_array_equal(decode(bytes.fromhex(COMPACT), 2, 3, "compact"), image)
