"""Names of one image are paired however benchmarks and methods write them, and names of two images never are."""

from pathlib import PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banet.errors import DataError
from banet.scoring.name_matching import Side, only_restored, only_sharp, pair_all, pair_names, without_kinds

GOPRO = (
    "GOPR0384_11_00/000001.png",
    "GOPR0384_11_00/sharp/000001.png",
    "GOPR0384_11_00/blur_gamma/000001.png",
    "sharp/GOPR0384_11_00/000001.png",
    "GOPR0384_11_00-000001.png",
    "GOPR0384_11_00_000001.png",
    "GOPR0384_11_00-000001.bmp",
    "GOPR0384_11_00_000001_restored.png",
    "GOPR0384_11_00_blur_gamma_000001.png",
    "test/GOPR0384_11_00/000001.png",
)
REALBLUR = (
    "scene230/gt/gt_7.png",
    "scene230/blur/blur_7.png",
    "scene230/7.png",
    "scene230_blur_7.png",
    "scene230_blur_blur_7.png",
    "scene230-7.png",
    "results/scene230_blur_7.png",
)
REFLECTED = ("scene244_reflect/gt/gt_3.png", "scene244/3.png", "scene244_blur_3.png", "scene244_reflect_blur_3.png")
HIDE = ("test-close-ups/109fromGOPR1096.MP4.png", "109fromGOPR1096.MP4.png", "GT/109fromGOPR1096.MP4.bmp")
FAMILIES = (GOPRO, REALBLUR, REFLECTED, HIDE)


def paths(*names: str) -> list[PurePosixPath]:
    return [PurePosixPath(name) for name in names]


def paired(restored: list[str], sharp: list[str]) -> dict[str, str]:
    return {str(name): str(other) for name, other in pair_names(paths(*restored), paths(*sharp)).items()}


@pytest.mark.parametrize(
    ("restored", "sharp"), [(one, two) for names in FAMILIES for one in names for two in names if one != two]
)
def test_the_names_of_one_image_are_paired_and_others_beside_them_are_not_mixed_up(restored: str, sharp: str) -> None:
    assert paired([restored], [sharp]) == {sharp: restored}
    follower = {"000001": "000002", "7.png": "17.png", "3.png": "13.png", "109from": "9from"}
    old, new = next(pair for pair in follower.items() if pair[0] in restored)
    more = [restored.replace(old, new), sharp.replace(old, new)]
    assert paired([more[0], restored], [sharp, more[1]]) == {sharp: restored, more[1]: more[0]}


@pytest.mark.parametrize(
    ("restored", "sharp"),
    [
        (["scene23/gt_01.png"], ["scene230/gt_1.png"]),
        (["a/1.png"], ["b/01.png"]),
        (["a/1.png"], ["a/01.png"]),
        (["scene23/gt/gt_1.png"], ["scene230/gt/gt_1.png"]),
        (["a/1.png", "b/2.png"], ["a/2.png", "b/1.png"]),
        (["street_1.png"], ["1.png"]),
        (["11_00-000001.png"], ["GOPR0384_11_00/000001.png"]),
        (["sharp_turn/1.png"], ["turn/1.png"]),
        (["1fromGOPR0950.png"], ["1fromGOPR0950.MP4.png"]),
        (["scene24/gt/gt_4.png"], ["scene244/gt/gt_4.png"]),
        (["1.png"], ["a/1.png", "b/1.png"]),
        (["a_1.png", "a-1.png"], ["a/1.png"]),
        (["x/a/1.png", "y/a/1.png"], ["a/1.png"]),
        (["output.png"], ["other/target.png"]),
        (["-.png"], ["a/gt.png"]),
    ],
)
def test_names_that_may_be_two_images_are_left_over(restored: list[str], sharp: list[str]) -> None:
    assert paired(restored, sharp) == {}
    assert paired(sharp, restored) == {}


def test_a_flat_name_goes_to_no_image_while_its_frame_is_another_ones_too() -> None:
    assert paired(["s1/1.png", "1.png"], ["s1/1.png", "s2/1.png"]) == {"s1/1.png": "s1/1.png"}


def test_the_plainest_name_goes_first() -> None:
    both = ["sharp_turn/1.png", "turn/1.png", "turn_sharp_1.png"]
    assert paired(both, both) == {name: name for name in both}
    assert paired(["sharp_turn_1.png", "turn_1.png"], ["turn/1.png", "sharp_turn/1.png"]) == {
        "turn/1.png": "turn_1.png",
        "sharp_turn/1.png": "sharp_turn_1.png",
    }


