"""Custom pairs in two folders or a list: what is paired, how sequences are named, and every mistake in one line."""

from pathlib import Path

import pytest

from banet.data.archives.layouts import PairFiles
from banet.data.pairs.folders import folder_pairs, listed_pairs
from banet.errors import DataError


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def in_folders(tmp_path: Path, pattern: str | None = None) -> list[PairFiles]:
    return folder_pairs(tmp_path / "b", tmp_path / "s", split="train", variant="blur", pattern=pattern)


def listed(path: Path, text: str, pattern: str | None = None) -> list[PairFiles]:
    (path / "pairs.csv").write_text(text)
    return listed_pairs(path / "pairs.csv", split="train", variant="blur", pattern=pattern)


def test_folders_are_paired_by_name_without_ending(tmp_path: Path) -> None:
    touch(tmp_path / "b", "yard/1.jpg", "street_0001.png", "0001.png", "1.5.png")
    touch(tmp_path / "s", "yard/1.png", "street_0001.png", "0001.tif", "1.5.png", "notes.txt")
    pairs = {pair.key: pair for pair in in_folders(tmp_path)}
    assert list(pairs) == ["train/0001", "1/1.5", "street/street_0001", "yard/1"]
    assert pairs["yard/1"].members == {"blur": str(tmp_path / "b/yard/1.jpg"), "sharp": str(tmp_path / "s/yard/1.png")}
    assert {pair.split for pair in pairs.values()} == {"train"}


def test_a_pattern_names_the_sequences_of_folders(tmp_path: Path) -> None:
    for folder in "bs":
        touch(tmp_path / folder, "cam1_0001.png", "day2/cam2_0001.png")
    assert {pair.sequence for pair in in_folders(tmp_path, "(cam.)")} == {"cam1", "cam2"}
    with pytest.raises(DataError, match=r"cam1_0001\.png does not match sequence"):
        in_folders(tmp_path, "(day.)")


def test_halves_without_the_other_are_named_five_and_counted(tmp_path: Path) -> None:
    touch(tmp_path / "b", *(f"{i}.png" for i in range(6)), "x.png", "x.jpg")
    touch(tmp_path / "s", "5.png", "x.png", "y.png")
    with pytest.raises(DataError) as caught:
        in_folders(tmp_path)
    said = str(caught.value)
    assert f"{tmp_path / 'b/0.png'} has no sharp picture; " in said
    assert said.endswith("; and 2 more")
    for i in range(5):
        (tmp_path / f"b/{i}.png").unlink()
    with pytest.raises(DataError) as caught:
        in_folders(tmp_path)
    assert f"{tmp_path / 'b/x.jpg'} and {tmp_path / 'b/x.png'} have the same name" in str(caught.value)
    assert f"{tmp_path / 's/y.png'} has no blurred picture" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("separator", [",", "\t", " ", ", "])
def test_a_list_names_pairs_by_column_in_any_order(tmp_path: Path, separator: str) -> None:
    touch(tmp_path, "gt/1.png", "in/1.png", "gt/2.png", "in/2.png")
    lines = [("sharp", "blurred", "sequence"), ("gt/1.png", "in/1.png", "yard"), ("gt/2.png", "in/2.png", "a/b")]
    pairs = listed(tmp_path, "\n".join(separator.join(line) for line in lines) + "\n\n")
    assert [pair.key for pair in pairs] == ["yard/1", "a_b/2"]
    assert pairs[0].members == {"blur": str(tmp_path / "in/1.png"), "sharp": str(tmp_path / "gt/1.png")}


def test_sequences_of_a_list_are_the_folders_that_both_have(tmp_path: Path) -> None:
    names = ["town/street/blur/1.png", "town/street/sharp/1.png", "in/yard_01.png", "gt/yard_01.png", "in/2", "gt/2"]
    touch(tmp_path, *names)
    text = "blurred sharp\n" + "".join(f"{a} {tmp_path / b}\n" for a, b in zip(names[::2], names[1::2], strict=True))
    assert [pair.key for pair in listed(tmp_path, text)] == ["town_street/1", "yard/yard_01", "train/2"]
    assert [pair.sequence for pair in listed(tmp_path, text, "^([a-z]+)/")] == ["town", "in", "in"]


