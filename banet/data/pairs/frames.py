"""Pairs out of high-speed video: the average of N frames one after the other, and the middle one of them.

As GoPro was made (Nah et al., CVPR 2017): pair k is made of the frames from kN to kN + N - 1. `encoded` averages their
levels, as its `blur` does; `linear` averages light, as its `blur_gamma` does. For the latter the curve is gamma 2.2 and
not sRGB's, so that custom pairs and GoPro's are of one sort: neither is the camera's true curve, which nobody publishes.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
import numpy.typing as npt

from banet.data.archives.safety import summary
from banet.data.custom_spec import Domain
from banet.data.images.codec import encode_png, read_image
from banet.data.images.image_files import IMAGES, VIDEOS, find_files, plain
from banet.data.names import SHARP
from banet.errors import DataError
from banet.image import Image

GAMMA = 2.2
QUIET_DECODER = ("OPENCV_FFMPEG_LOGLEVEL", "-8")  # environment: of a damaged video, one line of ours is enough
LEAST_DECODED = 0.9  # share of the frames that a video announces; containers count roughly

TO_LIGHT = ((np.arange(256) / 255) ** GAMMA).astype(np.float32)  # by level


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """One sequence: a video, or frames in their order."""

    name: str
    video: Path | None = None
    frames: tuple[Path, ...] = ()


class Exposure:
    """The average of frames that come one after the other, none of which is kept but the middle one."""

    def __init__(self, count: int, light: Domain) -> None:
        self.count, self.light = count, light
        self.table = np.arange(256, dtype=np.float32) if light == "encoded" else TO_LIGHT
        self.added = 0
        self.total: npt.NDArray[np.float32] | None = None
        self.first, self.sharp = "", np.zeros((0, 0, 3), np.uint8)

    def add(self, image: Image, name: str) -> None:
        """Add a frame, uint8 RGB (H, W, 3).

        Args:
            image: the frame.
            name: names it in errors.

        Raises:
            DataError: it is not of the others' size.
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
        """Return the blurred image and the sharp one, the frame `count // 2` from 0, when all frames are there."""
        if self.total is None or self.added != self.count:
            raise ValueError(f"{self.added} frames were added, not {self.count}")
        mean = self.total / np.float32(self.count)
        levels = mean if self.light == "encoded" else np.float32(255) * mean ** np.float32(1 / GAMMA)
        return np.floor(levels + np.float32(0.5)).astype(np.uint8), self.sharp


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowTask:
    """A pair to be averaged from files of frames."""

    split: str
    sequence: str
    frame: str
    files: tuple[Path, ...]
    light: Domain
    blur: str  # kind that the blurred image is

    def encoded(self) -> dict[str, bytes]:
        """Read, average, encode."""
        exposure = Exposure(len(self.files), self.light)
        for path in self.files:
            exposure.add(read_image(path), str(path))
        return _encoded(self.blur, *exposure.images())


@dataclass(frozen=True, slots=True, kw_only=True)
class AveragedTask:
    """A pair of a video, which is decoded and averaged in one place; what is left is to encode it."""

    split: str
    sequence: str
    frame: str
    images: tuple[Image, Image]  # blurred, sharp
    blur: str

    def encoded(self) -> dict[str, bytes]:
        """Encode."""
        return _encoded(self.blur, *self.images)


def find_clips(place: Path, count: int) -> list[Clip]:
    """Find the clips of a folder: each video, and each folder in it (or itself) with pictures; or one video.

    Args:
        place: folder or video.
        count: how many frames are averaged.

    Raises:
        DataError: nothing there, two clips of one name, or clips of fewer frames than are averaged: all in one line.
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
    names = Counter(clip.name for clip in clips)
    problems = [f"{number} clips are called {name}" for name, number in names.items() if number > 1]
    problems += [
        f"the clip {clip.name} has {len(clip.frames)} frames"
        for clip in clips
        if clip.video is None and len(clip.frames) < count
    ]
    if problems:
        raise DataError(f"{place}: {summary(problems)}: each needs a name of its own and at least {count} frames")
    return clips


def clip_tasks(clip: Clip, split: str, *, count: int, light: Domain, blur: str) -> Iterator[WindowTask | AveragedTask]:
    """Give the pairs of a clip in order; frames at its end that fill no window are left out.

    Raises:
        DataError: a video that cannot be decoded, breaks off, or has fewer frames than are averaged.
    """
    if clip.video is not None:
        for number, images in enumerate(_windows(clip.video, count, light), 1):
            yield AveragedTask(split=split, sequence=clip.name, frame=f"{number:06d}", images=images, blur=blur)
        return
    for number in range(len(clip.frames) // count):
        files = clip.frames[number * count : (number + 1) * count]
        yield WindowTask(
            split=split, sequence=clip.name, frame=f"{number + 1:06d}", files=files, light=light, blur=blur
        )


def count_pairs(clips: Iterable[Clip], count: int) -> int | None:
    """How many pairs the clips give; None where a video is among them, which must be decoded to be counted."""
    clips = list(clips)
    return None if any(clip.video for clip in clips) else sum(len(clip.frames) // count for clip in clips)


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
