"""A model on disk: a folder with `model.safetensors` and `config.json`. Nothing is ever unpickled."""

import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

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
        ModelError: a file is missing or damaged, or the tensors are not those of the configuration.
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
    _check_tensors(tensors, model.state_dict(), folder / WEIGHTS)
    model.load_state_dict(tensors)
    return model.eval()


def _check_tensors(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor], file: Path) -> None:
    for name in sorted(wanted.keys() | found.keys()):
        if name not in found:
            raise ModelError(f"{file} lacks the tensor {name}: weights and {CONFIG} are not of one model")
        if name not in wanted:
            raise ModelError(f"{file} has a tensor {name} that {CONFIG} has no place for: they are not of one model")
        if found[name].shape != wanted[name].shape:
            shapes = f"{list(found[name].shape)}, not {list(wanted[name].shape)}"
            raise ModelError(f"{file}: {name} has the shape {shapes} as {CONFIG} says")
        if not torch.isfinite(found[name]).all():
            raise ModelError(f"{file}: {name} holds values that are not finite: the training diverged")
