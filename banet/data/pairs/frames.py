"""Pairs from high-speed video: the average of N consecutive frames, and the middle one of them.

GoPro was made this way (Nah et al., CVPR 2017): pair k uses frames kN to kN + N - 1. `encoded` averages their levels,
like GoPro's `blur`; `linear` averages light, like its `blur_gamma`. The latter uses gamma 2.2, as GoPro does, rather
than the sRGB curve; neither is the camera's true curve, which is not published.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from banet.data.archives.safety import summary
from banet.data.custom_spec import Domain
from banet.data.images.codec import encode_png, read_image
from banet.data.images.image_files import IMAGES, VIDEOS, called_alike, find_files, natural, plain
from banet.data.images.video import read_video
from banet.data.names import SHARP
from banet.data.pairs.continuity import Neighbours
from banet.data.pairs.pair_writer import DoubtfulPair, PairTask
from banet.errors import DataError
from banet.image import Image
from banet.progress import say

GAMMA = 2.2

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

    Fewer than `count` pictures beside a video are no clip: they are passed over, and a line says so.

    Raises:
        DataError: no clips, clips with the same name, or clips with fewer than `count` frames: all in one line.
    """
    if place.is_file():
        return [Clip(name=plain(place.stem), video=place)]
    files = find_files(place, IMAGES | VIDEOS, "videos or folders of frames")
    folders: dict[PurePosixPath, list[Path]] = defaultdict(list)  # each in the natural order of `files`
    clips, strays = [], []
    for file in files:
        if file.suffix.lower() in VIDEOS:
            clips.append(Clip(name=_name(place, file.with_suffix("")), video=place / file))
        else:
            folders[file.parent].append(place / file)
    for folder in {clip.video.parent for clip in clips if clip.video is not None}:
        beside = folders[PurePosixPath(folder.relative_to(place).as_posix())]
        if len(beside) < count:
            strays += [path.name for path in beside]
            beside.clear()
    clips += [Clip(name=_name(place, folder), frames=tuple(frames)) for folder, frames in folders.items() if frames]
    clips.sort(key=lambda clip: clip.name)
    problems = called_alike((clip.name for clip in clips), "clips")
    problems += [
        f"the clip {clip.name} has {len(clip.frames)} frame{'s' * (len(clip.frames) > 1)}"
        for clip in clips
        if clip.video is None and len(clip.frames) < count
    ]
    if problems:
        raise DataError(
            f"{place}: {summary(problems)}: each needs its own name and at least {count} frames; "
            "move pictures that are no frames elsewhere"
        )
    if strays:
        say(f"{place}: beside videos, pictures too few for an average are passed over: {summary(strays)}")
    return clips


def clip_tasks(clip: Clip, split: str, *, count: int, light: Domain, blur: str) -> Iterator[PairTask]:
    """Yield the pairs of a clip in order, each from `count` frames; left-over frames at its end are dropped.

    Raises:
        DataError: a video that cannot be decoded, is damaged, or has fewer than `count` frames.
    """
    made: Iterator[Callable[[], dict[str, bytes]]]
    if clip.video is None:
        steps = [0, *(_step(*two) for two in pairwise(clip.frames))]
        usual = min((step for step in steps if step > 0), default=0)
        windows = (slice(start, start + count) for start in range(0, len(clip.frames) - count + 1, count))
        made = (
            partial(_averaged, replace(clip, frames=clip.frames[window]), steps[window], usual, light, blur)
            for window in windows
        )
    else:  # decoded and averaged here; only the encoding can move to another process
        made = (partial(_encoded, blur, *window) for window in _windows(clip.name, clip.video, count, light))
    for number, encoded in enumerate(made, 1):
        yield PairTask(split=split, sequence=clip.name, frame=f"{number:06d}", encoded=encoded)


def count_pairs(clips: Iterable[Clip], count: int) -> int | None:
    """Count the pairs of clips; None if one is a video, whose frames are only known after decoding."""
    clips = list(clips)
    return None if any(clip.video for clip in clips) else sum(len(clip.frames) // count for clip in clips)


def _averaged(clip: Clip, steps: list[int], usual: int, light: Domain, blur: str) -> dict[str, bytes]:
    exposure, neighbours = Exposure(len(clip.frames), light), Neighbours(clip.name, "numbers", usual)
    for path, step in zip(clip.frames, steps, strict=True):
        image = read_image(path)
        exposure.add(image, str(path))
        neighbours.add(image, path.name, step)
    return _encoded(blur, *exposure.images(), neighbours.doubts())


def _windows(clip: str, video: Path, count: int, light: Domain) -> Iterator[tuple[Image, Image, tuple[str, ...]]]:
    number, before = 0, None
    exposure, neighbours = Exposure(count, light), Neighbours(clip, "ms")
    for number, frame in enumerate(read_video(video), 1):
        exposure.add(frame.image, f"{video} frame {number}")
        step = None if before is None or frame.seconds is None else 1000 * (frame.seconds - before)
        neighbours.add(frame.image, f"frame {number}", step, frame.remark)
        before = frame.seconds
        if exposure.added == count:
            yield *exposure.images(), neighbours.doubts()
            exposure = Exposure(count, light)
    if number < count:
        raise DataError(f"{video} has {number} frames: at least {count} are averaged")


def _step(one: Path, other: Path) -> int:
    """How far the numbers of two names are apart; 0 if the names differ in more than a number."""
    names = (natural(PurePosixPath(path.stem))[0] for path in (one, other))
    first, second = next((pair for pair in zip(*names, strict=False) if pair[0] != pair[1]), ("", ""))
    return second - first if isinstance(first, int) and isinstance(second, int) else 0


def _name(place: Path, clip: PurePosixPath) -> str:
    return plain("_".join(clip.parts) or place.resolve().name)


def _encoded(kind: str, blurred: Image, sharp: Image, doubts: tuple[str, ...]) -> dict[str, bytes]:
    files = {kind: encode_png(blurred), SHARP: encode_png(sharp)}
    return DoubtfulPair(files, doubts) if doubts else files
