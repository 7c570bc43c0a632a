"""Averages of frames: against the formula, the middle frame, videos, and what is refused."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from banet.data.images.codec import decode, write_image
from banet.data.pairs.frames import Clip, Exposure, clip_tasks, count_pairs, find_clips
from banet.data.pairs.pair_writer import DoubtfulPair
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


def pairs(clip: Clip, count: int) -> list[dict[str, bytes]]:
    return [task.encoded() for task in clip_tasks(clip, "train", count=count, light="encoded", blur="blur")]


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
    assert "2 clips are called a_b; the clip a_b has 2 frames: each needs its own name and at least 3 frames" in str(
        caught.value
    )


def test_frames_of_two_sizes_are_refused(tmp_path: Path) -> None:
    write_frames(tmp_path, [*some_frames(1), np.zeros((24, 30, 3), np.uint8)])
    (task,) = clip_tasks(find_clips(tmp_path, 2)[0], "train", count=2, light="encoded", blur="blur")
    with pytest.raises(DataError, match=r"f_8\.png and .*f_9\.png are 24x32 and 24x30: the frames of a clip must be"):
        task.encoded()


def test_a_video_that_is_short_or_no_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(DataError, match=r"text\.mp4 is no video"):
        pairs(Clip(name="clip", video=tmp_path / "text.mp4"), 5)
    write_video(tmp_path / "short.avi", some_frames(4))
    with pytest.raises(DataError, match=r"short\.avi has 4 frames: at least 5 are averaged"):
        pairs(Clip(name="clip", video=tmp_path / "short.avi"), 5)


def test_pictures_beside_a_video_are_passed_over_where_they_are_too_few(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("", "day"):
        (tmp_path / folder).mkdir(exist_ok=True)
        write_video(tmp_path / folder / "film.avi", some_frames(4))
        write_frames(tmp_path / folder, some_frames(2), start=1)
    write_frames(tmp_path / "still", some_frames(3))
    assert [clip.name for clip in find_clips(tmp_path, 3)] == ["day_film", "film", "still"]
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "pictures too few for an average are passed over: f_1.png; f_2.png; " in error
    assert "f_1.png" in error
    assert [clip.name for clip in find_clips(tmp_path / "day", 2)] == ["day", "film"]


def test_numbers_that_jump_and_frames_that_differ_are_doubtful(tmp_path: Path) -> None:
    still = some_frames(1) * 7
    for number, image in zip([47, 50, 53, 62, 65, 68, 71], still, strict=True):
        write_image(tmp_path / "still" / f"f_{number:06d}.png", image)
    first, second = pairs(find_clips(tmp_path / "still", 3)[0], 3)
    assert not isinstance(first, DoubtfulPair)  # every third frame, evenly
    assert not isinstance(second, DoubtfulPair)
    (jump,) = pairs(find_clips(tmp_path / "still", 4)[0], 4)
    assert isinstance(jump, DoubtfulPair)
    assert jump.doubts == ("still: f_000053.png and f_000062.png are 9 numbers apart, others 3",)
    for number, level in enumerate((0, 255)):
        write_image(
            tmp_path / "photos" / f"{number}.png", np.pad(np.full((9, 9, 3), level, np.uint8), ((5,), (5,), (0,)))
        )
    (unlike,) = pairs(find_clips(tmp_path / "photos", 2)[0], 2)
    assert isinstance(unlike, DoubtfulPair)
    assert "0.png and 1.png are too different (" in unlike.doubts[0]


def test_a_gap_in_the_times_of_a_video_is_doubtful(tmp_path: Path) -> None:
    image = some_frames(1)[0]
    with av.open(str(tmp_path / "gaps.mkv"), "w") as out:
        stream = out.add_stream("ffv1", rate=100)
        stream.height, stream.width, stream.pix_fmt = 24, 32, "bgr0"
        for number in (0, 1, 2, 3, 4, 8, 9, 10):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="bgr0")
            frame.pts, frame.time_base = number, Fraction(1, 100)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    even, gap = pairs(find_clips(tmp_path, 4)[0], 4)
    assert not isinstance(even, DoubtfulPair)
    assert isinstance(gap, DoubtfulPair)
    assert gap.doubts == ("gaps: frame 5 and frame 6 are 40 ms apart, others 10",)
