"""tar and tar.gz: one pass from first to last, bounded memory, and damage that is never taken for the end."""

import gzip
import io
import random
import tarfile
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from banet.data.archives import tar as module
from banet.data.archives.base import Archive
from banet.data.archives.layouts import PairFiles
from banet.data.archives.open import open_archive
from banet.data.manifest import ArchiveSource, Benchmark
from banet.errors import DataError

ROOT = "RealBlur-J_ECC_IMCORR_centroid_itensity_ref"
FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
Members = dict[str, bytes]

REALBLUR = Benchmark(
    name="realblur_j",
    title="RealBlur-J",
    licence="CC BY 4.0",
    citation="-",
    layout="realblur",
    root=ROOT,
    lists={"test": "test_list.txt"},
    variants=("blur",),
    archives=(ArchiveSource(name="a.tar.gz", sources=("a.tar.gz",)),),
    counts={},
)


@contextmanager
def memory_below(limit: int) -> Iterator[None]:
    """The most bytes held inside the block, beyond those before, stay below `limit`."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()


def realblur(scenes: int, images: int, size: int = 700) -> Members:
    """Scenes whose blurred images all come before their sharp ones; the list last."""
    draw = random.Random(0)
    members: Members = {}
    lines: list[str] = []
    for scene in range(1, scenes + 1):
        folder = f"{ROOT}/scene{scene:03d}"
        for kind in ("blur", "gt"):
            members |= {f"{folder}/{kind}/{kind}_{k}.png": draw.randbytes(size) for k in range(1, images + 1)}
        lines += [f"{folder}/gt/gt_{k}.png {folder}/blur/blur_{k}.png " for k in range(2, images + 1)]
    return members | {"test_list.txt": "\n".join(lines).encode()}


def tar(members: Members, tar_format: int = tarfile.GNU_FORMAT, extra: tuple[tarfile.TarInfo, ...] = ()) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tar_format) as file:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
        for info in extra:
            file.addfile(info, io.BytesIO(bytes(info.size)))
    return buffer.getvalue()


def gz(content: bytes, level: int = 9) -> bytes:
    return gzip.compress(content, level, mtime=0)


def save(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def info(name: str, kind: bytes, target: str = "", size: int = 0) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.size = kind, target, size
    return member


def error(path: Path, use: Callable[[Archive], object] = lambda archive: archive.require_whole()) -> str:
    with open_archive(path) as archive, pytest.raises(DataError) as caught:
        use(archive)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize("tar_format", FORMATS)
@pytest.mark.parametrize("name", ["a.tar.gz", "a.tar", "a.zip"])  # what it is, its first bytes say
def test_pairs_are_read_in_one_pass_in_the_order_of_the_tar(tmp_path: Path, tar_format: int, name: str) -> None:
    members = realblur(2, 3)
    content = tar(members, tar_format, (info(f"{ROOT}/", tarfile.DIRTYPE), info(f"{ROOT}/", tarfile.DIRTYPE)))
    with open_archive(save(tmp_path / name, content if name == "a.tar" else gz(content))) as archive:
        archive.require_whole()
        pairs = archive.pairs(REALBLUR)
        assert [pair.key for pair in pairs] == ["scene001/2", "scene001/3", "scene002/2", "scene002/3"]
        read = list(archive.read_pairs([pairs[3], pairs[2], pairs[0]]))
        assert [pair.key for pair, _ in read] == ["scene001/2", "scene002/2", "scene002/3"]
        for pair, contents in read:
            assert contents == {kind: members[name] for kind, name in pair.members.items()}
        assert archive.read(pairs[0].members["sharp"]) == members[pairs[0].members["sharp"]]


@pytest.mark.parametrize("tar_format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_and_foreign_names_and_large_sizes_are_understood(tmp_path: Path, tar_format: int) -> None:
    names = ["d/" * 100 + "é" * 60 + ".png", "s/\udcff.png", "plain.png"]
    buffer = io.BytesIO()
    with tarfile.open(
        fileobj=buffer, mode="w", format=tar_format, pax_headers={"comment": "made by x"}, errors="surrogateescape"
    ) as file:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 700
            if tar_format == tarfile.PAX_FORMAT:
                member.pax_headers = {"size": "700", "LIBARCHIVE.creationtime": "1.5"}
            file.addfile(member, io.BytesIO(bytes(700)))
    with open_archive(save(tmp_path / "a.tar", buffer.getvalue())) as archive:
        assert [(member.name, member.size) for member in archive.members()] == [(name, 700) for name in names]


def test_several_gzip_files_in_a_row_and_padding_are_one(tmp_path: Path) -> None:
    members = realblur(1, 3)
    content = tar(members)
    parts = [gz(content[at : at + 1500]) for at in range(0, len(content), 1500)]
    path = save(tmp_path / "a.tar.gz", b"".join(parts) + bytes(300_000))
    with open_archive(path) as archive:
        assert len(list(archive.read_pairs(archive.pairs(REALBLUR)))) == 2


def test_a_pair_comes_as_soon_as_it_is_whole_and_only_one_scene_waits(tmp_path: Path) -> None:
    size = 100_000
    path = save(tmp_path / "a.tar.gz", gz(tar(realblur(12, 6, size)), 1))  # 14 MB of images
    with open_archive(path) as archive:
        pairs = archive.pairs(REALBLUR)
        with memory_below(6 * size + 700_000):  # five halves wait, the sixth comes
            assert sum(len(contents) for _, contents in archive.read_pairs(pairs)) == 2 * 60
        with memory_below(700_000):
            archive.require_whole()
        with memory_below(6 * size + 700_000):
            first, _ = next(archive.read_pairs(pairs))
        assert first.key == "scene001/2"


def test_halves_too_far_apart_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST_WAIT", 3 * 700)
    path = save(tmp_path / "a.tar", tar(realblur(2, 5)))
    told = error(path, lambda archive: list(archive.read_pairs(archive.pairs(REALBLUR))))
    assert "over 2100 bytes apart: make a ZIP" in told
    monkeypatch.setattr(module, "LARGEST_WAIT", 4 * 700)
    with open_archive(path) as archive:
        assert len(list(archive.read_pairs(archive.pairs(REALBLUR)))) == 8


def test_a_truncated_tar_gz_gives_its_good_pairs_and_then_says_where_it_ends(tmp_path: Path) -> None:
    packed = gz(tar(realblur(3, 4)))
    whole = save(tmp_path / "a.tar.gz", packed)
    with open_archive(whole) as archive:
        pairs = archive.pairs(REALBLUR)
    cut = save(tmp_path / "cut.tar.gz", packed[: len(packed) * 5 // 9])
    assert error(cut) == f"it is cut short at {ROOT}/scene002/gt/gt_2.png: fetch the archive again"
    read: list[tuple[PairFiles, dict[str, bytes]]] = []
    told = error(cut, lambda archive: read.extend(archive.read_pairs(pairs)))
    assert [pair.key for pair, _ in read] == ["scene001/2", "scene001/3", "scene001/4"]
    assert told.startswith(f"it is cut short at {ROOT}/scene002/gt/gt_2.png; {ROOT}/scene002/gt/gt_2.png is missing; ")
    assert told.endswith("and 5 more: fetch the archive again")  # 3 + 6 images are lost


@pytest.mark.parametrize("pack", [gz, bytes])
def test_a_cut_is_noticed_wherever_it_is(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    content = tar({"a.png": b"a" * 700, "b.png": b"b" * 100})
    end = content.index(b"b" * 100) + 512 if pack is bytes else len(pack(content))  # beyond it a tar has zeros only
    packed = pack(content)
    for size in range(0, end, 1 if pack is not bytes else 100):
        path = save(tmp_path / "cut.tar.gz", packed[:size])
        with pytest.raises(DataError, match=r"cut short at|is not a whole tar archive: delete it and run the fetch"):
            open_archive(path).require_whole()


def test_any_flipped_byte_of_a_tar_gz_is_noticed_or_harmless(tmp_path: Path) -> None:
    content = tar(realblur(1, 2, 50))
    packed = gz(content)
    harmless = 0  # a time, a system's name, one copy of zeros for another
    for at in range(len(packed)):
        path = save(tmp_path / "a.tar.gz", packed[:at] + bytes([packed[at] ^ 0x10]) + packed[at + 1 :])
        try:
            with open_archive(path) as archive:
                archive.require_whole()
        except DataError as caught:
            assert "\n" not in str(caught)
        else:
            assert gzip.decompress(path.read_bytes()) == content
            harmless += 1
    assert harmless < 30


def test_any_flipped_byte_of_a_header_is_an_expected_error(tmp_path: Path) -> None:
    content = tar({"d/" * 60 + "a.png": b"x", "b.png": b"y"}, tarfile.PAX_FORMAT)
    for at in range(0, 2048, 3):
        path = save(tmp_path / "a.tar", content[:at] + bytes([content[at] ^ 0x11]) + content[at + 1 :])
        try:
            with open_archive(path) as archive:
                archive.require_whole()
        except DataError as caught:
            assert "\n" not in str(caught)
        else:  # a header has a checksum (in its bytes 148 to 155), POSIX attributes have none
            assert at // 512 in (1, 3) or 148 <= at % 512 < 156


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path: Path) -> None:
    content = bytearray(tar({"a.png": b"a", "b.png": b"b", "c.png": b"c"}))
    content[1024] ^= 1
    path = save(tmp_path / "a.tar", bytes(content))
    with tarfile.open(path) as file:
        assert file.getnames() == ["a.png"]  # what one must not rely on
    assert error(path) == "it is damaged (a bad header) at a.png: fetch the archive again"


@pytest.mark.parametrize("garbage", [b"garbage", b"\0\0garbage", gz(b"garbage")])
def test_data_after_the_end_is_noticed(tmp_path: Path, garbage: bytes) -> None:
    path = save(tmp_path / "a.tar.gz", gz(tar(realblur(1, 2))) + garbage)
    assert error(path).endswith(" at test_list.txt: fetch the archive again")


@pytest.mark.parametrize(
    ("member", "what"),
    [
        (info("a.png", tarfile.SYMTYPE, "/etc/passwd"), "a.png is a symbolic link"),
        (info("a.png", tarfile.LNKTYPE, "../x"), "a.png is a hard link"),
        (info("a.png", tarfile.CHRTYPE), "a.png is a device"),
        (info("a.png", tarfile.FIFOTYPE), "a.png is a pipe"),
        (info("a.png", tarfile.GNUTYPE_SPARSE), "a.png is a sparse file"),
        (info("a.png", b"Z", size=3), "a.png is not a plain file"),
        (info("../a.png", tarfile.REGTYPE), "the name '../a.png' points outside"),
        (info("/a.png", tarfile.REGTYPE), "the name '/a.png' points outside"),
        (info("s/../../a", tarfile.DIRTYPE), "the name 's/../../a' points outside"),
        (info("C:\\a.png", tarfile.REGTYPE), "the name 'C:\\\\a.png' points outside"),
        (info("./test_list.txt", tarfile.REGTYPE), "./test_list.txt is in it twice"),
        (info("b\n.txt", tarfile.SYMTYPE), "'b\\n.txt' is a symbolic link"),
    ],
)
def test_hostile_members_are_refused(tmp_path: Path, member: tarfile.TarInfo, what: str) -> None:
    path = save(tmp_path / "a.tar.gz", gz(tar(realblur(1, 2), extra=(member,))))
    refusal = f"{what}: the archive is not trusted, take it from its publisher"
    assert error(path) == refusal
    assert error(path, lambda archive: archive.pairs(REALBLUR)) == refusal


def test_a_bomb_is_refused_in_little_memory(tmp_path: Path) -> None:
    small = save(tmp_path / "small.tar.gz", gz(tar(realblur(1, 2) | {"bomb.png": bytes(2**22)})))
    told = error(small)
    assert told.startswith("its members unpack to 41")
    assert told.endswith(": the archive is not trusted, take it from its publisher")
    large = save(tmp_path / "large.tar.gz", gz(tar({"bomb.png": bytes(2**26)})))
    with memory_below(2**20):
        told = error(large)
    assert told.startswith("it is unpacked to over 100 times its bytes at bomb.png: the archive is not trusted")


def test_a_member_larger_than_any_image_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.tar", tar({"a.png": b"a" * 100, "b.png": b"b" * 101}))
    monkeypatch.setattr(module, "LARGEST_MEMBER", 100)
    with open_archive(path) as archive:
        assert archive.read("a.png") == b"a" * 100
    assert "b.png unpacks to 101 bytes" in error(path, lambda archive: archive.read("b.png"))


def test_what_is_missing_or_empty_is_named_with_the_good_pairs_read(tmp_path: Path) -> None:
    members = realblur(1, 9)
    path = save(tmp_path / "a.tar", tar(members))
    with open_archive(path) as archive:
        pairs = archive.pairs(REALBLUR)
    members[f"{ROOT}/scene001/blur/blur_3.png"] = b""
    members[f"{ROOT}/scene001/gt/gt_4.png"] = b""
    del members[f"{ROOT}/scene001/gt/gt_5.png"]
    save(path, tar(members))
    read: list[tuple[PairFiles, dict[str, bytes]]] = []
    told = error(path, lambda archive: read.extend(archive.read_pairs(pairs)))
    assert [pair.frame for pair, _ in read] == ["2", "6", "7", "8", "9"]
    assert told == (
        f"{ROOT}/scene001/blur/blur_3.png is empty; {ROOT}/scene001/gt/gt_4.png is empty; "
        f"{ROOT}/scene001/gt/gt_5.png is missing: fetch the archive again"
    )
    problems: list[str] = []
    with open_archive(path) as archive:
        assert len(list(archive.read_pairs(pairs, problems))) == 5
    assert len(problems) == 3
    assert error(path, lambda archive: archive.pairs(REALBLUR)) == (
        "test/scene001/5 lacks sharp: fetch the archive again"
    )
    assert error(path, lambda archive: archive.read("no.png")) == "no.png is missing: fetch the archive again"


def test_an_image_that_two_pairs_share_is_given_to_both(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tar", tar(realblur(1, 3)))
    with open_archive(path) as archive:
        two, three = archive.pairs(REALBLUR)
        three = replace(three, members=three.members | {"sharp": two.members["sharp"]})
        read = {pair.frame: contents for pair, contents in archive.read_pairs([two, three])}
    assert read["2"]["sharp"] == read["3"]["sharp"]


@pytest.mark.parametrize("content", [b"", gz(b""), gz(b"no tar" * 1000), b"\x1f\x8b\x08", b"<html>"])
def test_what_is_no_tar_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataError, match=r"a.tar.gz is .*: delete it and run the fetch stage again"):
        open_archive(save(tmp_path / "a.tar.gz", content))


def test_an_empty_tar_and_another_benchmark_hold_no_pairs(tmp_path: Path) -> None:
    for content in (tar({}), tar({"GOPRO_Large/train/s/blur/000001.png": b"x"})):
        path = save(tmp_path / "a.tar.gz", gz(content))
        with open_archive(path) as archive, pytest.raises(DataError) as caught:
            archive.pairs(REALBLUR)
        assert str(caught.value) == (
            f"{path} holds no pairs of the layout realblur (the list test_list.txt is missing): is it RealBlur-J?"
        )


def test_a_list_that_is_no_text_or_too_large_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.tar", tar(realblur(1, 2) | {"test_list.txt": b"\xff\xfe"}))
    assert error(path, lambda a: a.pairs(REALBLUR)) == "test_list.txt is no list of pairs: fetch the archive again"
    save(path, tar(realblur(1, 2)))
    monkeypatch.setattr(module, "LARGEST_LIST", 20)
    assert error(path, lambda a: a.pairs(REALBLUR)) == "test_list.txt is no list of pairs: fetch the archive again"


def header(kind: bytes, content: bytes = b"", size: int | None = None) -> bytes:
    """A header of its own, its content after it, as tools write long names and POSIX attributes."""
    content_size = len(content) if size is None else size
    block = info("././@LongLink", kind, size=content_size).tobuf(tarfile.GNU_FORMAT)
    return block + content.ljust(-(-len(content) // 512) * 512, b"\0")


@pytest.mark.parametrize(
    ("hostile", "what"),  # no reason where versions of Python name different ones
    [
        (header(tarfile.GNUTYPE_LONGNAME, size=2**30), "a header of 1073741824 bytes"),
        (header(tarfile.XGLTYPE, size=2**30), "a header of 1073741824 bytes"),
        (header(tarfile.GNUTYPE_LONGNAME, size=-1024), ""),
        (header(tarfile.GNUTYPE_LONGLINK, b"a" * 512) * 100, "a header of 512 bytes"),  # each alone is small enough
        (header(tarfile.XHDTYPE, b"14 size=-1024\n"), ""),
        (header(tarfile.XHDTYPE, b"0 path=a\n"), "a bad header"),
        (header(tarfile.XHDTYPE, b"22 GNU.sparse.size=9x\n"), ""),
        (header(tarfile.REGTYPE, size=-1), ""),
        (header(tarfile.XGLTYPE, b"13 size=5000\n"), "members that overlap"),
    ],
)
def test_hostile_headers_are_refused_in_little_memory(tmp_path: Path, hostile: bytes, what: str) -> None:
    path = save(tmp_path / "a.tar", tar({"first.png": b"x"})[:1024] + hostile + tar({"a.txt": b"x"}))
    with memory_below(2**20):
        told = error(path)
    assert told.startswith(f"it is damaged ({what}")
    assert told.endswith(": fetch the archive again")


def test_a_hostile_first_header_is_refused_when_the_tar_is_opened(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tar", header(tarfile.GNUTYPE_LONGNAME, size=2**30) + tar({"a.png": b"x"}))
    with memory_below(2**20), pytest.raises(DataError, match="is not a whole tar archive: delete it"):
        open_archive(path)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_headers_do_not_pile_up_in_memory(tmp_path: Path, kind: bytes) -> None:
    one = tar({"a.png": b"x"})[:1024]
    comments = [header(kind, f"30000 comment{i:02d}=".encode().ljust(29999, b"c") + b"\n") for i in range(100)]
    path = save(tmp_path / "a.tar", b"".join(comment + one for comment in comments) + bytes(1024))  # 3 MB
    with memory_below(10**6):
        assert "a.png is in it twice" in error(path)


def test_a_sparse_file_of_any_format_is_refused_by_name(tmp_path: Path) -> None:
    attributes = (
        b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n25 GNU.sparse.name=s.png\n34 GNU.sparse.realsize=99999999999\n"
    )
    one = tar({"GNUSparseFile.0/s.png": b"1\n0\n512\n".ljust(512, b"\0") + bytes(512)})
    assert "s.png is a sparse file" in error(save(tmp_path / "a.tar", header(tarfile.XHDTYPE, attributes) + one))
