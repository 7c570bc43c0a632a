"""Folders of anybody's images: paired by name, and one line for each way in which they do not fit."""

import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from banet.data.images.codec import write_image
from banet.data.manifest import Benchmark
from banet.data.shards.reader import ShardFolder, read_pairs
from banet.errors import DataError
from banet.image import Image
from banet.metrics.psnr import psnr
from banet.metrics.realblur import realblur_score
from banet.scoring.evaluation import score_image
from banet.scoring.score_folders import compare_benchmark, compare_folders, kept_blocks, score_comparison
from banet.scoring.scores import ImageScores, Protocol, score
from banet.scoring.table import write_table

Write = Callable[..., Path]
NAMES = tuple(f"{i:06d}.png" for i in range(1, 5))


def picture(seed: int, size: tuple[int, int] = (24, 30)) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a folder of random pictures; the same name in two folders is two pictures."""

    def make(folder: str, *names: str, size: tuple[int, int] = (24, 30)) -> Path:
        for i, name in enumerate(names):
            write_image(tmp_path / folder / name, picture(1000 * len(folder) + i, size))
        return tmp_path / folder

    return make


def score_folders(
    restored: Path,
    sharp: Path,
    protocol: Protocol,
    *,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] = lambda *_: None,
) -> list[ImageScores]:
    return score_comparison(compare_folders(restored, sharp, protocol), workers=workers, on_progress=on_progress)


def paired(restored: Path, sharp: Path) -> list[tuple[str, str]]:
    pairs = compare_folders(restored, sharp, "gopro").pairs
    return [
        (pair.restored.relative_to(restored).as_posix(), pair.sharp.relative_to(sharp).as_posix())
        for pair in pairs
        if isinstance(pair.sharp, Path)
    ]


def test_whole_relative_names_go_before_names_without_their_ending(write: Write) -> None:
    restored = write("restored", "a/1.png", "a/2.bmp", "b/1.bmp", "b/1.png", "3.png")
    sharp = write("sharp", "3.jpg", "a/1.png", "a/2.png", "b/1.png", "b/1.bmp")
    assert paired(restored, sharp) == [
        ("3.png", "3.jpg"),
        ("a/1.png", "a/1.png"),
        ("a/2.bmp", "a/2.png"),
        ("b/1.bmp", "b/1.bmp"),
        ("b/1.png", "b/1.png"),
    ]


def test_only_the_last_ending_counts(write: Write) -> None:
    restored = write("restored", "109fromGOPR1096.MP4.png", "109fromGOPR1096.png", "110fromGOPR1087.MP4.png")
    sharp = write("sharp", "109fromGOPR1096.MP4.bmp", "109fromGOPR1096.png", "110fromGOPR1087.MP4.png")
    assert paired(restored, sharp) == [
        ("109fromGOPR1096.png", "109fromGOPR1096.png"),
        ("109fromGOPR1096.MP4.png", "109fromGOPR1096.MP4.bmp"),
        ("110fromGOPR1087.MP4.png", "110fromGOPR1087.MP4.png"),
    ]


@pytest.mark.parametrize("names", [("scene244", "scene244_reflect"), ("scene244_reflect", "scene244")])
def test_realblurs_scene_of_two_names_is_one(write: Write, names: tuple[str, str]) -> None:
    restored = write("restored", f"{names[0]}/1.png", "scene24/1.png", "scene245/1.png")
    sharp = write("sharp", f"{names[1]}/1.png", "scene24/1.png", "scene245/1.png")
    assert (f"{names[0]}/1.png", f"{names[1]}/1.png") in paired(restored, sharp)
    assert len(paired(restored, sharp)) == 3


def test_pairs_are_scored_restored_first_by_the_protocol(write: Write, tmp_path: Path) -> None:
    restored, sharp = write("restored", "s/1.png", "s/2.png"), write("sharp", "s/1.png", "s/2.png")
    told: list[tuple[int, int]] = []
    found = score_folders(restored, sharp, "realblur", on_progress=lambda *done: told.append(done))
    assert [(row.key, row.sequence, row.blurred) for row in found] == [("s/1", "s", None), ("s/2", "s", None)]
    assert told == [(1, 2), (2, 2)]
    for i, row in enumerate(found):
        images = picture(8000 + i), picture(5000 + i)
        assert row.restored == score(*images)
        assert row.realblur is not None
        assert row.realblur.psnr == realblur_score(*images).psnr
    assert [row.realblur for row in score_folders(restored, sharp, "gopro")] == [None, None]


def test_images_that_are_identical_or_constant_are_scored(tmp_path: Path) -> None:
    grey = np.full((24, 30, 3), 100, np.uint8)
    for name, restored, sharp in (("1", picture(0), picture(0)), ("2", grey, grey), ("3", grey + 10, grey)):
        write_image(tmp_path / "restored" / f"{name}.png", restored)
        write_image(tmp_path / "sharp" / f"{name}.png", sharp)
    found = score_folders(tmp_path / "restored", tmp_path / "sharp", "realblur")
    assert [row.restored.psnr for row in found] == [math.inf, math.inf, pytest.approx(psnr(grey + 10, grey))]
    assert [row.realblur.aligned for row in found if row.realblur] == [True, True, False]


@pytest.mark.slow
@pytest.mark.distributed
@pytest.mark.usefixtures("ray_session")
def test_the_table_is_the_same_to_the_byte_however_it_is_spread(write: Write, tmp_path: Path) -> None:
    restored, sharp = write("restored", *NAMES), write("sharp", *NAMES)
    for workers in (1, 2):
        write_table(tmp_path / f"{workers}.csv", score_folders(restored, sharp, "realblur", workers=workers))
    assert (tmp_path / "1.csv").read_bytes() == (tmp_path / "2.csv").read_bytes()


def refused(restored: Path, sharp: Path) -> str:
    with pytest.raises(DataError) as raised:
        score_folders(restored, sharp, "gopro")
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_missing_and_extra_images_are_counted_and_named(write: Write) -> None:
    sharp = write("sharp", *NAMES)
    assert "restored lacks 1 image (000004.png) of" in refused(write("restored", *NAMES[:3]), sharp)
    more = write("more", *NAMES, "a.png", "b.png", "c.png", "d.png")
    text = refused(more, sharp)
    assert "more has 4 images (a.png, b.png, c.png, …) that" in text
    assert "(8 restored images, 4 sharp ones)" in text
    assert "has 1 image (000001.bmp)" in refused(write("twice", *NAMES, "000001.bmp"), sharp)


def test_another_benchmarks_folder_shows_three_names_of_each(write: Write) -> None:
    text = refused(write("restored", *(f"scene{i}.png" for i in range(5))), write("sharp", *NAMES))
    assert text.startswith("no names in common: ")
    assert "restored holds 5 images (scene0.png, scene1.png, scene2.png, …); " in text
    assert "sharp holds 4 images (000001.png, 000002.png, 000003.png, …): give the two folders of one" in text


def test_images_of_other_sizes_are_named_before_any_is_scored(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    restored, sharp = write("restored", *NAMES), write("sharp", *NAMES)
    write("restored", NAMES[3], size=(20, 30))
    monkeypatch.setattr("banet.scoring.score_folders.read_image", pytest.fail)
    assert "1 image (000004.png 20x30, not 24x30) (height x width)" in refused(restored, sharp)


def test_sizes_that_no_header_told_are_refused_with_the_files_name(write: Write) -> None:
    text = refused(write("restored", "1.bmp", size=(20, 30)), write("sharp", "1.png"))
    assert "1.bmp: the restored image is 20x30 and the sharp one 24x30" in text


@pytest.mark.parametrize(
    ("ending", "quality"), [(".jpg", cv2.IMWRITE_JPEG_QUALITY), (".webp", cv2.IMWRITE_WEBP_QUALITY)]
)
def test_a_lossy_restored_image_is_refused_whatever_its_ending(write: Write, ending: str, quality: int) -> None:
    restored, sharp = write("restored", *NAMES), write("sharp", *NAMES)
    (restored / NAMES[3]).write_bytes(cv2.imencode(ending, picture(0), [quality, 90])[1].tobytes())
    assert "1 image (000004.png) in a lossy format" in refused(restored, sharp)
    assert len(score_folders(sharp, restored, "gopro")) == 4  # a sharp photograph may be a JPEG


def test_lossless_webp_is_scored(write: Write) -> None:
    restored = write("restored", "1.webp")
    write_image(restored.parent / "sharp" / "1.png", picture(8000))
    assert score_folders(restored, restored.parent / "sharp", "gopro")[0].restored.psnr == math.inf


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (np.zeros((24, 30, 3), np.uint16), "000002.png is 16-bit RGB, not 8-bit RGB: scale"),
        (np.zeros((24, 30, 4), np.uint8), "000002.png is RGB with transparency"),
        (None, "000002.png is empty"),
    ],
)
def test_images_that_are_not_8_bit_rgb_are_refused(write: Write, content: Image | None, reason: str) -> None:
    restored, sharp = write("restored", *NAMES), write("sharp", *NAMES)
    (restored / NAMES[1]).write_bytes(b"" if content is None else cv2.imencode(".png", content)[1].tobytes())
    assert reason in refused(restored, sharp)


def test_grey_and_opaque_restored_images_are_scored_and_counted(write: Write, tmp_path: Path) -> None:
    restored, sharp = write("restored", *NAMES), write("sharp", *NAMES)
    levels = np.full((24, 30), 90, np.uint8)
    for folder, image in ((restored, levels), (sharp, np.dstack([levels] * 3 + [np.full_like(levels, 255)]))):
        cv2.imwrite(str(folder / NAMES[1]), image)
    assert score_folders(restored, sharp, "gopro")[1].restored.psnr == math.inf
    assert compare_folders(restored, sharp, "gopro").not_rgb == 1


def test_a_folder_that_is_missing_or_empty_is_named(write: Write, tmp_path: Path) -> None:
    sharp = write("sharp", *NAMES)
    (tmp_path / "empty").mkdir()
    assert "empty holds no images" in refused(tmp_path / "empty", sharp)
    assert "none is not a folder" in refused(tmp_path / "none", sharp)
    assert "empty holds no images" in refused(sharp, tmp_path / "empty")


def test_a_black_sharp_image_cannot_be_aligned_and_is_named(tmp_path: Path) -> None:
    write_image(tmp_path / "restored" / "1.png", picture(0))
    write_image(tmp_path / "sharp" / "1.png", np.zeros((24, 30, 3), np.uint8))
    with pytest.raises(DataError, match=r"1\.png: the sharp image is black"):
        score_folders(tmp_path / "restored", tmp_path / "sharp", "realblur")


def tree(root: Path) -> None:
    """GoPro's own folders of two sequences; the sharp pictures are numbers 20 to 22."""
    for i, name in enumerate(("GOPR1_11_00/{}/000001", "GOPR1_11_00/{}/000002", "GOPR2_11_00/{}/000001")):
        for j, kind in enumerate(("blur", "blur_gamma", "sharp")):
            write_image(root / f"{name.format(kind)}.png", picture(10 * j + i))


