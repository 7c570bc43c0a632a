"""`banet synthesize`: its options, and how they choose between frames and photographs."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from banet.commands.source import size
from banet.errors import ConfigError

if TYPE_CHECKING:
    from banet.data.own_data import Plan


def add_synthesize(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    command = add(
        "synthesize",
        _synthesize,
        "make blurred and sharp pairs of high-speed frames or of sharp photographs, in GoPro's layout",
        "clips pairs --average 11",
        "video.mp4 pairs.zip --average 7 --light linear",
        "photographs pairs --pairs 8 --seed 1",
    )
    command.add_argument(
        "input",
        type=Path,
        help="a folder of clips (videos, folders of frames), a video, or a folder of sharp photographs",
    )
    command.add_argument("out", type=Path, help="a new folder, or a ZIP if it ends in .zip")
    command.add_argument("--split", default="train", choices=("train", "test"), help="default: train")
    frames = command.add_argument_group("frames")
    frames.add_argument(
        "--average", type=int, metavar="N", help="blur is the average of N frames, sharp the middle one"
    )
    frames.add_argument(
        "--light",
        choices=("encoded", "linear"),
        help="average levels, GoPro's blur, or light, its blur_gamma (default: encoded)",
    )
    photographs = command.add_argument_group("photographs")
    photographs.add_argument(
        "--pairs", type=int, help="of each photograph and each of three lengths of blur (default: 4)"
    )
    photographs.add_argument("--seed", type=int, help="the same seed makes the same pairs (default: 0)")
    photographs.add_argument("--size", type=size, help="of each picture, HxW (default: 256x256)")


def _synthesize(parsed: argparse.Namespace) -> None:
    from banet.data.frames import QUIET_DECODER
    from banet.data.synthesize import require_new, write
    from banet.progress import StatusLine

    os.environ.setdefault(*QUIET_DECODER)
    require_new(parsed.out)
    _require_fitting(parsed)
    plan = _photographs(parsed) if parsed.average is None else _frames(parsed)
    line = StatusLine(str(parsed.out), sys.stderr)
    try:
        done = write(plan, parsed.out, report=line.count)
    finally:
        line.close()
    print(f"{parsed.out}: {done} pairs")


def _require_fitting(parsed: argparse.Namespace) -> None:
    names, sort = (
        (("light",), "frames: add --average N")
        if parsed.average is None
        else (("pairs", "seed", "size"), "photographs: leave out --average")
    )
    for name in names:
        if getattr(parsed, name) is not None:
            raise ConfigError(f"--{name} is for {sort}")


def _frames(parsed: argparse.Namespace) -> "Plan":
    from banet.data.synthesize import frames_plan

    return frames_plan(parsed.input, parsed.split, average=parsed.average, light=parsed.light or "encoded")


def _photographs(parsed: argparse.Namespace) -> "Plan":
    from dataclasses import replace

    from banet.data.benchmark import SynthesisParams
    from banet.data.splits import PAIRS
    from banet.data.synthesize import photographs_plan

    params = SynthesisParams(seed=parsed.seed or 0)
    if parsed.size is not None:
        params = replace(params, height=parsed.size[0], width=parsed.size[1])
    pairs = PAIRS if parsed.pairs is None else parsed.pairs
    return photographs_plan(parsed.input, parsed.split, params, pairs=pairs)
