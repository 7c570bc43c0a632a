"""Shards: what is written comes back to the byte, and damage never passes for data."""

import pickle
import shutil
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from banet.data.sharding import writer as shard_writer
from banet.data.sharding.writer import ShardWriter
from banet.data.shards.pixels import Storage
from banet.data.shards.reader import Pair, ShardFolder, Sizes, Summary, read_pairs
from banet.errors import BanetError, DataError
from banet.metrics.psnr import psnr

Make = Callable[..., Path]


def pair(key: str, size: tuple[int, int], *, split: str = "train", seed: int = 0) -> Pair:
    rng = np.random.default_rng([seed, *key.encode()])
    images = {kind: rng.integers(0, 256, (*size, 3), dtype=np.uint8) for kind in ("sharp", "blur", "noisy")}
    return Pair(key=key, split=split, sequence=key.partition("/")[0], images=images)


PAIRS = [
    pair("a/000001", (9, 14)),
    pair("a/000002", (14, 9)),  # turned
    pair("b/000001", (1, 1)),
    pair("b/000002", (20, 7)),
    pair("c/000001", (9, 14)),
]


def write(folder: Path, pairs: list[Pair] = PAIRS, storage: Storage = "raw") -> Summary:
    writer = ShardWriter(folder, ("blur", "noisy"), storage)
    for split in dict.fromkeys(p.split for p in pairs):
        chosen = [p for p in pairs if p.split == split]
        writer.write(split, chosen)
    return writer.finish("tiny")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(shard_writer, "ROWS_PER_SHARD", 2)
    test = [pair("t/000001", (5, 6), split="test")]
    write(tmp_path / "shards", PAIRS + test)
    return tmp_path / "shards"


def test_a_round_trip_is_exact(folder: Path) -> None:
    shards = ShardFolder(folder)
    rows = shards.rows("train")
    assert [row.key for row in rows] == [p.key for p in PAIRS]
    for row, expected in zip(reversed(rows), reversed(PAIRS), strict=True):  # any order
        got = shards.read(row, ("noisy", "sharp", "blur"))
        assert (got.key, got.split, got.sequence) == (expected.key, "train", expected.sequence)
        for kind, image in expected.images.items():
            assert got.images[kind].dtype == np.uint8
            assert np.array_equal(got.images[kind], image)
    shards.verify()


@pytest.mark.parametrize("storage", ["raw", "compact"])
def test_a_crop_is_that_part_of_the_image(tmp_path: Path, storage: Storage) -> None:
    large = pair("a/000001", (150, 270))  # several tiles
    assert write(tmp_path / storage, [large], storage).storage == storage
    shards = ShardFolder(tmp_path / storage)
    (row,) = shards.rows("train")
    for kind, crop in shards.read_crop(row, ("blur", "sharp"), 100, 120, 40, 30).items():
        assert np.array_equal(crop, large.images[kind][100:140, 120:150])
        assert np.array_equal(shards.read(row, (kind,)).images[kind], large.images[kind])


def test_only_the_asked_kinds_are_read(folder: Path) -> None:
    shards = ShardFolder(folder)
    assert set(shards.read(shards.rows("test")[0], ("blur",)).images) == {"blur"}


def test_all_pairs_of_a_split_come_in_the_order_of_their_keys(folder: Path) -> None:
    got = list(read_pairs(folder, split="train"))
    assert [p.key for p in got] == [p.key for p in PAIRS]
    assert all(set(p.images) == {"blur", "sharp"} for p in got)
    assert [p.key for p in read_pairs(folder, split="test")] == ["t/000001"]


def test_keys_are_ordered_even_where_the_shards_are_not(tmp_path: Path) -> None:
    write(tmp_path / "shards", PAIRS[::-1])
    assert [p.key for p in read_pairs(tmp_path / "shards", split="train")] == [p.key for p in PAIRS]


