"""Videos to frames, by PyAV: the frames that players show, with their times, and what the decoder says of damage."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from banet.errors import DataError
from banet.image import Image
from banet.progress import say

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.reformatter import VideoReformatter
    from av.video.stream import VideoStream

# Errors about what no pixel depends on: comments in the stream, lists of references that a cut left incomplete.
HARMLESS = re.compile("SEI|VUI|mmco|APP fields")
UNTIMED = -(2**63)  # the time stamp of a packet that has none, as in FFmpeg

# Colours by their numbers in ITU-T H.273.
BT709, HDR = 1, {16: "PQ", 18: "HLG"}
USUAL_CURVES, USUAL_PRIMARIES = {0, 1, 2, 4, 5, 6, 7, 11, 13, 14, 15}, {0, 1, 2, 4, 5, 6, 7}  # 0, 2: not said


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedFrame:
    """One frame of a video."""

    image: Image
    seconds: float | None  # when it is shown; None if the video does not say
    remark: str = ""  # why it is not what a camera saw at one instant, or not in its colours


class _Decoded(NamedTuple):
    """What the decoder made of one packet, or of the file's end."""

    frames: "list[av.VideoFrame]"
    fault: str = ""  # in its words
    refused: bool = False  # the packet gave no frame because of it
    pts: int = UNTIMED
    is_keyframe: bool = False
    torn: bool = False  # the container misses a part of it, or of one before


class _Damage:
    """Which frames a fault spoils: all until the next frame that depends on no other."""

    def __init__(self) -> None:
        self.shown, self.lost, self.whole, self.fault = 0, 0, 0, ""
        self._first: int | None = None  # time stamp of the first keyframe
        self._spoilt, self._since = "", -1

    def hear(self, decoded: _Decoded) -> None:
        """Take in the fault of a packet. What a cut leaves before the first keyframe decodes in no player."""
        if self._first is None and decoded.is_keyframe:
            self._first = decoded.pts
        if decoded.fault:
            self._spoilt, self._since = decoded.fault, decoded.pts
            if self._first is not None and not UNTIMED < decoded.pts < self._first:
                self.fault = self.fault or decoded.fault
                self.lost += decoded.refused

    def spares(self, frame: "av.VideoFrame") -> bool:
        """Count a frame; return whether it and all before it are whole."""
        pts = UNTIMED if frame.pts is None else frame.pts
        self.shown += 1
        if frame.is_corrupt:
            self._spoilt, self._since = self._spoilt or "a damaged frame", pts
        elif frame.key_frame and (pts > self._since or pts == UNTIMED):
            self._spoilt = ""
        if self._spoilt:
            self.fault = self.fault or self._spoilt
            self.lost += 1
        self.whole += not self.fault
        return not self.fault

    def require_none(self, path: Path, missing: int) -> None:
        """Raise DataError if there was a fault, or frames are missing because the file ends before their data."""
        self.lost += missing
        fault = self.fault or ("the file is too short" if missing else "")
        if not self.shown:
            fault = fault or self._spoilt or "no frame"
        if fault:
            what = f"up to {self.lost} frames are wrong or missing" if self.lost else "it breaks off"
            raise DataError(
                f"{path} is damaged: {what} after {self.whole} whole ones (the decoder reports: {fault}): "
                "copy it again, or cut that part out"
            )


def read_video(path: Path) -> Iterator[TimedFrame]:
    """Decode a video to its last frame: upright, without what an edit list hides, 8 bits per channel.

    The colours are converted as the video's own tags say; BT.601 of limited range is assumed where it has none.

    Raises:
        DataError: it cannot be opened, shows no video, or is damaged; the latter once all frames were counted.
    """
    from av.video.reformatter import VideoReformatter

    convert = VideoReformatter()  # keeps its tables, which take seconds for HDR
    with open_video(path) as container:
        for frame, torn in read_frames(container, shown_stream(container, path), path):
            seconds = None if frame.pts is None else frame.time
            yield TimedFrame(image=_upright_rgb(frame, convert), seconds=seconds, remark=torn or remark(frame))


def read_frames(
    container: "InputContainer", stream: "VideoStream", path: Path
) -> "Iterator[tuple[av.VideoFrame, str]]":
    """Decode a stream to its last frame, as players show it; what precedes a frame that is torn comes with it.

    Raises:
        DataError: it is damaged; once all frames were counted.
    """
    damage, torn = _Damage(), ""
    for decoded in _decoded(container, stream):
        damage.hear(decoded)
        torn = "packets are missing in it, or recordings are joined" if decoded.torn else torn
        for frame in decoded.frames:
            if damage.spares(frame):
                yield frame, torn
                torn = ""
    damage.require_none(path, beyond_the_end(container, stream, path))