def test_a_benchmarks_own_tree_is_scored_against_its_sharp_images_under_their_sequences(tmp_path: Path) -> None:
    tree(tmp_path / "test")
    for i, name in enumerate(("GOPR1_11_00-000001", "GOPR1_11_00-000002", "GOPR2_11_00-000001")):
        write_image(tmp_path / "restored" / f"{name}.png", picture(20 + i))
    found = score_folders(tmp_path / "restored", tmp_path / "test", "gopro")
    assert [(row.key, row.sequence, row.restored.psnr) for row in found] == [
        ("GOPR1_11_00/000001", "GOPR1_11_00", math.inf),
        ("GOPR1_11_00/000002", "GOPR1_11_00", math.inf),
        ("GOPR2_11_00/000001", "GOPR2_11_00", math.inf),
    ]


def test_images_restored_under_the_blurred_ones_paths_are_not_compared_with_those(tmp_path: Path) -> None:
    tree(tmp_path / "test")
    for i, name in enumerate(("GOPR1_11_00/blur/000001", "GOPR1_11_00/blur/000002", "GOPR2_11_00/blur/000001")):
        write_image(tmp_path / "restored" / f"{name}.png", picture(20 + i))
    found = score_folders(tmp_path / "restored", tmp_path / "test", "gopro")
    assert [row.restored.psnr for row in found] == [math.inf] * 3


