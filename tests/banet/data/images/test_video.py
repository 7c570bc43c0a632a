"""Videos to frames: what players show of intact ones, in the colours filmed, and damage told with its numbers."""

from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from av.logging import get_level
from av.stream import Disposition
from av.video.stream import VideoStream

from banet.data.images.video import TimedFrame, read_video, remark, target_colours
from banet.errors import DataError
from banet.image import Image

W, H, FRAMES = 64, 48, 30
TEXTURE = cv2.resize(np.random.default_rng(0).integers(0, 256, (12, 24, 3), dtype=np.uint8), (192, 96))
FILMED = [np.ascontiguousarray(TEXTURE[20 : 20 + H, i : i + W]) for i in range(0, 2 * FRAMES, 2)]
GROUPS = {"g": "10", "bf": "2"}
H265 = {"x265-params": "keyint=10:log-level=none"}

Prepare = Callable[[VideoStream], None]


def write(
    path: Path,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    *,
    options: dict[str, str] = GROUPS,
    container: dict[str, str] | None = None,
    numbers: Iterable[int] = range(FRAMES),
    images: list[Image] = FILMED,
    prepare: Prepare = lambda _: None,
    sound: float = 0,
) -> Path:
    """Encode frames at 100 a second, frame i at numbers[i]."""
    with av.open(str(path), "w", options=container or {}) as out:
        stream: Any = out.add_stream(codec, rate=100, options=dict(options))
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt, stream.codec_context.time_base = pixels, Fraction(1, 100)
        prepare(stream)
        voice: Any = out.add_stream("aac", rate=8000) if sound else None
        for image, number in zip(images, numbers, strict=True):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame = frame if pixels == "rgb24" else frame.reformat(format=pixels)
            frame.pts, frame.time_base = number, Fraction(1, 100)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
        if voice is not None:
            heard = av.AudioFrame.from_ndarray(np.zeros((1, int(8000 * sound)), np.float32), "fltp", "mono")
            heard.sample_rate = 8000
            out.mux(voice.encode(heard))
            out.mux(voice.encode())
    return path