def open_video(path: Path) -> "InputContainer":
    """Open a video; raise DataError if it is none."""
    import av

    try:
        with ffmpeg_errors() as lines:
            return av.open(f"file:{path}", options={"protocol_whitelist": "file"})  # a playlist stays local
    except av.FFmpegError as error:
        fault = first_error(lines) or error.strerror
        raise DataError(f"{path} is no video, or a damaged one ({fault}): copy it again, or save it as .mp4") from None


def shown_stream(container: "InputContainer", path: Path) -> "VideoStream":
    """Choose the stream that players show, and leave out the others."""
    from av.stream import Discard, Disposition
    from av.video.stream import VideoStream

    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream) or stream.disposition & Disposition.attached_pic:
        raise DataError(f"{path} holds no video, only sound or a cover picture: name a video")
    videos = [one for one in container.streams.video if not one.disposition & Disposition.attached_pic]
    if len(videos) > 1:
        say(f"{path} holds {len(videos)} videos: only stream {stream.index} is used, as players do")
    for other in container.streams:
        if other is not stream:
            other.discard = Discard.all
    return stream


def _decoded(container: "InputContainer", stream: "VideoStream") -> Iterator[_Decoded]:
    import av

    stream.codec_context.thread_count = 1  # reports of other threads could not be assigned to a packet
    stream.codec_context.options = {"err_detect": "crccheck"}  # where a stream carries checksums
    joined = container.format.name == "mpegts"  # torn packets may only mean that recordings were joined there
    packets = container.demux(stream)
    packet: av.Packet[VideoStream] | None
    ended = False
    while not ended:
        frames, error = [], ""
        with ffmpeg_errors() as lines:
            try:
                packet = None
                packet = next(packets, None)
                frames = packet.decode() if packet is not None else []
            except av.FFmpegError as failure:
                error = failure.strerror or "no frame"
        fault = first_error(lines) or error
        ended = packet is None  # the demuxer gives nothing after its own errors either
        if packet is None:
            yield _Decoded(frames, fault)
        else:
            torn = packet.is_corrupt and not fault
            fault = fault or ("an incomplete packet" if torn and not joined else "")
            times = (time for time in (packet.pts, packet.dts, UNTIMED) if time is not None)
            yield _Decoded(frames, fault, bool(error), next(times), packet.is_keyframe, torn and joined)


def beyond_the_end(container: "InputContainer", stream: "VideoStream", path: Path) -> int:
    """Count frames whose data lie beyond the file's end, by the index of an .mp4 or .mov: the demuxer just stops."""
    size = path.stat().st_size
    indexed = stream.index_entries if "mp4" in container.format.name else ()
    return sum(entry.pos + entry.size > size for entry in indexed)


@contextmanager
def ffmpeg_errors() -> "Iterator[list[tuple[int, str, str]]]":
    """Collect FFmpeg's messages about errors instead of printing them."""
    from av import logging

    level, skips = logging.get_level(), logging.get_skip_repeated()
    logging.set_level(logging.ERROR)
    logging.set_skip_repeated(False)
    try:
        with logging.Capture() as lines:
            yield lines
    finally:
        logging.set_level(level)
        logging.set_skip_repeated(skips)


def first_error(lines: list[tuple[int, str, str]]) -> str:
    """Choose the first message that is about pixels; empty if there is none."""
    return next((text.strip() for _, _, text in lines if not HARMLESS.search(text)), "")


def target_colours(frame: "av.VideoFrame") -> tuple[int, int] | None:
    """Return transfer function and primaries to which HDR and wide gamuts are converted; None for usual colours."""
    curve, primaries = frame.color_trc, frame.color_primaries
    if curve in USUAL_CURVES and primaries in USUAL_PRIMARIES:
        return None
    return curve if curve in USUAL_CURVES else BT709, primaries if primaries in USUAL_PRIMARIES else BT709


def remark(frame: "av.VideoFrame") -> str:
    """Say why a frame is not what a camera saw at one instant, or not in its colours; empty if it is."""
    if frame.interlaced_frame:
        return "it is interlaced: two instants in one frame"
    if (name := HDR.get(frame.color_trc)) is not None:
        return f"it is HDR ({name}): its light is compressed to 8 bits"
    return ""


def _upright_rgb(frame: "av.VideoFrame", convert: "VideoReformatter") -> Image:
    from av.video.reformatter import Interpolation

    # As OpenCV converts, to the bit: pairs made of a video before stay as they are.
    curve, primaries = target_colours(frame) or (None, None)
    bgr = convert.reformat(
        frame,
        format="bgr24",
        interpolation=Interpolation.BICUBIC,
        dst_color_trc=curve,
        dst_color_primaries=primaries,
        threads=1,  # several lose chroma of formats such as p010 where they meet at an odd row
    ).to_ndarray()
    rgb = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    return np.ascontiguousarray(np.rot90(rgb, frame.rotation // 90), dtype=np.uint8)
