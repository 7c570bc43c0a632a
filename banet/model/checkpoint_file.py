"""Finding the released network's tensors in a file, wherever a training program has put them; nothing is unpickled."""

import re
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from pickle import UnpicklingError  # raised by torch.load when it refuses a file; nothing is unpickled with it

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from banet.errors import ModelError

# Parts of names left by DataParallel and DDP, torch.compile, Lightning, FSDP and activation checkpointing.
_WRAPPERS = {"module", "_orig_mod", "_forward_module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
# Counters of profilers (thop), of batch norm and of averaged models.
_COUNTERS = {"total_ops", "total_params", "num_batches_tracked", "n_averaged"}
_RELEASED = re.compile(r"(?P<prefix>(?:.*?\.)?)(?:en_layer|BAM_|de_layer)\d")
_OURS = re.compile(r"(?:^|\.)(?:stem\.0|modules_\.0)\.")
_AVERAGED = re.compile(r"(?:^|[._])(?:ema|swa|avg|averaged?)(?:$|[._])", re.IGNORECASE)
_DEEPEST = 8  # containers inside containers; a file may hold a list that contains itself
_TOP = "."  # what `key` calls weights that are not nested
_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)

_MAGIC = (b"PK\x03\x04", b"\x80")  # of a zip archive (torch 1.6 and later) and of a pickle (before)
_OTHER_FILES = (  # how other files begin that are met in the place of a checkpoint
    (rb"version https://git-lfs", "is a Git LFS pointer, not the file itself: run `git lfs pull` in its repository"),
    (rb"\s*<", "is a web page, saved in place of the file: fetch it again, by hand where a page asks for a click"),
    (rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!|.{257}ustar", "is a packed archive: unpack it, and name the .pth inside"),
    (rb"$", "is empty: fetch it again"),
)


def read_tensors(file: Path, key: str | None, on_message: Callable[[str], None]) -> dict[str, Tensor]:
    """Read the tensors of one network by the released names, without prefixes and without counters.

    Args:
        file: of torch.save, or safetensors.
        key: which network, by the keys that lead to it joined by dots; None: an averaged one, else the first.
        on_message: called with a line that says which was taken, unless the tensors are all that the file holds.

    Raises:
        ModelError: the file cannot be read, holds code, or no such network.
    """
    content = _load(file)
    found = dict(_networks(content, file))
    if not found:
        raise ModelError(f"{file} {_what_else(content)}")
    if key is not None and key not in found:
        raise ModelError(f"{file} has no weights of the released network under {key}: choose from {', '.join(found)}")
    chosen = key or next((name for name in found if _AVERAGED.search(name)), next(iter(found)))
    others = [name for name in found if name != chosen]
    if others:
        on_message(f"took the weights under {chosen}; --key chooses others of the file: {', '.join(others)}")
    elif chosen != _TOP:
        on_message(f"took the weights under {chosen}")
    return {name: _checked(name, value, file) for name, value in found[chosen].items()}


def _load(file: Path) -> object:
    try:
        with file.open("rb") as stream:
            start = stream.read(512)
    except OSError as error:
        raise ModelError(f"{file} cannot be read ({error.strerror}): name a released .pth file") from None
    if start[4:9] == b"\0\0\0\0{":
        return _load_safetensors(file)
    if not start.startswith(_MAGIC):
        kinds = (what for begin, what in _OTHER_FILES if re.match(begin, start, re.DOTALL))
        raise ModelError(f"{file} {next(kinds, 'is not a PyTorch checkpoint: name a released .pth file')}")
    try:
        with warnings.catch_warnings(action="ignore"):  # about the file's age and kind; what matters is checked below
            return torch.load(file, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        found = re.search(r"(?:GLOBAL|class) ([\w.]+)", str(error))
        what = f" ({found[1]})" if found else ""
        raise ModelError(
            f"{file} holds code or Python objects{what}, so it was refused and nothing of it ran: "
            "get the weights alone, saved with torch.save(model.state_dict(), file)"
        ) from None
    except Exception:  # any bytes may follow the first four: torch's reader fails in many ways
        raise ModelError(f"{file} {_why_unreadable(file)}") from None


def _load_safetensors(file: Path) -> object:
    try:
        return load_file(file)
    except SafetensorError as error:
        raise ModelError(f"{file} is a damaged safetensors file ({error}): fetch it again") from None


def _why_unreadable(file: Path) -> str:
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
        if any(name.endswith("/constants.pkl") for name in names):
            return "is a TorchScript program: get its weights, saved with torch.save(model.state_dict(), file)"
        if not any(name.endswith("/data.pkl") for name in names):
            inside = next((name for name in names if name.endswith((".pth", ".pt", ".ckpt"))), "a .pth file, if any")
            return f"is a zip archive but no checkpoint: unpack it, and name {inside}"
    return "is cut off, damaged or not a PyTorch checkpoint: fetch it again"


def _networks(content: object, file: Path) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield the keys that lead to each released network inside the content, joined by dots, and its tensors by name."""
    for path, mapping in _mappings(content):
        plain = _plain_names(mapping, file)
        prefixes = {found["prefix"]: None for name in plain if (found := _RELEASED.match(name))}
        for prefix in prefixes:
            others = tuple(other for other in prefixes if other != prefix and other.startswith(prefix))
            own = (name for name in plain if name.startswith(prefix) and not (others and name.startswith(others)))
            yield (path + prefix).strip(".") or _TOP, {name.removeprefix(prefix): plain[name] for name in own}


def _mappings(content: object, path: str = "", depth: int = 0) -> Iterator[tuple[str, Mapping[object, object]]]:
    """Yield every mapping inside the content, itself first, after the keys and indices that lead to it: `states.0.`."""
    if isinstance(content, list | tuple):
        content = dict(enumerate(content))
    if isinstance(content, Mapping) and depth < _DEEPEST:
        yield path, content
        for key, value in content.items():
            yield from _mappings(value, f"{path}{key}.", depth + 1)


def _plain_names(content: Mapping[object, object], file: Path) -> dict[str, object]:
    """Tensors, and whatever stands where one should, by their names without wrappers; counters are left out."""
    plain: dict[str, object] = {}
    for key, value in content.items():
        parts = [part for part in str(key).split(".") if part not in _WRAPPERS] or [str(key)]
        name = ".".join(parts)
        if parts[-1] in _COUNTERS or not (isinstance(value, Tensor) or _RELEASED.match(name)):
            continue
        if name in plain:
            raise ModelError(f"{file} holds {name} twice, with and without module. or the like: keep one of the two")
        plain[name] = value
    return plain


def _checked(name: str, value: object, file: Path) -> Tensor:
    if not isinstance(value, Tensor):
        raise ModelError(f"{file}: {name} is of type {type(value).__name__}, not a tensor: save the weights alone")
    if value.dtype not in _DTYPES or value.layout is not torch.strided or value.device.type != "cpu":
        kind = f"{value.dtype}, {value.layout}, on {value.device}".replace("torch.", "")
        raise ModelError(f"{file}: {name} is a tensor of another kind ({kind}): save the weights as plain float32")
    return value.detach()


def _what_else(content: object) -> str:
    """Say what a file holds instead of a released network."""
    names = [
        f"{path}{name}"
        for path, mapping in _mappings(content)
        for name, value in mapping.items()
        if isinstance(value, Tensor) and isinstance(name, str)
    ]
    if not names:
        return "holds no tensors by name: save the weights with torch.save(model.state_dict(), file)"
    if any(_OURS.search(name) for name in names):
        return (
            "has names of this project's own network, not of the released one: "
            "name the folder with its model.safetensors and config.json wherever a model is asked for"
        )
    example = next((name for name in names if name.endswith((".weight", ".bias"))), names[0])
    return (
        f"holds {len(names)} tensors such as {example} and none with a name of the released network such as "
        "en_layer1.0.weight: take a released checkpoint of BANet or BANet+"
    )
