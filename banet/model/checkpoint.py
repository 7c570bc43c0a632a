"""Reading and writing the released checkpoints (`.pth`): their names, their BGR order; nothing is unpickled.

The released networks take and give BGR; ours take and give RGB. Reversing the input channels of the first convolution
and the output channels of the last, once, here, saves reversing every image.
"""

import io
import re
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from pickle import UnpicklingError  # raised by torch.load when it refuses a file; nothing is unpickled with it
from typing import Any

import torch
from torch import Tensor

from banet.errors import ConfigError, ModelError
from banet.files import write_atomically
from banet.model.network import BANet
from banet.model.network_config import BANetConfig
from banet.model.weights import require_finite, require_same_tensors

# Released name -> ours, layer by layer in the order of the released files; `_MODULE` once per blur-aware module.
_ENCODER = {"en_layer1.0": "stem.0", "en_layer2.0": "down.0"}
_MODULE = {
    "input_conv": "input.0",
    "content_conv_d1": "content.0.branches.0",
    "content_conv_d3": "content.0.branches.1",
    "content_conv_d5": "content.0.branches.2",
    "content_conv_d1_2": "content.3.branches.0",
    "content_conv_d3_2": "content.3.branches.1",
    "content_conv_d5_2": "content.3.branches.2",
    "fuse_conv_1": "content.1",
    "final_conv": "output",
    "BA.conv_1_h": "attention.pooling.strips.0.vertical",
    "BA.conv_1_w": "attention.pooling.strips.0.horizontal",
    "BA.conv_3": "attention.pooling.strips.1.vertical",
    "BA.conv_5": "attention.pooling.strips.2.vertical",
    "BA.conv_7": "attention.pooling.strips.3.vertical",
    "BA.fuse_conv": "attention.pooling.fusion",
    "BA.conv_final": "attention.pooling.mask",
    "BA.mask_conv_1": "attention.refinement.0",
    "BA.mask_conv_2": "attention.refinement.2",
}
_DECODER = {"de_layer1.0": "up.0", "de_layer2.0": "merge.0", "de_layer3.0": "output"}
_WITHOUT_BIAS = ("BA.conv_1_h", "BA.conv_1_w", "BA.conv_3", "BA.conv_5", "BA.conv_7", "BA.fuse_conv")
_COLOUR_DIMENSION = {"en_layer1.0.weight": 1, "de_layer3.0.weight": 0, "de_layer3.0.bias": 0}  # BGR there, RGB here

# The first dimension of these tensors is a width of the network.
_WIDTHS = {
    "stem_channels": "en_layer1.0.weight",
    "channels": "en_layer2.0.weight",
    "fusion_channels": "BAM_1.BA.fuse_conv.weight",
}
_RELEASED = (BANetConfig(), BANetConfig(name="banet_plus", channels=192, fusion_channels=192))
_RELEASED_WIRING = ("attention", "content", "kernels", "fusion_kernel", "strip_windows")  # at BANetConfig's defaults
_REMEDY = f"take a released checkpoint of BANet or BANet+ (the widths are read from {', '.join(_WIDTHS.values())})"

_PREFIX = "module."  # left by DataParallel
_STATES = ("model_state", "model_state_dict", "state_dict")  # where a whole training state keeps the weights
_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
_MAGIC = (b"PK\x03\x04", b"\x80")  # of a zip archive (torch 1.6 and later) and of a pickle (before)


def released_names(modules: int) -> dict[str, str]:
    """Released name -> ours, for every tensor of a network of so many modules, in the order of the released files."""
    repeated = {
        f"BAM_{k}.{old}": f"modules_.{k - 1}.{new}" for k in range(1, modules + 1) for old, new in _MODULE.items()
    }
    return {
        f"{old}.{part}": f"{new}.{part}"
        for old, new in (_ENCODER | repeated | _DECODER).items()
        for part in ("weight", "bias")
        if part == "weight" or not old.endswith(_WITHOUT_BIAS)
    }


def import_checkpoint(file: Path) -> BANet:
    """Read a released `.pth` file, in evaluation mode, on the CPU, for RGB.

    Names may carry the prefix ``module.``; a whole training state with the weights under ``model_state`` is read too.
    The configuration is read from the tensors' shapes. Weights in float16, bfloat16 or float64 become float32.

    Raises:
        ModelError: the file cannot be read, holds code, or its tensors are not those of a released network.
    """
    tensors = _tensors(_load(file), file)
    config = _read_config(tensors, file)
    with torch.device("meta"):  # shapes alone: the values come from the file
        model = BANet(config)
    names, wanted = released_names(config.modules), model.state_dict()
    require_same_tensors(tensors, {name: wanted[ours] for name, ours in names.items()}, file, remedy=_REMEDY)
    tensors = {name: tensors[name].to(torch.float32) for name in names}
    require_finite(tensors, file)
    copies = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
    model.load_state_dict({ours: _reverse_colours(name, copies[name]) for name, ours in names.items()}, assign=True)
    return model.eval()


