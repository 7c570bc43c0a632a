"""The container of a restored video: the restored stream, and copies of all that came with it."""

import heapq
import math
from collections.abc import Collection, Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from banet.data.images.video import ffmpeg_errors, first_error, open_video
from banet.errors import ConfigError
from banet.progress import say
from banet.restoring.video.coding import Coding
from banet.restoring.video.segments import segment_packets

if TYPE_CHECKING:
    import av
    from av.container import InputContainer, OutputContainer
    from av.stream import Stream
    from av.video.stream import VideoStream

    NumberedPacket = tuple[int, av.Packet[Any]]  # with the index of its stream in the source

MOST_TICKS = 2**31  # a second
OF_THE_OLD = {
    *("duration", "encoder", "bps", "number_of_frames", "number_of_bytes"),
    *("major_brand", "minor_version", "compatible_brands"),
}


def copied_streams(
    container: "InputContainer", stream: "VideoStream", name: str, drop: Collection[int], path: Path
) -> list[int]:
    """Return the indices of the streams that are copied.

    Raises:
        ConfigError: the container cannot hold one, or one to drop is not there.
    """
    for index in drop:
        if index == stream.index or index >= len(container.streams):
            raise ConfigError(f"--drop {index}: {path} has no such stream beside the video, which is {stream.index}")
    copied = []
    for other in container.streams:
        if other.index == stream.index or other.index in drop:
            continue
        kind = f"{other.type} {other.name or 'of an unknown codec'}"
        fault = _unfit(other, name)
        if not fault:
            copied.append(other.index)
        elif other.type in ("data", "unknown"):  # of telephones and cameras, that no muxer knows
            if not (other.name == "bin_data" and container.chapters()):  # their titles, which are copied as such
                say(f"{path}: stream {other.index} ({kind}) is left out: {name} cannot hold it")
        else:
            raise ConfigError(
                f"{path}: stream {other.index} ({kind}) does not fit into {name} ({fault}): "
                f"write .mkv, or leave it out with --drop {other.index}"
            )
    return copied


def _unfit(stream: "Stream", container: str) -> str:
    """Say why a container cannot hold a stream; empty if it can."""
    import av

    with ffmpeg_errors() as lines:
        try:
            with av.open(BytesIO(), "w", format=container) as out:
                out.add_stream_from_template(stream, opaque=True)
                out.start_encoding()
        except (av.FFmpegError, ValueError) as error:
            return first_error(lines) or str(error)
    return ""


def join(
    source: Path, chosen: int, others: list[int], folder: Path, segments: int, coding: Coding, whole: Path
) -> None:
    """Write the container: the restored stream, and copies of the others."""
    import av
    from av.stream import Discard

    with open_video(source) as container, _written(whole, container, coding) as out:
        out.metadata.update(_kept(container.metadata))
        out.set_chapters(container.chapters())
        written: dict[int, Any] = {}
        for stream in container.streams:
            if stream.index == chosen:
                written[chosen] = coding.add_to(out)
            elif stream.index in others:
                written[stream.index] = out.add_stream_from_template(stream, opaque=True)
            else:
                stream.discard = Discard.all
                continue
            named = {"title": stream.metadata["name"]} if "name" in stream.metadata else {}  # of a track in .mp4
            written[stream.index].metadata.update(_kept(stream.metadata) | named)
            written[stream.index].disposition = stream.disposition
        restored = segment_packets(folder, segments, written[chosen], coding)
        copied = _copied(container, {index: written[index] for index in others})
        number = chosen
        try:
            for numbered in heapq.merge(((chosen, packet) for packet in restored), copied, key=_seconds):
                number = numbered[0]
                out.mux(numbered[1])
        except OSError:
            raise
        except av.FFmpegError as error:
            raise ConfigError(
                f"{source}: stream {number} cannot be copied ({error.strerror}): leave it out with --drop {number}; "
                "the frames that are restored are kept"
            ) from None


def _written(path: Path, source: "InputContainer", coding: Coding) -> "OutputContainer":
    """Open the output; an .mp4 or .mov with exact beginnings of streams, and all kinds of metadata."""
    import av

    bases = [stream.time_base.denominator for stream in source.streams if stream.time_base]
    scale = math.lcm(coding.time_base.denominator, *bases)
    options = {"movie_timescale": str(scale if scale < MOST_TICKS else coding.time_base.denominator)}
    if any(key.startswith("com.") for key in source.metadata):  # of telephones: place, make, model
        options["movflags"] = "use_metadata_tags"
    return av.open(str(path), "w", container_options=options)


def _copied(container: "InputContainer", written: "dict[int, Stream]") -> "Iterator[NumberedPacket]":
    for packet in container.demux([container.streams[index] for index in written]) if written else ():
        if packet.size:
            if packet.dts is None and packet.pts is None:  # a cover picture
                packet.pts = packet.dts = 0
            number, packet.stream = packet.stream_index, written[packet.stream_index]
            yield number, packet


def _seconds(numbered: "NumberedPacket") -> float:
    packet = numbered[1]
    time = packet.pts if packet.dts is None else packet.dts
    return float((time or 0) * packet.time_base)


def _kept(metadata: dict[str, str]) -> dict[str, str]:
    """Leave out what muxers say of the file themselves."""
    return {
        key: value
        for key, value in metadata.items()
        if key.lower().split("-")[0] not in OF_THE_OLD and not key.startswith("_STATISTICS")
    }
