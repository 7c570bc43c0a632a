"""Packing weights as an MLflow pyfunc model that runs where nothing of this repository is installed."""

import logging
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from banet.closure import ROOT, closure
from banet.model.digest import CONFIG, WEIGHTS
from banet.tracking.store import no_progress_bar

WEIGHTS_INSIDE = "artifacts/weights"  # where a saved model keeps them
PROGRAM = Path(__file__).with_name("pyfunc_model.py")
REQUIREMENTS = ("mlflow", "numpy", "opencv-python-headless", "pyyaml", "safetensors", "torch")


def save_pyfunc(weights: Path, folder: Path, *, model_id: str, run_id: str) -> Path:
    """Write the model under `folder` and return where.

    Args:
        weights: a folder with `model.safetensors` and `config.json`.
        folder: an empty folder.
        model_id: MLflow's logged model that this becomes.
        run_id: the run that made the weights.
    """
    parts = folder / "parts"
    (parts / "weights").mkdir(parents=True)
    for name in (CONFIG, WEIGHTS):
        shutil.copyfile(weights / name, parts / "weights" / name)
    _copy_code(parts)
    saved = folder / "model"
    with no_progress_bar(), _no_advice():
        from mlflow.models import Model
        from mlflow.pyfunc import save_model  # it gives the advice to itself, when it is imported

        save_model(
            path=str(saved),
            mlflow_model=Model(model_id=model_id, run_id=run_id),
            python_model=str(PROGRAM),
            artifacts={"weights": str(parts / "weights")},
            code_paths=[str(parts / "banet")],
            model_config={"device": "cpu"},
            pip_requirements=requirements(),
        )
    for cache in list(saved.rglob("__pycache__")):
        shutil.rmtree(cache)
    return saved


def requirements() -> list[str]:
    """What the model needs, at the installed versions (MLflow takes 18 s to infer as much)."""
    return [f"{name}=={version(name).partition('+')[0]}" for name in REQUIREMENTS]


@contextmanager
def _no_advice() -> Iterator[None]:
    """Let the signature be "any" (an array or bytes) without MLflow's advice to be more specific."""
    log = logging.getLogger("mlflow.types.type_hints")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        # Recorded too, because MLflow sets filters of its own on top of this one.
        with warnings.catch_warnings(record=True, action="ignore"):
            yield
    finally:
        log.setLevel(level)


def _copy_code(folder: Path) -> None:
    for file in closure(PROGRAM):
        if file.parts[0] == "banet" and ROOT / file != PROGRAM:
            target = folder / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / file, target)
