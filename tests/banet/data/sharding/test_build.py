"""Archives into shards: the same bytes whoever writes them, and all that is bad in one line."""

import io
import resource
import tarfile
import zipfile
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
import pytest

from banet.data.custom_spec import CustomSplit
from banet.data.images.codec import encode_png
from banet.data.manifest import ArchiveSource, Benchmark
from banet.data.pairs.prepare import write_custom
from banet.data.sharding import build as sharding
from banet.data.shards.reader import ShardFolder
from banet.errors import DataError, ResourceError
from banet.image import Image
from banet.metrics.ssim import ssim_matlab3d
from pipelines.stages.shard import shard, warning

Members = dict[str, bytes]


def picture(seed: int, size: tuple[int, int] = (20, 24)) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def members(pairs: int = 5) -> Members:
    made = {}
    for split, offset in (("train", 0), ("test", 1000)):
        for i in range(pairs):
            name = f"G/{split}/{split}{i // 3}/{{}}/{i:06d}.png"
            made[name.format("sharp")] = encode_png(picture(offset + i))
            made[name.format("blur")] = encode_png(picture(offset + 500 + i))
    return made


def benchmark(name: str) -> Benchmark:
    return Benchmark(
        name="g",
        title="G",
        licence="-",
        citation="-",
        layout="gopro",
        variants=("blur",),
        archives=(ArchiveSource(name=name, sources=(name,)),),
        counts={},
    )


def save(folder: Path, content: Members, name: str = "g.zip") -> Path:
    folder.mkdir(exist_ok=True)
    if name.endswith(".zip"):
        with zipfile.ZipFile(folder / name, "w") as file:
            for member, data in content.items():
                file.writestr(zipfile.ZipInfo(member), data)
        return folder
    with tarfile.open(folder / name, "w:gz") as file:
        for member, data in content.items():
            info = tarfile.TarInfo(member)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharding, "ROWS_PER_SHARD", 2)


def test_a_shard_ends_at_its_rows_or_bytes_and_at_the_split(
    tmp_path: Path, small_shards: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = save(tmp_path / "raw", members())
    found = shard(benchmark("g.zip"), raw, tmp_path / "rows")
    rows = {file.name: file.rows for file in found.files}
    assert rows == {f"{s}-0000{i}.parquet": (2, 2, 1)[i] for s in ("test", "train") for i in range(3)}
    monkeypatch.setattr(sharding, "ROWS_PER_SHARD", 100)
    pair_bytes = sum(len(data) for name, data in members().items() if name.endswith("/000000.png")) // 2
    monkeypatch.setattr(sharding, "SHARD_BYTES", int(2.5 * pair_bytes))
    assert [file.rows for file in shard(benchmark("g.zip"), raw, tmp_path / "bytes").files] == [3, 3, 2, 2]


@pytest.mark.distributed
@pytest.mark.parametrize("name", ["g.zip", "g.tar.gz"])
def test_ray_writes_the_bytes_that_one_process_writes(
    ray_session: None, tmp_path: Path, small_shards: None, name: str
) -> None:
    raw = save(tmp_path / "raw", dict(reversed(members().items())), name)
    alone = shard(benchmark(name), raw, tmp_path / "alone", parallel=False)
    spread = shard(benchmark(name), raw, tmp_path / "spread", parallel=True)
    assert alone == spread
    assert len(alone.files) == 6
    assert contents(tmp_path / "alone") == contents(tmp_path / "spread")


def test_the_index_names_every_source_with_its_digest(tmp_path: Path) -> None:
    content = members()
    found = shard(benchmark("g.zip"), save(tmp_path / "raw", content), tmp_path / "out")
    table = ShardFolder(tmp_path / "out")._index.table.to_pylist()
    named = {row[kind]["member"]: row[kind]["sha256"] for row in table for kind in ("sharp", "blur")}
    assert named == {name: sha256(data).hexdigest() for name, data in content.items()}
    assert found.ssim_pairs == {"test": 5, "train": 5}


def test_ssim_is_taken_of_pairs_spread_evenly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharding, "SSIM_PAIRS", 3)
    found = shard(benchmark("g.zip"), save(tmp_path / "raw", members(9)), tmp_path / "out")
    assert found.ssim_pairs == {"test": 3, "train": 3}
    expected = np.mean([ssim_matlab3d(picture(500 + i), picture(i)) for i in (0, 3, 6)])
    assert found.blurred_ssim["train"]["blur"] == pytest.approx(expected, abs=1e-6)


