"""Videos from file to file: nothing that came in is lost, and an interruption costs a segment at most."""

import subprocess
import sys
import threading
from collections import deque
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from films import X265, film, psnr_of, samples_of, shown, times_of
from torch import Tensor

from banet.errors import BanetError, ConfigError, DataError, ResourceError
from banet.files import hold
from banet.restoring.video.restore import ahead, is_video, restore_video

UNEVEN = tuple(np.cumsum([0, *[300, 1501, 3003, 3003, 9009, 1, 2] * 4]).tolist())


def unchanged(x: Tensor) -> Tensor:
    return x


def restored(source: Path, name: str, **options: Any) -> Path:  # noqa: ANN401
    target = source.with_name(name)
    restore_video(unchanged, source, target, identity="unchanged", **options)
    assert sorted(path.name for path in source.parent.iterdir() if path.name.startswith(".")) == []
    return target


def refused(source: Path, name: str, kind: type[BanetError] = DataError, **options: Any) -> str:  # noqa: ANN401
    target = source.parent / name
    with pytest.raises(kind) as caught:
        restore_video(unchanged, source, target, identity="unchanged", **options)
    assert "\n" not in str(caught.value)
    left = [path.name for path in source.parent.iterdir() if path.name.startswith(".")]
    assert left == [], "what cannot go on is removed"
    return str(caught.value)


def tags_of(path: Path) -> dict[str, Any]:
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        names = ("color_range", "colorspace", "color_primaries", "color_trc", "pix_fmt", "height", "width")
        return {"codec": context.codec.canonical_name} | {name: getattr(context, name) for name in names}


@pytest.mark.parametrize(
    ("name", "codec", "pixels", "options"),
    [
        ("a.mp4", "libx264", "yuv420p", {}),
        ("b.mp4", "libx264", "yuv420p10le", {"matrix": 9}),
        ("c.mp4", "libx264", "yuv420p", {"matrix": 5, "full": True}),
        ("d.mp4", "libx264", "yuv444p", {"size": (33, 47)}),
        ("e.mp4", "libx265", "yuv422p10le", {"size": (64, 96), "options": X265}),
        ("f.mkv", "libx264", "yuv420p", {}),
        ("g.webm", "libvpx-vp9", "yuv420p", {"size": (33, 47), "options": {"deadline": "realtime"}}),
        ("h.mov", "prores_ks", "yuv422p10le", {}),
        ("i.mkv", "ffv1", "yuva420p", {"size": (33, 47)}),
        ("j.mov", "mjpeg", "yuvj422p", {"matrix": 5, "full": True, "size": (33, 47)}),
        ("k.ts", "libx264", "yuv420p", {}),
    ],
)
def test_what_goes_in_comes_out(tmp_path: Path, name: str, codec: str, pixels: str, options: dict[str, Any]) -> None:
    source = film(tmp_path / name, codec, pixels, **options)
    target = restored(source, f"out{source.suffix}")
    assert times_of(target) == times_of(source)
    assert tags_of(target) == tags_of(source) | {"pix_fmt": tags_of(target)["pix_fmt"]}
    assert shown(target)[0].format.components[0].bits == shown(source)[0].format.components[0].bits
    assert psnr_of(source, target) > 41


@pytest.mark.parametrize(("name", "pixels"), [("a.mp4", "yuv420p"), ("b.mkv", "yuv420p")])
def test_without_a_loss_in_the_encoder_nothing_is_lost_at_all(tmp_path: Path, name: str, pixels: str) -> None:
    source = film(tmp_path / name, pixels=pixels)
    assert psnr_of(source, restored(source, f"out{source.suffix}", crf=0)) == float("inf")


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_uneven_times_are_kept_to_the_tick(tmp_path: Path, suffix: str) -> None:
    source = film(tmp_path / f"a{suffix}", times=UNEVEN)
    target = restored(source, f"out{suffix}")
    assert times_of(target) == times_of(source) == [Fraction(time, 90000) for time in UNEVEN]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("degrees", [90, -90, 180])
def test_players_turn_it_as_before(tmp_path: Path, suffix: str, degrees: int) -> None:
    source = film(tmp_path / f"a{suffix}", rotation=degrees)
    heights = []

    def restore(x: Tensor) -> Tensor:
        heights.append(x.shape[2])
        return x

    restore_video(restore, source, tmp_path / f"out{suffix}", identity="")
    assert {frame.rotation for frame in shown(tmp_path / f"out{suffix}")} == {shown(source)[0].rotation} != {0}
    assert set(heights) == {32 if degrees == 180 else 48}, "the network sees it upright"


