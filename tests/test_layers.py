"""The house: imports point down, each tool stays with its owners, rooms are small, and importing does nothing."""

import ast
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Container, Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from banet import closure

ROOT = Path(__file__).parents[1]
FILES = sorted(str(path.relative_to(ROOT)) for house in ("banet", "pipelines") for path in (ROOT / house).rglob("*.py"))
ROOM = 12  # files of a folder beside __init__.py, at most

FLOORS = {
    "banet.errors": 0,
    "banet.parsing": 0,
    "banet.config": 0,
    "banet.files": 0,
    "banet.image": 0,
    "banet.progress": 1,
    "banet.closure": 0,
    "banet.inference": 0,
    "banet.losses": 0,
    "banet.memory": 0,
    "banet.metrics": 0,
    "banet.model": 0,
    "banet.data": 1,
    "banet.cluster": 1,
    "banet.engines": 2,
    "banet.train": 2,
    "banet.restoring": 2,
    "banet.scoring": 2,
    "banet.study": 2,
    "banet.analysis": 2,
    "banet.lineage": 3,
    "banet.tracking": 3,
    "banet.serving": 3,
    "banet.cli": 3,
    "banet.commands": 3,
    "pipelines": 4,
}

OWNERS = {  # files, or folders with all below; a package that is not named here may be imported above floor 0 only
    "ray": (
        "banet/data/stream/ray_stream.py",
        "banet/cluster/draining.py",
        "banet/cluster/hanging.py",
        "banet/cluster/joining.py",
        "banet/cluster/node_end.py",
        "banet/cluster/ray_session.py",
        "banet/restoring/spread_pictures.py",
        "banet/scoring/spread.py",
        "banet/serving/",
        "banet/train/launch.py",
        "banet/train/ray_worker.py",
    ),
    "grpc": ("banet/cluster/joining.py",),  # which Ray brings along
    "mlflow": ("banet/tracking/",),
    "prefect": ("pipelines/",),
    "dvc": ("pipelines/",),
    "hydra": ("pipelines/",),
    "omegaconf": ("pipelines/",),
    "pyarrow": ("banet/data/", "banet/restoring/tables/", "banet/scoring/table.py"),
    "cv2": (
        "banet/data/images/",
        "banet/data/pairs/",
        "banet/data/served/picture_features.py",
        "banet/data/sharding/judgement.py",
        "banet/data/shards/pixels.py",
        "banet/data/stream/augmentation.py",
        "banet/cluster/ray_session.py",  # the number of threads of a worker
        "banet/metrics/realblur.py",  # when it is called
        "banet/scoring/baselines.py",
    ),
    "av": ("banet/data/images/", "banet/restoring/"),
    "PIL": ("banet/data/images/",),
    "gdown": ("banet/data/download/",),
    "huggingface_hub": ("banet/data/download/",),
    "flask": ("banet/study/server.py",),
    "werkzeug": ("banet/study/server.py",),
    "scipy": ("banet/study/statistics.py",),
    "cyclopts": ("banet/cli.py", "banet/commands/"),
    "matplotlib": ("banet/analysis/explain.py", "pipelines/report/"),
    "jinja2": ("pipelines/report/",),
    "onnxruntime": ("banet/engines/engine_network.py", "banet/engines/export.py"),
    "onnxscript": ("banet/engines/export.py",),  # what torch exports with
    "prometheus_client": ("banet/serving/application.py",),
    "starlette": ("banet/serving/application.py",),
    "pillow_heif": ("banet/data/images/heif.py",),
    "flask_wtf": (),  # what MLflow's server asks for passwords with
    "psycopg": (),  # a driver that MLflow's server finds by its name
    "skimage": (),  # mini reads their photographs as files
    "sklearn": (),
}

GROUND = {"torch", "numpy", "yaml", "safetensors", "banet"}  # all that floor 0 stands on
BESIDE_GROUND = {("banet/metrics/realblur.py", "cv2")}  # imported when called, and `import banet` works without
NEED_NO_TORCH = ("check", "fetch", "shard", "register", "show")  # stages


