"""Pairs by name in the layouts of GoPro, HIDE and RealBlur, with all that is odd about the real ones."""

from dataclasses import replace

import pytest

from banet.data.archives.layouts import PairFiles, find_pairs
from banet.data.manifest import ArchiveSource, Benchmark

J = "RealBlur-J_ECC_IMCORR_centroid_itensity_ref"
R = "RealBlur-R_BM3D_ECC_IMCORR_centroid_itensity_ref"
LISTS = {"train": "RealBlur_J_train_list.txt", "test": "RealBlur_J_test_list.txt"}

GOPRO = Benchmark(
    name="x",
    title="X",
    licence="-",
    citation="-",
    layout="gopro",
    variants=("blur",),
    archives=(ArchiveSource(name="a.zip", sources=("a.zip",)),),
    counts={},
)
HIDE = replace(GOPRO, layout="hide")
REALBLUR = replace(GOPRO, layout="realblur", root=J, lists=LISTS)


def no_lists(name: str) -> str:
    raise AssertionError(f"{name} was read")


def found(benchmark: Benchmark, names: list[str]) -> list[PairFiles]:
    pairs, problems = find_pairs(benchmark, names, no_lists)
    assert problems == []
    return pairs


def gopro(root: str, *frames: str, kinds: tuple[str, ...] = ("blur", "sharp")) -> list[str]:
    return [
        f"{root}{split_sequence}/{kind}/{frame}.png" for kind in kinds for split_sequence, frame in map(cut, frames)
    ]


def cut(place: str) -> tuple[str, str]:
    folder, _, frame = place.rpartition("/")
    return folder, frame


def hide(folder: str, *names: str) -> list[str]:
    return [f"HIDE_dataset/{folder}/{name}.png" for name in names]


def scene(root: str, name: str, *numbers: int) -> list[str]:
    return [f"{root}/{name}/{kind}/{kind}_{k}.png" for kind in ("blur", "gt") for k in numbers]


def listed(root: str, name: str, *numbers: int) -> str:
    """Lines as the real lists have them: a trailing blank, and no newline at the end of the file."""
    return "\n".join(f"{root}/{name}/gt/gt_{k}.png {root}/{name}/blur/blur_{k}.png " for k in numbers)


@pytest.mark.parametrize("root", ["", "GOPRO_Large/", "a/b/GOPRO_Large/", "./GOPRO_Large/"])
def test_gopro_lies_below_any_root(root: str) -> None:
    names = gopro(root, "train/GOPR0372_07_00/000047", "test/GOPR0384_11_00/000001")
    names += [f"{root}train/GOPR0372_07_00/frames 7 offset 0.txt", f"{root}train/GOPR0372_07_00/blur_gamma/000047.png"]
    pairs = found(GOPRO, names)
    assert [(pair.split, pair.key) for pair in pairs] == [
        ("test", "GOPR0384_11_00/000001"),
        ("train", "GOPR0372_07_00/000047"),
    ]
    assert pairs[1].members["sharp"] == f"{root}train/GOPR0372_07_00/sharp/000047.png"


def test_what_systems_leave_behind_is_ignored() -> None:
    names = gopro("G/", "train/s/000001")
    names += [f"__MACOSX/{name}" for name in names] + [name.replace("0000", "._0000") for name in names]
    assert len(found(GOPRO, [*names, "G/.DS_Store", "G/train/s/blur/.DS_Store", "G/Thumbs.db"])) == 1


def test_two_roots_with_one_pair_are_both_named() -> None:
    names = gopro("GOPRO_Large/", "train/s/000001") + gopro("GOPRO_Large_copy/", "train/s/000001")
    _, problems = find_pairs(GOPRO, names, no_lists)
    assert problems[0] == (
        "train/s/000001 has two images blur: GOPRO_Large/train/s/blur/000001.png and "
        "GOPRO_Large_copy/train/s/blur/000001.png"
    )


def test_one_name_in_two_splits_is_a_problem() -> None:
    _, problems = find_pairs(GOPRO, gopro("G/", "train/s/000001", "test/s/000001"), no_lists)
    assert problems == ["s/000001 is in test and train"]