def encoded(suffix: str, array: np.ndarray) -> bytes:
    done, content = cv2.imencode(suffix, array)
    assert done
    return content.tobytes()


BAD = {  # what stands in a member's place, and what is said of it
    "empty": (b"", "is empty"),
    "text": (b"not an image", "is not an image, or a damaged one"),
    "cut": (encode_png(picture(3))[:-40], "is not an image, or a damaged one"),
    "16 bit": (encoded(".png", picture(3).astype(np.uint16)), "is 16-bit RGB, not 8-bit RGB"),
    "transparent": (
        encoded(".png", np.dstack([picture(3), picture(3)[:, :, 0]])),
        "is RGB with transparency, not 8-bit RGB",
    ),
    "another size": (
        encode_png(picture(3, (24, 20))),
        "the images of a pair differ in size: {'sharp': '20x24', 'blur': '24x20'}",
    ),
}


def test_grey_pictures_and_those_the_manifest_names_are_converted_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = members()
    places = [member for member in content if "/sharp/" in member][:3]
    levels = picture(7)
    content[places[0]] = encoded(".png", levels[..., 0])
    content[places[1]] = encoded(".png", np.dstack([levels[..., ::-1], np.full_like(levels[..., 0], 255)]))
    content[places[2]] = encoded(".png", levels[..., ::-1].astype(np.uint16) * 257)
    raw = save(tmp_path / "raw", content)
    with pytest.raises(DataError, match=r"is 16-bit RGB, .*, or write `convert: \[16-bit\]` into the manifest"):
        shard(benchmark("g.zip"), raw, tmp_path / "out")
    capsys.readouterr()
    shard(replace(benchmark("g.zip"), convert=("16-bit",)), raw, tmp_path / "out")
    told = "converted to 8-bit RGB: 1 16-bit RGB, 1 RGB with an opaque alpha channel, 1 grey"
    assert capsys.readouterr().err == f"g.zip: {told}\n"
    data = ShardFolder(tmp_path / "out")
    found = [data.read(row, ("sharp",)).images["sharp"] for row in data.rows("train")[:3]]
    for image, expected in zip(found, (np.dstack([levels[..., 0]] * 3), levels, levels), strict=True):
        np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize("name", ["g.zip", "g.tar.gz"])
