"""The model that a command takes, and sizes in its options."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from banet.model import BANet

MODEL_HELP = "a folder or a models:/ URI (default: the champion last promoted)"


def load_source(model: str | None) -> tuple["BANet", str]:
    """The network and where it comes from; the champion most recently promoted if none is named."""
    from banet.tracking.load import load_model

    if model is None:
        from banet.tracking.registry import latest_champion
        from banet.tracking.store import connect

        model = latest_champion(connect()).uri
    return load_model(model), model


def size(text: str) -> tuple[int, int]:
    """Read height x width, pixels."""
    try:
        height, width = (int(side) for side in text.split("x"))
    except ValueError:
        height = width = 0
    if min(height, width) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no size: write height x width, 720x1280")
    return height, width