def others_of(path: Path) -> dict[tuple[int, str], list[tuple[Fraction, bytes]]]:
    found: dict[tuple[int, str], list[tuple[Fraction, bytes]]] = {}
    with av.open(str(path)) as container:
        for packet in container.demux():
            if packet.stream.type in ("audio", "subtitle") and packet.size and packet.pts is not None:
                key = packet.stream.index, packet.stream.type
                found.setdefault(key, []).append((packet.pts * packet.time_base, bytes(packet)))
    return found


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_sound_subtitles_chapters_and_titles_are_carried(tmp_path: Path, name: str) -> None:
    source = film(tmp_path / name, sound=True, subtitles=name == "a.mkv", chapters=True)
    target = restored(source, f"out{source.suffix}")
    assert others_of(target) == others_of(source)
    assert len(others_of(source)) == (2 if name == "a.mkv" else 1)
    with av.open(str(source)) as before, av.open(str(target)) as after:
        assert after.metadata["title"] == before.metadata["title"]
        assert len(after.streams) == len(before.streams)
        for one, other in zip(before.chapters(), after.chapters(), strict=True):
            assert one["metadata"] == other["metadata"]
            assert one["start"] * (one["time_base"] or 0) == other["start"] * (other["time_base"] or 0)


def test_a_stream_that_does_not_fit_is_named_with_what_to_do(tmp_path: Path) -> None:
    source = film(tmp_path / "a.mkv", sound=True, subtitles=True)
    line = refused(source, "out.mp4", ConfigError)
    assert "stream 2 (subtitle" in line
    assert "--drop 2" in line
    assert "stream 1 (audio aac)" in refused(source, "out.webm", ConfigError)
    with av.open(str(restored(source, "out.mp4", drop=[2]))) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
    assert "--drop 7" in refused(source, "out.mp4", ConfigError, drop=[7])
    assert "--drop 0" in refused(source, "out.mp4", ConfigError, drop=[0])


def test_ten_bits_are_restored_in_float_and_written_in_ten(tmp_path: Path) -> None:
    source = film(tmp_path / "a.mkv", "ffv1", "yuv420p10le", full=True, matrix=5)
    step = 1 / 1023
    restore_video(lambda x: x + step, source, tmp_path / "out.mkv", identity="brighter by one step")
    for before, after in zip(shown(source), shown(tmp_path / "out.mkv"), strict=True):
        np.testing.assert_array_equal(samples_of(after)[0], samples_of(before)[0] + 1)


def test_depth_is_kept_even_if_the_codec_must_change_and_a_loss_is_said(tmp_path: Path) -> None:
    source = film(tmp_path / "a.mkv", "ffv1", "yuv420p10le")
    assert restored(source, "out.mp4") and tags_of(tmp_path / "out.mp4")["pix_fmt"] == "yuv420p10le"
    target = tmp_path / "out.webm"
    note = restore_video(unchanged, source, target, identity="", encoder="libvpx-vp9")
    assert "less depth" in note
    assert tags_of(target)["codec"] == "vp9"


def test_colours_in_rgb_become_bt709_where_the_encoder_takes_no_rgb(tmp_path: Path) -> None:
    source = film(tmp_path / "a.mov", "png", "rgb24", matrix=0)
    target = restored(source, "out.mp4", crf=0)
    assert (tags_of(target)["colorspace"], tags_of(target)["color_range"]) == (1, 1)
    for before, after in zip(shown(source), shown(target), strict=True):
        difference = np.abs(before.to_ndarray(format="rgb24") - after.to_ndarray(format="rgb24").astype(int))
        assert difference.mean() < 1


SLOWLY = """
import sys, time
from pathlib import Path
from banet.restoring.video.restore import restore_video
source, target, seconds = sys.argv[1:]
def negative(x):
    time.sleep(float(seconds))
    return 1 - x
restore_video(negative, Path(source), Path(target), identity="negative",
              on_progress=lambda done, total: print(done, total, flush=True))
"""


def run(source: Path, target: Path, *, seconds: float = 0, until: int | None = None) -> list[str]:
    """Restore in a process of its own, and kill it once `until` frames are restored; return what it printed."""
    command = [sys.executable, "-c", SLOWLY, str(source), str(target), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line.strip())
            if until is not None and int(line.split()[0]) >= until:
                process.kill()
                break
    assert (process.returncode == 0) == (until is None)
    return lines


