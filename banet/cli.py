"""`banet …`: for people who restore photographs and know nothing of stages."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from banet.errors import BanetError, DataError

EPILOG = """examples:
  banet deblur photo.jpg sharp.png
  banet deblur photo.jpg sharp.png --model models:/banet-mini@champion
  banet deblur photo.jpg sharp.png --model models/candidate
"""


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


def deblur(photo: Path, out: Path, model: str | None) -> str:
    """Restore one picture of any size; return which model did it.

    Args:
        photo: PNG, JPEG, ….
        out: gets the restored picture, in the format its ending names; a photograph is stored upright.
        model: a folder or a models:/ URI; the champion most recently promoted if None.

    Raises:
        BanetError: one line that names the file or the model.
    """
    from banet.data.codec import read_image, require_writable, write_image
    from banet.restore import restore
    from banet.tracking.load import load_model
    from banet.tracking.registry import latest_champion
    from banet.tracking.store import connect

    image = read_image(photo)
    require_writable(out)
    if model is None:
        model = latest_champion(connect()).uri
    network = load_model(model)
    try:
        write_image(out, restore(network, image))
    except MemoryError:
        raise DataError(f"{photo} needs more memory than there is: make it smaller first") from None
    return model


def _deblur(parsed: argparse.Namespace) -> None:
    model = deblur(parsed.photo, parsed.out, parsed.model)
    print(f"{parsed.out}: restored by {model}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="banet", description="Restore motion-blurred photographs.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser(
        "deblur",
        help="restore one picture",
        description="Restore one picture of any size.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("photo", type=Path, help="the blurred picture: PNG, JPEG, …")
    command.add_argument("out", type=Path, help="the restored picture, e.g. sharp.png")
    command.add_argument("--model", help="a folder or a models:/ URI (default: the champion last promoted)")
    command.set_defaults(command=_deblur)
    return parser


if __name__ == "__main__":
    sys.exit(main())
