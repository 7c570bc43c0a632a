"""Packing weights as an MLflow pyfunc model that runs where nothing of this repository is installed.

A version's modules are a package of a name of its own, `banet_<digest of the code>`: MLflow puts the `code/` of every
version on `sys.path`, and of two packages called `banet` the second would run the modules of the first.
"""

import io
import logging
import shutil
import sys
import tokenize
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

from banet.closure import ROOT, closure, code_digest, digest_of
from banet.errors import ModelError
from banet.image import Image
from banet.model.digest import CONFIG, WEIGHTS

WEIGHTS_INSIDE = "artifacts/weights"  # where a saved model keeps them
CODE_INSIDE = "code"
HOUSE = "banet"
PROGRAM = Path(__file__).with_name("pyfunc_model.py")
_PROGRAM = PROGRAM.relative_to(ROOT).as_posix()
_FACE = f"{HOUSE}/__init__.py"  # public names, most of which a version does not carry: left empty
# At the installed versions, pyarrow by mlflow; MLflow would take 18 s to infer them.
REQUIREMENTS = ("mlflow", "numpy", "opencv-python-headless", "pillow", "pyyaml", "safetensors", "torch", "tqdm")

Sources = Mapping[str, str]
"""The text of each file, by its path from the root of this repository."""


def workspace_sources() -> Sources:
    """The files that a version made here would carry."""
    files = (file for file in closure(PROGRAM) if file.parts[0] == HOUSE)
    texts = {file.as_posix(): (ROOT / file).read_text(encoding="utf-8") for file in files}
    return texts | {_FACE: ""}


def saved_sources(model: Path) -> Sources:
    """The files that a saved model carries, under the names that they had when they were packed.

    Raises:
        ModelError: they are gone.
    """
    try:
        (package,) = (folder for folder in (model / CODE_INSIDE).iterdir() if folder.is_dir())
        texts = {
            f"{HOUSE}/{file.relative_to(package).as_posix()}": file.read_text(encoding="utf-8")
            for file in package.rglob("*.py")
        }
        texts[_PROGRAM] = (model / PROGRAM.name).read_text(encoding="utf-8")
    except (OSError, ValueError):
        raise ModelError("its code is gone or damaged") from None
    return {file: text.replace(package.name, HOUSE) for file, text in texts.items()} | {_FACE: ""}


def digests(sources: Sources) -> dict[str, str]:
    """SHA-256 of the code of each file; comments, docstrings and layout do not count."""
    return {file: code_digest(text) for file, text in sources.items() if file != _FACE}


def save_pyfunc(weights: Path, folder: Path, *, model_id: str, run_id: str) -> Path:
    """Write the model below `folder`, which is empty; return its own folder.

    `weights` holds `model.safetensors` and `config.json`; `model_id` is MLflow's logged model that this becomes.
    """
    parts = folder / "parts"
    (parts / "weights").mkdir(parents=True)
    for name in (CONFIG, WEIGHTS):
        shutil.copyfile(weights / name, parts / "weights" / name)
    program = parts / PROGRAM.name
    package = _write(workspace_sources(), parts, program)
    saved = folder / "model"
    with _no_advice(), _importable(package):  # MLflow runs the program once
        from mlflow.models import Model
        from mlflow.pyfunc import save_model  # importing it already gives the advice

        save_model(
            path=str(saved),
            mlflow_model=Model(model_id=model_id, run_id=run_id),
            python_model=str(program),
            artifacts={"weights": str(parts / "weights")},
            code_paths=[str(package)],
            model_config={"device": "cpu"},
            pip_requirements=[f"{name}=={version(name).partition('+')[0]}" for name in REQUIREMENTS],
        )
    for cache in list(saved.rglob("__pycache__")):
        shutil.rmtree(cache)
    return saved


def open_saved(model: Path, device: str) -> Callable[[Image], Image]:
    """Load a saved model, with the code that it carries; return what restores an image with it.

    The files must stay as long as it is used. A model saved before packages had names of their own gets one.

    Raises:
        ModelError: its code is gone, or does not run; also raised when an image cannot be restored.
    """
    if (model / CODE_INSIDE / HOUSE).is_dir():
        sources = saved_sources(model)
        shutil.rmtree(model / CODE_INSIDE / HOUSE)
        _write(sources, model / CODE_INSIDE, model / PROGRAM.name)
    with _no_advice():
        from mlflow.pyfunc import load_model

        try:
            held = load_model(str(model), model_config={"device": device})
        except Exception as error:  # whatever its code raises
            raise ModelError(f"its code does not run here ({_first_line(error)})") from error

    def restoring(image: Image) -> Image:
        try:
            restored: Image = held.predict(image)
        except Exception as error:
            # An error of the version's own package is another class than ours of the same name.
            expected = any(kind.__name__ == "BanetError" for kind in type(error).__mro__)
            if not expected:
                raise
            raise ModelError(_first_line(error)) from None
        return restored

    return restoring


def _write(sources: Sources, folder: Path, program: Path) -> Path:
    """Write the package into `folder` and the program that uses it; return the package's folder."""
    name = f"{HOUSE}_{digest_of(digests(sources))[:12]}"
    files = (file.removesuffix(".py").removesuffix("/__init__") for file in sources if file != _FACE)
    modules = {file.replace("/", ".") for file in files}
    for file, text in sources.items():
        target = program if file == _PROGRAM else folder / name / file.removeprefix(f"{HOUSE}/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_renamed(text, name, modules), encoding="utf-8")
    return folder / name


def _renamed(source: str, name: str, modules: Collection[str]) -> str:
    """The program with `banet` called `name`, in imports and in texts that name a module, for `import_module`."""
    lines = list(io.StringIO(source))
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    for before, token in reversed(list(pairwise(tokens))):
        as_name = token.type == tokenize.NAME and token.string == HOUSE and before.string != "."
        as_text = token.type == tokenize.STRING and token.string[1:-1] in modules
        if as_name or as_text:
            row, start = token.start[0] - 1, token.start[1] + token.string.index(HOUSE)
            lines[row] = lines[row][:start] + name + lines[row][start + len(HOUSE) :]
    return "".join(lines)


@contextmanager
def _importable(package: Path) -> Iterator[None]:
    """Let a package be imported from its folder, which will be deleted, and forget it afterwards."""
    known = set(sys.modules)
    sys.path.insert(0, str(package.parent))
    try:
        yield
    finally:
        sys.path.remove(str(package.parent))
        for name in sys.modules.keys() - known:
            if name.partition(".")[0] == package.name:
                del sys.modules[name]


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


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
