"""Values that several commands take, and the model that they name."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

from cyclopts import Parameter, Token, validators

from banet.model.digest import weights_digest

if TYPE_CHECKING:
    from banet.model.network import BANet

STANDARD = "-"  # input or output
DEMO = "banet-mini"  # the registered model of the embedded benchmark
_SIZES = re.compile(r"(\d+(?:\.\d+)?) ?([kMGT])(i?)B?", re.IGNORECASE)
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


def _memory(_: object, tokens: Sequence[Token]) -> int:
    text = tokens[0].value
    found = _SIZES.fullmatch(text)
    if found is None or not float(found[1]):
        raise ValueError(f"{text!r} is no size of memory: write 2GiB or 500MB.")
    return int(float(found[1]) * (1024 if found[3] else 1000) ** ("kmgt".index(found[2].lower()) + 1))


MemorySize = Annotated[int, Parameter(converter=_memory, n_tokens=1, metavar="SIZE")]
"""Bytes."""


def _no_option(_: object, value: str) -> None:
    if value.startswith("-") and value != STANDARD:
        raise ValueError(f"Unknown option: {value}.")


Place = Annotated[str, Parameter(allow_leading_hyphen=True, validator=_no_option)]
"""A file or folder, or `STANDARD`."""


class NamedModel(NamedTuple):
    """A model, and where it is from."""

    network: "BANet"
    name: str  # its folder, or the address of its version in the registry
    digest: str  # of its weights


def load_source(model: str | None) -> NamedModel:
    """Load a model from a folder or a models:/ URI, the champion last promoted if None.

    A line on standard error says what the demo's model is not made for.

    Raises:
        BanetError: there is no such model, or it cannot be loaded.
    """
    from banet.tracking.load import find_registered, load_model

    if model is not None and not model.startswith("models:"):
        network = load_model(model)
        return NamedModel(network, model, weights_digest(Path(model)))
    if model is None:
        from banet.tracking.registry import latest_champion
        from banet.tracking.store import connect

        version = latest_champion(connect())
    else:
        _, version = find_registered(model)
    network = load_model(version.uri)
    if version.name == DEMO:
        what = f"note: {version.uri} was trained on a small synthetic benchmark"
        print(f"{what}: `banet pull banet-gopro --champion` brings weights for real photographs", file=sys.stderr)
    return NamedModel(network, version.uri, version.digest)


def numbers(_: object, tokens: Sequence[Token]) -> list[int]:
    """Convert an option such as 1,5,10."""
    text = tokens[0].value
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise ValueError(f"{text!r} is no list of numbers: write 1,5,10.") from None