def test_a_sharp_picture_may_serve_several_pairs(tmp_path: Path) -> None:
    touch(tmp_path, "a/b1.png", "a/b2.png", "a/s.png")
    pairs = listed(tmp_path, "blurred,sharp\na/b1.png,a/s.png\na/b2.png,a/s.png\n")
    assert [pair.key for pair in pairs] == ["a/b1", "a/b2"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.png,b.png\n", "the first line must name the columns blurred, sharp and, if wanted, sequence, got 'a.png,b"),
        ("blurred,sharp,sequnce\n", "the first line must name the columns"),
        ("blurred,sharp,sharp\n", "the first line must name the columns"),
        ("", "the first line must name the columns"),
        ("blurred,sharp\n", "lists no pairs"),
        ("blurred,sharp\na.png\na.png,b.png\n", "line 2 has 1 columns, not 2; line 3: b.png is not a file"),
        ("blurred,sharp\na.png,\n", "line 2: an empty path is not a file"),
    ],
)
def test_mistakes_in_a_list_are_named(tmp_path: Path, text: str, message: str) -> None:
    touch(tmp_path, "a.png")
    with pytest.raises(DataError) as caught:
        listed(tmp_path, text)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "pairs.csv"))
    assert "\n" not in str(caught.value)


def test_a_list_that_is_missing_or_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no\.csv cannot be read \(No such file or directory\): it should list pairs"):
        listed_pairs(tmp_path / "no.csv", split="train", variant="blur", pattern=None)
    (tmp_path / "pairs.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="is not a list of pairs: it must be UTF-8 text"):
        listed_pairs(tmp_path / "pairs.csv", split="train", variant="blur", pattern=None)


MAC, LINUX = "cafe\u0301", "caf\u00e9"  # they look alike


def test_names_in_two_unicode_forms_are_paired_and_kept_in_one(tmp_path: Path) -> None:
    touch(tmp_path / "b", f"{LINUX}/{MAC}.png")
    touch(tmp_path / "s", f"{MAC}/{LINUX}.png")
    (pair,) = in_folders(tmp_path)
    assert pair.key == f"{LINUX}/{LINUX}"
    assert pair.members["sharp"] == str(tmp_path / f"s/{MAC}/{LINUX}.png")
    (listed_pair,) = listed(tmp_path, f"blurred,sharp\nb/{MAC}/{LINUX}.png,s/{LINUX}/{MAC}.png\n")
    assert listed_pair.members == pair.members
    touch(tmp_path / "s", f"{LINUX}/{LINUX}.png")
    with pytest.raises(DataError, match="have the same name"):
        in_folders(tmp_path)


def test_lists_pass_over_what_is_hidden_beside_other_listed_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [(f".data/{kind}/1.png", f".data/{kind}/.ipynb_checkpoints/1.png") for kind in "bs"]
    touch(tmp_path, *rows[0], *rows[1])
    text = "blurred,sharp\n" + "".join(f"{b},{tmp_path / s}\n" for b, s in zip(*rows, strict=True))
    (pair,) = listed(tmp_path, text)
    assert pair.members["sharp"] == str(tmp_path / ".data/s/1.png")
    assert "pairs.csv: 1 pairs are passed over: hidden" in capsys.readouterr().err


def test_lists_take_a_hidden_folder_and_another_far_from_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made, real = (
        ("checkout/.runs/pairs/blur/1.png", "checkout/.runs/pairs/sharp/1.png"),
        ("mine/b/1.png", "mine/s/1.png"),
    )
    touch(tmp_path, *made, *real, "mine/b/._1.png")
    text = "blurred,sharp,sequence\n" + "".join(
        f"{b},{s},{s[:4]}\n" for b, s in (made, real, ("mine/b/._1.png", real[1]))
    )
    assert [pair.sequence for pair in listed(tmp_path, text)] == ["chec", "mine"]
    assert "pairs.csv: 1 pairs are passed over: hidden" in capsys.readouterr().err
