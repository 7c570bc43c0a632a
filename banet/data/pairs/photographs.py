"""Pairs from single sharp photographs: part of a photograph, blurred by `banet.data.pairs.blur_model`."""

import multiprocessing
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np

from banet.data.archives.safety import summary
from banet.data.images.codec import DecodedImage, converted_note, encode_png, read_picture
from banet.data.images.image_files import IMAGES, called_alike, find_files, plain
from banet.data.manifest import SynthesisParams
from banet.data.names import BLUR, NOISE_FREE, SHARP, Conversion
from banet.data.pairs.blur_model import Layer, Light, add_noise, camera_path, develop, expose, exposure, soft_blob
from banet.data.pairs.pair_writer import PairTask
from banet.errors import DataError
from banet.image import Image
from banet.progress import say

DETAIL_CANDIDATES = 6  # places drawn for each picture; the most detailed is taken, since empty sky teaches nothing
PER_WORKER = 64  # photographs that are checked sooner than another process starts
LARGEST_PART = 2048  # side in pixels to which a larger photograph is cut, unless the picture needs more


@dataclass(frozen=True, slots=True, kw_only=True)
class Photograph:
    """One scene, as one picture or as several views of it."""

    name: str
    views: tuple[Path, ...]  # pair k shows view k modulo their number
    convert: tuple[Conversion, ...] = ()  # pictures that are not 8-bit RGB
    keep_profile: bool = True  # the pairs get the photograph's colour profile

    def read(self, number: int) -> DecodedImage:
        """Read the view of pair `number`.

        Raises:
            DataError: the file is missing or refused by the codec.
        """
        return read_picture(self.views[number % len(self.views)], convert=self.convert)


def find_photographs(folder: Path, convert: tuple[Conversion, ...] = ()) -> list[Photograph]:
    """Find the photographs of a folder and its subfolders; the parts of a path, joined with `_`, name the photograph.

    Raises:
        DataError: there are none, or several have the same name.
    """
    files = find_files(folder, IMAGES, "photographs")
    found = [
        Photograph(name=plain("_".join(file.with_suffix("").parts)), views=(folder / file,), convert=convert)
        for file in files
    ]
    if problems := called_alike((photograph.name for photograph in found), "photographs"):
        raise DataError(f"{folder}: {summary(problems)}: each needs its own name")
    return found


