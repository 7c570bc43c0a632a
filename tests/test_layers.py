"""The house: imports point down, each tool stays with its owners, and importing does nothing."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(str(path.relative_to(ROOT)) for house in ("banet", "pipelines") for path in (ROOT / house).rglob("*.py"))

FLOORS = {
    "banet.errors": 0,
    "banet.parsing": 0,
    "banet.config": 0,
    "banet.files": 0,
    "banet.image": 0,
    "banet.progress": 0,
    "banet.losses": 0,
    "banet.metrics": 0,
    "banet.model": 0,
    "banet.data": 1,
    "banet.train": 2,
    "banet.scoring": 2,
    "banet.study": 2,
    "banet.restore": 2,
    "banet.baselines": 2,
    "banet.explain": 2,
    "banet.profile": 2,
    "banet.tracking": 3,
    "banet.cli": 3,
    "banet.commands": 3,
    "pipelines": 4,
}

OWNERS = {  # files, or folders with all below; a package that is not named here may be imported above floor 0 only
    "ray": (
        "banet/data/ray_cluster.py",
        "banet/data/ray_source.py",
        "banet/scoring/spread.py",
        "banet/train/ray_worker.py",
    ),
    "mlflow": ("banet/tracking/",),
    "prefect": ("pipelines/",),
    "dvc": ("pipelines/",),
    "hydra": ("pipelines/",),
    "omegaconf": ("pipelines/",),
    "pyarrow": ("banet/data/", "banet/scoring/table.py"),
    "cv2": (
        "banet/data/augmentation.py",
        "banet/data/codec.py",
        "banet/data/synthesis.py",
        "banet/data/frames.py",
        "banet/data/pair_archive.py",
        "banet/data/photographs.py",
        "banet/data/pixels.py",
        "banet/baselines.py",
        "banet/explain.py",
        "banet/metrics/realblur.py",  # when it is called
    ),
    "gdown": ("banet/data/links.py",),
    "huggingface_hub": ("banet/data/links.py",),
    "matplotlib": ("pipelines/report/",),
    "jinja2": ("pipelines/report/",),
    "skimage": (),  # mini reads their photographs as files
    "sklearn": (),
}

GROUND = {"torch", "numpy", "yaml", "safetensors", "banet"}  # all that floor 0 stands on
BESIDE_GROUND = {("banet/metrics/realblur.py", "cv2")}  # imported when called, and `import banet` works without
EVERYWHERE_BELOW = ("banet/__init__.py", "banet/restore.py")  # restore is imported by `import banet`


def module_of(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imports(path: str, source: str | None = None) -> Iterator[str]:
    """Every module that a file imports, also inside functions; for `from a import b` both a and a.b."""
    package = module_of(path) if path.endswith("__init__.py") else module_of(path).rpartition(".")[0]
    for node in ast.walk(ast.parse(source if source is not None else (ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def floor(module: str) -> int | None:
    """The floor of a module of ours, None for others and for the house itself."""
    parts = module.split(".")
    names = [".".join(parts[: i + 1]) for i in range(len(parts))]
    return next((FLOORS[name] for name in names if name in FLOORS), None)


def test_the_files_are_found_and_imports_inside_functions_are_seen() -> None:
    assert "banet/data/ray_source.py" in FILES
    source = "def f():\n    import ray.data\n    from mlflow import log\n    from . import a\n    from ..b import c\n"
    found = set(imports("banet/data/x.py", source))
    assert {"ray.data", "mlflow", "mlflow.log", "banet.data.a", "banet.b", "banet.b.c"} <= found


@pytest.mark.parametrize("path", FILES)
def test_every_file_stands_on_a_floor(path: str) -> None:
    assert path == "banet/__init__.py" or floor(module_of(path)) is not None, f"give {path} a floor"


@pytest.mark.parametrize("path", FILES)
def test_imports_point_down(path: str) -> None:
    if path == "banet/__init__.py":
        own = 0
        allowed = {"banet.restore"}
    else:
        own = floor(module_of(path)) or 0
        allowed = set()
    if path == "banet/restore.py":
        own = 0  # it is imported by `import banet`
    for name in imports(path):
        below = floor(name)
        assert below is None or below <= own or any(name.startswith(a) for a in allowed), (
            f"{path} may not import {name}"
        )


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


@pytest.mark.parametrize("path", [p for p in FILES if floor(module_of(p)) == 0 or p in EVERYWHERE_BELOW])
def test_the_ground_floor_stands_on_four_packages(path: str) -> None:
    for name in imports(path):
        package = name.partition(".")[0]
        allowed = package in GROUND or package in sys.stdlib_module_names or (path, package) in BESIDE_GROUND
        assert allowed, f"{path} may not import {name}"


def test_owners_that_are_named_exist() -> None:
    for owner in (owner for owners in OWNERS.values() for owner in owners):
        assert (ROOT / owner).exists(), owner


IMPORT_BANET = """
import json, logging, os, random, sys, threading, warnings
import numpy, torch, yaml, safetensors.torch, torch.utils.checkpoint

blocked = json.loads(sys.argv[1])
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

before = state()
import banet, banet.config, banet.errors, banet.files, banet.image, banet.losses, banet.metrics, banet.model
import banet.parsing, banet.restore
after = state()
changed = [key for key in before if before[key] != after[key]]
assert not changed, changed

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
before = state()
from banet import baselines
from banet.data import archive, augmentation, benchmark, codec, download, mini, pixels, sampling, shards
from banet.data import synthesis, training
from banet.scoring import evaluation, folders, means, methods, pairing, resume, samples, scores, spread, table
from banet.study import pairs, record, server, statistics
after = state()
changed = [key for key in before if before[key] != after[key]]
assert not changed, changed
assert not {"ray", "mlflow", "prefect", "dvc"} & set(sys.modules)
print("done")
"""


def test_importing_banet_needs_four_packages_and_does_nothing(tmp_path: Path) -> None:
    blocked = [*OWNERS, "pandas", "scipy", "PIL"]
    result = subprocess.run(
        [sys.executable, "-P", "-c", IMPORT_BANET, json.dumps(blocked)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (0, "done\n"), result.stderr
    assert result.stderr == ""
    assert list(tmp_path.iterdir()) == []
