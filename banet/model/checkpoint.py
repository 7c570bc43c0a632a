"""Reading and writing the released checkpoints (`.pth`): their names, their BGR order; nothing is unpickled.

The released networks take and give BGR; ours take and give RGB. Reversing the input channels of the first convolution
and the output channels of the last, once, here, saves reversing every image.
"""

import io
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from banet.errors import ConfigError, ModelError
from banet.files import write_atomically
from banet.model.checkpoint_file import read_tensors
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

_PREFIX = "module."  # of DataParallel, as in the released files


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


def import_checkpoint(
    file: Path, *, key: str | None = None, on_message: Callable[[str], None] = lambda line: None
) -> BANet:
    """Read a checkpoint with the released names, in evaluation mode, on the CPU, for RGB.

    The weights may be nested in a training state, and their names may carry prefixes of DataParallel, torch.compile and
    the like. The configuration is read from the tensors' shapes. Weights in other float types become float32.

    Args:
        file: of torch.save, or safetensors.
        key: which weights, where the file holds several, e.g. params_ema; by default averaged ones, else the first.
        on_message: called with a line that says which weights were taken, unless the file holds nothing else.

    Raises:
        ModelError: the file cannot be read, holds code, or its tensors are not those of a released network.
    """
    tensors = read_tensors(file, key, on_message)
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
