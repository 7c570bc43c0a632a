"""Archives: pairs by name, and everything that can be wrong with one in a single line."""

import zipfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from banet.data import archive as module
from banet.data.archive import Archive, require_equal_sizes, summary
from banet.data.benchmark import ArchiveSource, Benchmark
from banet.errors import DataError

ROOT = "GOPRO_Large"


@pytest.fixture
def benchmark() -> Benchmark:
    return Benchmark(
        name="gopro",
        title="GoPro (Nah et al.)",
        licence="CC BY 4.0",
        citation="-",
        layout="gopro",
        variants=("blur", "blur_gamma"),
        archives=(ArchiveSource(name="a.zip", sources=("a.zip",)),),
        counts={},
    )


def frame(split: str, sequence: str, number: int, *kinds: str) -> dict[str, bytes]:
    names = kinds or ("blur", "blur_gamma", "sharp")
    return {f"{ROOT}/{split}/{sequence}/{kind}/{number:06d}.png": f"{kind} {number}".encode() * 20 for kind in names}


def write(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def test_pairs_are_found_by_name_in_order_among_other_files(tmp_path: Path, benchmark: Benchmark) -> None:
    members = (
        frame("train", "GOPR0372_07_00", 2)
        | {f"{ROOT}/train/GOPR0372_07_00/frames 7 offset 0.txt": b"", f"{ROOT}/readme.txt": b"hello"}
        | frame("test", "GOPR0384_11_00", 1)
        | frame("train", "GOPR0372_07_00", 1)
        | {f"{ROOT}/train/": b"", f"{ROOT}/train/GOPR0372_07_00/depth/000001.png": b"", "Thumbs.db": b""}
        | frame("train", "GOPR0374_11_00", 1)  # the same frame name in another sequence
    )
    with Archive.open(write(tmp_path / "a.zip", members)) as archive:
        archive.require_whole()
        pairs = list(archive.pairs(benchmark))
        assert [(pair.split, pair.key) for pair in pairs] == [
            ("test", "GOPR0384_11_00/000001"),
            ("train", "GOPR0372_07_00/000001"),
            ("train", "GOPR0372_07_00/000002"),
            ("train", "GOPR0374_11_00/000001"),
        ]
        assert set(pairs[2].members) == {"sharp", "blur", "blur_gamma"}
        assert archive.read(pairs[2].members["blur_gamma"]) == b"blur_gamma 2" * 20


def test_only_the_wanted_variants_are_taken(tmp_path: Path, benchmark: Benchmark) -> None:
    path = write(tmp_path / "a.zip", frame("train", "s", 1, "blur", "sharp"))
    with Archive.open(path) as archive:
        (pair,) = archive.pairs(replace(benchmark, variants=("blur",)))
        assert set(pair.members) == {"sharp", "blur"}


def test_the_archive_is_closed_at_the_end(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zip", frame("train", "s", 1))
    with Archive.open(path) as archive:
        name = archive.file.namelist()[0]
    with pytest.raises(ValueError, match="closed"):
        archive.file.read(name)


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/cron.d/evil.png",
        f"{ROOT}/train/../../../s/blur/000001.png",
        "/etc/train/s/blur/000001.png",
        f"{ROOT}\\train\\s\\blur\\000001.png",
        f"{ROOT}/train/s/blur/..\\000001.png",
        "../notes.txt",  # a name that no pair would use
    ],
)
def test_names_that_point_outside_are_refused(tmp_path: Path, benchmark: Benchmark, name: str) -> None:
    path = write(tmp_path / "a.zip", frame("train", "s", 1) | {name: b"x"})
    with Archive.open(path) as archive, pytest.raises(DataError, match=r"points outside: the archive is not trusted"):
        list(archive.pairs(benchmark))
    assert [file.name for file in tmp_path.iterdir()] == ["a.zip"]


def test_missing_halves_are_summed_up_in_one_line(tmp_path: Path, benchmark: Benchmark) -> None:
    members = frame("train", "s", 1)
    for number in range(2, 9):
        members |= frame("train", "s", number, "blur", "blur_gamma")
    members |= frame("test", "s", 1, "sharp")
    with Archive.open(write(tmp_path / "a.zip", members)) as archive, pytest.raises(DataError) as caught:
        list(archive.pairs(benchmark))
    text = str(caught.value)
    assert "test/s/000001 lacks blur; test/s/000001 lacks blur_gamma; train/s/000002 lacks sharp" in text
    assert text.count("lacks") == module.NAMED_MEMBERS
    assert "and 4 more" in text  # 9 in all
    assert "\n" not in text


