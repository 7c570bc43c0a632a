"""Custom data of every sort become what the shard stage opens, with whole sequences in one split."""

import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from banet.data.archives.open import open_archive
from banet.data.images.codec import encode_png, write_image
from banet.data.manifest import Benchmark
from banet.data.pairs.prepare import chosen_to_test, write_custom
from banet.errors import DataError
from banet.parsing import parse

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiprocessing, "cpu_count", lambda: 1)


def pictures(folder: Path, *names: str, size: tuple[int, int] = (12, 16)) -> None:
    for name in names:
        write_image(folder / name, RNG.integers(0, 256, (*size, 3), dtype=np.uint8))


def own(layout: str, splits: dict[str, Any], **changed: Any) -> Benchmark:  # noqa: ANN401
    return parse(Benchmark, {"name": "mine", "layout": layout, "splits": splits} | changed, where="mine.yaml")


def gathered(benchmark: Benchmark, root: Path) -> list[str]:
    """Write the data twice, which must give the same bytes; return the pairs as the shard stage finds them."""
    (name,) = benchmark.archive_names
    for folder in ("raw", "again"):
        write_custom(benchmark, root / folder / name, root=root)
    assert (root / "raw" / name).read_bytes() == (root / "again" / name).read_bytes()
    assert [path.name for path in (root / "raw").iterdir()] == [name]
    with open_archive(root / "raw" / name) as archive:
        archive.require_whole()
        pairs = archive.pairs(benchmark)
        read = list(archive.read_pairs(pairs))
        assert [set(contents) for _, contents in read] == [{"sharp", *benchmark.variants}] * len(pairs)
        assert all(archive.sizes()[name] for pair in pairs for name in pair.members.values())
    return [f"{pair.split}/{pair.key}" for pair in pairs]


def test_two_folders_with_sequences_to_test(tmp_path: Path) -> None:
    for folder in ("b", "s"):
        pictures(tmp_path / folder, "street/2.png", "street/10.png", "yard/1.png", "hall_1.png")
    split = {"blurred": "b", "sharp": str(tmp_path / "s")}
    benchmark = own("folders", {"train": split}, test_sequences=["st*", "hall"])
    assert gathered(benchmark, tmp_path) == ["test/hall/hall_1", "test/street/2", "test/street/10", "train/yard/1"]


def test_a_list_for_each_split_and_a_variant_of_another_name(tmp_path: Path) -> None:
    pictures(tmp_path / "data", "b/1.png", "s/1.png")
    (tmp_path / "data/pairs.txt").write_text("blurred sharp\nb/1.png s/1.png\n")
    splits = {name: {"list": "data/pairs.txt"} for name in ("train", "test")}
    assert gathered(own("list", splits, variants=["shaky"]), tmp_path) == ["test/test/1", "train/train/1"]


def test_a_table_with_sequences_to_test(tmp_path: Path) -> None:
    rows = []
    for sequence in ("a", "b", "c"):
        png = encode_png(RNG.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        rows += [{"blurred": png, "sharp": png, "sequence": sequence}] * 2
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "pairs.parquet")
    benchmark = own("table", {"train": {"table": "pairs.parquet"}}, test_sequences=["b"])
    assert gathered(benchmark, tmp_path) == [
        *("test/b/000003", "test/b/000004"),
        *("train/a/000001", "train/a/000002", "train/c/000005", "train/c/000006"),
    ]


def test_clips_of_two_folders_averaged_each_in_its_way(tmp_path: Path) -> None:
    pictures(tmp_path / "clips", *(f"{clip}/{i}.png" for clip in ("one", "two") for i in range(4)))
    pictures(tmp_path / "more", *(f"three/{i}.png" for i in range(4)))
    splits = {"train": {"frames": "clips", "average": 2}, "test": {"frames": "more", "average": 4, "light": "linear"}}
    benchmark = own("frames", splits, test_sequences=["two"])
    expected = ["test/three/000001", "test/two/000001", "test/two/000002", "train/one/000001", "train/one/000002"]
    assert gathered(benchmark, tmp_path) == expected