def module_of(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imports(path: str) -> Iterator[str]:
    package = module_of(path) if path.endswith("__init__.py") else module_of(path).rpartition(".")[0]
    return closure.imports((ROOT / path).read_text(encoding="utf-8"), package)


def nearest(name: str, known: Container[str]) -> str | None:
    """The longest beginning of a dotted name that is known."""
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name or None


def floor(module: str) -> int | None:
    """The floor of a module of ours, None for others and for the house itself."""
    room = nearest(module, FLOORS)
    return None if room is None else FLOORS[room]


@pytest.mark.parametrize("path", FILES)
def test_every_file_stands_on_a_floor(path: str) -> None:
    assert path == "banet/__init__.py" or floor(module_of(path)) is not None, f"give {path} a floor"


@pytest.mark.parametrize("path", FILES)
def test_imports_point_down(path: str) -> None:
    own = floor(module_of(path)) or 0
    for name in imports(path):
        below = floor(name)
        assert below is None or below <= own, f"{path} may not import {name}"


@pytest.mark.parametrize("of", ["files", "rooms"])
def test_no_two_need_each_other(of: str) -> None:
    """Not even in a function or for types alone: what belongs together is one, what both need stands below."""
    files = {module_of(path): path for path in FILES if path != "banet/__init__.py"}
    known = files if of == "files" else FLOORS
    needs: dict[str | None, set[str | None]] = defaultdict(set)
    for module, path in files.items():
        one = nearest(module, known)
        needs[one] |= {nearest(name, known) for name in imports(path)} - {one, None}
    TopologicalSorter(needs).prepare()  # its error names a circle


@pytest.mark.parametrize("path", [path for path in FILES if path.startswith("banet/") and path != "banet/__init__.py"])
def test_the_library_does_not_go_through_its_own_face(path: str) -> None:
    """`from banet import load_model` would hide a floor; each file names the module that it needs."""
    modules = {module_of(file) for file in FILES}
    for name in imports(path):
        if name.startswith("banet.") and name.count(".") == 1:
            assert name in modules, f"{path}: import it from its own module, not {name}"


@pytest.mark.parametrize("path", FILES)
def test_a_third_party_package_stays_with_its_owners(path: str) -> None:
    for name in imports(path):
        owners = OWNERS.get(name.partition(".")[0])
        assert owners is None or any(
            path == owner or (owner.endswith("/") and path.startswith(owner)) for owner in owners
        ), f"{path} may not import {name}: it belongs to {', '.join(owners) or 'nobody'}"


@pytest.mark.parametrize("path", [path for path in FILES if (floor(module_of(path)) or 0) == 0])
def test_the_ground_floor_stands_on_four_packages(path: str) -> None:
    for name in imports(path):
        package = name.partition(".")[0]
        allowed = package in GROUND or package in sys.stdlib_module_names or (path, package) in BESIDE_GROUND
        assert allowed, f"{path} may not import {name}"


def test_owners_that_are_named_exist() -> None:
    for owner in (owner for owners in OWNERS.values() for owner in owners):
        assert (ROOT / owner).exists(), owner


def test_rooms_are_small() -> None:
    rooms: dict[str, list[str]] = defaultdict(list)
    for path in FILES:
        if Path(path).name != "__init__.py":
            rooms[str(Path(path).parent)].append(path)
    assert {room: len(files) for room, files in rooms.items() if len(files) > ROOM} == {}


def test_no_two_rooms_have_a_file_of_one_name() -> None:
    """Commands and stages are called after what they serve."""
    named: dict[str, list[str]] = defaultdict(list)
    for path in FILES:
        if Path(path).name != "__init__.py" and not path.startswith(("banet/commands/", "pipelines/stages/")):
            named[Path(path).name].append(path)
    assert [paths for paths in named.values() if len(paths) > 1] == []


def test_no_two_public_classes_have_one_name() -> None:
    named: dict[str, list[str]] = defaultdict(list)
    for path in FILES:
        for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                named[node.name].append(path)
    assert {name: paths for name, paths in named.items() if len(paths) > 1} == {}


def test_private_modules_of_libraries_are_listed_with_what_they_wait_for() -> None:
    decisions = (ROOT / "docs/decisions.md").read_text(encoding="utf-8")
    private = {name for path in FILES for name in imports(path) if "._" in name and not name.startswith("banet")}
    assert [
        name for name in sorted(private) if f"`{name}" not in decisions and name.rpartition(".")[2][0].islower()
    ] == []


@pytest.mark.parametrize("stage", NEED_NO_TORCH)
def test_a_stage_that_needs_no_torch_imports_none(stage: str) -> None:
    for path in closure.closure(ROOT / f"pipelines/stages/{stage}.py"):
        assert "torch" not in {name.partition(".")[0] for name in imports(str(path))}, path


IMPORT_BANET = """
import json, logging, os, random, sys, threading, warnings
import numpy, torch, yaml, safetensors.torch, torch.utils.checkpoint

blocked, modules = map(json.loads, sys.argv[1:])
for name in blocked:
    assert name not in sys.modules, name
    sys.modules[name] = None  # importing it fails as if it were not installed

def state():
    return {
        "environment": dict(os.environ),
        "numpy": hash(numpy.random.get_state()[1].tobytes()),
        "torch": hash(torch.get_rng_state().numpy().tobytes()),
        "random": hash(random.getstate()),
        "settings": [torch.get_num_threads(), str(torch.get_default_dtype()), torch.is_grad_enabled(), os.getcwd()],
        "deterministic": [torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark],
        "logging": [len(logging.getLogger().handlers), logging.getLogger().level],
        "warnings": len(warnings.filters),
        "threads": threading.active_count(),
        "path": sys.path[:],
        "files": os.listdir(),
    }

def import_all(names):
    before = state()
    for name in names:
        __import__(name)
    after = state()
    changed = [key for key in before if before[key] != after[key]]
    assert not changed, changed

import_all(["banet"])
assert not [name for name in sys.modules if name.startswith("banet.")]  # public names are resolved on first use
import_all(modules["ground"])

import banet
image = numpy.zeros((9, 8, 3), dtype=numpy.uint8)
model = banet.BANet(banet.BANetConfig(stem_channels=4, channels=4, modules=1, fusion_channels=2))
assert banet.restore(model, image).shape == image.shape
assert banet.metrics.psnr(image, image) == float("inf")
black = numpy.zeros((11, 11, 3), dtype=numpy.uint8)
try:
    banet.metrics.realblur_score(black, black + 1)
except banet.errors.ResourceError as error:
    assert "pip install 'banet[data]'" in str(error)
else:
    raise AssertionError("it aligned without OpenCV")

for name in blocked:
    del sys.modules[name]
import cv2, pyarrow.parquet  # what the next floors stand on, imported before the second look
import_all(modules["above"])
assert not {"ray", "mlflow", "prefect", "dvc"} & set(sys.modules)
print("done")
"""


@pytest.mark.slow
def test_importing_banet_needs_four_packages_and_does_nothing(tmp_path: Path) -> None:
    blocked = [*OWNERS, "pandas"]
    modules = {path: module_of(path) for path in FILES if path.startswith("banet/")}
    import_tools = {path for path in OWNERS["ray"] if "spread" not in path}
    ground = [module for path, module in modules.items() if floor(module) == 0]
    above = [module for path, module in modules.items() if floor(module) in (1, 2) and path not in import_tools]
    result = subprocess.run(
        [sys.executable, "-P", "-c", IMPORT_BANET, json.dumps(blocked), json.dumps({"ground": ground, "above": above})],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (0, "done\n"), result.stderr
    assert result.stderr == ""
    assert list(tmp_path.iterdir()) == []
