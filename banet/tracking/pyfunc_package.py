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

WEIGHTS_INSIDE = "artifacts/weights"  # where a saved model keeps them
PROGRAM = Path(__file__).with_name("pyfunc_model.py")
# At the installed versions; MLflow would take 18 s to infer them.
REQUIREMENTS = ("mlflow", "numpy", "opencv-python-headless", "pillow", "pyyaml", "safetensors", "torch")


def save_pyfunc(weights: Path, folder: Path, *, model_id: str, run_id: str) -> Path:
    """Write the model below `folder`, which is empty; return its own folder.

    `weights` holds `model.safetensors` and `config.json`; `model_id` is MLflow's logged model that this becomes.
    """
    parts = folder / "parts"
    (parts / "weights").mkdir(parents=True)
    for name in (CONFIG, WEIGHTS):
        shutil.copyfile(weights / name, parts / "weights" / name)
    for file in closure(PROGRAM):
        if file.parts[0] == "banet" and ROOT / file != PROGRAM:
            (parts / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / file, parts / file)
    saved = folder / "model"
    with _no_advice():
        from mlflow.models import Model
        from mlflow.pyfunc import save_model  # importing it already gives the advice

        save_model(
            path=str(saved),
            mlflow_model=Model(model_id=model_id, run_id=run_id),
            python_model=str(PROGRAM),
            artifacts={"weights": str(parts / "weights")},
            code_paths=[str(parts / "banet")],
            model_config={"device": "cpu"},
            pip_requirements=[f"{name}=={version(name).partition('+')[0]}" for name in REQUIREMENTS],
        )
    for cache in list(saved.rglob("__pycache__")):
        shutil.rmtree(cache)
    return saved


@contextmanager
def _no_advice() -> Iterator[None]:
    """Silence MLflow's advice to give a signature more specific than "any" (an array or bytes)."""
    log = logging.getLogger("mlflow.types.type_hints")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        # Recorded as well, because MLflow adds filters of its own.
        with warnings.catch_warnings(record=True, action="ignore"):
            yield
    finally:
        log.setLevel(level)
