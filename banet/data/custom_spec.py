"""Custom data: where the pictures of each split are, in one of five sorts."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Literal

from banet.data.names import TEST, TRAIN
from banet.errors import ConfigError

CUSTOM = {  # layout: what each split names
    "folders": ("blurred", "sharp"),
    "list": ("list",),
    "table": ("table",),
    "frames": ("frames",),
    "photographs": ("photographs",),
}
OPTIONS = {"frames": ("average", "light"), "photographs": ("pairs",)}
NAMED_BY_FILES = ("folders", "list", "table")  # layouts whose sequences come from names of pictures

AVERAGE = 11  # frames, as in half of GoPro's clips and all of HIDE
MOST_AVERAGED = 1000  # frames; 4 s at 240 a second are no exposure of a moving camera
PAIRS = 4  # of each photograph and stratum

Domain = Literal["encoded", "linear"]
"""In what frames are averaged: their encoded levels, GoPro's `blur`, or linear light, its `blur_gamma`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomSplit:
    """Where the pictures of one split are; each is a path on this machine, relative to the checkout or absolute."""

    blurred: str | None = None  # folders: a folder of blurred pictures
    sharp: str | None = None  # folders: a folder with a sharp picture of the same relative path for each
    list: str | None = None  # list: a file that names a pair a line
    table: str | None = None  # table: a Parquet file, or a folder of them
    frames: str | None = None  # frames: a folder of clips: videos, or subfolders of frames
    photographs: str | None = None  # photographs: a folder of sharp pictures
    average: int | None = None  # frames: how many are averaged; AVERAGE unless given
    light: Domain | None = None  # frames: `encoded` unless given
    pairs: int | None = None  # photographs: pairs of each and each stratum; PAIRS unless given

    def __post_init__(self) -> None:
        if self.average is not None:
            require_average(self.average)
        if self.pairs is not None and self.pairs < 1:
            raise ConfigError(f"pairs must be at least 1, got {self.pairs}")


def require_average(count: int) -> None:
    """Check how many frames are averaged.

    Raises:
        ConfigError: less than two, or more than any exposure takes.
    """
    if not 2 <= count <= MOST_AVERAGED:
        raise ConfigError(f"average must be from 2 to {MOST_AVERAGED} frames, got {count}")


def require_splits(
    layout: str, splits: Mapping[str, CustomSplit] | None, test: Sequence[str] | None, sequence: str | None
) -> None:
    """Check what a manifest says of custom data against its layout.

    Raises:
        ConfigError: names the key.
    """
    if not splits or not {TRAIN, TEST}.issuperset(splits):
        raise ConfigError(f"splits must be {TRAIN}, {TEST} or both, got {list(splits or ())}")
    required, optional = CUSTOM[layout], OPTIONS.get(layout, ())
    for name, split in splits.items():
        given = {key.name for key in fields(split) if getattr(split, key.name) not in (None, "")}
        if not given.issuperset(required) or given.difference(required, optional):
            may = f", and may have {' and '.join(optional)}" if optional else ""
            found = " and ".join(sorted(given)) or "nothing"
            raise ConfigError(f"splits.{name} of the layout {layout} has {' and '.join(required)}{may}; got {found}")
    if test is not None and (TRAIN not in splits or not test):
        raise ConfigError("test_sequences must name sequences of splits.train, or be left out")
    if TEST not in splits and test is None:
        raise ConfigError("nothing is left to be scored: add splits.test, or test_sequences of splits.train")
    if sequence is not None:
        _require_pattern(layout, sequence)


def _require_pattern(layout: str, pattern: str) -> None:
    if layout not in NAMED_BY_FILES:
        raise ConfigError(f"sequence is for the layouts {', '.join(NAMED_BY_FILES)}, not {layout}")
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ConfigError(f"sequence {pattern!r} is no regular expression ({error})") from None
    if groups != 1:
        raise ConfigError(f"sequence {pattern!r} must have one group, (...), got {groups}")
