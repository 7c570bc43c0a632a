"""`banet deblur` and `banet explain`: one picture through a network."""

import argparse
from collections.abc import Callable
from pathlib import Path

from banet.commands.source import MODEL_HELP, load_source
from banet.errors import DataError


def add_restore(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add both commands to a parser."""
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
    network, source = load_source(model)
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
    network, source = load_source(parsed.model)
    try:
        write_image(parsed.out, explain(network, image, modules=parsed.modules))
    except MemoryError:
        raise DataError(f"{parsed.photo} needs more memory than there is: make it smaller first") from None
    print(f"{parsed.out}: what attention sees in {parsed.photo}, by {source}")


def _numbers(text: str) -> list[int]:
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} are no numbers: write 1,5,10") from None
