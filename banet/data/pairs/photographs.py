"""Pairs out of single sharp photographs: a part of one, blurred as `banet.data.pairs.blur_model` does."""

import multiprocessing
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np

from banet.data.archives.safety import summary
from banet.data.images.codec import encode_png, read_image
from banet.data.images.image_files import IMAGES, find_files, plain
from banet.data.manifest import SynthesisParams
from banet.data.names import BLUR, NOISE_FREE, SHARP
from banet.data.pairs.blur_model import Layer, Light, add_noise, camera_path, develop, expose, exposure, soft_blob
from banet.errors import DataError
from banet.image import Image

DETAIL_CANDIDATES = 6  # places drawn for a picture; the one with most detail is taken: empty sky teaches nothing
LARGEST_PART = 2048  # pixels a side that are exposed of a larger photograph, unless the picture needs more


@dataclass(frozen=True, slots=True, kw_only=True)
class Photograph:
    """One scene."""

    name: str
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotographTask:
    """A pair to be made of somebody's own photograph."""

    params: SynthesisParams
    photograph: Photograph
    split: str
    stratum: str
    number: int  # from 1
    kinds: tuple[str, ...]  # to keep

    @property
    def sequence(self) -> str:
        """The scene and its stratum."""
        return f"{self.photograph.name}_{self.stratum}"

    @property
    def frame(self) -> str:
        """The number, like GoPro's names."""
        return f"{self.number:06d}"

    def encoded(self) -> dict[str, bytes]:
        """Read, blur, encode."""
        image = read_image(self.photograph.path)
        images = blurred_pair(self.params, image, self.photograph.name, self.stratum, self.number)
        return {kind: encode_png(images[kind]) for kind in self.kinds}


def find_photographs(folder: Path) -> list[Photograph]:
    """Find the photographs of a folder and all below; their names are their paths in it, joined with `_`.

    Raises:
        DataError: nothing there, or photographs of one name.
    """
    files = find_files(folder, IMAGES, "photographs")
    found = [Photograph(name=plain("_".join(file.with_suffix("").parts)), path=folder / file) for file in files]
    names = Counter(photograph.name for photograph in found)
    problems = [f"{number} photographs are called {name}" for name, number in names.items() if number > 1]
    if problems:
        raise DataError(f"{folder}: {summary(problems)}: each needs a name of its own")
    return found


def require_usable(photographs: list[Photograph], params: SynthesisParams) -> None:
    """Read every photograph once: what is wrong with one should not come out hours later.

    Raises:
        DataError: images that the codec refuses or that are too small: all in one line.
    """

    def problem(photograph: Photograph) -> str | None:
        try:
            _smallest_scale(params, read_image(photograph.path), str(photograph.path))
        except DataError as error:
            return str(error)
        return None

    with ThreadPoolExecutor(multiprocessing.cpu_count()) as pool:
        problems = [problem for problem in pool.map(problem, photographs) if problem is not None]
    if problems:
        raise DataError(summary(problems))


def photograph_tasks(
    photographs: list[Photograph], params: SynthesisParams, split: str, *, pairs: int, kinds: tuple[str, ...]
) -> Iterator[PhotographTask]:
    """Give the pairs of photographs, `pairs` of each and each stratum; `kinds` of image are kept."""
    for photograph in photographs:
        for stratum in params.strata:
            for number in range(1, pairs + 1):
                yield PhotographTask(
                    params=params, photograph=photograph, split=split, stratum=stratum, number=number, kinds=kinds
                )


def blurred_pair(params: SynthesisParams, photograph: Image, scene: str, stratum: str, frame: int) -> dict[str, Image]:
    """Make one pair: the blurred image, its noise-free form and the sharp one, each uint8 RGB (height, width, 3).

    A pure function of its arguments: scene, stratum and frame select the random stream.

    Raises:
        DataError: the photograph is too small for the picture.
    """
    where = int.from_bytes(sha256(f"{scene}/{stratum}".encode()).digest()[:7])
    rng = np.random.Generator(np.random.Philox(key=params.seed, counter=[0, frame, where, 0]))
    shortest, longest = params.strata[stratum]
    margin = int(np.ceil(longest / 2)) + 4  # half a path, and what a degree of roll moves at the border
    light = _scene(params, _part(params, photograph, rng), scene, margin, rng)

    def layer(alpha: bool) -> Layer:
        window = _window(light, (params.height, params.width), margin, rng)
        path = camera_path(rng, length=rng.uniform(shortest, longest), roll_sigma=params.roll_sigma)
        shape = (window.shape[0], window.shape[1])
        mask = soft_blob(rng, shape) if alpha else np.ones(shape, dtype=np.float32)
        return Layer(light=window, alpha=mask, path=path)

    moving = rng.random() < params.moving_layer_share
    blurred, sharp = exposure([layer(False)] + ([layer(True)] if moving else []), margin=margin)
    gain = params.iso_gain ** rng.random()
    noisy = add_noise(blurred, rng, gain=gain)
    return {BLUR: develop(noisy), NOISE_FREE: develop(blurred), SHARP: develop(sharp)}


def _part(params: SynthesisParams, photograph: Image, rng: np.random.Generator) -> Image:
    """Cut a part out of a large photograph: light takes six times the memory of levels, and time."""
    sides = [max(LARGEST_PART, int(2 * side / params.reduction[0])) for side in (params.height, params.width)]
    for axis, side in enumerate(sides):
        if photograph.shape[axis] > side:
            start = int(rng.integers(0, photograph.shape[axis] - side + 1))
            photograph = np.take(photograph, range(start, start + side), axis=axis)
    return photograph


def _scene(params: SynthesisParams, photograph: Image, scene: str, margin: int, rng: np.random.Generator) -> Light:
    """Return the scene's light with a mirrored margin around it."""
    smallest = _smallest_scale(params, photograph, f"the scene {scene}")
    scale = float(rng.uniform(max(smallest, params.reduction[0]), params.reduction[1]))
    light = expose(photograph, scale=scale, highlight_gain=float(rng.uniform(1, params.highlight_gain)))
    return np.asarray(cv2.copyMakeBorder(light, margin, margin, margin, margin, cv2.BORDER_REFLECT_101), np.float32)


def _smallest_scale(params: SynthesisParams, photograph: Image, what: str) -> float:
    smallest = max((params.height + 1) / photograph.shape[0], (params.width + 1) / photograph.shape[1])
    if smallest > params.reduction[1]:
        size, wanted = "x".join(map(str, photograph.shape[:2])), f"{params.height}x{params.width}"
        raise DataError(f"{what} is {size}: reduced by {params.reduction[1]:g} it holds no {wanted} picture")
    return float(smallest)


def _window(light: Light, size: tuple[int, int], margin: int, rng: np.random.Generator) -> Light:
    """Cut a picture with its margin, from the place with most detail among a few drawn ones."""
    H, W = size[0] + 2 * margin, size[1] + 2 * margin
    rows = rng.integers(0, light.shape[0] - H + 1, DETAIL_CANDIDATES)
    columns = rng.integers(0, light.shape[1] - W + 1, DETAIL_CANDIDATES)
    windows = [light[y : y + H, x : x + W] for y, x in zip(rows, columns, strict=True)]
    return max(windows, key=_detail)


def _detail(light: Light) -> float:
    picture = develop(light).astype(np.int16)
    return float(np.abs(np.diff(picture, axis=0)).mean() + np.abs(np.diff(picture, axis=1)).mean())
