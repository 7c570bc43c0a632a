"""Custom data: where the pictures of each split are, in one of five layouts."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Literal

from banet.data.names import TEST, TRAIN
from banet.errors import ConfigError

CUSTOM = {  # layout: the keys that each split must have
    "folders": ("blurred", "sharp"),
    "list": ("list",),
    "table": ("table",),
    "frames": ("frames",),
    "photographs": ("photographs",),
}
OPTIONS = {"frames": ("average", "light"), "photographs": ("pairs",)}
NAMED_BY_FILES = ("folders", "list", "table")  # layouts that take sequences from the names of pictures

AVERAGE = 11  # frames, as in half of GoPro's clips and all of HIDE
MOST_AVERAGED = 1000  # frames; at 240 frames per second this is 4 s, longer than any exposure of a moving camera
PAIRS = 4  # per photograph and stratum

Domain = Literal["encoded", "linear"]
"""How frames are averaged: over encoded levels, like GoPro's `blur`, or in linear light, like its `blur_gamma`."""
Motion = Literal["walk", "arc"]
"""The camera's path over an exposure: a random walk, which turns back on itself, or a nearly straight arc."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomSplit:
    """Where the pictures of one split are; paths are absolute or relative to the checkout."""

    blurred: str | None = None  # folders: a folder of blurred pictures
    sharp: str | None = None  # folders: a folder with sharp pictures under the same relative paths
    list: str | None = None  # list: a file that names one pair per line
    table: str | None = None  # table: a Parquet file, or a folder of them
    frames: str | None = None  # frames: a folder of clips: videos, or subfolders of frames
    photographs: str | None = None  # photographs: a folder of sharp pictures
    average: int = AVERAGE  # frames: number of frames to average
    light: Domain = "encoded"  # frames: domain of the average
    pairs: int = PAIRS  # photographs: pairs per photograph and stratum

    def __post_init__(self) -> None:
        if not 2 <= self.average <= MOST_AVERAGED:
            raise ConfigError(f"average must be from 2 to {MOST_AVERAGED} frames, got {self.average}")
        if self.pairs < 1:
            raise ConfigError(f"pairs must be at least 1, got {self.pairs}")


def require_splits(
    layout: str, splits: Mapping[str, CustomSplit], test: Sequence[str] | None, sequence: str | None
) -> None:
    """Check the custom part of a manifest against its layout.

    Raises:
        ConfigError: names the wrong key.
    """
    if not splits or not {TRAIN, TEST}.issuperset(splits):
        raise ConfigError(f"splits must be {TRAIN}, {TEST} or both, got {list(splits)}")
    required, optional = CUSTOM[layout], OPTIONS.get(layout, ())
    for name, split in splits.items():
        given = {key.name for key in fields(split) if getattr(split, key.name) not in (key.default, "")}
        if not given.issuperset(required) or given.difference(required, optional):
            may = f", and may have {' and '.join(optional)}" if optional else ""
            found = " and ".join(sorted(given)) or "nothing"
            raise ConfigError(f"splits.{name} of the layout {layout} needs {' and '.join(required)}{may}; got {found}")
    if test is not None and (TRAIN not in splits or not test):
        raise ConfigError("test_sequences must name sequences of splits.train, or be left out")
    if TEST not in splits and test is None:
        raise ConfigError("there is nothing to test on: add splits.test, or test_sequences of splits.train")
    if sequence is not None:
        _require_pattern(layout, sequence)


def _require_pattern(layout: str, pattern: str) -> None:
    if layout not in NAMED_BY_FILES:
        raise ConfigError(f"sequence is for the layouts {', '.join(NAMED_BY_FILES)}, not {layout}")
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ConfigError(f"sequence {pattern!r} is not a regular expression ({error})") from None
    if groups != 1:
        raise ConfigError(f"sequence {pattern!r} must have one group, (...), got {groups}")
