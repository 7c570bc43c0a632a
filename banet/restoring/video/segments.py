"""Segments of an encoded video, which outlive an interruption: packets in a file, and their times in another.

No container is used: none takes every codec, and most round time stamps.
"""

import json
from collections.abc import Iterator
from itertools import chain, count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from banet.files import write_atomically
from banet.restoring.video.coding import Coding

if TYPE_CHECKING:
    import av
    from av.video.stream import VideoStream


def begun_segments(folder: Path, record: dict[str, Any]) -> int:
    """Return how many segments an earlier run of the same has left; remove those of another."""
    import av

    now = json.dumps(record | {"libraries": av.library_versions}, default=str, sort_keys=True)
    file = folder / "record.json"
    if not file.exists() or file.read_text(encoding="utf-8") != now:
        for left in folder.glob("*.*"):
            left.unlink()
        write_atomically(file, now)
    return next(number for number in count() if not _is_whole(_index(folder, number)))


def encode_segments(frames: "Iterator[av.VideoFrame]", folder: Path, done: int, length: int, coding: Coding) -> int:
    """Write segments of a number of frames each; return how many there are in all."""
    for first in frames:
        _encode_segment(chain((first,), islice(frames, length - 1)), _index(folder, done), coding)
        done += 1
    return done


def _encode_segment(frames: "Iterator[av.VideoFrame]", index: Path, coding: Coding) -> None:
    """Encode frames so that they depend on no others; the index is written last, when the packets are complete."""
    import av

    context: Any = av.CodecContext.create(coding.encoder, "w")
    coding.configure(context)
    packets: list[tuple[int, int, bool]] = []
    end = 0
    with index.with_suffix(".bin").open("wb") as file:

        def write(frame: "av.VideoFrame | None") -> None:
            for packet in context.encode(frame):
                file.write(packet)
                packets.append((packet.size, packet.pts, packet.is_keyframe))

        for frame in frames:
            frame.pict_type = 0  # the encoder chooses
            end = (frame.pts or 0) + frame.duration
            write(coding.converted(frame))
        write(None)
    write_atomically(index, json.dumps({"packets": packets, "end": end}))


def segment_packets(
    folder: Path, segments: int, stream: "VideoStream", coding: Coding
) -> "Iterator[av.Packet[VideoStream]]":
    """Yield the packets of all segments.

    They are decoded at the sorted times of showing, delayed as far as their order needs.
    """
    import av

    indices = [_index(folder, number) for number in range(segments)]
    orders = [np.array([pts for _, pts, _ in _read(index)["packets"]]) for index in indices]
    delay = max(int((np.arange(len(order)) - order.argsort().argsort()).max()) for order in orders)
    shown = np.sort(np.concatenate(orders))
    lasting = np.diff(shown, append=_read(indices[-1])["end"])
    early = shown[0] - lasting[0] * np.arange(delay, 0, -1)
    decoded = iter(np.concatenate((early, shown)).tolist())
    for index, order in zip(indices, orders, strict=True):
        places = np.searchsorted(shown, order)
        with index.with_suffix(".bin").open("rb") as file:
            for (size, pts, is_keyframe), place in zip(_read(index)["packets"], places, strict=True):
                packet: Any = av.Packet(file.read(size))
                packet.pts, packet.dts, packet.duration = pts, next(decoded), int(lasting[place])
                packet.time_base, packet.is_keyframe, packet.stream = coding.time_base, is_keyframe, stream
                yield packet


def _is_whole(index: Path) -> bool:
    packets = index.with_suffix(".bin")
    if not index.exists() or not packets.exists():
        return False
    size = sum(size for size, *_ in _read(index)["packets"])
    return bool(size == packets.stat().st_size)


def _read(index: Path) -> Any:  # noqa: ANN401 - as _encode_segment writes it
    return json.loads(index.read_text())


def _index(folder: Path, number: int) -> Path:
    return folder / f"{number:06}.json"
