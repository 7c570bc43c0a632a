"""fetch and shard: what they make, and what each bad archive says."""

import hashlib
import io
import shutil
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from banet.data.archives.open import open_archive
from banet.data.images.codec import encode_png
from banet.data.manifest import ArchiveSource, Benchmark
from banet.data.shards.pixels import Storage
from banet.data.shards.reader import ShardFolder, read_pairs
from banet.errors import ConfigError, DataError
from banet.metrics.psnr import psnr
from pipelines.stages.fetch import ArchiveStore, fetch
from pipelines.stages.shard import shard

if TYPE_CHECKING:
    from tests.pipelines.stages.conftest import Line


def rewritten(archive: Path, out: Path, change: dict[str, bytes | None]) -> Path:
    """Copy a ZIP with some members replaced, or left out (None)."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(out, "w") as new:
        for info in old.infolist():
            content = change.get(info.filename, old.read(info))
            if content is not None:
                new.writestr(info.filename, content)
    return out


def test_the_archive_has_gopros_layout_and_the_same_bytes_again(line: "Line", tmp_path: Path) -> None:
    with zipfile.ZipFile(line.raw / "tiny.zip") as archive:
        names = archive.namelist()
    assert "tiny/train/flower_short/sharp/000001.png" in names
    assert "tiny/test/china_long/blur_noise_free/000002.png" in names
    fetch(line.benchmark, tmp_path)
    first, second = ((folder / "tiny.zip").read_bytes() for folder in (line.raw, tmp_path))
    assert hashlib.sha256(first).digest() == hashlib.sha256(second).digest()
    assert [file.name for file in tmp_path.iterdir()] == ["tiny.zip"]


def test_shards_hold_the_archives_pixels_and_a_summary(line: "Line") -> None:
    shards = ShardFolder(line.shards)
    shards.verify()
    assert shards.summary.counts["test"] == {"china_long": 2, "china_short": 2}
    pairs = list(read_pairs(line.shards, split="test", columns=("blur", "blur_noise_free", "sharp")))
    assert [pair.key for pair in pairs] == sorted(pair.key for pair in pairs)
    mean = np.mean([psnr(pair.images["blur"], pair.images["sharp"]) for pair in pairs])
    assert shards.summary.blurred_psnr["test"]["blur"] == pytest.approx(mean)
    with open_archive(line.raw / "tiny.zip") as archive:
        assert len(list(archive.pairs(line.benchmark))) == 12


def test_sharding_again_gives_the_same_bytes(line: "Line", tmp_path: Path) -> None:
    again = shard(line.benchmark, line.raw, tmp_path / "shards")
    assert again == ShardFolder(line.shards).summary
    for file in line.shards.iterdir():
        assert file.read_bytes() == (tmp_path / "shards" / file.name).read_bytes()


@pytest.mark.parametrize("storage", ["raw", "compact"])
def test_a_tar_gives_the_pairs_of_the_zip(line: "Line", tmp_path: Path, storage: Storage) -> None:
    (tmp_path / "raw").mkdir()
    with zipfile.ZipFile(line.raw / "tiny.zip") as old, tarfile.open(tmp_path / "raw/tiny.tar.gz", "w:gz") as new:
        for name in reversed(old.namelist()):  # the order of the tar is not that of the names
            member = tarfile.TarInfo(name)
            member.size = len(old.read(name))
            new.addfile(member, io.BytesIO(old.read(name)))
    benchmark = replace(line.benchmark, archives=(replace(line.benchmark.archives[0], name="tiny.tar.gz"),))
    found = shard(benchmark, tmp_path / "raw", tmp_path / "shards", storage)
    assert found.storage == storage
    assert found.counts == ShardFolder(line.shards).summary.counts
    for ours, theirs in zip(
        read_pairs(tmp_path / "shards", split="train"), read_pairs(line.shards, split="train"), strict=True
    ):
        assert ours.key == theirs.key
        assert all(np.array_equal(ours.images[kind], theirs.images[kind]) for kind in ("blur", "sharp"))


@pytest.fixture
def raw(line: "Line", tmp_path: Path) -> Path:
    return Path(shutil.copytree(line.raw, tmp_path / "raw"))


def refused(benchmark: Benchmark, raw: Path, message: str) -> str:
    """Shard, expect one line, and find what was there before untouched."""
    out = raw.parent / "out"
    out.mkdir()
    (out / "old").write_text("good")
    with pytest.raises(DataError, match=message) as caught:
        shard(benchmark, raw, out)
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in raw.parent.iterdir()) == ["out", raw.name]
    assert [path.name for path in out.iterdir()] == ["old"]
    return str(caught.value)


def test_corrupt_images_are_all_counted_and_named(line: "Line", raw: Path) -> None:
    bad: dict[str, bytes | None] = {f"tiny/train/flower_short/blur/00000{i}.png": b"\x89PNG nothing" for i in (1, 2)}
    bad["tiny/train/coffee_long/sharp/000001.png"] = b""
    rewritten(line.raw / "tiny.zip", raw / "tiny.zip", bad)
    said = refused(line.benchmark, raw, r"tiny\.zip: ")
    for member in bad:
        assert member in said


def test_a_truncated_png_is_found(line: "Line", raw: Path) -> None:
    whole = encode_png(np.full((32, 40, 3), 7, np.uint8) + np.arange(40, dtype=np.uint8)[None, :, None])
    rewritten(line.raw / "tiny.zip", raw / "tiny.zip", {"tiny/test/china_long/blur/000001.png": whole[:-30]})
    refused(line.benchmark, raw, r"china_long/blur/000001\.png is not an image, or a damaged one")


def test_a_missing_half_and_a_wrong_size_are_found(line: "Line", raw: Path) -> None:
    rewritten(line.raw / "tiny.zip", raw / "tiny.zip", {"tiny/train/flower_long/sharp/000001.png": None})
    refused(line.benchmark, raw, r"train/flower_long/000001 lacks sharp")
    shutil.rmtree(raw.parent / "out")
    other = encode_png(np.zeros((32, 41, 3), np.uint8))
    rewritten(line.raw / "tiny.zip", raw / "tiny.zip", {"tiny/train/flower_long/sharp/000001.png": other})
    refused(line.benchmark, raw, r"flower_long/000001: the images of a pair differ in size")


def test_counts_that_are_not_the_manifests_are_found(line: "Line", raw: Path) -> None:
    refused(replace(line.benchmark, counts={"test": {"china_*": 1111}}), raw, r"test/china_\* has 4 pairs, not 1111")


def test_an_empty_folder_and_a_cut_archive_are_named(line: "Line", raw: Path) -> None:
    archive = raw / "tiny.zip"
    archive.write_bytes(archive.read_bytes()[:-100])
    refused(line.benchmark, raw, r"tiny\.zip is not a whole ZIP archive")
    shutil.rmtree(raw.parent / "out")
    archive.unlink()
    refused(line.benchmark, raw, r"tiny\.zip cannot be read .*run the fetch stage")


def test_fetch_takes_a_file_and_checks_its_digest(line: "Line", tmp_path: Path) -> None:
    given = line.raw / "tiny.zip"
    source = ArchiveSource(name="tiny.zip", sources=("/nowhere/tiny.zip", str(given)))
    store = ArchiveStore(downloads=tmp_path / "downloads", lock=tmp_path / "archives.lock")
    fetch(replace(line.benchmark, archives=(source,)), tmp_path / "a", store)
    assert (tmp_path / "a/tiny.zip").read_bytes() == given.read_bytes()
    wrong = replace(line.benchmark, archives=(replace(source, sha256="0" * 64),))
    with pytest.raises(DataError, match=r"has the SHA-256 [0-9a-f]{64}, not 0{64}"):
        fetch(wrong, tmp_path / "b", store)
    assert list((tmp_path / "b").glob("*")) == []
    nowhere = replace(line.benchmark, archives=(replace(source, sources=("/nowhere/tiny.zip",)),))
    with pytest.raises(DataError, match=r"no source gives it \(/nowhere/tiny\.zip is not a file\)"):
        fetch(nowhere, tmp_path / "c", store)
    with pytest.raises(ConfigError, match="needs a section synthesis"):
        fetch(replace(line.benchmark, synthesis=None), tmp_path / "d")
