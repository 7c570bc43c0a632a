"""The released checkpoints (`.pth`) in and out: their names, their BGR order, and nothing of them unpickled.

The released networks take and give BGR; ours take and give RGB. The first convolution's input channels and the last
one's output channels are reversed once, here, so that no image has to be.
"""

import io
import re
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from pickle import UnpicklingError  # what torch.load raises where it refuses; nothing is unpickled with it

import torch
from torch import Tensor

from banet.errors import ConfigError, ModelError
from banet.files import write_atomically
from banet.model.network import BANet
from banet.model.network_config import BANetConfig

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

_PREFIX = "module."  # left by DataParallel
_STATES = ("model_state", "model_state_dict", "state_dict")  # where a whole training state keeps the weights
_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
_MAGIC = (b"PK\x03\x04", b"\x80")  # of a zip archive (torch 1.6 and later) and of a pickle (before)


def released_names(modules: int) -> dict[str, str]:
    """Released name -> ours of every tensor of a network with so many modules, in the order of the released files."""
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
    The configuration is read off the tensors' shapes. Weights in float16, bfloat16 or float64 become float32.

    Raises:
        ModelError: the file cannot be read, holds code, or its tensors are not those of a released network.
    """
    values = _by_released_name(_load(file), file)
    modules = _count_modules(values, file)
    names = released_names(modules)
    _check_names(values, names, file)
    tensors = {name: _tensor(values[name], name, file) for name in names}
    config = _read_config(tensors, modules, file)
    with torch.device("meta"):  # shapes alone: the values come from the file
        model = BANet(config)
    wanted = model.state_dict()
    _check_shapes(tensors, {name: wanted[ours] for name, ours in names.items()}, config, file)
    state = {ours: _as_float32(tensors[name], name, file) for name, ours in names.items()}
    model.load_state_dict(state, assign=True)
    return model.eval()


def export_checkpoint(model: BANet, file: Path, *, prefix: str = _PREFIX) -> None:
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
    state = model.state_dict()
    tensors = {}
    for name, ours in released_names(model.config.modules).items():
        tensor = _reverse_colours(name, state[ours].detach().cpu()).contiguous()
        _require_finite(tensor, name, file)
        tensors[prefix + name] = tensor
    content = io.BytesIO()
    torch.save(tensors, content)
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
        raise ModelError(f"{file} is no PyTorch checkpoint: name a released .pth file")
    try:
        with warnings.catch_warnings(action="ignore"):  # of the file's age and kind; what matters is checked below
            return torch.load(file, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f" ({found[1]})" if found else ""
        raise ModelError(
            f"{file} holds code or Python objects{what}, so it was refused and nothing of it ran: "
            "get the weights alone, saved with torch.save(model.state_dict(), file)"
        ) from None
    except Exception:  # any bytes may follow the first four: torch's reader fails in many ways
        raise ModelError(f"{file} is cut off, damaged or no PyTorch checkpoint: fetch it again") from None


def _by_released_name(content: object, file: Path) -> dict[str, object]:
    """The entries of the state dict in the file, their names without the prefix."""
    if isinstance(content, Mapping):
        content = next((content[key] for key in _STATES if isinstance(content.get(key), Mapping)), content)
    if not isinstance(content, Mapping) or not any(isinstance(value, Tensor) for value in content.values()):
        raise ModelError(f"{file} holds no tensors by name: save the weights with torch.save(model.state_dict(), file)")
    values: dict[str, object] = {}
    for key, value in content.items():
        name = str(key).removeprefix(_PREFIX)
        if name in values:
            raise ModelError(f"{file} holds {name} twice, with and without {_PREFIX}: keep one of the two")
        values[name] = value
    return values


def _count_modules(values: Mapping[str, object], file: Path) -> int:
    numbers = {int(found[1]) for name in values if (found := re.match(r"BAM_([1-9]\d{0,3})\.", name))}
    for k in range(1, len(numbers) + 1):
        if k not in numbers:
            raise ModelError(f"{file} has BAM_{max(numbers)} but no BAM_{k}: take a file with all of its modules")
    return max(1, len(numbers))


def _check_names(values: Mapping[str, object], names: Mapping[str, str], file: Path) -> None:
    missing = [name for name in names if name not in values]
    unknown = [name for name in values if name not in names]
    if missing or unknown:
        lacks = f"lacks {_first(missing)}" if missing else ""
        has = f"has {_first(unknown)} that BANet has no place for" if unknown else ""
        found = " and ".join(part for part in (lacks, has) if part)
        raise ModelError(f"{file} {found}: take a released checkpoint of BANet or BANet+")


def _first(names: list[str]) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"the tensor {names[0]}{more}"


def _tensor(value: object, name: str, file: Path) -> Tensor:
    if not isinstance(value, Tensor):
        raise ModelError(f"{file}: {name} is of type {type(value).__name__}, not a tensor: save the weights alone")
    if value.dtype not in _DTYPES or value.layout is not torch.strided or value.device.type != "cpu":
        kind = f"{value.dtype}, {value.layout}, on {value.device}".replace("torch.", "")
        raise ModelError(f"{file}: {name} is a tensor of another kind ({kind}): save the weights as plain float32")
    return value.detach()


def _read_config(tensors: Mapping[str, Tensor], modules: int, file: Path) -> BANetConfig:
    stem, channels, fusion = (tensors[name].shape[0] if tensors[name].dim() else 0 for name in _WIDTHS.values())
    try:
        config = BANetConfig(
            name="imported", stem_channels=stem, channels=channels, modules=modules, fusion_channels=fusion
        )
    except ConfigError as error:
        sources = ", ".join(_WIDTHS.values())
        raise ModelError(f"{file}: {error} (read off {sources}): take a file of a released network") from None
    return next((known for known in _RELEASED if replace(config, name=known.name) == known), config)


def _check_shapes(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor], config: BANetConfig, file: Path) -> None:
    for name, tensor in tensors.items():
        if tensor.shape != wanted[name].shape:
            shapes = f"{list(tensor.shape)}, not {list(wanted[name].shape)}"
            widths = ", ".join(f"{key} {getattr(config, key)} ({source})" for key, source in _WIDTHS.items())
            raise ModelError(f"{file}: {name} has the shape {shapes} as {widths} ask: take a file of one network")


def _as_float32(tensor: Tensor, name: str, file: Path) -> Tensor:
    """A copy of its own, for RGB."""
    tensor = _reverse_colours(name, tensor).to(torch.float32, copy=True, memory_format=torch.contiguous_format)
    _require_finite(tensor, name, file)
    return tensor


def _reverse_colours(name: str, tensor: Tensor) -> Tensor:
    return tensor.flip(_COLOUR_DIMENSION[name]) if name in _COLOUR_DIMENSION else tensor


def _require_finite(tensor: Tensor, name: str, file: Path) -> None:
    if not torch.isfinite(tensor).all():
        raise ModelError(f"{file}: {name} holds NaN or infinite values: take weights from before training diverged")
