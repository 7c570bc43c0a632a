"""Averages of frames: against the formula, the middle frame, videos, and what is refused."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from banet.data.images.codec import decode, write_image
from banet.data.pairs.frames import Clip, Exposure, clip_tasks, count_pairs, find_clips
from banet.errors import DataError
from banet.image import Image

RNG = np.random.default_rng(0)
SIZE = (24, 32, 3)


def some_frames(count: int) -> list[Image]:
    return [RNG.integers(0, 256, SIZE, dtype=np.uint8) for _ in range(count)]


def write_frames(folder: Path, images: list[Image], start: int = 8) -> None:
    for number, image in enumerate(images, start):
        write_image(folder / f"f_{number}.png", image)  # f_9 stands before f_10


def write_video(path: Path, images: list[Image]) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"FFV1"), 30, SIZE[1::-1])  # type: ignore[attr-defined]
    for image in images:
        writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    writer.release()


def exposed(images: list[Image], light: str) -> tuple[Image, Image]:
    exposure = Exposure(len(images), light)  # type: ignore[arg-type]
    for i, image in enumerate(images):
        exposure.add(image, f"frame {i}")
    return exposure.images()


@pytest.mark.parametrize("count", [2, 7, 11])
def test_averages_are_the_formulas_and_sharp_is_the_middle_frame(count: int) -> None:
    images = some_frames(count)
    stack = np.stack(images).astype(np.float64)
    blurred, sharp = exposed(images, "encoded")
    np.testing.assert_array_equal(blurred, np.floor(stack.mean(0) + 0.5))
    np.testing.assert_array_equal(sharp, images[count // 2])
    blurred, sharp = exposed(images, "linear")
    expected = np.floor(255 * ((stack / 255) ** 2.2).mean(0) ** (1 / 2.2) + 0.5)
    assert np.abs(blurred - expected).max() <= 1
    assert (blurred != expected).mean() < 1e-3
    np.testing.assert_array_equal(sharp, images[count // 2])


def test_a_light_shines_through_in_linear_light_only() -> None:
    images = [np.full((1, 1, 3), level, np.uint8) for level in (0, 255)]
    assert [int(exposed(images, light)[0][0, 0, 0]) for light in ("encoded", "linear")] == [128, 186]


@pytest.mark.parametrize("light", ["encoded", "linear"])
def test_a_still_scene_stays_as_it_is_at_every_level(light: str) -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    np.testing.assert_array_equal(exposed([levels] * 13, light)[0], levels)


def test_pair_k_is_made_of_the_frames_from_kn_and_the_rest_is_left_out(tmp_path: Path) -> None:
    images = some_frames(8)
    write_frames(tmp_path / "clip", images)
    (clip,) = find_clips(tmp_path, 3)
    tasks = list(clip_tasks(clip, "train", count=3, light="encoded", blur="blur"))
    assert [(task.split, task.sequence, task.frame) for task in tasks] == [
        ("train", "clip", "000001"),
        ("train", "clip", "000002"),
    ]
    made = tasks[1].encoded()
    np.testing.assert_array_equal(decode(made["sharp"], ""), images[4])
    np.testing.assert_array_equal(decode(made["blur"], ""), exposed(images[3:6], "encoded")[0])
    assert count_pairs([clip], 3) == 2


def test_a_video_gives_what_its_frames_give(tmp_path: Path) -> None:
    images = some_frames(8)
    write_video(tmp_path / "clip.avi", images)
    write_frames(tmp_path / "still", images)
    still, clip = sorted(find_clips(tmp_path, 3), key=lambda clip: clip.video is not None)
    made = [
        [task.encoded() for task in clip_tasks(one, "test", count=3, light="linear", blur="blur")]
        for one in (still, clip)
    ]
    assert len(made[0]) == 2
    assert made[0] == made[1]
    assert count_pairs([still, clip], 3) is None
    assert find_clips(tmp_path / "clip.avi", 3) == [Clip(name="clip", video=tmp_path / "clip.avi")]


def test_every_folder_of_pictures_is_a_clip(tmp_path: Path) -> None:
    for folder in ("a/b", "c", ""):
        write_frames(tmp_path / "clips" / folder, some_frames(2))
    assert [clip.name for clip in find_clips(tmp_path / "clips", 2)] == ["a_b", "c", "clips"]


def test_short_clips_and_names_that_meet_are_refused_together(tmp_path: Path) -> None:
    write_frames(tmp_path / "a/b", some_frames(2))
    write_frames(tmp_path / "a_b", some_frames(3))
    with pytest.raises(DataError) as caught:
        find_clips(tmp_path, 3)
    assert "2 clips are called a_b; the clip a_b has 2 frames: each needs" in str(caught.value)


def test_frames_of_two_sizes_are_refused(tmp_path: Path) -> None:
    write_frames(tmp_path, [*some_frames(1), np.zeros((24, 30, 3), np.uint8)])
    (task,) = clip_tasks(find_clips(tmp_path, 2)[0], "train", count=2, light="encoded", blur="blur")
    with pytest.raises(DataError, match=r"f_8\.png and .*f_9\.png are 24x32 and 24x30: the frames of a clip must be"):
        task.encoded()


def test_videos_that_do_not_decode_break_off_or_are_short_are_refused(tmp_path: Path) -> None:
    def pairs(path: Path) -> list[object]:
        clip = Clip(name="clip", video=path)
        return list(clip_tasks(clip, "train", count=5, light="encoded", blur="blur"))

    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(DataError, match=r"text\.mp4 is no video that OpenCV decodes"):
        pairs(tmp_path / "text.mp4")
    write_video(tmp_path / "short.avi", some_frames(4))
    with pytest.raises(DataError, match=r"short\.avi has 4 frames: at least 5 are averaged"):
        pairs(tmp_path / "short.avi")
    write_video(tmp_path / "cut.avi", some_frames(40))
    content = (tmp_path / "cut.avi").read_bytes()
    (tmp_path / "cut.avi").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"cut\.avi breaks off after \d+ of 40 frames"):
        pairs(tmp_path / "cut.avi")