def test_the_summary_tells_what_is_there(folder: Path) -> None:
    found = ShardFolder(folder).summary
    assert found.benchmark == "tiny"
    assert found.variants == ("blur", "noisy")
    assert found.counts == {"train": {"a": 2, "b": 2, "c": 1}, "test": {"t": 1}}
    expected = [psnr(p.images["noisy"], p.images["sharp"]) for p in PAIRS]
    assert found.blurred_psnr["train"]["noisy"] == pytest.approx(np.mean(expected), abs=1e-6)
    assert found.sizes["train"] == Sizes(smallest=(1, 1), largest=(20, 7), pixels=3 * 126 + 1 + 140)
    assert (found.identical, found.duplicates, found.ssim_pairs) == (0, (), {"train": 0, "test": 0})
    assert [(f.name, f.rows) for f in found.files] == [
        ("train-00000.parquet", 2),
        ("train-00001.parquet", 2),
        ("train-00002.parquet", 1),
        ("test-00000.parquet", 1),
    ]
    names = sorted([*(f.name for f in found.files), "index.parquet", "summary.json"])
    assert sorted(path.name for path in folder.iterdir()) == names


def test_equal_images_in_two_splits_are_named(tmp_path: Path) -> None:
    twin = pair("t/000001", (9, 14), split="test")
    twin.images["sharp"] = PAIRS[0].images["sharp"]
    twin.images["noisy"] = twin.images["blur"]  # equal within a split: nothing leaks
    found = write(tmp_path / "shards", [*PAIRS, twin])
    assert found.duplicates == (("test/t/000001 sharp", "train/a/000001 sharp"),)


def test_a_blurred_image_that_equals_the_sharp_one_spoils_no_mean(tmp_path: Path) -> None:
    same = pair("a/000009", (9, 14))
    same.images["blur"] = same.images["sharp"]
    found = write(tmp_path / "shards", [PAIRS[0], same])
    assert found.identical == 1
    assert found.blurred_psnr["train"]["blur"] == round(psnr(PAIRS[0].images["blur"], PAIRS[0].images["sharp"]), 6)
    assert ShardFolder(tmp_path / "shards").summary == found


