"""`banet …`: for people who restore photographs, bring weights, or look into a model, and know nothing of stages."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from banet.cli_evaluate import add_evaluate
from banet.cli_registry import add_registry
from banet.cli_score import add_score
from banet.cli_study import add_study
from banet.cli_synthesize import add_synthesize
from banet.errors import BanetError, DataError, ModelError

if TYPE_CHECKING:
    from banet.model import BANet

MODEL_HELP = "a folder or a models:/ URI (default: the champion last promoted)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status: 0, 2 for bad input, 1 for a failure, each with one line."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    parsed = _parser().parse_args(arguments)
    try:
        parsed.command(parsed)
    except BanetError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    return 0


def deblur(
    photo: Path,
    out: Path,
    model: str | None,
    *,
    local_crop: int | None = None,
    parts: bool = False,
    winograd: bool = False,
) -> str:
    """Restore one picture of any size; return which model did it.

    Args:
        photo: PNG, JPEG, …, 8-bit RGB.
        out: gets the restored picture, in the format its ending names; a photograph is stored upright.
        model: a folder or a models:/ URI; the champion most recently promoted if None.
        local_crop: average strips over windows of a training crop of this side, pixels; as the model says if None.
        parts: restore eight sub-images apart, as SA* and BA* in Table 9.
        winograd: take Winograd's convolution, faster on cores of its own.

    Raises:
        BanetError: one line that names the file or the model.
    """
    from banet.data.codec import read_image, require_writable, write_image
    from banet.model import with_local_strips, with_winograd
    from banet.restore import restore, restore_in_parts

    image = read_image(photo)
    require_writable(out)
    network, source = _load(model)
    if local_crop is not None:
        network = with_local_strips(network, local_crop)
    if winograd:
        network = with_winograd(network)
    try:
        write_image(out, restore_in_parts(network, image) if parts else restore(network, image))
    except MemoryError:
        raise DataError(f"{photo} needs more memory than there is: make it smaller first") from None
    return source


def _deblur(parsed: argparse.Namespace) -> None:
    model = deblur(
        parsed.photo,
        parsed.out,
        parsed.model,
        local_crop=parsed.local_crop,
        parts=parsed.sub_images,
        winograd=parsed.winograd,
    )
    print(f"{parsed.out}: restored by {model}")


def _explain(parsed: argparse.Namespace) -> None:
    from banet.data.codec import read_image, require_writable, write_image
    from banet.explain import explain

    image = read_image(parsed.photo)
    require_writable(parsed.out)
    network, source = _load(parsed.model)
    try:
        write_image(parsed.out, explain(network, image, modules=parsed.modules))
    except MemoryError:
        raise DataError(f"{parsed.photo} needs more memory than there is: make it smaller first") from None
    print(f"{parsed.out}: what attention sees in {parsed.photo}, by {source}")


def _info(parsed: argparse.Namespace) -> None:
    import torch

    from banet.config import read_model_config
    from banet.model import BANet
    from banet.profile import describe, format_info

    if parsed.model and parsed.model.endswith((".yaml", ".yml")):
        network, source = BANet(read_model_config(Path(parsed.model))), f"{parsed.model}, weights at random"
    else:
        network, source = _load(parsed.model)
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

    network, source = _load(parsed.model)
    export_checkpoint(network, parsed.file)
    print(f"{parsed.file}: the weights of {source} under the released names, for BGR images")


def _load(model: str | None) -> tuple["BANet", str]:
    """The network and where it comes from; the champion most recently promoted if none is named."""
    from banet.tracking.load import load_model

    if model is None:
        from banet.tracking.registry import latest_champion
        from banet.tracking.store import connect

        model = latest_champion(connect()).uri
    return load_model(model), model


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="banet", description="Restore motion-blurred photographs.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Callable[..., None], text: str, *examples: str) -> argparse.ArgumentParser:
        added = commands.add_parser(
            name,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            epilog="\n".join(["examples:", *(f"  banet {name} {example}" for example in examples)]),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        added.set_defaults(command=command)
        return added

    _add_pictures(add)
    _add_models(add)
    add_synthesize(add, _size)
    add_registry(add)
    add_score(add)
    add_evaluate(add)
    add_study(add)
    return parser


def _add_pictures(add: Callable[..., argparse.ArgumentParser]) -> None:
    command = add(
        "deblur",
        _deblur,
        "restore one picture of any size",
        "photo.jpg sharp.png",
        "photo.jpg sharp.png --model models:/banet-mini@champion",
        "photo.jpg sharp.png --model models/candidate --local-crop 256",
    )
    _add_picture(command, "the restored picture, e.g. sharp.png")
    command.add_argument(
        "--local-crop", type=int, metavar="PIXELS", help="strips over windows of this side (docs/paper.md)"
    )
    command.add_argument("--sub-images", action="store_true", help="restore eight parts apart and put them together")
    command.add_argument("--winograd", action="store_true", help="fewer multiplications: faster on idle cores")

    command = add(
        "explain",
        _explain,
        "draw what attention sees in a picture: masks, attended features, strips",
        "photo.jpg attention.png",
        "photo.jpg attention.png --model models/candidate --modules 1,5,10",
    )
    _add_picture(command, "the sheet of panels, e.g. attention.png")
    command.add_argument("--modules", type=_numbers, help="numbers from 1, e.g. 1,5,10 (default: first, middle, last)")


def _add_picture(command: argparse.ArgumentParser, out: str) -> None:
    command.add_argument("photo", type=Path, help="the blurred picture: PNG, JPEG, …")
    command.add_argument("out", type=Path, help=out)
    command.add_argument("--model", help=MODEL_HELP)


def _add_models(add: Callable[..., argparse.ArgumentParser]) -> None:
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
    command.add_argument("--size", type=_size, default=(256, 256), help="of the timed image, HxW (default: 256x256)")

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


def _numbers(text: str) -> list[int]:
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} are no numbers: write 1,5,10") from None


def _size(text: str) -> tuple[int, int]:
    try:
        height, width = (int(side) for side in text.split("x"))
    except ValueError:
        height = width = 0
    if min(height, width) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no size: write height x width, 720x1280")
    return height, width


if __name__ == "__main__":
    sys.exit(main())