def test_frames_that_are_numbers_come_in_their_order() -> None:
    names = gopro("", *(f"train/s/{frame}" for frame in ("10", "9", "1", "b", "a", "0" * 5000 + "2", "9" * 5000)))
    assert [pair.frame[-2:] for pair in found(GOPRO, names)] == ["a", "b", "1", "02", "9", "10", "99"]


def test_hide_is_paired_by_base_name() -> None:
    odd = ("109fromGOPR1096.MP4", "110fromGOPR1087.MP4")
    names = hide("GT", "spare", *odd, "1fromGOPR0950", "1fromGOPR1096.MP4")  # sharp images of both splits, and one more
    names += hide("train", "1fromGOPR0950")
    names += hide("test/test-close-ups", *odd) + hide("test/test-long-shot", "1fromGOPR1096.MP4")
    names += ["HIDE_dataset/train/list.txt", "GT.png"]
    pairs = found(HIDE, names)
    assert [(pair.split, pair.sequence, pair.frame) for pair in pairs] == [
        ("test", "test-close-ups", "109fromGOPR1096.MP4"),
        ("test", "test-close-ups", "110fromGOPR1087.MP4"),
        ("test", "test-long-shot", "1fromGOPR1096.MP4"),
        ("train", "train", "1fromGOPR0950"),
    ]
    assert pairs[0].members == {
        "blur": "HIDE_dataset/test/test-close-ups/109fromGOPR1096.MP4.png",
        "sharp": "HIDE_dataset/GT/109fromGOPR1096.MP4.png",
    }


def test_hide_gives_the_splits_that_its_manifest_counts() -> None:
    names = hide("GT", "a", "b") + hide("train", "a", "c") + hide("test/test-long-shot", "b")
    only_test = replace(HIDE, counts={"test": {"test-*": 1}})
    assert [pair.key for pair in found(only_test, names)] == ["test-long-shot/b"]
    assert find_pairs(HIDE, names, no_lists)[1] == ["train/train/c lacks sharp"]


def test_a_blurred_image_of_hide_without_its_sharp_one_is_named() -> None:
    names = hide("GT", "1fromGOPR1096") + hide("test/test-close-ups", "1fromGOPR1096.MP4")
    assert find_pairs(HIDE, names, no_lists)[1] == ["test/test-close-ups/1fromGOPR1096.MP4 lacks sharp"]


def test_two_sharp_images_of_one_name_are_named() -> None:
    names = [*hide("GT", "a"), "copy/GT/a.png", *hide("train", "a")]
    assert find_pairs(HIDE, names, no_lists)[1] == [
        "train/train/a has two images sharp: HIDE_dataset/GT/a.png and copy/GT/a.png"
    ]


@pytest.mark.parametrize("above", ["", "RealBlur/", "./"])
def test_realblur_takes_the_pairs_that_its_own_lists_name(above: str) -> None:
    names = scene(J, "scene230", 1, 7, 2, 10) + scene(J, "scene244_reflect", 3) + scene(J, "scene001", 5)
    names += scene(R, "scene230", 7, 2, 10)
    names += [f"{J}/scene230/gif/7.gif", f"{J}/scene230/Anaglyph/blur_7.png", *LISTS.values()]
    names += ["RealBlur_R_test_list.txt"]
    texts = {
        LISTS["test"]: listed(J, "scene230", 7, 2, 10) + "\n" + listed(J, "scene244_reflect", 3),
        LISTS["train"]: listed(J, "scene001", 5) + "\r\n\r\n",
    }
    pairs, problems = find_pairs(
        REALBLUR, [f"{above}{name}" for name in names], lambda name: texts[name.removeprefix(above)]
    )
    assert problems == []
    assert [(pair.split, pair.key) for pair in pairs] == [
        ("test", "scene230/2"),
        ("test", "scene230/7"),
        ("test", "scene230/10"),
        ("test", "scene244_reflect/3"),
        ("train", "scene001/5"),
    ]
    assert pairs[0].members == {
        "sharp": f"{above}{J}/scene230/gt/gt_2.png",
        "blur": f"{above}{J}/scene230/blur/blur_2.png",
    }