def remux(path: Path, to: Path, keep: Callable[[int], bool], *, back: int = 0) -> Path:
    """Copy the packets that `keep` chooses by their number, `back` hundredths of a second earlier."""
    with av.open(str(path)) as source, av.open(str(to), "w", options={"avoid_negative_ts": "disabled"}) as out:
        copy: Any = out.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(video=0)):
            if packet.dts is not None and packet.pts is not None and keep(number):
                ticks = int(Fraction(back, 100) / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts - ticks, packet.dts - ticks, copy
                out.mux(packet)
    return to


def shown(path: Path) -> list[TimedFrame]:
    return list(read_video(path))


def refused(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        shown(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(scope="session")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 frames in three groups, H.264, the index in front."""
    return write(tmp_path_factory.mktemp("videos") / "intact.mp4", container={"movflags": "faststart"})


@pytest.mark.parametrize(
    ("name", "codec", "pixels", "options"),
    [
        ("a.mov", "libx264", "yuv444p", GROUPS),
        ("a.mkv", "libx264", "yuv420p10le", {"x264-params": "open-gop=1:keyint=10"}),
        ("a.ts", "libx264", "yuv420p", GROUPS),
        ("a.flv", "libx264", "yuv420p", GROUPS),
        ("a.mp4", "libx265", "yuv420p", H265),
        ("a.m2ts", "libx265", "yuv420p", {"x265-params": "keyint=10:open-gop=1:log-level=none"}),
        ("a.avi", "mpeg4", "yuv420p", {"g": "10"}),
        ("a.m4v", "mpeg4", "yuv420p", GROUPS),
        ("b.avi", "mjpeg", "yuvj420p", {}),
        ("a.webm", "libvpx-vp9", "yuv420p", {"g": "10", "deadline": "realtime"}),
        ("b.mkv", "libsvtav1", "yuv420p", {"preset": "12"}),
        ("b.mov", "prores_ks", "yuv422p10le", {}),
        ("c.mkv", "ffv1", "yuv420p", {}),
        ("c.mov", "png", "rgb24", {}),
    ],
)
def test_every_frame_of_an_intact_video_comes_with_its_time(
    tmp_path: Path, name: str, codec: str, pixels: str, options: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / name, codec, pixels, options=options)
    capfd.readouterr()  # encoders talk
    frames = shown(path)
    assert len(frames) == FRAMES
    nearest = [np.argmin([np.abs(frame.image.astype(float) - image).mean() for image in FILMED]) for frame in frames]
    assert nearest == list(range(FRAMES))
    times = np.array([frame.seconds for frame in frames])
    np.testing.assert_allclose(np.diff(times), 0.01, atol=0.0011)
    assert capfd.readouterr() == ("", "")
    assert get_level() is None  # as it was


def test_what_an_edit_list_hides_is_left_out(tmp_path: Path) -> None:
    long = write(tmp_path / "long.mp4", options={"g": "10", "bf": "0"})
    trimmed = remux(long, tmp_path / "trimmed.mp4", lambda _: True, back=4)
    with av.open(str(trimmed)) as container:
        assert container.streams.video[0].frames == FRAMES  # announced
    frames = shown(trimmed)
    assert len(frames) == FRAMES - 4
    np.testing.assert_array_equal(frames[0].image, shown(long)[4].image)


def test_a_longer_sound_track_and_times_that_jump_change_no_frame(tmp_path: Path) -> None:
    assert len(shown(write(tmp_path / "sound.mp4", sound=2.0))) == FRAMES
    numbers = [i + 7 * (i >= 12) for i in range(FRAMES)]
    frames = shown(write(tmp_path / "rate.mkv", numbers=numbers))
    times = np.array([frame.seconds for frame in frames], float)
    np.testing.assert_allclose(times, np.array(numbers) / 100, atol=0.001)


def test_recordings_joined_in_a_transport_stream_are_intact(tmp_path: Path) -> None:
    one = write(tmp_path / "one.ts").read_bytes()
    (tmp_path / "both.ts").write_bytes(one + one)
    frames = shown(tmp_path / "both.ts")
    assert len(frames) == 2 * FRAMES
    assert {frame.remark for frame in frames} == {"", "packets are missing in it, or recordings are joined"}
    assert {frame.remark for frame in frames[: FRAMES - 4]} == {""}


@pytest.mark.parametrize("first", [10, 13])
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_a_cut_begins_with_the_first_frame_that_decodes(tmp_path: Path, codec: str, first: int) -> None:
    options = {"x264-params": "open-gop=1:keyint=10"} if codec == "libx264" else H265
    path = write(tmp_path / "whole.mp4", codec, options=options)
    frames = shown(remux(path, tmp_path / "cut.mkv", lambda number: number >= first))
    whole = [frame.image for frame in shown(path)]
    assert len(frames) >= 8
    assert all((frame.image == image).all() for frame, image in zip(frames, whole[-len(frames) :], strict=True))


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_frames_are_upright_and_as_opencv_gives_them(tmp_path: Path, degrees: int) -> None:
    path = write(tmp_path / "a.mp4", prepare=lambda stream: stream.set_display_rotation(degrees))
    capture = cv2.VideoCapture(str(path))
    for frame in shown(path):
        np.testing.assert_array_equal(frame.image, cv2.cvtColor(capture.read()[1], cv2.COLOR_BGR2RGB))
    assert not capture.read()[0]


@pytest.mark.parametrize("pixels", ["yuv444p", "yuv420p10le"])
@pytest.mark.parametrize("limits", [1, 2])  # limited, full
@pytest.mark.parametrize("matrix", [1, 6, 9])  # BT.709, BT.601, BT.2020
def test_colours_are_those_filmed(tmp_path: Path, matrix: int, limits: int, pixels: str) -> None:
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [200, 60, 30], [128, 128, 128], [250, 250, 250]])
    image = colours.repeat(16, axis=0)[None].repeat(32, axis=0).astype(np.uint8)
    kr, kb = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}[matrix]
    red, _, blue = np.moveaxis(image / 255, 2, 0)
    luma = image / 255 @ [kr, 1 - kr - kb, kb]
    chroma = [(blue - luma) / (2 - 2 * kb), (red - luma) / (2 - 2 * kr)]
    planes = (
        [16 + 219 * luma, *(128 + 224 * plane for plane in chroma)]
        if limits == 1
        else [255 * luma, *(128 + 255 * plane for plane in chroma)]
    )
    coded = np.stack([np.clip(np.floor(plane + 0.5), 0, 255) for plane in planes]).astype(np.uint8)

    def tag(target: av.VideoFrame | av.VideoCodecContext) -> None:
        target.colorspace, target.color_range = matrix, limits

    with av.open(str(tmp_path / "a.mkv"), "w") as out:
        stream: Any = out.add_stream("libx264", rate=30, options={"qp": "0"})
        stream.height, stream.width, stream.pix_fmt = 32, 96, pixels
        tag(stream.codec_context)
        frame = av.VideoFrame.from_ndarray(coded, format="yuv444p")
        tag(frame)
        frame = frame.reformat(format=pixels, src_color_range=limits, dst_color_range=limits)
        tag(frame)
        out.mux(stream.encode(frame))
        out.mux(stream.encode())
    (shown_frame,) = shown(tmp_path / "a.mkv")
    assert np.abs(shown_frame.image[16, 8::16].astype(int) - colours).max() <= 3


def test_interlaced_video_is_remarked(tmp_path: Path) -> None:
    assert {frame.remark for frame in shown(write(tmp_path / "plain.mp4"))} == {""}
    frames = shown(write(tmp_path / "fields.mp4", options={"x264-params": "tff=1"}))
    assert {frame.remark for frame in frames} == {"it is interlaced: two instants in one frame"}
    nearest = [np.argmin([np.abs(frame.image.astype(float) - image).mean() for image in FILMED]) for frame in frames]
    assert nearest == list(range(FRAMES))


@pytest.mark.parametrize(
    ("curve", "primaries", "target", "said"),
    [
        (1, 1, None, ""),
        (2, 2, None, ""),  # not said
        (6, 5, None, ""),
        (13, 12, (13, 1), ""),  # Display P3
        (14, 9, (14, 1), ""),  # BT.2020
        (16, 9, (1, 1), "PQ"),
        (18, 9, (1, 1), "HLG"),
    ],
)
def test_hdr_and_wide_gamuts_become_bt709(
    curve: int, primaries: int, target: tuple[int, int] | None, said: str
) -> None:
    """Without the conversion itself, whose tables take FFmpeg several seconds."""
    frame = av.VideoFrame(W, H, "yuv420p10le")
    frame.color_trc, frame.color_primaries = curve, primaries
    assert target_colours(frame) == target
    assert remark(frame) == (f"it is HDR ({said}): its light is compressed to 8 bits" if said else "")


def test_flipped_bytes_are_told_with_the_number_of_frames(tmp_path: Path, intact: Path) -> None:
    content = bytearray(intact.read_bytes())
    with av.open(str(intact)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    at = packets[10].pos  # the second group
    assert at is not None
    for i in range(at + 40, at + 56):
        content[i] ^= 255
    (tmp_path / "flipped.mp4").write_bytes(content)
    with pytest.raises(
        DataError, match=r"flipped\.mp4 is damaged: up to 1\d frames are wrong or missing after "
    ) as caught:
        shown(tmp_path / "flipped.mp4")
    assert "copy it again" in str(caught.value)
    assert get_level() is None


def test_frames_before_a_fault_are_whole(tmp_path: Path, intact: Path) -> None:
    content = bytearray(intact.read_bytes())
    content[len(content) * 2 // 3 :] = bytes(len(content) - len(content) * 2 // 3)
    (tmp_path / "zeros.mp4").write_bytes(content)
    frames = []
    with pytest.raises(DataError, match="is damaged"):
        for frame in read_video(tmp_path / "zeros.mp4"):
            frames.append(frame)
    whole = shown(intact)
    assert 8 <= len(frames) < FRAMES
    assert all((one.image == other.image).all() for one, other in zip(frames, whole, strict=False))


@pytest.mark.parametrize(
    ("name", "codec", "pixels", "options"),
    [
        ("a.avi", "mpeg4", "yuv420p", {"g": "10"}),
        ("b.avi", "ffv1", "yuv420p", {}),
        ("a.mkv", "libx264", "yuv420p", GROUPS),
        ("a.webm", "libvpx-vp9", "yuv420p", {"g": "10", "deadline": "realtime"}),
        ("a.mp4", "libx265", "yuv420p", H265),  # the index stands at the end
        ("fast.mp4", "libx264", "yuv420p", GROUPS),
        ("fast.mov", "prores_ks", "yuv422p10le", {}),
    ],
)
@pytest.mark.parametrize("share", [0.5, 0.8])
def test_a_video_that_was_cut_short_is_refused(
    tmp_path: Path, name: str, codec: str, pixels: str, options: dict[str, str], share: float
) -> None:
    container = {"movflags": "faststart"} if name.startswith("fast") else {}
    path = write(tmp_path / name, codec, pixels, options=options, container=container)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert "copy it again" in refused(path)


def test_checksums_in_the_stream_are_compared(tmp_path: Path) -> None:
    options = {"x265-params": "keyint=10:hash=1:log-level=none"}
    path = write(tmp_path / "sums.mp4", "libx265", options=options)
    assert len(shown(path)) == FRAMES
    with av.open(str(path)) as container:
        at = next(packet.pos for packet in list(container.demux(video=0))[12:] if packet.size)
    content = bytearray(path.read_bytes())
    assert at is not None
    content[at + 30] ^= 255
    path.write_bytes(content)
    assert "checksum" in refused(path)


def test_missing_packets_are_told(tmp_path: Path) -> None:
    path = write(tmp_path / "whole.mp4", options={"g": "30", "bf": "2"})
    missing = remux(path, tmp_path / "missing.mkv", lambda number: number not in (12, 13))
    assert "wrong or missing" in refused(missing)


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    assert "is no video, or a damaged one" in refused(tmp_path / "text.mp4")
    assert "No such file" in refused(tmp_path / "nowhere.mp4")
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n")
    refused(tmp_path / "list.m3u8")

    def cover(stream: VideoStream) -> None:
        stream.disposition = Disposition.attached_pic

    write(
        tmp_path / "song.mp4", "mjpeg", "yuvj420p", options={}, images=FILMED[:1], numbers=[0], prepare=cover, sound=1
    )
    assert "only sound or a cover picture" in refused(tmp_path / "song.mp4")


def test_names_that_look_like_addresses_are_files(tmp_path: Path, intact: Path) -> None:
    for name in ("http:a.mp4", "pipe:0", "a%03d.mp4", "ü #?.mp4"):
        (tmp_path / name).write_bytes(intact.read_bytes())
        assert len(shown(tmp_path / name)) == FRAMES