def test_all_bad_members_of_all_splits_are_told_in_one_line(
    tmp_path: Path, small_shards: None, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("banet.data.archives.safety.NAMED_MEMBERS", 100)
    content, expected = members(), []
    places = [member for member in content if "/blur/" in member]
    for place, (data, said) in zip(places[::-1], BAD.values(), strict=False):
        content[place] = data
        where = place.removeprefix("G/test/").removeprefix("G/train/").replace("/blur", "").removesuffix(".png")
        expected.append(f"{where}: {said}" if "differ" in said else f"{place} {said}")
    out = tmp_path / "out"
    out.mkdir()
    (out / "old").write_text("good")
    with pytest.raises(DataError) as caught:
        shard(benchmark(name), save(tmp_path / "raw", content, name), out)
    told = str(caught.value)
    assert told.startswith(f"{tmp_path / 'raw' / name}: ")
    assert "\n" not in told
    for said in expected:
        assert said in told
    assert told.endswith(": fetch the archive again")  # an empty member is the archive's fault
    assert contents(out) == {"old": b"good"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "raw"]


@pytest.mark.distributed
def test_bad_members_are_told_alike_from_rays_workers(ray_session: None, tmp_path: Path, small_shards: None) -> None:
    content = members()
    for place in list(content)[::3]:
        content[place] = b"not an image"
    raw, told = save(tmp_path / "raw", content), []
    for parallel in (False, True):
        with pytest.raises(DataError) as caught:
            shard(benchmark("g.zip"), raw, tmp_path / "out", parallel=parallel)
        told.append(str(caught.value))
    assert told[0] == told[1]
    assert told[0].endswith("; and 2 more")


def test_own_files_that_changed_after_fetch_are_refused_with_the_remedy(tmp_path: Path) -> None:
    for folder in ("blurred", "sharp"):
        (tmp_path / folder / "street").mkdir(parents=True)
        for i in range(3):
            (tmp_path / folder / "street" / f"{i}.png").write_bytes(encode_png(picture(i)))
    split = CustomSplit(blurred=str(tmp_path / "blurred"), sharp=str(tmp_path / "sharp"))
    own = Benchmark(name="mine", layout="folders", splits={"test": split})
    raw = tmp_path / "raw" / "mine"
    write_custom(own, raw / own.archive_names[0])
    assert shard(own, raw, tmp_path / "out").counts == {"test": {"street": 3}}
    (tmp_path / "sharp/street/1.png").write_bytes(encode_png(picture(9)))
    with pytest.raises(DataError, match=r"street/1\.png has changed since it was fetched: list the .*-f fetch@mine`$"):
        shard(own, raw, tmp_path / "out")


def test_the_same_image_in_two_splits_is_warned_of(tmp_path: Path) -> None:
    content = members()
    assert warning(shard(benchmark("g.zip"), save(tmp_path / "raw", content), tmp_path / "out")) is None
    content["G/test/test0/sharp/000001.png"] = content["G/train/train0/sharp/000000.png"]
    found = shard(benchmark("g.zip"), save(tmp_path / "raw", content), tmp_path / "out")
    assert warning(found) == (
        "warning: g holds the same images in two splits: test/test0/000001 sharp = train/train0/000000 sharp"
    )


def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path: Path) -> None:
    """A file may hold 16 KiB: the first shard meets the limit, as it would a full disk."""
    raw, out = save(tmp_path / "raw", members(20)), tmp_path / "out"
    before = shard(benchmark("g.zip"), raw, out)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**14, hard))
    try:
        with pytest.raises(ResourceError, match=rf"the disk of {tmp_path} is full: make room and run again$"):
            shard(benchmark("g.zip"), raw, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert ShardFolder(out).summary == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "raw"]


def test_pictures_too_small_for_scores_or_the_network_are_named(tmp_path: Path) -> None:
    content = members(pairs=4)
    small = {"train/train0/{}/000000": (8, 8), "train/train0/{}/000001": (7, 30)}
    small |= {"test/test0/{}/000000": (11, 11), "test/test0/{}/000001": (9, 40), "test/test1/{}/000003": (30, 10)}
    for place, size in small.items():
        for kind in ("sharp", "blur"):
            content[f"G/{place.format(kind)}.png"] = encode_png(picture(0, size))
    raw = save(tmp_path / "raw", content)
    with pytest.raises(DataError) as caught:
        shard(benchmark("g.zip"), raw, tmp_path / "out", parallel=False)
    said = str(caught.value)
    for text in (
        "leave out train/train0/000001: it is 7x30 (height x width), and the network needs 8x8 or more",
        "leave out test/test0/000001: it is 9x40 (height x width), and scores need 11x11 or more",
        "leave out test/test1/000003: it is 30x10",
    ):
        assert text in said
    assert said.count("leave out") == 3
    assert "\n" not in said
    assert not (tmp_path / "out").exists()


def test_counts_take_an_equal_name_before_patterns_and_litter_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    png = encode_png(picture(0))
    content = {
        f"G/{at}/{kind}/1.png": png for at in ("test/a [1]", "test/a 1", "train/s") for kind in ("sharp", "blur")
    }
    content |= {f"__MACOSX/{name}": b"x" for name in content}
    raw = save(tmp_path / "raw", content)
    counted = replace(benchmark("g.zip"), counts={"test": {"a [1]": 1, "a*": 2}})
    assert shard(counted, raw, tmp_path / "out", parallel=False).counts["test"] == {"a 1": 1, "a [1]": 1}
    assert "6 members are passed over: hidden or left by systems" in capsys.readouterr().err