def test_the_same_frames_become_the_same_bytes_whatever_memory_held_before(tmp_path: Path) -> None:
    source, ended = film(tmp_path / "a.mp4", size=(90, 160), times=range(0, 40 * 3003, 3003)), threading.Event()

    def fill_and_free() -> None:
        rng, kept = np.random.default_rng(), deque[object](maxlen=50)
        while not ended.is_set():
            kept.append(rng.integers(0, 256, int(rng.integers(1000, 200_000)), dtype=np.uint8))

    thread = threading.Thread(target=fill_and_free)
    thread.start()
    try:
        found = {restored(source, f"{number}.mp4").read_bytes() for number in range(8)}
    finally:
        ended.set()
        thread.join()
    assert len(found) == 1


@pytest.mark.slow
def test_a_killed_run_goes_on_after_its_last_segment_with_the_same_result(tmp_path: Path) -> None:
    source = film(tmp_path / "a.mp4", times=range(0, 100 * 3003, 3003), sound=True)
    target, whole = tmp_path / "out.mp4", tmp_path / "whole.mp4"
    run(source, target, seconds=0.02, until=75)
    assert not target.exists()
    (segments,) = (path for path in tmp_path.iterdir() if path.name.startswith("."))
    assert (segments / "000000.json").exists()
    assert run(source, target)[0] == "60 100"
    assert run(source, whole)[0] == "0 100"
    assert target.read_bytes() == whole.read_bytes()
    assert times_of(target) == times_of(source)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_segments_of_other_work_or_cut_short_are_not_used(tmp_path: Path) -> None:
    source = film(tmp_path / "a.mp4", times=range(0, 130 * 3003, 3003))
    target = tmp_path / "out.mp4"

    def broken(x: Tensor) -> Tensor:
        calls.append(1)
        if len(calls) > 125:
            raise KeyboardInterrupt
        return x

    def begins(restore: Any, identity: str) -> int:  # noqa: ANN401
        done: list[int] = []
        with pytest.raises(KeyboardInterrupt):
            restore_video(restore, source, target, identity=identity, on_progress=lambda n, _: done.append(n))
        return done[0]

    calls: list[int] = []
    assert begins(broken, "one") == 0
    calls = [1] * 125
    assert begins(broken, "one") == 120
    (segment,) = tmp_path.rglob("000001.bin")
    segment.write_bytes(segment.read_bytes()[:-1])
    calls = [1] * 125
    assert begins(broken, "one") == 60
    calls = [1] * 125
    assert begins(broken, "another") == 0
    assert not target.exists()


def test_two_runs_do_not_write_one_target(tmp_path: Path) -> None:
    source = film(tmp_path / "a.mp4")
    folder = tmp_path / ".out.mp4.segments"
    folder.mkdir()
    hold(folder / "lock", "it is being written")
    with pytest.raises(ResourceError, match=r"out\.mp4 is being written by the process"):
        restore_video(unchanged, source, tmp_path / "out.mp4", identity="")


FULL = """
import resource, sys
from pathlib import Path
import torch
from banet.errors import BanetError
from banet.restoring.video.restore import restore_video
torch.manual_seed(0)
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
try:
    restore_video(lambda x: torch.rand(x.shape), Path(sys.argv[1]), Path(sys.argv[2]), identity="noise")
except BanetError as error:
    sys.exit(f"{type(error).__name__} {error}")
"""