def export_checkpoint(model: BANet, file: Path) -> None:
    """Write the weights under the released names, for BGR; the file is written whole or not at all.

    A `local_crop` is no part of the weights and is not stored.

    Raises:
        ModelError: the released networks have no such parts, a value is not finite, or the file cannot be written.
    """
    for key in _RELEASED_WIRING:
        ours, released = getattr(model.config, key), getattr(BANetConfig(), key)
        if ours != released:
            differs = f"{key} {ours}, the released networks have {released}"
            raise ModelError(f"{file} cannot be written: the model has {differs}; keep it as a model folder")
    state, names = model.state_dict(), released_names(model.config.modules)
    tensors = {name: _reverse_colours(name, state[ours].detach().cpu()).contiguous() for name, ours in names.items()}
    require_finite(tensors, file)
    content = io.BytesIO()
    torch.save({_PREFIX + name: tensor for name, tensor in tensors.items()}, content)
    try:
        write_atomically(file, content.getvalue())
    except OSError as error:
        raise ModelError(f"{file} cannot be written ({error.strerror}): name another file") from None


def _load(file: Path) -> object:
    try:
        with file.open("rb") as stream:
            start = stream.read(4)
    except OSError as error:
        raise ModelError(f"{file} cannot be read ({error.strerror}): name a released .pth file") from None
    if not start.startswith(_MAGIC):
        raise ModelError(f"{file} is not a PyTorch checkpoint: name a released .pth file")
    try:
        with warnings.catch_warnings(action="ignore"):  # about the file's age and kind; what matters is checked below
            return torch.load(file, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f" ({found[1]})" if found else ""
        raise ModelError(
            f"{file} holds code or Python objects{what}, so it was refused and nothing of it ran: "
            "get the weights alone, saved with torch.save(model.state_dict(), file)"
        ) from None
    except Exception:  # any bytes may follow the first four: torch's reader fails in many ways
        raise ModelError(f"{file} is cut off, damaged or not a PyTorch checkpoint: fetch it again") from None


def _tensors(content: object, file: Path) -> dict[str, Tensor]:
    """The tensors of the state dict in the file, their names without the prefix."""
    if isinstance(content, Mapping):
        content = next((content[key] for key in _STATES if isinstance(content.get(key), Mapping)), content)
    if not isinstance(content, Mapping) or not any(isinstance(value, Tensor) for value in content.values()):
        raise ModelError(f"{file} holds no tensors by name: save the weights with torch.save(model.state_dict(), file)")
    tensors: dict[str, Tensor] = {}
    for key, value in content.items():
        name = str(key).removeprefix(_PREFIX)
        if name in tensors:
            raise ModelError(f"{file} holds {name} twice, with and without {_PREFIX}: keep one of the two")
        if not isinstance(value, Tensor):
            raise ModelError(f"{file}: {name} is of type {type(value).__name__}, not a tensor: save the weights alone")
        if value.dtype not in _DTYPES or value.layout is not torch.strided or value.device.type != "cpu":
            kind = f"{value.dtype}, {value.layout}, on {value.device}".replace("torch.", "")
            raise ModelError(f"{file}: {name} is a tensor of another kind ({kind}): save the weights as plain float32")
        tensors[name] = value.detach()
    return tensors


def _read_config(tensors: Mapping[str, Tensor], file: Path) -> BANetConfig:
    """The released configuration of these widths and number of modules, or one of its own, named "imported"."""
    found: dict[str, Any] = {
        "modules": len({name.partition(".")[0] for name in tensors if name.startswith("BAM_")}) or 1
    }
    for key, name in _WIDTHS.items():
        if name in tensors and tensors[name].dim():  # what is missing or has another shape is reported later
            found[key] = tensors[name].shape[0]
    try:
        config = BANetConfig(name="imported", **found)
    except ConfigError as error:
        raise ModelError(f"{file}: {error}: {_REMEDY}") from None
    return next((known for known in _RELEASED if replace(config, name=known.name) == known), config)


def _reverse_colours(name: str, tensor: Tensor) -> Tensor:
    return tensor.flip(_COLOUR_DIMENSION[name]) if name in _COLOUR_DIMENSION else tensor