@pytest.fixture
def shards(make_shards: Callable[..., Path]) -> Path:
    return make_shards(("a_long", "b_short"), pairs=6, split="test", size=(24, 30))


def restore_all(shards: Path, folder: Path, style: str) -> Path:
    """Writes the blurred image of each pair, the sharp one's negative, as restored."""
    for pair in read_pairs(shards, split="test"):
        sequence, frame = pair.key.split("/")
        write_image(folder / style.format(sequence=sequence, frame=frame), pair.images["blur"])
    return folder


@pytest.mark.parametrize("style", ["{sequence}/{frame}.png", "{sequence}-{frame}.png", "{sequence}/blur/{frame}.bmp"])
def test_a_benchmarks_rows_are_those_that_evaluate_writes(
    shards: Path, benchmark: Benchmark, tmp_path: Path, style: str
) -> None:
    folder = restore_all(shards, tmp_path / "restored", style)
    found = score_comparison(compare_benchmark(folder, shards, benchmark))
    data = ShardFolder(shards)
    expected = [score_image(lambda image: image, data, row, benchmark, "blur") for row in data.rows("test")]
    assert found == [replace(row, blurred=None, variant="") for row in expected]
    assert {row.stratum for row in found} == {"long", "short"}


def test_hides_flat_names_and_realblurs_scenes_find_their_keys(
    make_shards: Callable[..., Path], realblur: Benchmark, tmp_path: Path
) -> None:
    shards = make_shards(("scene24", "scene244_reflect"), pairs=2, split="test", size=(24, 30))
    for pair in read_pairs(shards, split="test"):
        sequence, frame = pair.key.replace("_reflect", "").split("/")
        write_image(tmp_path / "restored" / f"{sequence}_blur_{frame}.png", pair.images["sharp"])
    found = score_comparison(compare_benchmark(tmp_path / "restored", shards, realblur))
    assert [row.restored.psnr for row in found] == [math.inf] * 4
    assert all(row.realblur is not None and row.realblur.psnr == math.inf for row in found)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda f: (f / "a_long-000003.png").unlink(), "lacks 1 image (a_long/000003.png) of tiny's test split"),
        (lambda f: write_image(f / "c-1.png", picture(0)), "has 1 image (c-1.png) that tiny's test split lacks"),
        (
            lambda f: write_image(f / "b_short-000006.png", picture(0, (20, 30))),
            "1 image (b_short-000006.png 20x30, not 24x30)",
        ),
        (
            lambda f: (f / "a_long-000001.png").write_bytes(cv2.imencode(".jpg", picture(0))[1].tobytes()),
            "1 image (a_long-000001.png) in a lossy format",
        ),
        (
            lambda f: [file.rename(f / f"scene{i}.png") for i, file in enumerate(sorted(f.iterdir()))],
            "no names in common",
        ),
    ],
)
def test_images_that_do_not_fit_a_benchmark_are_named_before_any_is_scored(
    shards: Path,
    benchmark: Benchmark,
    tmp_path: Path,
    change: Callable[[Path], object],
    reason: str,
) -> None:
    folder = restore_all(shards, tmp_path / "restored", "{sequence}-{frame}.png")
    change(folder)
    with pytest.raises(DataError) as raised:
        compare_benchmark(folder, shards, benchmark)
    assert reason in str(raised.value)
    assert "\n" not in str(raised.value)


