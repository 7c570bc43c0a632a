"""Archives: pairs by name, and everything that can be wrong with one in a single line."""

import random
import stat
import struct
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from banet.data.archives import zip as module
from banet.data.archives.base import Archive
from banet.data.archives.layouts import PairFiles
from banet.data.archives.open import open_archive
from banet.data.archives.safety import NAMED_MEMBERS, summary
from banet.data.manifest import ArchiveSource, Benchmark
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


@contextmanager
def memory_below(limit: int) -> Iterator[None]:
    """The most bytes held inside the block, beyond those before, stay below `limit`."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()


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
    with open_archive(write(tmp_path / "a.zip", members)) as archive:
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
    with open_archive(path) as archive:
        (pair,) = archive.pairs(replace(benchmark, variants=("blur",)))
        assert set(pair.members) == {"sharp", "blur"}


def test_the_archive_is_closed_at_the_end(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zip", frame("train", "s", 1))
    with open_archive(path) as archive:
        assert isinstance(archive, module.ZipArchive)
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
    with open_archive(path) as archive, pytest.raises(DataError, match=r"points outside: the archive is not trusted"):
        list(archive.pairs(benchmark))
    assert [file.name for file in tmp_path.iterdir()] == ["a.zip"]


def test_missing_halves_are_summed_up_in_one_line(tmp_path: Path, benchmark: Benchmark) -> None:
    members = frame("train", "s", 1)
    for number in range(2, 9):
        members |= frame("train", "s", number, "blur", "blur_gamma")
    members |= frame("test", "s", 1, "sharp")
    with open_archive(write(tmp_path / "a.zip", members)) as archive, pytest.raises(DataError) as caught:
        list(archive.pairs(benchmark))
    text = str(caught.value)
    assert "test/s/000001 lacks blur; test/s/000001 lacks blur_gamma; train/s/000002 lacks sharp" in text
    assert text.count("lacks") == NAMED_MEMBERS
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
    with open_archive(write(tmp_path / "a.zip", members)) as archive, pytest.raises(DataError) as caught:
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
    with open_archive(path) as archive:
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
        with open_archive(path) as archive:
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
            open_archive(cut)


def test_a_missing_archive_is_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no.zip cannot be read \(No such file or directory\): run the fetch stage"):
        open_archive(tmp_path / "no.zip")


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zip", frame("train", "s", 1, "blur"))
    with open_archive(path) as archive:
        assert isinstance(archive, module.ZipArchive)
        (info,) = archive.file.infolist()
        info.flag_bits |= 1
        with pytest.raises(DataError, match=r"000001.png cannot be read"):
            archive.read(info.filename)


def test_a_member_that_unpacks_to_too_much_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST_MEMBER", 1000)
    path = write(tmp_path / "a.zip", {"small": b"\0" * 1000, "bomb": b"\0" * 1001}, zipfile.ZIP_DEFLATED)
    with open_archive(path) as archive:
        assert len(archive.read("small")) == 1000
        with pytest.raises(DataError, match="bomb unpacks to 1001 bytes"):
            archive.read("bomb")


def test_pairs_are_read_in_order_and_what_is_bad_is_named_at_the_end(tmp_path: Path, benchmark: Benchmark) -> None:
    members = {name: content for number in range(1, 10) for name, content in frame("train", "s", number).items()}
    path = write(tmp_path / "a.zip", members)
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as file:
        for number in range(2, 9):
            info = file.getinfo(f"{ROOT}/train/s/blur/{number:06d}.png")
            content[info.header_offset + 30 + len(info.filename)] ^= 1
    path.write_bytes(content)
    read: list[tuple[PairFiles, dict[str, bytes]]] = []
    with open_archive(path) as archive:
        pairs = archive.pairs(benchmark)
        with pytest.raises(DataError) as caught:
            read.extend(archive.read_pairs(pairs[::-1]))
        assert len(list(archive.read_pairs(pairs[:1]))) == 1
    assert [pair.frame for pair, _ in read] == ["000009", "000001"]
    assert read[0][1] == {kind: members[f"{ROOT}/train/s/{kind}/000009.png"] for kind in (*benchmark.variants, "sharp")}
    text = str(caught.value)
    assert text.startswith(f"{path}: {ROOT}/train/s/blur/000008.png cannot be read (Bad CRC-32")
    assert text.endswith("; and 2 more: fetch the archive again")
    assert "\n" not in text


def test_one_zip_is_read_by_two_readers_at_once(tmp_path: Path, benchmark: Benchmark) -> None:
    path = write(tmp_path / "a.zip", frame("train", "s", 1) | frame("train", "s", 2), zipfile.ZIP_DEFLATED)
    with open_archive(path) as one, open_archive(path) as two:
        first, second = one.read_pairs(one.pairs(benchmark)), two.read_pairs(two.pairs(benchmark)[1:])
        assert next(first)[0].frame == "000001"
        assert next(second)[0].frame == "000002"
        assert next(first)[0].frame == "000002"


def test_members_that_are_not_there_are_named(tmp_path: Path) -> None:
    with open_archive(write(tmp_path / "a.zip", frame("train", "s", 1))) as archive:
        with pytest.raises(DataError, match=r"a.zip: b.png is missing: fetch the archive again"):
            archive.read("b.png")
        pair = PairFiles(split="train", sequence="s", frame="1", members={"sharp": "c.png", "blur": "b.png"})
        with pytest.raises(DataError, match=r"a.zip: c.png is missing; b.png is missing: fetch the archive again"):
            list(archive.read_pairs([pair]))


def test_empty_images_are_named_where_they_are_read(tmp_path: Path, benchmark: Benchmark) -> None:
    members = frame("train", "s", 1) | dict.fromkeys(frame("train", "s", 2), b"") | {"notes.png": b""}
    path = write(tmp_path / "a.zip", members, zipfile.ZIP_DEFLATED)
    with open_archive(path) as archive:
        archive.require_whole()
        with pytest.raises(DataError) as caught:
            list(archive.read_pairs(archive.pairs(benchmark)))
        with pytest.raises(DataError, match=r"blur/000002.png is empty: fetch the archive again"):
            archive.read(f"{ROOT}/train/s/blur/000002.png")
    assert str(caught.value).count("is empty") == 3
    assert "notes" not in str(caught.value)


def test_problems_are_handed_to_a_caller_that_adds_its_own(tmp_path: Path, benchmark: Benchmark) -> None:
    path = write(tmp_path / "a.zip", frame("train", "s", 1) | dict.fromkeys(frame("train", "s", 2), b""))
    problems = ["before"]
    with open_archive(path) as archive:
        assert len(list(archive.read_pairs(archive.pairs(benchmark), problems))) == 1
    folder = f"{ROOT}/train/s"
    assert problems[0] == "before"
    assert sorted(problems[1:]) == [f"{folder}/{kind}/000002.png is empty" for kind in ("blur", "blur_gamma", "sharp")]


@pytest.mark.parametrize("read", [lambda archive, benchmark: archive.pairs(benchmark), lambda a, _: a.require_whole()])
def test_password_protected_members_are_counted(
    tmp_path: Path, benchmark: Benchmark, read: Callable[[Archive, Benchmark], object]
) -> None:
    members = frame("train", "s", 1) | frame("train", "s", 2) | frame("train", "s", 3)
    path = write(tmp_path / "a.zip", members)
    content = bytearray(path.read_bytes())
    for start, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # local and central headers
        at = -1
        while (at := content.find(start, at + 1)) >= 0:
            content[at + flags] |= 1
    path.write_bytes(content)
    with open_archive(path) as archive, pytest.raises(DataError) as caught:
        read(archive, benchmark)
    assert str(caught.value).count(".png cannot be read (it is password-protected)") == 5
    assert "; and 4 more: fetch the archive again" in str(caught.value)


def test_packings_that_cannot_be_read_in_pieces_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zip", {"a.png": b"x" * 100}, zipfile.ZIP_LZMA)
    with (
        open_archive(path) as archive,
        pytest.raises(DataError, match=r"a.png cannot be read .it is packed by method 14"),
    ):
        archive.read("a.png")


def test_links_are_refused(tmp_path: Path, benchmark: Benchmark) -> None:
    path = write(tmp_path / "a.zip", frame("train", "s", 1))
    link = zipfile.ZipInfo(f"{ROOT}/train/s/blur/000002.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as file:
        file.writestr(link, "/etc/passwd")
    with open_archive(path) as archive:
        for check in (archive.require_whole, lambda: archive.pairs(benchmark)):
            with pytest.raises(
                DataError, match=r"blur/000002.png is a symbolic link: the archive is not trusted, take it"
            ):
                check()


def test_one_name_twice_is_refused(tmp_path: Path, benchmark: Benchmark) -> None:
    path = write(tmp_path / "a.zip", frame("train", "s", 1))
    with zipfile.ZipFile(path, "a") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file.writestr(f"{ROOT}/train/s/blur/000001.png", b"other")
        file.writestr(f"{ROOT}/train/./s/sharp/000001.png", b"other")
    with open_archive(path) as archive, pytest.raises(DataError) as caught:
        archive.pairs(benchmark)
    assert str(caught.value).count("is in it twice") == 2


@pytest.mark.parametrize("name", ["C:/train/s/blur/1.png", "c:evil.png", "../", "/", "a\nb/../c.png"])
def test_names_that_point_outside_on_any_system_are_refused(tmp_path: Path, benchmark: Benchmark, name: str) -> None:
    with open_archive(write(tmp_path / "a.zip", frame("train", "s", 1) | {name: b""})) as archive:
        with pytest.raises(DataError, match=r"points outside: the archive is not trusted") as caught:
            archive.pairs(benchmark)
        assert "\n" not in str(caught.value)
        with pytest.raises(DataError, match="points outside"):
            archive.require_whole()


def test_a_bomb_is_refused_unread(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zip", {"a.png": bytes(2**24)}, zipfile.ZIP_DEFLATED)  # about 1000:1
    bomb = r"a.png unpacks to 16777216 bytes from \d+: the archive is not trusted"
    with memory_below(2**20), open_archive(path) as archive, pytest.raises(DataError, match=bomb):
        archive.require_whole()


def test_a_bomb_of_many_small_members_is_refused(tmp_path: Path) -> None:
    members = {f"{i}.png": bytes(2**19) for i in range(8)}
    path = write(tmp_path / "a.zip", members, zipfile.ZIP_DEFLATED)
    with open_archive(path) as archive, pytest.raises(DataError, match=r"its members unpack to 4194304 bytes from \d+"):
        archive.require_whole()


def test_a_bomb_that_lies_about_its_size_unpacks_no_further_than_it_says(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zip", {"a.png": bytes(2**26)}, zipfile.ZIP_DEFLATED)
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.index(b"PK\x01\x02") + 24, 1000)
    path.write_bytes(content)
    with memory_below(2**22), open_archive(path) as archive:
        for check in (archive.require_whole, lambda: archive.read("a.png")):
            with pytest.raises(DataError, match=r"a.png cannot be read"):
                check()


def test_verifying_holds_no_member_whole(tmp_path: Path) -> None:
    content = random.Random(0).randbytes(2**23)
    path = write(tmp_path / "a.zip", {"a.png": content}, zipfile.ZIP_DEFLATED)
    with open_archive(path) as archive:
        assert archive.read("a.png") == content
        with memory_below(2**21):
            archive.require_whole()


def test_any_flipped_byte_of_the_directory_is_an_expected_error_or_harmless(
    tmp_path: Path, benchmark: Benchmark
) -> None:
    members = frame("train", "s", 1)
    good = write(tmp_path / "a.zip", members, zipfile.ZIP_DEFLATED).read_bytes()
    path = tmp_path / "b.zip"
    refused = 0
    for at in range(good.index(b"PK\x01\x02"), len(good)):
        path.write_bytes(good[:at] + bytes([good[at] ^ 0x81]) + good[at + 1 :])
        try:
            with open_archive(path) as archive:
                for pair, contents in archive.read_pairs(archive.pairs(benchmark)):
                    assert contents == {kind: members[pair.members[kind]] for kind in pair.members}
        except DataError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 100


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"\n<!DOCTYPE html><title>Quota exceeded</title>", "a web page, not a ZIP or tar.gz"),
        (b"Rar!\x1a\x07\x00", "a RAR archive, not a ZIP or tar.gz"),
        (b"\xfd7zXZ\x00\x00", "packed by xz, not a ZIP or tar.gz"),
        (b"%PDF-1.4", "not a whole ZIP archive"),
        (b"", "not a whole ZIP archive"),
    ],
)
def test_what_is_no_archive_is_called_what_it_is(tmp_path: Path, content: bytes, what: str) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        open_archive(path)
    assert str(caught.value) == f"{path} is {what}: delete it and run the fetch stage again"


def test_a_folder_is_no_archive(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be read \(Is a directory\)"):
        open_archive(tmp_path)


def test_another_benchmark_is_named_with_what_it_lacks(tmp_path: Path, benchmark: Benchmark) -> None:
    path = write(tmp_path / "a.zip", {f"RealBlur-J/scene{i:03d}/blur/blur_1.png": b"x" for i in range(9)})
    with open_archive(path) as archive, pytest.raises(DataError) as caught:
        archive.pairs(benchmark)
    text = str(caught.value)
    assert "holds no pairs of the layout gopro (RealBlur-J/scene000/blur_1 lacks sharp; " in text
    assert text.endswith("and 13 more): is it GoPro (Nah et al.)?")


def test_the_lists_of_realblur_are_read_from_a_zip(tmp_path: Path, benchmark: Benchmark) -> None:
    line = "J/scene001/gt/gt_7.png J/scene001/blur/blur_7.png "
    members = {"J/scene001/gt/gt_7.png": b"sharp", "J/scene001/blur/blur_7.png": b"blurred", "list.txt": line.encode()}
    realblur = replace(benchmark, layout="realblur", root="J", lists={"test": "list.txt"}, variants=("blur",))
    with open_archive(write(tmp_path / "a.zip", members)) as archive:
        ((pair, contents),) = archive.read_pairs(archive.pairs(realblur))
    assert pair.key == "scene001/7"
    assert contents == {"sharp": b"sharp", "blur": b"blurred"}
    bad = write(tmp_path / "b.zip", members | {"list.txt": b"\xff\xfe"})
    no_list = r"b.zip: list.txt is no list of pairs: fetch the archive again"
    with open_archive(bad) as archive, pytest.raises(DataError, match=no_list):
        archive.pairs(realblur)
