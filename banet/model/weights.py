"""A model on disk: a folder with `model.safetensors` and `config.json`. Nothing is ever unpickled."""

import json
import os
import shlex
from collections.abc import Iterable, Mapping, Set
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from banet.errors import ModelError
from banet.files import write_atomically
from banet.model.digest import CONFIG, WEIGHTS, read_part, weights_digest
from banet.model.network import BANet
from banet.model.network_config import BANetConfig
from banet.parsing import parse

_CHECKPOINTS = (".pth", ".pth.tar", ".pt", ".ckpt", ".bin", ".safetensors")


def save_weights(model: BANet, folder: Path) -> str:
    """Write weights and configuration of the model into the folder; return their digest."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    write_atomically(folder / CONFIG, (json.dumps(asdict(model.config), indent=2) + "\n").encode())
    write_atomically(folder / WEIGHTS, save(tensors))
    return weights_digest(folder)


def load_weights(folder: Path) -> BANet:
    """Read a model written by `save_weights`, in evaluation mode, on the CPU.

    Raises:
        ModelError: a file is missing or damaged, or its tensors do not fit the configuration or are not finite.
    """
    try:
        config = read_part(folder, CONFIG)
    except ModelError as error:
        raise _no_model(folder) or error from None
    try:
        values = json.loads(config)
    except ValueError as error:
        raise ModelError(f"{folder / CONFIG} is not JSON ({error}): write the model again") from None
    model = BANet(parse(BANetConfig, values, where=str(folder / CONFIG)))
    try:
        tensors = load(read_part(folder, WEIGHTS))
    except SafetensorError as error:
        raise ModelError(f"{folder / WEIGHTS} is damaged ({error}): fetch or train the model again") from None
    remedy = f"weights and {CONFIG} must be of one model"
    require_same_tensors(tensors, model.state_dict(), folder / WEIGHTS, remedy=remedy)
    require_finite(tensors, folder / WEIGHTS)
    model.load_state_dict(tensors)
    return model.eval()


def _no_model(folder: Path) -> ModelError | None:
    """Say what to do where a checkpoint or another file stands in the place of a model folder."""
    is_file = os.path.isfile(folder)  # noqa: PTH113  # Path's raises where a parent may not be entered
    files = [folder] if is_file else sorted(folder.glob("*"))
    found = next((file for file in files if file.name.endswith(_CHECKPOINTS) and file.name != WEIGHTS), None)
    if found:
        command = f"banet import-checkpoint {shlex.quote(str(found))} NEW_FOLDER"
        return ModelError(f"{found} is a checkpoint, not yet a model: `{command}` makes one, then name NEW_FOLDER")
    if is_file:
        remedy = f"name its folder, {folder.parent}" if folder.name in (CONFIG, WEIGHTS) else "name such a folder"
        return ModelError(f"{folder} is a file, and a model is a folder with {CONFIG} and {WEIGHTS}: {remedy}")
    return None


def require_same_tensors(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], file: Path, *, remedy: str) -> None:
    """Raise ModelError unless a file has the tensors of a model, by name and shape."""
    missing, unknown = wanted.keys() - found.keys(), found.keys() - wanted.keys()
    if missing or unknown:
        lacks = f"lacks {_first(missing, wanted)}" if missing else ""
        has = f"has {_first(unknown, found)} that the network has no place for" if unknown else ""
        raise ModelError(f"{file} {' and '.join(part for part in (lacks, has) if part)}: {remedy}")
    for name, tensor in found.items():
        if tensor.shape != wanted[name].shape:
            shapes = f"{list(tensor.shape)}, not {list(wanted[name].shape)}"
            raise ModelError(f"{file}: {name} has the shape {shapes}: {remedy}")


def _first(names: Set[str], order: Iterable[str]) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"the tensor {next(name for name in order if name in names)}{more}"


def require_finite(tensors: Mapping[str, Tensor], file: Path) -> None:
    """Raise ModelError where a tensor of a file, by name, has a value that is not finite."""
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise ModelError(f"{file}: {name} holds NaN or infinite values: take weights from before training diverged")
