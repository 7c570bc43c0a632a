"""Small videos, made with PyAV itself."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

TICK = Fraction(1, 90000)
X265 = {"x265-params": "log-level=none"}
CHAPTERS: list[Any] = [
    {
        "id": number,
        "start": 400 * number,
        "end": 400 * number + 400,
        "time_base": Fraction(1, 1000),
        "metadata": {"title": name},
    }
    for number, name in enumerate(("one", "two"))
]


def scene(number: int, height: int, width: int) -> npt.NDArray[np.uint8]:
    """Colours that move, smooth enough for the encoder to keep."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    red = 127 + 100 * np.sin((columns + 2 * number) / 9) + 20 * np.cos(rows / 7)
    green = 127 + 100 * np.cos((rows + number) / 11)
    blue = 127 + 90 * np.sin((rows + columns - 3 * number) / 13)
    return np.asarray(np.clip(np.stack([red, green, blue], -1), 0, 255), dtype=np.uint8)


def film(
    path: Path,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    *,
    size: tuple[int, int] = (32, 48),
    times: Sequence[int] = tuple(range(0, 24 * 3003, 3003)),
    time_base: Fraction = TICK,
    matrix: int = 1,
    full: bool = False,
    options: dict[str, str] | None = None,
    rotation: int = 0,
    sound: bool = False,
    subtitles: bool = False,
    chapters: bool = False,
    container: dict[str, str] | None = None,
) -> Path:
    """Write a video; its frames are shown at `times`."""
    samples = 2 if full else 1
    with av.open(str(path), "w", container_options=container or {}) as out:
        out.metadata["title"] = "A film"
        if chapters:
            out.set_chapters(CHAPTERS)
        stream: Any = out.add_stream(codec, Fraction(1, times[1] - times[0]) / time_base, options=dict(options or {}))
        stream.height, stream.width = size
        stream.pix_fmt, stream.codec_context.time_base = pixels, time_base
        stream.codec_context.color_range, stream.codec_context.colorspace = samples, matrix
        stream.codec_context.color_primaries = stream.codec_context.color_trc = matrix
        if rotation:
            stream.set_display_rotation(rotation)
        voice: Any = out.add_stream("aac", rate=48000) if sound else None
        words: Any = out.add_mux_stream("subrip") if subtitles else None
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(scene(number, *size), format="rgb24")
            frame = frame.reformat(format=pixels, dst_colorspace=matrix or None, dst_color_range=samples)
            frame.pts, frame.time_base = time, time_base
            for packet in stream.encode(frame):
                packet.duration = times[1] - times[0]
                out.mux(packet)
        out.mux(stream.encode())
        if voice is not None:
            tone = np.sin(np.arange(int(48000 * (times[-1] + times[1]) * time_base)) / 17)
            heard = av.AudioFrame.from_ndarray(tone.astype(np.float32)[None], "fltp", "mono")
            heard.sample_rate = 48000
            out.mux(voice.encode(heard))
            out.mux(voice.encode())
        for number in range(3 if words is not None else 0):
            packet = av.Packet(f"line {number}".encode())
            packet.stream, packet.time_base = words, Fraction(1, 1000)
            packet.pts = packet.dts = 200 * number
            packet.duration, packet.is_keyframe = 100, True
            out.mux(packet)
    return path


def samples_of(frame: av.VideoFrame) -> list[npt.NDArray[Any]]:
    """The samples of each plane of a frame, (H, W) or (H, W times what lies beside each other)."""
    kind = np.uint8 if frame.format.components[0].bits == 8 else np.uint16
    samples = []
    for number, plane in enumerate(frame.planes):
        beside = sum(part.plane == number for part in frame.format.components)
        rows: Any = np.frombuffer(plane, kind).reshape(plane.height, -1)  # type: ignore[call-overload]
        samples.append(rows[:, : plane.width * beside].copy())
    return samples


def shown(path: Path) -> list[av.VideoFrame]:
    """All frames of a video."""
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def times_of(path: Path) -> list[Fraction]:
    """When frames are shown, seconds."""
    return [(frame.pts or 0) * (frame.time_base or Fraction(0)) for frame in shown(path)]


def psnr_of(one: Path, other: Path) -> float:
    """PSNR over all samples of two videos, dB."""
    errors, top = [], 1
    for first, second in zip(shown(one), shown(other), strict=True):
        top = (1 << first.format.components[0].bits) - 1
        for a, b in zip(samples_of(first), samples_of(second), strict=True):
            errors.append(np.mean((a.astype(float) - b) ** 2))
    error = float(np.mean(errors))
    return float("inf") if error == 0 else 10 * float(np.log10(top**2 / error))