def require_usable(photographs: list[Photograph], params: SynthesisParams) -> None:
    """Read every photograph once, because a bad one should not stop the work hours later; say which are converted.

    Raises:
        DataError: images that the codec refuses or that are too small: all in one line.
    """
    check = partial(_check, params)
    workers = min(multiprocessing.cpu_count(), 1 + len(photographs) // PER_WORKER)
    if workers == 1:
        found = [check(photograph) for photograph in photographs]
    else:  # in processes: those of one process are decoded one after the other
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            found = list(pool.map(check, photographs, chunksize=8))
    if problems := [problem for problem, _ in found if problem is not None]:
        raise DataError(summary(problems))
    if note := converted_note(Counter(kind for _, kind in found)):
        say(note)


def _check(params: SynthesisParams, photograph: Photograph) -> tuple[str | None, str]:
    try:
        picture = photograph.read(0)
        _smallest_scale(params, picture.pixels, str(photograph.views[0]))
    except DataError as error:
        return str(error), ""
    return None, picture.converted


def photograph_tasks(
    photographs: list[Photograph], params: SynthesisParams, split: str, *, pairs: int, kinds: tuple[str, ...]
) -> Iterator[PairTask]:
    """Yield the pairs of photographs: `pairs` per photograph and stratum, of which the images `kinds` are kept."""
    for photograph in photographs:
        for stratum in params.strata:
            for number in range(1, pairs + 1):
                encoded = partial(_encoded_pair, params, photograph, stratum, number, kinds)
                sequence = f"{photograph.name}_{stratum}"
                yield PairTask(split=split, sequence=sequence, frame=f"{number:06d}", encoded=encoded)


def blurred_pair(params: SynthesisParams, photograph: Image, scene: str, stratum: str, frame: int) -> dict[str, Image]:
    """Make one pair: the blurred image, its noise-free form and the sharp one, each uint8 RGB (height, width, 3).

    A pure function of its arguments: seed, scene, stratum and frame select the random stream.

    Raises:
        DataError: the photograph is too small for the picture.
    """
    where = int.from_bytes(sha256(f"{scene}/{stratum}".encode()).digest()[:7])
    rng = np.random.Generator(np.random.Philox(key=params.seed, counter=[0, frame, where, 0]))
    shortest, longest = params.strata[stratum]
    margin = int(np.ceil(longest / 2)) + 4  # half a path, and the shift at the border from a degree of roll
    light = _scene(params, _part(params, photograph, rng), scene, margin, rng)

    def layer(alpha: bool) -> Layer:
        window = _window(light, (params.height, params.width), margin, rng)
        length = rng.uniform(shortest, longest)
        path = camera_path(rng, length=length, roll_sigma=params.roll_sigma, motion=params.motion)
        shape = (window.shape[0], window.shape[1])
        mask = soft_blob(rng, shape) if alpha else np.ones(shape, dtype=np.float32)
        return Layer(light=window, alpha=mask, path=path)

    moving = rng.random() < params.moving_layer_share
    layers = [layer(False)] + ([layer(True)] if moving else [])
    blurred, sharp = exposure(layers, margin=margin, encoded=params.light == "encoded")
    gain = params.iso_gain ** rng.random()
    noisy = add_noise(blurred, rng, gain=gain)
    return {BLUR: develop(noisy), NOISE_FREE: develop(blurred), SHARP: develop(sharp)}


def _encoded_pair(
    params: SynthesisParams, photograph: Photograph, stratum: str, number: int, kinds: tuple[str, ...]
) -> dict[str, bytes]:
    picture = photograph.read(number)
    images = blurred_pair(params, picture.pixels, photograph.name, stratum, number)
    profile = picture.profile if photograph.keep_profile else b""
    return {kind: encode_png(images[kind], profile=profile) for kind in kinds}


def _part(params: SynthesisParams, photograph: Image, rng: np.random.Generator) -> Image:
    """Cut a part out of a large photograph, since linear light takes six times the memory of 8-bit levels."""
    sides = [max(LARGEST_PART, int(2 * side / params.reduction[0])) for side in (params.height, params.width)]
    for axis, side in enumerate(sides):
        if photograph.shape[axis] > side:
            start = int(rng.integers(0, photograph.shape[axis] - side + 1))
            photograph = np.take(photograph, range(start, start + side), axis=axis)
    return photograph


def _scene(params: SynthesisParams, photograph: Image, scene: str, margin: int, rng: np.random.Generator) -> Light:
    """Return the light of the scene with a mirrored margin around it."""
    smallest = _smallest_scale(params, photograph, f"the scene {scene}")
    scale = float(rng.uniform(max(smallest, params.reduction[0]), params.reduction[1]))
    light = expose(photograph, scale=scale, highlight_gain=float(rng.uniform(1, params.highlight_gain)))
    return np.asarray(cv2.copyMakeBorder(light, margin, margin, margin, margin, cv2.BORDER_REFLECT_101), np.float32)


def _smallest_scale(params: SynthesisParams, photograph: Image, what: str) -> float:
    smallest = max((params.height + 1) / photograph.shape[0], (params.width + 1) / photograph.shape[1])
    if smallest > params.reduction[1]:
        size, wanted = "x".join(map(str, photograph.shape[:2])), f"{params.height}x{params.width}"
        raise DataError(f"{what} is {size}: reduced by {params.reduction[1]:g} it is too small for a {wanted} picture")
    return float(smallest)


def _window(light: Light, size: tuple[int, int], margin: int, rng: np.random.Generator) -> Light:
    """Cut out a picture with its margin at the most detailed of a few random places."""
    H, W = size[0] + 2 * margin, size[1] + 2 * margin
    rows = rng.integers(0, light.shape[0] - H + 1, DETAIL_CANDIDATES)
    columns = rng.integers(0, light.shape[1] - W + 1, DETAIL_CANDIDATES)
    windows = [light[y : y + H, x : x + W] for y, x in zip(rows, columns, strict=True)]
    return max(windows, key=_detail)


def _detail(light: Light) -> float:
    picture = develop(light).astype(np.int16)
    return float(np.abs(np.diff(picture, axis=0)).mean() + np.abs(np.diff(picture, axis=1)).mean())