# A benchmark is (sequence, frame)s; each side writes all of them in one style.
STYLES = (
    "{sequence}/{frame}.png",
    "{sequence}/sharp/{frame}.png",
    "{sequence}/gt/gt_{frame}.png",
    "{sequence}-{frame}.bmp",
    "{sequence}_{frame}.png",
    "{sequence}_blur_{frame}.png",
    "target/{sequence}/{frame}.png",
    "run1/{sequence}/{frame}_restored.png",
)
PARTS = st.sampled_from(["a", "b", "ab", "1", "01", "2", "sharp", "gt_1", "scene24", "scene244", "scene244_reflect"])
KEYS = st.lists(st.tuples(PARTS, st.sampled_from(["1", "01", "2", "11", "a"])), min_size=1, max_size=6, unique=True)


@settings(max_examples=400, deadline=None)
@given(KEYS, KEYS, st.sampled_from(STYLES), st.sampled_from(STYLES))
def test_two_images_are_never_paired_whatever_their_names(
    mine: list[tuple[str, str]], theirs: list[tuple[str, str]], style: str, other_style: str
) -> None:
    def written(keys: list[tuple[str, str]], style: str) -> dict[PurePosixPath, tuple[str, str]]:
        return {
            PurePosixPath(style.format(sequence=sequence, frame=frame)): (
                sequence.replace("scene244_reflect", "scene244").replace("_", "-"),
                frame,
            )
            for sequence, frame in keys
        }

    restored, sharp = written(mine, style), written(theirs, other_style)
    found = pair_names(list(restored), list(sharp))
    assert len(set(found.values())) == len(found)
    for name, other in found.items():
        # `sharp` is a word for a kind, so that a sequence may not be called so; all else must be one image
        if "sharp" not in (restored[other][0], sharp[name][0]) and "gt-1" not in (restored[other][0], sharp[name][0]):
            assert restored[other] == sharp[name], (name, other)


def test_a_benchmarks_own_tree_is_taken_for_its_sharp_images() -> None:
    gopro = paths(*(f"GOPR1/{kind}/{i}.png" for kind in ("blur", "blur_gamma", "sharp") for i in (1, 2)))
    assert only_sharp(gopro) == paths("GOPR1/sharp/1.png", "GOPR1/sharp/2.png")
    realblur = paths("scene1/blur/blur_1.png", "scene1/gt/gt_1.png", "scene1/Anaglyph/1.png", "scene1/seen.png")
    assert only_sharp(realblur) == paths("scene1/gt/gt_1.png")
    assert only_sharp(paths("input/1.png", "target/1.png")) == paths("target/1.png")
    assert only_sharp(paths("HIDE/input/1.png", "HIDE/GT/1.png")) == paths("HIDE/GT/1.png")
    alone = paths("blur/1.png", "blur/2.png", "a/sharp/3.png", "sharp.png", "b/c.png")
    assert only_sharp(alone) == alone


def test_sharp_images_that_a_method_wrote_beside_its_own_are_not_its_own() -> None:
    nafnet = paths("a-1.png", "a-1_gt.png", "a-2.png", "a-2_gt.png")
    assert only_restored(nafnet, paths("a/1.png", "a/2.png")) == paths("a-1.png", "a-2.png")
    assert only_restored(nafnet, nafnet) == nafnet
    assert only_restored(paths("1_gt.png", "2.png"), paths("1.png")) == paths("1_gt.png", "2.png")
    tree = paths("s/input/1.png", "s/output/1.png", "s/target/1.png")
    assert only_restored(tree, paths("s/1.png")) == paths("s/output/1.png")


def test_folders_for_the_kind_are_left_out_of_a_name() -> None:
    assert without_kinds(PurePosixPath("GOPR1/sharp/1.png")) == PurePosixPath("GOPR1/1.png")
    assert without_kinds(PurePosixPath("GT/sharp_turn/gt_1.png")) == PurePosixPath("sharp_turn/gt_1.png")