def test_photographs_stand_in_one_split_with_all_their_strata(tmp_path: Path) -> None:
    pictures(tmp_path / "photos", "a.png", "b.png", size=(60, 60))
    synthesis = {"height": 24, "width": 24, "strata": {"short": [2, 3], "long": [4, 5]}}
    changed = {"synthesis": synthesis, "variants": ["blur", "blur_noise_free"], "test_sequences": ["b_*"]}
    benchmark = own("photographs", {"train": {"photographs": "photos", "pairs": 1}}, **changed)
    expected = ["test/b_long/000001", "test/b_short/000001", "train/a_long/000001", "train/a_short/000001"]
    assert gathered(benchmark, tmp_path) == expected
    split_apart = own("photographs", {"train": {"photographs": "photos"}}, test_sequences=["*_long"])
    with pytest.raises(DataError, match=r"test_sequences: '\*_long' matches none of a, b"):
        write_custom(split_apart, tmp_path / "out/mine.zip", root=tmp_path)


def test_reports_tell_how_far_it_is(tmp_path: Path) -> None:
    pictures(tmp_path / "clip", *(f"{i}.png" for i in range(4)))
    reports: list[tuple[int, int | None]] = []
    benchmark = own("frames", {"test": {"frames": "clip", "average": 2}})
    write_custom(benchmark, tmp_path / "mine.zip", root=tmp_path, on_progress=lambda *said: reports.append(said))
    assert reports == [(1, 2), (2, 2)]


def test_patterns_that_match_nothing_or_everything_are_refused() -> None:
    sequences = {"a": ["a"], "b": ["b"]}
    assert chosen_to_test(None, sequences) == set()
    assert chosen_to_test(["a"], sequences) == {"a"}
    with pytest.raises(DataError, match=r"test_sequences: 'c', 'd\*' matches none of a, b$"):
        chosen_to_test(["a", "c", "d*"], sequences)
    with pytest.raises(DataError, match=r"test_sequences matches every sequence \(a, b\): none is left to train on"):
        chosen_to_test(["a", "b*"], sequences)
    strata = {name: [f"{name}_short", f"{name}_long"] for name in ("a", "b")}
    assert chosen_to_test(["a_*"], strata) == chosen_to_test(["a"], strata) == {"a_short", "a_long"}


def test_names_that_meet_are_refused_and_nothing_is_left(tmp_path: Path) -> None:
    for folder in ("b", "s"):
        pictures(tmp_path / folder, "a/b/1.png", "a_b/1.png", "c/1.png", size=(60, 60))
    split = {"blurred": "b", "sharp": "s"}
    with pytest.raises(DataError, match=r"^benchmark mine: 2 pairs are called a_b/1: each needs its own name, in both"):
        gathered(own("folders", {"test": split}), tmp_path)
    pictures(tmp_path / "photos", "x.png", size=(600, 600))
    with pytest.raises(DataError, match=r"2 photographs are called x: each needs its own name, in both splits"):
        gathered(own("photographs", {name: {"photographs": "photos"} for name in ("train", "test")}), tmp_path)
    pictures(tmp_path / "clips", "y/1.png", "y/2.png")
    twice = own("frames", {name: {"frames": "clips", "average": 2} for name in ("train", "test")})
    with pytest.raises(DataError, match=r"2 clips are called y: each needs its own name, in both splits"):
        gathered(twice, tmp_path)
    bad = own("frames", {"test": {"frames": "sizes", "average": 2}})
    pictures(tmp_path / "sizes", "1.png")
    pictures(tmp_path / "sizes", "2.png", size=(14, 16))
    with pytest.raises(DataError, match=r"^benchmark mine: .*the frames of a clip must be of one size"):
        gathered(bad, tmp_path)
    assert not [path for path in (tmp_path / "raw").glob("*") if path.is_file()]


def test_an_equal_name_goes_before_patterns() -> None:
    def chosen(pattern: str, *names: str) -> set[str]:
        return chosen_to_test([pattern], {name: [name] for name in (*names, "other")})

    assert chosen("clip [1]", "clip [1]", "clip 1") == {"clip [1]"}
    assert chosen("clip [1]", "clip 1") == {"clip 1"}
    assert chosen("why?", "why?", "why1") == {"why?"}
    assert chosen("a*", "a*", "ab") == {"a*"}
    assert chosen("[!a]", "[!a]", "b") == {"[!a]"}
    assert chosen("cafe\u0301", "caf\u00e9", "x") == {"caf\u00e9"}
    strata = {name: [f"{name}_short"] for name in ("a [1]", "a 1", "b")}
    assert chosen_to_test(["a [1]_short"], strata) == {"a [1]_short"}
    with pytest.raises(DataError, match="matches none"):
        chosen("Clip [1]", "clip [1]")
