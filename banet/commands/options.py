"""Values that several commands take, and the model that they name."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter, Token, validators

if TYPE_CHECKING:
    from banet.model.network import BANet

DEMO = "banet-mini"  # the registered model of the embedded benchmark
Positive = Annotated[int, Parameter(validator=validators.Number(gte=1))]


def _size(_: object, tokens: Sequence[Token]) -> tuple[int, int]:
    text = tokens[0].value
    height, times, width = text.partition("x")
    if not (times and height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise ValueError(f"{text!r} is no size: write height x width, 720x1280.")
    return int(height), int(width)


def _shown(size: tuple[int, int] | None) -> str | None:
    return f"{size[0]}x{size[1]}" if size else None


Size = Annotated[tuple[int, int], Parameter(converter=_size, n_tokens=1, metavar="HxW", show_default=_shown)]
"""Height and width, pixels."""


def load_source(model: str | None) -> tuple["BANet", str]:
    """Load a model from a folder or a models:/ URI, the champion last promoted if None; return where it is from too.

    A line on standard error says what the demo's model is not made for.

    Raises:
        BanetError: there is no such model, or it cannot be loaded.
    """
    from banet.tracking.load import load_model

    if model is None:
        from banet.tracking.registry import latest_champion
        from banet.tracking.store import connect

        model = latest_champion(connect()).uri
    network = load_model(model)
    if model.removeprefix("models:").lstrip("/").startswith((f"{DEMO}/", f"{DEMO}@")):
        what = f"note: {model} was trained on a small synthetic benchmark"
        print(f"{what}: `banet pull banet-gopro --champion` brings weights for real photographs", file=sys.stderr)
    return network, model
