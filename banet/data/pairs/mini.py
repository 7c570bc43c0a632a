"""The embedded benchmark: blurred and sharp pairs made from photographs that scikit-image and scikit-learn ship.

It comes as an archive in GoPro's own layout, `NAME/{train,test}/SCENE_STRATUM/{blur,blur_noise_free,sharp}/000001.png`,
so that it takes the same way through fetch and shard as a real benchmark.
"""

import json
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

from banet.data.images.codec import encode_png, read_image
from banet.data.manifest import SynthesisParams
from banet.data.pairs.pair_writer import add_to_zip, write_pairs
from banet.data.pairs.photographs import blurred_pair
from banet.errors import DataError
from banet.image import Image

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
    number: int  # from 1

    @property
    def sequence(self) -> str:
        return f"{self.scene}_{self.stratum}"

    @property
    def frame(self) -> str:
        return f"{self.number:06d}"  # like GoPro's names

    def encoded(self) -> dict[str, bytes]:
        images = make_pair(self.params, self.scene, self.stratum, self.number)
        return {kind: encode_png(image) for kind, image in images.items()}


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
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        add = add_to_zip(archive, root)
        add("synthesis.json", (json.dumps(asdict(params), indent=2) + "\n").encode())
        write_pairs(tasks, add, total=len(tasks))


def make_pair(params: SynthesisParams, scene: str, stratum: str, frame: int) -> dict[str, Image]:
    """Make one pair: the blurred image, its noise-free form and the sharp one, each uint8 RGB (height, width, 3).

    A pure function of its arguments: scene, stratum and frame select the random stream.
    """
    return blurred_pair(params, _photograph(scene, frame), scene, stratum, frame)


def _tasks(params: SynthesisParams) -> Iterator[_Task]:
    for split, scenes in params.photographs.items():
        for scene, pairs in scenes.items():
            for stratum in params.strata:
                for number in range(1, pairs + 1):
                    yield _Task(params=params, split=split, scene=scene, stratum=stratum, number=number)


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
