"""`banet info`, `import-checkpoint` and `export-checkpoint`: what a network costs, and its weights elsewhere."""

import argparse
from collections.abc import Callable
from pathlib import Path

from banet.commands.source import MODEL_HELP, load_source, size
from banet.errors import ModelError


def add_weights(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the three commands to a parser."""
    command = add(
        "info",
        _info,
        "say what a model costs: parameters, GMACs, receptive field, memory, latency",
        "models/candidate",
        "conf/model/banet_plus.yaml",
        "models:/banet-mini@champion --device cuda --dtype bfloat16 --size 720x1280",
    )
    command.add_argument("model", nargs="?", help=f"{MODEL_HELP}, or a file of conf/model/")
    command.add_argument(
        "--device", default="cpu", help="where to measure the latency: cpu, cuda, cuda:1 (default: cpu)"
    )
    command.add_argument(
        "--dtype", default="float32", choices=("float32", "bfloat16", "float16"), help="default: float32"
    )
    command.add_argument("--size", type=size, default=(256, 256), help="of the timed image, HxW (default: 256x256)")

    command = add(
        "import-checkpoint",
        _import_checkpoint,
        "make a model of a checkpoint that the authors released",
        "BANet.pth models/released",
    )
    command.add_argument("file", type=Path, help="the .pth file; nothing in it is unpickled but weights")
    command.add_argument("out", type=Path, help="a new folder for weights and configuration")

    command = add(
        "export-checkpoint",
        _export_checkpoint,
        "write a model as a checkpoint that the released code reads",
        "models/candidate BANet.pth",
    )
    command.add_argument("model", help="a folder or a models:/ URI")
    command.add_argument("file", type=Path, help="the .pth file")


def _info(parsed: argparse.Namespace) -> None:
    import torch

    from banet.config import read_model_config
    from banet.model import BANet
    from banet.profile import describe, format_info

    if parsed.model and parsed.model.endswith((".yaml", ".yml")):
        network, source = BANet(read_model_config(Path(parsed.model))), f"{parsed.model}, weights at random"
    else:
        network, source = load_source(parsed.model)
    info = describe(network, device=parsed.device, dtype=getattr(torch, parsed.dtype), latency_size=parsed.size)
    print(f"{source}\n{format_info(info)}")


def _import_checkpoint(parsed: argparse.Namespace) -> None:
    from banet.files import whole_folder
    from banet.model import import_checkpoint, save_weights

    if parsed.out.exists() and (not parsed.out.is_dir() or any(parsed.out.iterdir())):
        raise ModelError(f"{parsed.out} is there already: name a new folder, or remove it first")
    network = import_checkpoint(parsed.file)
    try:
        with whole_folder(parsed.out) as folder:
            digest = save_weights(network, folder)
    except OSError as error:
        raise ModelError(f"{parsed.out} cannot be written ({error.strerror}): name another folder") from None
    config = network.config
    print(f"{parsed.out}: {config.name}, {config.modules} modules of {config.channels} channels, digest {digest[:12]}")


def _export_checkpoint(parsed: argparse.Namespace) -> None:
    from banet.model import export_checkpoint

    network, source = load_source(parsed.model)
    export_checkpoint(network, parsed.file)
    print(f"{parsed.file}: the weights of {source} under the released names, for BGR images")