@pytest.mark.slow
def test_a_full_disk_keeps_the_segments_and_says_how_to_go_on(tmp_path: Path) -> None:
    source = film(tmp_path / "a.mp4", times=range(0, 200 * 9009, 9009), size=(32, 48))
    command = [sys.executable, "-c", FULL, str(source), str(tmp_path / "out.mp4")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "ResourceError" in ended.stderr
    assert "is full: make room and run again" in ended.stderr
    assert "goes on after the frames that are restored" in ended.stderr
    assert list(tmp_path.rglob("000000.bin"))
    assert not (tmp_path / "out.mp4").exists()


def test_a_damaged_video_is_told_with_the_frames_that_were_read(tmp_path: Path) -> None:
    source = film(tmp_path / "a.mkv", times=range(0, 90 * 3003, 3003), options={"g": "10"})
    source.write_bytes(source.read_bytes()[: source.stat().st_size * 2 // 3])
    line = refused(source, "out.mkv")
    assert "is damaged" in line
    assert any(f"after {number} whole ones" in line for number in range(30, 90))
    assert not (tmp_path / "out.mkv").exists()
    source = film(tmp_path / "b.mp4", options={"g": "10"}, container={"movflags": "faststart"})
    source.write_bytes(source.read_bytes()[:-300])
    assert "ends before the data of" in refused(source, "out.mp4")


def test_what_is_no_video_that_can_be_read_is_told_so(tmp_path: Path) -> None:
    keys = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": "0" * 32, "encryption_kid": "1" * 32}
    assert "is encrypted" in refused(film(tmp_path / "a.mp4", container=keys), "out.mp4")
    source = film(tmp_path / "b.mp4")
    source.write_bytes(source.read_bytes().replace(b"avc1", b"qzqz"))
    assert "cannot decode" in refused(source, "out.mp4")
    (tmp_path / "c.mp4").write_text("no video")
    assert "is no video" in refused(tmp_path / "c.mp4", "out.mp4")
    with av.open(str(tmp_path / "d.m4a"), "w") as out:
        voice: Any = out.add_stream("aac", rate=8000)
        heard = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), "fltp", "mono")
        heard.sample_rate = 8000
        out.mux(voice.encode(heard))
        out.mux(voice.encode())
    assert "holds no video" in refused(tmp_path / "d.m4a", "out.mp4")
    shown(film(tmp_path / "e.mkv"))[0].save(str(tmp_path / "e.png"))
    assert "is a picture" in refused((tmp_path / "e.png").rename(tmp_path / "f.mp4"), "out.mp4")
    assert "8x8" in refused(film(tmp_path / "g.mkv", "ffv1", size=(6, 20)), "out.mkv")
    assert "no file" in refused(tmp_path / "missing.mp4", "out.mp4")
    interlaced = film(tmp_path / "h.mkv", "libx264", options={"x264-params": "tff=1"})
    assert "deinterlace" in refused(interlaced, "out.mkv")


def test_what_cannot_be_written_is_told_before_the_work(tmp_path: Path) -> None:
    source = film(tmp_path / "a.mp4", rotation=90)
    assert "is the video itself" in refused(source, "a.mp4")
    assert "'.png'" in refused(source, "out.png")
    assert "'.qqq'" in refused(source, "out.qqq")
    assert "does not exist" in refused(source, "no/out.mp4")
    assert "turned" in refused(source, "out.avi", ConfigError)
    assert "--encoder qqq" in refused(source, "out.mp4", ConfigError, encoder="qqq")
    assert "--encoder aac" in refused(source, "out.mp4", ConfigError, encoder="aac")
    assert "libvpx-vp9" in refused(source, "out.mov", ConfigError, encoder="libvpx-vp9")
    assert "--crf 9" in refused(source, "out.mov", ConfigError, encoder="prores_ks", crf=9)
    assert "64x64" in refused(source, "out.mp4", ConfigError, encoder="libx265")


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    source = film(tmp_path / "a.mp4")
    (tmp_path / ".out.mp4.segments").write_text("in the way")
    with pytest.raises(DataError, match=r"out\.mp4 cannot be written"):
        restore_video(unchanged, source, tmp_path / "out.mp4", identity="")


def test_memory_does_not_grow_with_the_number_of_frames() -> None:
    made: list[int] = []
    items = (made.append(number) or number for number in range(100))  # type: ignore[func-returns-value]
    taken = ahead(items, 4)
    assert next(taken) == 0
    taken.close()
    assert len(made) <= 6


def test_what_fails_ahead_fails_here() -> None:
    def items() -> Any:  # noqa: ANN401
        yield 1
        raise DataError("broken")

    taken = ahead(items(), 4)
    assert next(taken) == 1
    with pytest.raises(DataError, match="broken"):
        next(taken)


def test_videos_are_known_by_their_ending_or_else_by_their_content(tmp_path: Path) -> None:
    mp4 = film(tmp_path / "a.mp4").rename(tmp_path / "upload")
    assert is_video(mp4)
    assert is_video(film(tmp_path / "b.mkv").rename(tmp_path / "b"))
    assert is_video(tmp_path / "missing.mov")
    assert not is_video(tmp_path / "missing")
    assert not is_video(mp4.rename(tmp_path / "a.jpg"))
    (tmp_path / "c").write_bytes(b"\0\0\0\x1cftypavif")
    assert not is_video(tmp_path / "c")
