"""Listings: read like an archive, and no file is taken that is not what was listed."""

import os
from pathlib import Path

import pytest

from banet.data.archives.file_list import ListedFiles, write_listing
from banet.data.archives.layouts import PairFiles
from banet.data.archives.open import open_archive
from banet.data.custom_spec import CustomSplit
from banet.data.manifest import Benchmark
from banet.errors import DataError

BENCHMARK = Benchmark(name="mine", layout="folders", splits={"test": CustomSplit(blurred="b", sharp="s")})


@pytest.fixture
def pairs(tmp_path: Path) -> list[PairFiles]:
    made = []
    for frame in ("1", "2", "10"):
        members = {}
        for kind in ("blur", "sharp"):
            path = tmp_path / f"{kind}, of {frame}.png"  # a comma and a blank in a name
            path.write_text(f"{kind} {frame}")
            members[kind] = str(path)
        made.append(PairFiles(split="train", sequence="é a", frame=frame, members=members))
    return made


@pytest.fixture
def listing(pairs: list[PairFiles], tmp_path: Path) -> Path:
    path = tmp_path / "raw/mine/pairs.csv"
    write_listing(path, pairs)
    return path


def test_a_listing_is_opened_like_an_archive(listing: Path, pairs: list[PairFiles]) -> None:
    with open_archive(listing) as archive:
        assert isinstance(archive, ListedFiles)
        archive.require_whole()
        assert archive.pairs(BENCHMARK) == pairs
        assert archive.sizes()[pairs[2].members["sharp"]] == len("sharp 10")
        read = list(archive.read_pairs(pairs[1:]))
        assert [pair for pair, _ in read] == pairs[1:]
        assert read[0][1] == {"blur": b"blur 2", "sharp": b"sharp 2"}
        assert archive.read(pairs[0].members["blur"]) == b"blur 1"
        assert archive.text(pairs[0].members["blur"]) == "blur 1"


def test_a_listing_says_size_and_digest_and_is_the_same_again(
    listing: Path, pairs: list[PairFiles], tmp_path: Path
) -> None:
    lines = listing.read_text().splitlines()
    assert lines[0] == "split,sequence,frame,kind,path,bytes,sha256"
    assert lines[1].startswith(f'train,é a,1,blur,"{tmp_path}/blur, of 1.png",6,')
    write_listing(tmp_path / "again.csv", pairs)
    assert (tmp_path / "again.csv").read_bytes() == listing.read_bytes()


def test_a_changed_or_missing_file_is_a_bad_member_with_its_remedy(listing: Path, pairs: list[PairFiles]) -> None:
    Path(pairs[0].members["blur"]).write_text("blur 9")  # as long as before
    Path(pairs[1].members["sharp"]).write_text("longer than before")
    Path(pairs[1].members["blur"]).unlink()
    with open_archive(listing) as archive:
        found: list[tuple[PairFiles, dict[str, bytes]]] = []
        with pytest.raises(DataError) as caught:
            found += archive.read_pairs(pairs)
        said = str(caught.value)
        assert "blur, of 1.png has changed since it was fetched; " in said
        assert "blur, of 2.png cannot be read (No such file or directory); " in said
        assert "sharp, of 2.png has changed since it was fetched: list the files as they are now" in said
        assert "`dvc repro -f fetch@mine`" in said
        assert "\n" not in said
        with pytest.raises(DataError, match="fetch@mine"):
            archive.require_whole()
        with pytest.raises(DataError, match=r"other\.png is not listed"):
            archive.read("other.png")
        problems: list[str] = []
        assert [pair.frame for pair, _ in archive.read_pairs(pairs, problems)] == ["10"]
        assert len(problems) == 3
        assert "fetch@mine" in archive.remedy  # for the caller to add


def test_a_shared_sharp_picture_is_listed_for_each_pair(pairs: list[PairFiles], tmp_path: Path) -> None:
    sharp = pairs[0].members["sharp"]
    twins = [
        PairFiles(split="test", sequence="s", frame=pair.frame, members=pair.members | {"sharp": sharp})
        for pair in pairs
    ]
    write_listing(tmp_path / "twins.csv", twins)
    with open_archive(tmp_path / "twins.csv") as archive:
        assert archive.pairs(BENCHMARK) == twins


def test_files_that_cannot_be_listed_are_named_and_nothing_is_left(pairs: list[PairFiles], tmp_path: Path) -> None:
    Path(pairs[0].members["blur"]).write_text("")
    Path(pairs[2].members["sharp"]).unlink()
    with pytest.raises(DataError, match=r"blur, of 1\.png is empty; .*sharp, of 10\.png cannot be read"):
        write_listing(tmp_path / "out/pairs.csv", pairs)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_file_whose_name_is_no_text_is_listed(tmp_path: Path) -> None:
    name = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")
    Path(name).write_text("x")
    pair = PairFiles(split="test", sequence="s", frame="1", members={"blur": name, "sharp": name})
    write_listing(tmp_path / "odd.csv", [pair])
    with open_archive(tmp_path / "odd.csv") as archive:
        assert archive.read(name) == b"x"


def test_a_damaged_listing_and_one_of_another_variant_are_refused(listing: Path) -> None:
    other = Benchmark(name="mine", layout="folders", variants=("noisy",), splits=BENCHMARK.splits)
    with open_archive(listing) as archive, pytest.raises(DataError, match="train/é a/1 lacks noisy"):
        archive.pairs(other)
    listing.write_text(listing.read_text()[:-80])
    with pytest.raises(DataError, match=r"pairs\.csv is damaged: delete it and run the fetch stage again"):
        open_archive(listing)
