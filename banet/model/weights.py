"""A model on disk: a folder with `model.safetensors` and `config.json`. Nothing is ever unpickled."""

import json
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
        values = json.loads(read_part(folder, CONFIG))
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
