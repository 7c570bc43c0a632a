"""The embedded benchmark: blurred and sharp pairs made from photographs that scikit-image and scikit-learn ship.

It comes as an archive in GoPro's own layout, `NAME/{train,test}/SCENE_STRATUM/{blur,blur_noise_free,sharp}/000001.png`,
so that it takes the same way through fetch and shard as a real benchmark.
"""

import json
import multiprocessing
import zipfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

from banet.data.benchmark import SynthesisParams
from banet.data.codec import encode_png, read_image
from banet.data.synthesis import Layer, Light, add_noise, camera_path, develop, expose, exposure, soft_blob
from banet.errors import DataError
from banet.image import Image

BLUR, NOISE_FREE, SHARP = "blur", "blur_noise_free", "sharp"
DETAIL_CANDIDATES = 6  # places drawn for a picture; the one with most detail is taken: empty sky teaches nothing

SCENES = {  # the two views of the motorcycle are one scene and never stand in two splits
    "astronaut": ("skimage/data/astronaut.png",),
    "camera": ("skimage/data/camera.png",),
    "chelsea": ("skimage/data/chelsea.png",),
    "china": ("sklearn/datasets/images/china.jpg",),
    "coffee": ("skimage/data/coffee.png",),
    "coins": ("skimage/data/coins.png",),
    "flower": ("sklearn/datasets/images/flower.jpg",),
    "hubble": ("skimage/data/hubble_deep_field.jpg",),
    "ihc": ("skimage/data/ihc.png",),
    "motorcycle": ("skimage/data/motorcycle_left.png", "skimage/data/motorcycle_right.png"),
    "retina": ("skimage/data/retina.jpg",),
    "rocket": ("skimage/data/rocket.jpg",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    params: SynthesisParams
    split: str
    scene: str
    stratum: str
    frame: int  # from 1, like GoPro's names


def write_archive(params: SynthesisParams, path: Path, *, root: str) -> None:
    """Make the whole benchmark and write it as one ZIP; same parameters, machine and versions, same bytes.

    Args:
        params: all that decides the pictures.
        path: of the ZIP.
        root: name of the folder inside it.

    Raises:
        DataError: an unknown scene, a photograph that its package does not hold, or one too small for the pictures.
    """
    tasks = list(_tasks(params))
    workers = min(len(tasks), multiprocessing.cpu_count())
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        _add(archive, f"{root}/synthesis.json", (json.dumps(asdict(params), indent=2) + "\n").encode())
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            for task, images in zip(tasks, pool.map(_encoded_pair, tasks, chunksize=4), strict=True):
                for kind, content in images.items():
                    name = f"{root}/{task.split}/{task.scene}_{task.stratum}/{kind}/{task.frame:06d}.png"
                    _add(archive, name, content)


def make_pair(params: SynthesisParams, scene: str, stratum: str, frame: int) -> dict[str, Image]:
    """Make one pair: the blurred image, its noise-free form and the sharp one, each uint8 RGB (height, width, 3).

    A pure function of its arguments: scene, stratum and frame select the random stream.
    """
    where = int.from_bytes(sha256(f"{scene}/{stratum}".encode()).digest()[:7])
    rng = np.random.Generator(np.random.Philox(key=params.seed, counter=[0, frame, where, 0]))
    shortest, longest = params.strata[stratum]
    margin = int(np.ceil(longest / 2)) + 4  # half a path, and what a degree of roll moves at the border
    light = _scene(params, scene, frame, margin, rng)

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


def _tasks(params: SynthesisParams) -> Iterator[_Task]:
    for split, scenes in params.photographs.items():
        for scene, pairs in scenes.items():
            for stratum in params.strata:
                for frame in range(1, pairs + 1):
                    yield _Task(params=params, split=split, scene=scene, stratum=stratum, frame=frame)


def _encoded_pair(task: _Task) -> dict[str, bytes]:
    cv2.setNumThreads(1)  # the processes share the cores already
    images = make_pair(task.params, task.scene, task.stratum, task.frame)
    return {kind: encode_png(image) for kind, image in images.items()}


def _photograph(scene: str, frame: int) -> Image:
    if scene not in SCENES:
        raise DataError(f"there is no scene {scene!r}: the packages ship {', '.join(SCENES)}")
    views = SCENES[scene]
    package, _, inside = views[frame % len(views)].partition("/")
    spec = find_spec(package)
    folder = Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else Path()
    if not (folder / inside).is_file():
        raise DataError(f"the photograph {package}/{inside} is not installed: pip install 'banet[mini]'")
    return read_image(folder / inside, grey_as_rgb=True)  # camera and coins are grey


def _scene(params: SynthesisParams, scene: str, frame: int, margin: int, rng: np.random.Generator) -> Light:
    """Return the scene's light with a mirrored margin around it."""
    photograph = _photograph(scene, frame)
    smallest = max((params.height + 1) / photograph.shape[0], (params.width + 1) / photograph.shape[1])
    if smallest > params.reduction[1]:
        size, wanted = "x".join(map(str, photograph.shape[:2])), f"{params.height}x{params.width}"
        raise DataError(f"the scene {scene} is {size}: reduced by {params.reduction[1]:g} it holds no {wanted} picture")
    scale = float(rng.uniform(max(smallest, params.reduction[0]), params.reduction[1]))
    light = expose(photograph, scale=scale, highlight_gain=float(rng.uniform(1, params.highlight_gain)))
    return np.asarray(cv2.copyMakeBorder(light, margin, margin, margin, margin, cv2.BORDER_REFLECT_101), np.float32)


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


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0)), content)  # no clock in the bytes
