"""Restoring a video: decoding, the network and encoding at the same time, in segments that outlive an interruption."""

import os
import shutil
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import asdict
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

import torch

from banet.data.images.image_files import IMAGES, VIDEOS
from banet.data.images.video import (
    beyond_the_end,
    open_video,
    read_frames,
    shown_stream,
)
from banet.errors import DataError
from banet.files import hold, sha256_of, writing_to
from banet.progress import OnProgress, say
from banet.restoring.video.coding import TAGS, choose_coding
from banet.restoring.video.container import copied_streams, join
from banet.restoring.video.frame import Restore, require_supported, restore_frame
from banet.restoring.video.segments import begun_segments, encode_segments

if TYPE_CHECKING:
    import av
    from av.video.stream import VideoStream

AHEAD = 4  # frames between decoding and the network, and between the network and encoding
SECONDS, FEWEST, MOST = 2, 24, 240  # length of a segment, seconds and frames

T = TypeVar("T")


def is_video(path: Path) -> bool:
    """Whether a file is a video: by its ending, or by its first bytes where that says nothing."""
    if path.suffix.lower() in VIDEOS | IMAGES or not path.is_file():
        return path.suffix.lower() in VIDEOS
    with path.open("rb") as file:
        begin = file.read(12)
    still = begin[8:12] in (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1")
    return (begin[4:8] == b"ftyp" and not still) or begin[8:12] == b"AVI " or begin[:4] in (b"\x1aE\xdf\xa3", b"OggS")


def restore_video(
    restore: Restore,
    source: Path,
    target: Path,
    *,
    identity: str,
    device: torch.device | None = None,
    encoder: str | None = None,
    crf: int | None = None,
    drop: Collection[int] = (),
    on_progress: OnProgress = lambda done, total: None,
) -> str:
    """Write a restored video; return what it was encoded with, and what was lost, in words.

    Frames keep their time stamps, depth, colour tags and rotation. Sound, subtitles, chapters and metadata are copied.
    An interrupted run goes on after its last whole segment; these lie in a hidden folder beside the target.

    Args:
        restore: what restores a frame.
        source: the video.
        target: the file to write; its ending names the container.
        identity: of all that decides about what `restore` returns; what another one began is not gone on with.
        device: where `restore` takes and returns tensors; None: the CPU.
        encoder: see `choose_coding`.
        crf: see `choose_coding`.
        drop: indices of streams that are left out.
        on_progress: is told how many frames are restored.

    Raises:
        DataError: no video, a damaged one, or one of a kind that is not supported.
        ConfigError: the encoder or the container cannot take it.
        ResourceError: the disk is full, or another run writes this target.
    """
    name = _require_target(source, target)
    number = _require_readable(source)
    with _folder_beside(target, source) as folder, open_video(source) as container:
        stream = cast("VideoStream", container.streams[number])
        frames = _steady(read_frames(container, stream, source), stream, source)
        if (first := next(frames, None)) is None:
            raise DataError(f"{source} shows no frame: name another video")
        coding, lost = choose_coding(stream, first, name, encoder=encoder, crf=crf)
        others = copied_streams(container, stream, name, drop, source)
        length = max(FEWEST, min(MOST, round(SECONDS * coding.rate)))
        record = {"source": sha256_of(source), "identity": identity, "length": length, **asdict(coding)}
        segments = begun_segments(folder, record)
        if done := segments * length:
            say(f"{source}: {done} frames are restored already")
        total = stream.frames or int((container.duration or 0) / 1e6 * coding.rate) or None
        todo = islice(chain((first,), frames), done, None)
        restored = _restored(todo, restore, device or torch.device("cpu"), lambda new: on_progress(done + new, total))
        with closing(ahead(restored, AHEAD)) as ready:
            segments = encode_segments(ready, folder, segments, length, coding)
        whole = folder / f"joined{target.suffix}"
        join(source, stream.index, others, folder, segments, coding, whole)
        whole.replace(target)
    return "; ".join(part for part in (f"{coding.encoder}, {coding.pixels}", lost) if part)


@contextmanager
def _folder_beside(target: Path, source: Path) -> Iterator[Path]:
    """Yield the folder for segments, held against other runs; it is kept if the work can go on later."""
    folder = target.with_name(f".{target.name}.segments")
    try:
        folder.mkdir(exist_ok=True)
        lock = hold(folder / "lock", f"{target} is being written")
    except OSError as error:
        raise DataError(f"{target} cannot be written ({error.strerror}): choose another folder") from None
    try:
        with writing_to(folder, f"; {source} then goes on after the frames that are restored"):
            yield folder
        shutil.rmtree(folder)
    except DataError:
        shutil.rmtree(folder)  # what is restored of a damaged video is of no use
        raise
    finally:
        if not any(folder.glob("*.bin")):
            shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _require_readable(path: Path) -> int:
    """Check what the decoder would say late or not clearly; return the index of the stream that players show."""
    with open_video(path) as container:
        stream = shown_stream(container, path)
        if container.format.name.endswith("_pipe") or container.format.name in ("image2", "gif", "apng"):
            raise DataError(f"{path} is a picture: give it an ending that says so, as .jpg")
        if stream.codec_context is None:
            raise DataError(f"{path} has a codec that FFmpeg cannot decode here: convert it to H.264 first")
        if missing := beyond_the_end(container, stream, path):
            raise DataError(f"{path} is damaged: it ends before the data of {missing} frames: copy it again")
        if any(packet.has_sidedata("encryption_info") for packet in islice(container.demux(stream), 1)):
            raise DataError(f"{path} is encrypted: decrypt it first")
        return stream.index


def _require_target(source: Path, target: Path) -> str:
    """Check the name of the output before the work for it begins; return FFmpeg's name of the container."""
    import av

    if not source.is_file():
        raise DataError(f"{source} is no file: name a video")
    if target.exists() and source.samefile(target):
        raise DataError(f"{target} is the video itself: give the restored one another name")
    if not target.parent.is_dir():
        raise DataError(f"{target}: the folder {target.parent} does not exist: create it first")
    try:
        with av.open(str(target), "w") as out:  # nothing is written before there are streams
            name = str(out.format.name)
    except ValueError:
        name = ""
    if not name or name.startswith(("image2", "gif", "apng", "webp", "avif")):
        raise DataError(f"{target}: no video format has the ending {target.suffix!r}: use .mp4 or .mkv")
    return name


def _steady(
    frames: "Iterable[tuple[av.VideoFrame, str]]", stream: "VideoStream", path: Path
) -> "Iterator[av.VideoFrame]":
    """Yield frames that are all of one kind, with time stamps that rise."""
    first = last = None
    said = {name: getattr(stream.codec_context, name) for name in TAGS}  # by the container; decoding forgets them
    usual = round(1 / (stream.average_rate or 25) / (stream.time_base or 1)) or 1
    for number, (frame, _) in enumerate(frames, 1):
        for name, unsaid in TAGS.items():
            if getattr(frame, name) == unsaid:
                setattr(frame, name, said[name])
        kind = frame.height, frame.width, frame.format.name, frame.colorspace, frame.interlaced_frame
        if first is None:
            require_supported(frame, path)
            first = kind
        if kind != first:
            raise DataError(f"{path} changes its size or format at frame {number}: cut it into parts of one kind first")
        if last is not None and (frame.pts is None or frame.pts <= last):
            frame.pts = last + usual
        last = frame.pts = frame.pts or 0
        frame.duration = frame.duration or usual
        frame.time_base = stream.time_base
        yield frame


def ahead(items: Iterator[T], most: int) -> Generator[T]:
    """Iterate over what a thread of its own makes, up to a number of items ahead."""
    end = object()
    worker = ThreadPoolExecutor(1)
    waiting = deque(worker.submit(next, items, end) for _ in range(most))
    try:
        while (item := waiting.popleft().result()) is not end:
            waiting.append(worker.submit(next, items, end))
            yield item  # type: ignore[misc]
    finally:
        worker.shutdown(cancel_futures=True)
        getattr(items, "close", bool)()  # ends the threads behind a generator


def _restored(
    frames: "Iterator[av.VideoFrame]", restore: Restore, device: torch.device, on_progress: Callable[[int], None]
) -> "Iterator[av.VideoFrame]":
    on_progress(0)
    with closing(ahead(frames, AHEAD)) as decoded:
        for number, frame in enumerate(decoded, 1):
            yield restore_frame(frame, restore, device)
            on_progress(number)
