"""The container of a restored video: the restored stream, and copies of all that came with it."""

import heapq
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
    from av.container import InputContainer
    from av.stream import Stream
    from av.video.stream import VideoStream

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
    for index in drop:
        if index == stream.index or index >= len(container.streams):
            raise ConfigError(f"--drop {index}: {path} has no such stream beside the video, which is {stream.index}")
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

    with open_video(source) as container, av.open(str(whole), "w") as out:
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
            written[stream.index].metadata.update(_kept(stream.metadata))
            written[stream.index].disposition = stream.disposition
        restored = segment_packets(folder, segments, written[chosen], coding)
        copied = _copied(container, {index: written[index] for index in others})
        for packet in heapq.merge(restored, copied, key=_seconds):
            out.mux(packet)


def _copied(container: "InputContainer", written: "dict[int, Stream]") -> "Iterator[av.Packet]":
    for packet in container.demux([container.streams[index] for index in written]) if written else ():
        if packet.size and (packet.dts is not None or packet.pts is not None):
            packet.stream = written[packet.stream_index]
            yield packet


def _seconds(packet: "av.Packet") -> float:
    time = packet.pts if packet.dts is None else packet.dts
    return float((time or 0) * packet.time_base)


def _kept(metadata: dict[str, str]) -> dict[str, str]:
    """Leave out what muxers say of the file themselves."""
    return {
        key: value
        for key, value in metadata.items()
        if key.lower().split("-")[0] not in OF_THE_OLD and not key.startswith("_STATISTICS")
    }
