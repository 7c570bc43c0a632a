"""Checks of the data: what each measures, and when it stops the line."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from banet.data.data_checks import Check, DataChecks, checks_file, read_checks
from banet.data.images.codec import encode_png
from banet.data.manifest import Acceptable
from banet.data.sharding import judgement
from banet.data.sharding.judgement import judge, measure, sample, shift
from banet.data.shards.index import IndexRow
from banet.data.shards.reader import Pair
from banet.errors import DataError
from banet.image import Image
from pipelines.stages.shard import shard, warnings
from tests.banet.data.sharding.test_build import Members, benchmark, members, save


def scene(seed: int, size: tuple[int, int] = (64, 80)) -> Image:
    """Soft blobs, so that there is something to align."""
    noise = np.random.default_rng(seed).uniform(0, 255, (*size, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    low, high = smooth.min(), smooth.max()
    return np.asarray((smooth - low) / (high - low) * 200 + 20, np.uint8)


def blurred(sharp: Image) -> Image:
    return np.asarray(cv2.blur(sharp, (7, 3), borderType=cv2.BORDER_REFLECT), np.uint8)


def moved(image: Image, rows: int, columns: int) -> Image:
    return np.roll(image, (rows, columns), (0, 1))


def set_of(pairs: int, change: str = "") -> Members:
    """Make a train split, all of whose pairs are changed in one way."""
    made = {}
    for i in range(pairs):
        sharp = scene(i)
        soft = blurred(sharp)
        if change == "shifted":
            soft = moved(soft, 0, 8)
        if change == "mispaired":
            soft = np.where(soft > 120, 0, 250).astype(np.uint8)
        if change == "darker":
            soft = (soft * 0.7).astype(np.uint8)
        if change == "white":
            sharp, soft = (np.where(image > 90, 255, image).astype(np.uint8) for image in (sharp, soft))
        for kind, image in (("sharp", sharp), ("blur", soft)):
            made[f"G/train/a/{kind}/{i:06d}.png"] = encode_png(image)
    return made


def judged(checks: tuple[Check, ...]) -> dict[str, str]:
    return {check.name: check.severity for check in checks}


def test_the_shift_is_that_of_the_whole_picture_in_its_own_pixels() -> None:
    sharp = scene(0)
    assert shift(blurred(sharp), sharp) == pytest.approx(0, abs=0.2)
    assert shift(moved(blurred(sharp), 3, -4), sharp) == pytest.approx(5, abs=0.5)
    large = cv2.resize(sharp, (800, 640), interpolation=cv2.INTER_CUBIC)
    assert shift(moved(large, 12, 16), large) == pytest.approx(20, abs=2)
    assert shift(np.zeros_like(sharp), sharp) is None


def test_exposure_and_saturation_of_a_pair() -> None:
    sharp = np.full((10, 10, 3), 100, np.uint8)
    sharp[:2] = 255
    blur = np.full((10, 10, 3), 131, np.uint8)
    found = measure(Pair(key="a/1", split="train", sequence="a", images={"sharp": sharp, "b": blur}), "b", align=False)
    assert (found.exposure, found.saturated, found.shift) == (1.0, 0.1, None)


def test_a_sample_is_bounded_and_always_the_same() -> None:
    keys = [(split, f"{split}/{i}") for split in ("train", "test") for i in range(100)]
    assert sample(keys) == sample(reversed(keys))
    assert len(sample(keys)) == 2 * judgement.ALIGNED_PAIRS
    assert sample(keys[:5]) == {key for _, key in keys[:5]}


@pytest.mark.parametrize(
    ("change", "name"),
    [("shifted", "alignment"), ("mispaired", "blurred_psnr"), ("darker", "exposure"), ("white", "saturated")],
)
def test_what_is_wrong_with_all_pairs_stops_the_line_in_one_line_and_the_table_stays(
    tmp_path: Path, change: str, name: str
) -> None:
    raw, out = save(tmp_path / "raw", set_of(judgement.ALIGNED_PAIRS, change)), tmp_path / "out"
    with pytest.raises(DataError) as error:
        shard(benchmark("g.zip"), raw, out, parallel=False, reports=tmp_path / "reports")
    line = str(error.value)
    table = read_checks(tmp_path / "reports", "g")
    assert table is not None
    wrong = next(check for check in table.checks if check.severity == "error")
    assert (wrong.split, wrong.name) == ("train", name)
    for fact in ("g: ", name, "of train", f"{wrong.value:g}", judgement.REMEDIES[name], "accept: [", "checks/g.json"):
        assert fact in line
    assert "\n" not in line
    assert not out.exists()


def test_few_pairs_and_accepted_checks_are_warned_of(tmp_path: Path) -> None:
    cases: list[tuple[int, tuple[Acceptable, ...]]] = [(8, ()), (judgement.ALIGNED_PAIRS, ("exposure",))]
    for pairs, accept in cases:
        raw = save(tmp_path / f"raw{pairs}", set_of(pairs, "darker"))
        manifest = replace(benchmark("g.zip"), accept=accept)
        shard(manifest, raw, tmp_path / f"out{pairs}", parallel=False, reports=tmp_path)
        table = read_checks(tmp_path, "g")
        assert table is not None
        assert judged(table.checks)["exposure"] == "warning"
        assert table.severity == "warning"
        (line,) = warnings(table)
        assert "exposure of train is 0.69" in line


def test_a_good_set_is_ok_whoever_shards_it_and_the_shards_are_those_without_a_table(tmp_path: Path) -> None:
    raw = save(tmp_path / "raw", set_of(40))
    alone = shard(benchmark("g.zip"), raw, tmp_path / "alone", parallel=False)
    again = shard(benchmark("g.zip"), raw, tmp_path / "again", parallel=False, reports=tmp_path)
    assert alone == again
    assert sorted(file.name for file in (tmp_path / "again").iterdir()) == [
        "index.parquet",
        "summary.json",
        "train-00000.parquet",
    ]
    table = read_checks(tmp_path, "g")
    assert table is not None
    assert (table.severity, table.data_digest) == ("ok", alone.digest)
    assert set(judged(table.checks)) == {"counts", *judgement.LIMITS}
    assert json.loads(checks_file(tmp_path, "g").read_text())["severity"] == "ok"


def test_leaked_and_missing_pairs_are_errors() -> None:
    rows: list[IndexRow] = [
        {"split": split, "key": f"a/{i}", "sequence": "a", "blur": {"psnr": 25.0}}
        for split in ("train", "test")
        for i in range(40)
    ]
    pairs = [
        judgement.Measured(split=row["split"], exposure=1.0, saturated=0.0, sampled=False, shift=None) for row in rows
    ]
    groups = [(f"test/a/{i} sharp", f"train/a/{i} sharp") for i in range(2)]
    checks = judge({"test": {"a": 40}, "train": {"a": 41}}, rows, groups, pairs, "blur")
    by_split = {split: judged(tuple(c for c in checks if c.split == split)) for split in ("train", "test")}
    assert by_split["test"] == dict.fromkeys(by_split["test"], "ok") | {"duplicates": "error"}
    assert by_split["train"]["counts"] == "error"
    assert "train/a has 40 pairs, not 41" in {check.found for check in checks}
    one = judge({}, rows, groups[:1], pairs, "blur")
    assert [check.severity for check in one if check.name == "duplicates"] == ["warning", "warning"]


def test_a_damaged_table_is_said_and_a_missing_one_is_none(tmp_path: Path) -> None:
    assert read_checks(tmp_path, "g") is None
    file = checks_file(tmp_path, "g")
    file.parent.mkdir()
    file.write_text("{")
    with pytest.raises(DataError, match=r"g\.json is damaged .*run the shard stage again"):
        read_checks(tmp_path, "g")
    assert DataChecks(benchmark="g", data_digest="", checks=()).severity == "ok"


def test_unrelated_pairs_of_a_few_are_a_warning(tmp_path: Path) -> None:
    raw = save(tmp_path / "raw", members())
    shard(benchmark("g.zip"), raw, tmp_path / "out", parallel=False, reports=tmp_path)
    table = read_checks(tmp_path, "g")
    assert table is not None
    assert judged(table.checks)["blurred_psnr"] == "warning"
