"""The embedded benchmark: blurred and sharp pairs made from photographs that scikit-image and scikit-learn ship.

It is an archive in GoPro's own layout, `NAME/{train,test}/SCENE_STRATUM/{blur,blur_noise_free,sharp}/000001.png`, so
fetch and shard treat it like a real benchmark.
"""

import json
import zipfile
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

from banet.data.manifest import SynthesisParams
from banet.data.names import BLUR, NOISE_FREE, SHARP
from banet.data.pairs.pair_writer import add_to_zip, write_pairs
from banet.data.pairs.photographs import Photograph, photograph_tasks
from banet.errors import DataError

SCENES = {  # the two views of the motorcycle are one scene, so they are in one split
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


def write_archive(params: SynthesisParams, path: Path, *, root: str) -> None:
    """Make the whole benchmark as one ZIP with one folder, `root`.

    The same parameters, machine and package versions give the same bytes.

    Raises:
        DataError: an unknown scene, a photograph that is not installed, or one too small for the pictures.
    """
    tasks = [
        task
        for split, scenes in params.photographs.items()
        for scene, pairs in scenes.items()
        for task in photograph_tasks([shipped(scene)], params, split, pairs=pairs, kinds=(BLUR, NOISE_FREE, SHARP))
    ]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        add = add_to_zip(archive, root)
        add("synthesis.json", (json.dumps(asdict(params), indent=2) + "\n").encode())
        write_pairs(tasks, add, total=len(tasks))


def shipped(scene: str) -> Photograph:
    """Find the photograph of a scene in the package that ships it.

    Raises:
        DataError: an unknown scene, or a photograph that is not installed.
    """
    if scene not in SCENES:
        raise DataError(f"there is no scene {scene!r}: the packages ship {', '.join(SCENES)}")
    views = []
    for view in SCENES[scene]:
        package, _, inside = view.partition("/")
        spec = find_spec(package)
        folder = Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else Path()
        if not (folder / inside).is_file():
            raise DataError(f"the photograph {view} is not installed: pip install 'banet[mini]'")
        views.append(folder / inside)
    return Photograph(name=scene, views=tuple(views), keep_profile=False)  # its bytes stay as they were
