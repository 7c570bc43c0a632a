"""Pairs from high-speed video: the average of N consecutive frames, and the middle one of them.

GoPro was made this way (Nah et al., CVPR 2017): pair k uses frames kN to kN + N - 1. `encoded` averages their levels,
like GoPro's `blur`; `linear` averages light, like its `blur_gamma`. The latter uses gamma 2.2, as GoPro does, rather
than the sRGB curve; neither is the camera's true curve, which is not published.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
import numpy.typing as npt

from banet.data.archives.safety import summary
from banet.data.custom_spec import Domain
from banet.data.images.codec import encode_png, read_image
from banet.data.images.image_files import IMAGES, VIDEOS, called_alike, find_files, plain
from banet.data.names import SHARP
from banet.data.pairs.pair_writer import PairTask
from banet.errors import DataError
from banet.image import Image

GAMMA = 2.2
QUIET_DECODER = ("OPENCV_FFMPEG_LOGLEVEL", "-8")  # environment variable: our own line about a damaged video is enough
LEAST_DECODED = 0.9  # share of the frames announced by a video that must decode; containers count roughly

TO_LIGHT = ((np.arange(256) / 255) ** GAMMA).astype(np.float32)  # indexed by level


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """One sequence: a video, or its frames in order."""

    name: str
    video: Path | None = None
    frames: tuple[Path, ...] = ()


class Exposure:
    """The average of consecutive frames; only the middle one is kept."""

    def __init__(self, count: int, light: Domain) -> None:
        self.count, self.light = count, light
        self.table = np.arange(256, dtype=np.float32) if light == "encoded" else TO_LIGHT
        self.added = 0
        self.total: npt.NDArray[np.float32] | None = None
        self.first, self.sharp = "", np.zeros((0, 0, 3), np.uint8)

    def add(self, image: Image, name: str) -> None:
        """Add a frame, uint8 RGB (H, W, 3), called `name` in errors.

        Raises:
            DataError: its size differs from that of the frames before it.
        """
        if self.total is None:
            self.total, self.first = np.zeros(image.shape, np.float32), name
        if image.shape != self.total.shape:
            sizes = " and ".join(f"{shape[0]}x{shape[1]}" for shape in (self.total.shape, image.shape))
            raise DataError(f"{self.first} and {name} are {sizes}: the frames of a clip must be of one size")
        self.total += self.table[image]
        if self.added == self.count // 2:
            self.sharp = image
        self.added += 1

    def images(self) -> tuple[Image, Image]:
        """Return the blurred image and the sharp one, frame `count // 2` (from 0), once all frames were added."""
        if self.total is None or self.added != self.count:
            raise ValueError(f"{self.added} frames were added, not {self.count}")
        mean = self.total / np.float32(self.count)
        levels = mean if self.light == "encoded" else np.float32(255) * mean ** np.float32(1 / GAMMA)
        return np.floor(levels + np.float32(0.5)).astype(np.uint8), self.sharp


def find_clips(place: Path, count: int) -> list[Clip]:
    """Find the clips of a folder: each video, and each folder that holds pictures, itself included; or take one video.

    Raises:
        DataError: no clips, clips with the same name, or clips with fewer than `count` frames: all in one line.
    """
    if place.is_file():
        return [Clip(name=plain(place.stem), video=place)]
    files = find_files(place, IMAGES | VIDEOS, "videos or folders of frames")
    folders: dict[PurePosixPath, list[Path]] = defaultdict(list)  # each in the natural order of `files`
    clips = []
    for file in files:
        if file.suffix.lower() in VIDEOS:
            clips.append(Clip(name=_name(place, file.with_suffix("")), video=place / file))
        else:
            folders[file.parent].append(place / file)
    clips += [Clip(name=_name(place, folder), frames=tuple(frames)) for folder, frames in folders.items()]
    clips.sort(key=lambda clip: clip.name)
    problems = called_alike((clip.name for clip in clips), "clips")
    problems += [
        f"the clip {clip.name} has {len(clip.frames)} frames"
        for clip in clips
        if clip.video is None and len(clip.frames) < count
    ]
    if problems:
        raise DataError(f"{place}: {summary(problems)}: each needs its own name and at least {count} frames")
    return clips


def clip_tasks(clip: Clip, split: str, *, count: int, light: Domain, blur: str) -> Iterator[PairTask]:
    """Yield the pairs of a clip in order, each from `count` frames; left-over frames at its end are dropped.

    Raises:
        DataError: a video that cannot be decoded, breaks off, or has fewer than `count` frames.
    """
    made: Iterator[Callable[[], dict[str, bytes]]]
    if clip.video is None:
        starts = range(0, len(clip.frames) - count + 1, count)
        made = (partial(_averaged, clip.frames[start : start + count], light, blur) for start in starts)
    else:  # decoded and averaged here; only the encoding can move to another process
        made = (partial(_encoded, blur, *images) for images in _windows(clip.video, count, light))
    for number, encoded in enumerate(made, 1):
        yield PairTask(split=split, sequence=clip.name, frame=f"{number:06d}", encoded=encoded)


def count_pairs(clips: Iterable[Clip], count: int) -> int | None:
    """Count the pairs of clips; None if one is a video, whose frames are only known after decoding."""
    clips = list(clips)
    return None if any(clip.video for clip in clips) else sum(len(clip.frames) // count for clip in clips)


def _averaged(files: tuple[Path, ...], light: Domain, blur: str) -> dict[str, bytes]:
    exposure = Exposure(len(files), light)
    for path in files:
        exposure.add(read_image(path), str(path))
    return _encoded(blur, *exposure.images())


def _windows(video: Path, count: int, light: Domain) -> Iterator[tuple[Image, Image]]:
    capture = cv2.VideoCapture(str(video))
    decoded, exposure = 0, Exposure(count, light)
    try:
        announced = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        while (frame := capture.read()[1]) is not None:
            exposure.add(np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8), f"{video} frame {decoded + 1}")
            decoded += 1
            if exposure.added == count:
                yield exposure.images()
                exposure = Exposure(count, light)
    finally:
        capture.release()
    if not decoded:
        raise DataError(f"{video} is no video that OpenCV decodes, or a damaged one: save it as .mp4 (H.264)")
    if decoded < LEAST_DECODED * announced:
        raise DataError(f"{video} breaks off after {decoded} of {announced:.0f} frames: copy it again")
    if decoded < count:
        raise DataError(f"{video} has {decoded} frames: at least {count} are averaged")


def _name(place: Path, clip: PurePosixPath) -> str:
    return plain("_".join(clip.parts) or place.resolve().name)


def _encoded(kind: str, blurred: Image, sharp: Image) -> dict[str, bytes]:
    return {kind: encode_png(blurred), SHARP: encode_png(sharp)}
