import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
import PIL.ImageCms
import pytest
import torch

from banet.closure import closure, imports
from banet.data.images.codec import decode_picture, write_image
from banet.inference import restore
from banet.model.network import BANet
from banet.model.network_config import BANetConfig
from banet.model.weights import load_weights, save_weights
from banet.tracking.pyfunc_package import PROGRAM, saved_sources, workspace_sources
from banet.tracking.registry import register
from banet.tracking.store import Store

BRIGHTER = """

def _brighter(model, image, _plain=restore):
    return (_plain(model, image).astype(int) + 20).clip(0, 255).astype("uint8")


restore = _brighter
"""
# A process that knows mlflow, numpy and the address, and finds neither this repository nor the upper floors' tools.
FRESH = """
import sys, zlib
from importlib.util import find_spec
from pathlib import Path
import numpy as np

sys.meta_path = [finder for finder in sys.meta_path if "__editable__" not in getattr(finder, "__module__", "")]
sys.path = [entry for entry in sys.path if not (Path(entry) / "banet").is_dir()]
assert find_spec("banet") is None
sys.modules.update(dict.fromkeys(("ray", "dvc", "prefect", "hydra"), None))

import mlflow

model = mlflow.pyfunc.load_model("models:/banet-fresh@candidate")
folder = Path(sys.argv[1])
array, png = np.load(folder / "in.npy"), (folder / "in.png").read_bytes()
from PIL import Image

pil = Image.fromarray(array)
assert (model.predict(pil) == model.predict([pil])[0]).all() and (model.predict(pil) == model.predict(array)).all()
one, encoded, several = model.predict(array), model.predict(png), model.predict([png, array[:8, :9]])
assert type(several[0]) is bytes and several[1].shape == (8, 9, 3)
assert several[0] == encoded
np.save(folder / "out.npy", one)
(folder / "out.png").write_bytes(encoded)
bomb = png[:16] + (8000).to_bytes(4) * 2 + png[24:29]  # a header with its own checksum
bomb = bomb + zlib.crc32(bomb[12:]).to_bytes(4) + png[33:]
for wrong in (array.astype(np.float32), bomb, Image.new("L", (9, 9))):
    try:
        model.predict(wrong)
    except Exception as error:
        print(error)

own = {name.partition(".")[0] for name in sys.modules if name.startswith("banet")}
assert len(own) == 1 and own.pop().startswith("banet_"), own
assert find_spec("banet") is None
assert model.metadata.signature is not None
"""


@pytest.mark.slow
def test_program_without_this_repository_restores_arrays_and_bytes(
    store: Store, weights: Callable[[int], Path], tmp_path: Path
) -> None:
    folder = weights(1)
    register(store, folder, name="banet-fresh", run_id="")
    image = np.random.default_rng(0).integers(0, 256, (37, 21, 3), dtype=np.uint8)
    np.save(tmp_path / "in.npy", image)
    profile = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
    write_image(tmp_path / "in.png", image, profile=profile)
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        "MLFLOW_TRACKING_URI": store.uri,
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    done = subprocess.run(
        [sys.executable, "-P", "-c", FRESH, str(tmp_path)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    expected = restore(load_weights(folder), image)
    assert np.array_equal(np.load(tmp_path / "out.npy"), expected)
    picture = decode_picture((tmp_path / "out.png").read_bytes(), "out.png")
    assert np.array_equal(picture.pixels, expected)
    assert picture.profile == profile
    assert "must be uint8 RGB" in done.stdout  # a float image is refused, not guessed at
    assert "the image is 8000x8000 (height x width), more than the 34 megapixels" in done.stdout
    assert "the image is a PIL image of mode L, not RGB" in done.stdout
    assert done.stderr == ""


TWO = """
import sys
import mlflow
import numpy as np

image = np.full((24, 24, 3), 100, np.uint8)
means = {}
for name in sys.argv[1:]:
    if name == "import":
        import banet
        assert banet.restore is not None
        continue
    means[name] = mlflow.pyfunc.load_model(f"models:/banet-{name}/1")
for name, model in reversed(means.items()):
    print(name, model.predict(image).mean().round())
"""


@pytest.mark.slow
def test_each_version_runs_its_own_code_in_every_order(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = BANet(BANetConfig(stem_channels=4, channels=4, modules=1, fusion_channels=2))
    torch.nn.init.zeros_(identity.output.weight)
    torch.nn.init.zeros_(identity.get_parameter("output.bias"))
    save_weights(identity, tmp_path / "weights")
    register(store, tmp_path / "weights", name="banet-plain", run_id="")
    edited = {**workspace_sources(), "banet/inference.py": workspace_sources()["banet/inference.py"] + BRIGHTER}
    for module in ("registry", "pyfunc_package"):
        monkeypatch.setattr(f"banet.tracking.{module}.workspace_sources", lambda: edited)
    register(store, tmp_path / "weights", name="banet-bright", run_id="")
    for order in (["bright", "plain"], ["import", "plain", "bright"], ["plain", "import", "bright"]):
        done = subprocess.run(
            [sys.executable, "-c", TWO, *order],
            cwd=tmp_path,
            env=os.environ | {"MLFLOW_TRACKING_URI": store.uri, "MLFLOW_DISABLE_TELEMETRY": "true"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert sorted(done.stdout.splitlines()) == ["bright 120.0", "plain 100.0"], order


def test_packaged_programs_import_nothing_of_banet_but_themselves(store: Store, weights: Callable[[int], Path]) -> None:
    register(store, weights(1), name="banet-names", run_id="")
    place = store.client().get_model_version_download_uri("banet-names", "1")
    folder = Path(url2pathname(urlsplit(place).path))
    for file in folder.rglob("*.py"):
        houses = {name.partition(".")[0] for name in imports(file.read_text())}
        assert "banet" not in houses, file
    assert saved_sources(folder) == workspace_sources()


def test_only_the_modules_that_restoring_needs_are_packed() -> None:
    used = {str(file.relative_to("banet")) for file in closure(PROGRAM)}
    assert {"__init__.py", "inference.py", "image.py", "data/images/codec.py", "model/network.py"} <= used
    assert not {file for file in used if file.startswith(("train", "data/shards", "metrics"))}
    assert {file for file in used if file.startswith("tracking")} <= {
        "tracking/__init__.py",
        "tracking/pyfunc_model.py",
    }