def test_what_is_left_over_is_told_with_its_side() -> None:
    def told(restored: list[str], sharp: list[str]) -> str:
        mine, theirs = Side(label="mine", names=paths(*restored)), Side(label="theirs", names=paths(*sharp))
        with pytest.raises(DataError) as raised:
            pair_all(mine, theirs, "take others")
        return str(raised.value)

    assert told(["a.png"], ["a.png", "b.png"]) == (
        "mine lacks 1 image (b.png) of theirs (1 restored images, 2 sharp ones): every image must be there exactly once"
    )
    assert "mine has 1 image (b.png) that theirs lacks" in told(["a.png", "b.png"], ["a.png"])
    assert told(["a.png"], ["b.png"]) == (
        "no names in common: mine holds 1 image (a.png); theirs holds 1 image (b.png): take others"
    )


@pytest.mark.parametrize(
    ("restored", "sharp", "said"),
    [
        (
            ["v/G-1_NAFNet-width64.png", "v/G-2_NAFNet-width64.png"],
            ["G/sharp/1.png", "G/sharp/2.png"],
            "_NAFNet-width64",
        ),
        (["1_out.png", "2_out.png"], ["1.png", "2.png"], "the ending _out of all names is left out"),
        (["1_out.png"], ["1.png"], "the ending _out"),
        (["1 (new).png", "2 (new).png"], ["1.png", "2.png"], "the ending  (new)"),
        (["net_G-1.png", "net_G-2.png"], ["G/1.png", "G/2.png"], "the beginning net_"),
        (["net_a_x.png", "net_b_x.png"], ["a.png", "b.png"], "the beginning net_ and the ending _x"),
        (["1.png.png", "2.png.png"], ["1.png", "2.png"], "two endings"),
        (["1.jpg.png", "2.png.png"], ["1.png", "2.png"], "two endings"),
        (["1/1_500.png", "2/2_500.png"], ["1.png", "2.png"], "the ending _500"),
        (["1.png", "2.png"], ["1_x.png", "2_x.png"], "theirs: the ending _x"),
        (["a_e\u0301.png", "b_e\u0301.png"], ["a.png", "b.png"], "the ending _\u00e9"),
    ],
)
def test_what_all_names_have_in_common_is_seen_through_and_said(
    restored: list[str], sharp: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    mine, theirs = Side(label="mine", names=paths(*restored)), Side(label="theirs", names=paths(*sharp))
    assert pair_all(mine, theirs, "") == dict(zip(theirs.names, mine.names, strict=True))
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("restored", "sharp"),
    [
        (["street_1.png", "street_2.png"], ["1.png", "2.png"]),  # may be another sequence's frames
        (["street_1.png", "street_2.png"], ["yard/1.png", "yard/2.png"]),
        (["G1_x-1.png", "G1_x-2.png"], ["G2_x/1.png", "G2_x/2.png"]),
        (["street_1.png"], ["street.png"]),
        (["a_x.png", "a_y.png"], ["a.png", "b.png"]),
        (["1_out.png", "1_out.jpg"], ["1.png", "2.png"]),
        (["s/1_5.png", "s/1_6.png"], ["s/1.png"]),
    ],
)
def test_what_only_looks_common_is_never_seen_through(restored: list[str], sharp: list[str]) -> None:
    mine, theirs = Side(label="mine", names=paths(*restored)), Side(label="theirs", names=paths(*sharp))
    with pytest.raises(DataError):
        pair_all(mine, theirs, "")


def test_images_with_several_endings_and_missing_ones_are_told_truly() -> None:
    mine = Side(label="mine", names=paths("G-1.bmp", "G-1.png", "G-2.bmp", "G-2.png"))
    with pytest.raises(
        DataError, match=r"mine has 4 images .* with several endings \(\.bmp, \.png\): keep one file of each"
    ):
        pair_all(mine, Side(label="theirs", names=paths("G/1.png", "G/2.png")), "")
    mine = Side(label="mine", names=paths("1_out.png", "2_out.png"))
    with pytest.raises(DataError, match=r"mine lacks 1 image \(3\.png\) of theirs"):
        pair_all(mine, Side(label="theirs", names=paths("1.png", "2.png", "3.png")), "")


def test_unicode_forms_of_a_name_are_paired() -> None:
    assert paired(["cafe\u0301/1.png"], ["caf\u00e9/1.png"]) == {"caf\u00e9/1.png": "cafe\u0301/1.png"}
    assert paired(["cafe\u0301-1.png"], ["caf\u00e9/1.png"]) == {"caf\u00e9/1.png": "cafe\u0301-1.png"}