def test_few_problems_are_named_without_a_count() -> None:
    assert summary(["a", "b"]) == "a; b"
    assert summary(["x"] * 5) == "x; x; x; x; x"
    assert summary([*"abcdef"]) == "a; b; c; d; e; and 1 more"


@pytest.mark.parametrize(
    "members",
    [{}, {"notes.txt": b"x"}, {"train/blur/000001.png": b"x"}, {f"{ROOT}/train/s/input/000001.png": b"x"}],
)
def test_another_layout_is_named(tmp_path: Path, benchmark: Benchmark, members: dict[str, bytes]) -> None:
    with Archive.open(write(tmp_path / "a.zip", members)) as archive, pytest.raises(DataError) as caught:
        list(archive.pairs(benchmark))
    assert "a.zip holds no pairs of the layout gopro: is it GoPro (Nah et al.)?" in str(caught.value)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("at", [0, 3, 10])
def test_a_damaged_member_is_found_and_named(tmp_path: Path, compression: int, at: int) -> None:
    members = frame("train", "s", 1) | frame("train", "s", 2)
    path = write(tmp_path / "a.zip", members, compression)
    bad = f"{ROOT}/train/s/blur/000002.png"
    with zipfile.ZipFile(path) as file:
        start = file.getinfo(bad).header_offset + 30 + len(bad)
    content = bytearray(path.read_bytes())
    content[start + at] ^= 0xFF
    path.write_bytes(content)
    with Archive.open(path) as archive:
        with pytest.raises(DataError, match=r"blur/000002.png cannot be read .*: fetch the archive again"):
            archive.read(bad)
        assert archive.read(f"{ROOT}/train/s/blur/000001.png") == members[f"{ROOT}/train/s/blur/000001.png"]
        with pytest.raises(DataError) as caught:
            archive.require_whole()
    text = str(caught.value)
    assert text.count("cannot be read") == 1
    assert text.count("a.zip") == 1
    assert "blur/000002.png" in text
    assert "\n" not in text


def test_any_flipped_byte_is_an_expected_error_or_harmless(tmp_path: Path) -> None:
    members = frame("train", "s", 1, "blur", "sharp")
    good = write(tmp_path / "a.zip", members, zipfile.ZIP_DEFLATED).read_bytes()
    central = good.index(b"PK\x01\x02")
    path = tmp_path / "b.zip"
    for at in range(0, central, 3):
        path.write_bytes(good[:at] + bytes([good[at] ^ 0x55]) + good[at + 1 :])
        with Archive.open(path) as archive:
            for name, content in members.items():
                with suppress(DataError):
                    assert archive.read(name) == content


def test_a_truncated_archive_is_refused_wherever_it_was_cut(tmp_path: Path) -> None:
    content = write(tmp_path / "a.zip", frame("train", "s", 1)).read_bytes()
    cut = tmp_path / "cut.zip"
    for size in (0, 1, 30, len(content) // 2, len(content) - 30, len(content) - 1):
        cut.write_bytes(content[:size])
        with pytest.raises(
            DataError, match=r"cut.zip is not a whole ZIP archive: delete it and run the fetch stage again"
        ):
            Archive.open(cut)


def test_a_missing_archive_is_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no.zip cannot be read \(No such file or directory\): run the fetch stage"):
        Archive.open(tmp_path / "no.zip")


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zip", frame("train", "s", 1, "blur"))
    with Archive.open(path) as archive:
        (info,) = archive.file.infolist()
        info.flag_bits |= 1
        with pytest.raises(DataError, match=r"000001.png cannot be read"):
            archive.read(info.filename)


def test_a_member_that_unpacks_to_too_much_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST_MEMBER", 1000)
    path = write(tmp_path / "a.zip", {"small": b"\0" * 1000, "bomb": b"\0" * 1001}, zipfile.ZIP_DEFLATED)
    with Archive.open(path) as archive:
        assert len(archive.read("small")) == 1000
        with pytest.raises(DataError, match="bomb unpacks to 1001 bytes"):
            archive.read("bomb")


def test_images_of_a_pair_have_one_size() -> None:
    images = {"sharp": np.zeros((4, 5, 3), np.uint8), "blur": np.zeros((5, 4, 3), np.uint8)}
    with pytest.raises(DataError, match=r"s/000001: the images of a pair differ in size: .*4x5.*5x4"):
        require_equal_sizes(images, "s/000001")
    require_equal_sizes(images | {"blur": images["sharp"]}, "s/000001")