def test_the_same_pairs_make_the_same_bytes(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one"), write(tmp_path / "two")
    assert one == two
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    other = write(tmp_path / "other", [pair(p.key, p.images["sharp"].shape[:2], seed=1) for p in PAIRS])
    assert other.digest != one.digest


def test_a_folder_of_shards_can_be_sent_to_another_process(folder: Path) -> None:
    sent = pickle.loads(pickle.dumps(ShardFolder(folder)))  # noqa: S301
    assert sent.rows("train") == ShardFolder(folder).rows("train")


def damaged(folder: Path, name: str, at: int, flip: int = 0xFF) -> Path:
    """A copy of the folder with one byte changed; a fresh path, since open files are remembered by theirs."""
    copy = folder.with_name(f"damaged-{at}-{flip}")
    shutil.copytree(folder, copy)
    content = bytearray((copy / name).read_bytes())
    content[at] ^= flip
    (copy / name).write_bytes(content)
    return copy


@pytest.mark.parametrize("kind", ["sharp", "blur"])
def test_a_flipped_byte_of_a_pixel_is_found_where_it_is_read_and_by_verify(folder: Path, kind: str) -> None:
    pixels = PAIRS[3].images[kind].tobytes()
    at = (folder / "train-00001.parquet").read_bytes().index(pixels) + len(pixels) // 2
    shards = ShardFolder(damaged(folder, "train-00001.parquet", at))
    good, bad = shards.rows("train")[2:4]  # of the second shard
    with pytest.raises(DataError, match=r"train-00001.parquet is damaged at b/000002 .*: run the shard stage again"):
        shards.read(bad, (kind,))
    assert np.array_equal(shards.read(good, (kind,)).images[kind], PAIRS[2].images[kind])
    with pytest.raises(
        DataError, match=r"train-00001.parquet has changed since it was written: run the shard stage again"
    ):
        shards.verify()


def contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    for got in read_pairs(folder, split="test", columns=("blur", "noisy", "sharp")):
        yield got.key, b"".join(got.images[kind].tobytes() for kind in ("blur", "noisy", "sharp"))


def test_no_flipped_byte_of_the_pages_passes_for_data(folder: Path) -> None:
    name, expected = "test-00000.parquet", list(contents(folder))
    size = (folder / name).stat().st_size
    footer = int.from_bytes((folder / name).read_bytes()[-8:-4], "little") + 8
    errors = 0
    for at in range(4, size - footer, 7):
        copy = damaged(folder, name, at)
        try:
            assert list(contents(copy)) == expected
        except BanetError as error:
            assert "\n" not in str(error)
            errors += 1
        shutil.rmtree(copy)
    assert errors > 0.3 * (size - footer) / 7


@pytest.mark.parametrize("name", ["test-00000.parquet", "index.parquet"])
@pytest.mark.parametrize("from_end", [1, 6, 40])
def test_a_damaged_footer_is_named(folder: Path, name: str, from_end: int) -> None:
    copy = damaged(folder, name, (folder / name).stat().st_size - from_end)
    with pytest.raises(DataError, match=rf"{name} has changed since it was written: run the shard stage again"):
        ShardFolder(copy).verify()


def test_a_damaged_index_is_noticed_wherever_it_is_read(folder: Path) -> None:
    for at in range(0, (folder / "index.parquet").stat().st_size, 97):
        copy = damaged(folder, "index.parquet", at)
        with pytest.raises(
            DataError, match=r"index.parquet is damaged \(it has changed since it was written\): run the shard"
        ):
            ShardFolder(copy).rows("test")
        shutil.rmtree(copy)


def test_a_folder_written_anew_in_the_same_process_is_read_anew(folder: Path) -> None:
    before = next(read_pairs(folder, split="train"))
    shutil.rmtree(folder)
    write(folder, [pair(p.key, (9, 14), seed=1) for p in PAIRS])
    after = next(read_pairs(folder, split="train"))
    assert after.key == before.key
    assert np.array_equal(after.images["sharp"], pair(before.key, (9, 14), seed=1).images["sharp"])


def test_a_truncated_shard_is_found_when_the_folder_is_opened(folder: Path) -> None:
    path = folder / "train-00001.parquet"
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(
        DataError, match=rf"train-00001.parquet has {size - 7} bytes, not {size}: it is damaged, run the"
    ):
        ShardFolder(folder)


def test_a_missing_shard_is_found_when_the_folder_is_opened(folder: Path) -> None:
    (folder / "train-00002.parquet").unlink()
    with pytest.raises(DataError, match=r"the shard .*train-00002.parquet is missing: run the shard stage again"):
        ShardFolder(folder)


def test_an_empty_folder_holds_no_shards(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(DataError, match=r"holds no shards \(summary.json is missing\): run the shard stage again"):
            ShardFolder(folder)


@pytest.mark.parametrize("content", ["", "{", '{"benchmark": "x"}', "[]", "\x00"])
def test_a_damaged_summary_is_named(folder: Path, content: str) -> None:
    (folder / "summary.json").write_text(content)
    with pytest.raises(BanetError, match=r"summary.json"):
        ShardFolder(folder)


def test_an_unknown_split_is_named_with_the_known(folder: Path) -> None:
    with pytest.raises(DataError, match=r"has no pairs in the split 'val': it has train, test"):
        ShardFolder(folder).rows("val")
    with pytest.raises(DataError, match="split 'val'"):
        list(read_pairs(folder, split="val"))


def test_an_unknown_variant_is_named_with_the_known(folder: Path) -> None:
    shards = ShardFolder(folder)
    with pytest.raises(DataError, match=r"holds no variant 'blur_gamma': it holds blur, noisy \(benchmark.variant\)"):
        shards.read(shards.rows("test")[0], ("blur_gamma", "sharp"))


def test_nothing_half_written_carries_a_final_name(tmp_path: Path) -> None:
    seen: list[str] = []

    def pairs() -> Iterator[Pair]:
        yield PAIRS[0]
        seen.extend(file.name for file in (tmp_path / "shards").iterdir())  # the first row is being written
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ShardWriter(tmp_path / "shards", ("blur", "noisy")).write("train", pairs())
    assert len(seen) == 1
    assert seen != ["train-00000.parquet"]
    assert list((tmp_path / "shards").iterdir()) == []


def test_one_pair_is_held_at_a_time(tmp_path: Path) -> None:
    alive: list[weakref.ref[object]] = []

    def pairs() -> Iterator[Pair]:
        for i in range(20):
            made = pair(f"a/{i:06d}", (16, 16))
            alive.append(weakref.ref(made.images["sharp"]))
            yield made
            del made
            assert sum(image() is not None for image in alive) <= 2  # this one, and the one before

    ShardWriter(tmp_path / "shards", ("blur", "noisy")).write("train", pairs())
    assert len(alive) == 20