def test_listed_images_that_are_missing_are_named_by_kind() -> None:
    names = [*scene(J, "scene001", 1, 2), *LISTS.values()]
    names.remove(f"{J}/scene001/gt/gt_2.png")
    texts = {LISTS["train"]: listed(J, "scene001", 1, 2, 3), LISTS["test"]: ""}
    _, problems = find_pairs(REALBLUR, names, texts.__getitem__)
    assert problems == [
        "train/scene001/2 lacks sharp",
        "train/scene001/3 lacks sharp",
        "train/scene001/3 lacks blur",
    ]


@pytest.mark.parametrize(
    "line",
    [
        f"{J}/scene001/blur/blur_1.png {J}/scene001/gt/gt_1.png ",  # the blurred one first
        f"{R}/scene001/gt/gt_1.png {R}/scene001/blur/blur_1.png ",  # the list of R
        f"{J}/scene001/gt/gt_1.png {J}/scene002/blur/blur_1.png ",  # two scenes
        f"{J}/scene001/gt/gt_1.png ",
        "<html>",
        f"{J}/../scene001/gt/gt_1.png {J}/../scene001/blur/blur_1.png ",
    ],
)
def test_a_line_that_is_no_pair_is_named(line: str) -> None:
    names = [*scene(J, "scene001", 1), *scene(R, "scene001", 1), *LISTS.values()]
    texts = {LISTS["train"]: listed(J, "scene001", 1), LISTS["test"]: f"\n{line}"}
    _, problems = find_pairs(REALBLUR, names, texts.__getitem__)
    assert problems == [f"RealBlur_J_test_list.txt line 2 is not {J}/SCENE/gt/gt_K.png …/blur/blur_K.png"]


def test_lists_that_are_missing_twice_there_or_name_a_pair_twice_are_problems() -> None:
    names = [*scene(J, "scene001", 1), LISTS["train"]]
    texts = {LISTS["train"]: listed(J, "scene001", 1)}
    assert find_pairs(REALBLUR, names, texts.__getitem__)[1] == ["the list RealBlur_J_test_list.txt is missing"]
    names += [f"a/{LISTS['test']}", f"b/{LISTS['test']}"]
    assert find_pairs(REALBLUR, names, texts.__getitem__)[1] == [
        "the list RealBlur_J_test_list.txt is there twice: a/RealBlur_J_test_list.txt and b/RealBlur_J_test_list.txt"
    ]
    names.pop()
    texts[f"a/{LISTS['test']}"] = texts[LISTS["train"]]
    assert find_pairs(REALBLUR, names, texts.__getitem__)[1] == ["scene001/1 is in test and train"]


def test_another_benchmark_has_no_whole_pair() -> None:
    names = {
        "gopro": gopro("GOPRO_Large/", "train/s/000001"),
        "hide": hide("GT", "a") + hide("train", "a"),
        "realblur": scene(J, "scene001", 1),
    }
    for benchmark in (GOPRO, HIDE, REALBLUR):
        for layout, others in names.items():
            if layout != benchmark.layout:
                assert not any(len(pair.members) == 2 for pair in find_pairs(benchmark, others, no_lists)[0])


def test_members_in_two_unicode_forms_are_one_pair_under_one_name() -> None:
    mac, linux = "cafe\u0301", "caf\u00e9"
    names = [f"G/train/{linux}/blur/1.png", f"G/train/{mac}/sharp/1.png"]
    (pair,) = found(GOPRO, names)
    assert (pair.sequence, pair.members["sharp"]) == (linux, names[1])
    _, problems = find_pairs(GOPRO, [*names, f"G/train/{linux}/sharp/1.png"], no_lists)
    assert problems == [f"{names[1]} is there twice, in two Unicode forms"]


@pytest.mark.parametrize("litter", [".ipynb_checkpoints", "@eaDir", ".Trash-1000", "$RECYCLE.BIN"])
def test_hidden_levels_of_an_archive_are_ignored(litter: str) -> None:
    names = gopro("G/", "train/s/000001")
    assert len(found(GOPRO, [*names, *(f"{litter}/{name}" for name in names)])) == 1