def test_shards_that_are_damaged_or_anothers_are_refused(shards: Path, benchmark: Benchmark, tmp_path: Path) -> None:
    folder = restore_all(shards, tmp_path / "restored", "{sequence}/{frame}.png")
    with pytest.raises(DataError, match="holds tiny, not other: name its own shards"):
        compare_benchmark(folder, shards, replace(benchmark, name="other"))
    file = next(shards.glob("test-*.parquet"))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(DataError, match="has changed since it was written"):
        compare_benchmark(folder, shards, benchmark)


@pytest.mark.slow
def test_a_changed_image_has_other_blocks(write: Write, tmp_path: Path) -> None:
    restored, sharp = write("restored", *NAMES), write("sharp", *NAMES)

    def name(restored: Path = restored, protocol: Protocol = "gopro") -> str:
        return kept_blocks(tmp_path / "kept", compare_folders(restored, sharp, protocol)).folder.name

    own = name()
    assert name() == own
    names = {own, name(protocol="realblur"), name(restored=write("others", *NAMES))}
    for folder in (restored, sharp):
        os.utime(folder / NAMES[2], ns=(0, (folder / NAMES[2]).stat().st_mtime_ns + 1))
        names.add(name())
    write_image(restored / NAMES[0], np.zeros((24, 30, 3), np.uint8))
    names.add(name())
    assert len(names) == 6
