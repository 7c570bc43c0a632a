"""One pass over a picture of any size in bounded memory: piece by piece, equal to the pass over the whole picture.

The network runs module by module over one buffer of features. A piece is computed from the features around it, as far
as the convolutions reach: its halo. Strips reach across the picture, so a pass of its own averages over them before
each module. The stem is computed again for the decoder, at full size.

Shapes: ``B`` batch, always 1, ``C`` channels, ``H`` rows and ``W`` columns of the features, half as many as the
picture's.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from banet.memory import is_too_little_memory
from banet.model.attention import StripConvolution
from banet.model.network import BANet, BlurAwareModule
from banet.model.strips import COLUMNS, ROWS, GlobalStrips, LocalStrips, StripGrid
from banet.progress import OnProgress
from banet.restoring.feature_map import Area, FeatureMap
from banet.restoring.strip_averages import StripAverages

SMALLEST = 16  # side of a piece that is not cut any more, places
HAVE_STRIPS = ("ba", "mksp", "sp")  # attentions

P = TypeVar("P", np.uint8, np.uint16, np.float32)


@torch.inference_mode()
def restore_in_pieces(
    model: BANet,
    picture: npt.NDArray[P],
    *,
    memory: int,
    folder: Path | None = None,
    on_progress: OnProgress = lambda done, total: None,
) -> npt.NDArray[P]:
    """Return the restored picture; it differs from the whole pass by what the order of sums changes.

    Where memory runs out all the same, pieces are halved.

    Args:
        model: any but one with self-attention, which compares all places with each other.
        picture: RGB (height, width, 3) of any size from 1x1 up: uint8 or uint16, or float32 in [0, 1], whose result is
            not clamped.
        memory: for the tensors of one piece, bytes; small pieces lose time with their halos.
        folder: holds the features between modules in a file; None: they are in the memory of the model's device.
        on_progress: is told how many places are done, all passes counted.

    Raises:
        DataError: fewer rows or columns than Eq. (2) needs, with `strip_windows` "fixed".
        ResourceError: the folder has too little space.
    """
    restored = np.empty_like(picture)
    _Pass(model, picture, memory, folder, on_progress).run(restored)
    return restored


def least_memory(model: BANet, height: int, width: int) -> int:
    """Return the memory of the smallest pieces that are made of a picture, bytes, see `restore_in_pieces`."""
    features = _no_features(model, height, width)
    grid = model._grid(features)
    sides = [(need, max(need.halo, SMALLEST) + 2 * need.halo) for need in needs(model, grid).values()]
    places = (n.numbers * min(side, features.shape[ROWS]) * min(side, features.shape[COLUMNS]) for n, side in sides)
    return max(places) * features.itemsize


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What one kind of pass over the features takes."""

    halo: int  # places around a piece
    numbers: int  # alive at a time, for each place of a piece with its halo


def needs(model: BANet, grid: StripGrid) -> dict[Literal["encode", "average", "transform", "decode"], Need]:
    """Return the needs of all passes: by the parts' kernels, and as measured (tests keep them so)."""
    S, C = model.config.stem_channels, model.config.channels
    local = max(len(axis.kernels) if isinstance(axis, LocalStrips) else 0 for axis in (grid.columns, grid.rows))
    parts = (model.stem, model.down, model.up, model.merge, model.output)
    stem, down, up, merge, output = (reach(part, grid) for part in parts)  # pixels
    (first, *_) = model.modules_
    return {
        "encode": Need(halo=-(-(stem + down) // 2), numbers=4 * (S + 6) + C),
        "average": Need(halo=reach(_module(first).input, grid), numbers=2 * C),
        "transform": Need(halo=reach(first, grid), numbers=(6 + 2 * local) * C),
        "decode": Need(halo=-(-(max(stem, up) + merge + output) // 2), numbers=4 * (4 * S + 9) + C),
    }


def reach(part: nn.Module | None, grid: StripGrid) -> int:
    """Return how far from its own place an output looks along either axis, by kernel sizes and dilations.

    Args:
        part: of the network, without self-attention.
        grid: its strips; those across an axis do not count, local ones do.
    """
    match part:
        case None:
            return 0
        case nn.Conv2d() | nn.ConvTranspose2d():
            return max(d * (k // 2) for d, k in zip(part.dilation, part.kernel_size, strict=True))
        case StripConvolution():
            return max(_strips_reach(axis) for axis in (grid.columns, grid.rows))
        case nn.ModuleList():  # side by side
            return max(reach(child, grid) for child in part)
        case BlurAwareModule():
            branches = max(reach(part.attention, grid), reach(part.content, grid))
            return reach(part.input, grid) + branches + reach(part.output, grid)
    return sum(reach(child, grid) for child in part.children())


def _strips_reach(axis: GlobalStrips | LocalStrips) -> int:
    """To the neighbouring strip and, of a local one, from its middle to its end."""
    half = -(-axis.window // min(axis.kernels)) // 2 + 1 if isinstance(axis, LocalStrips) else 0
    return max(axis.steps) + half


def _module(module: nn.Module) -> BlurAwareModule:
    assert isinstance(module, BlurAwareModule)  # noqa: S101  # a ModuleList does not know the type of its items
    return module


def _no_features(model: BANet, height: int, width: int) -> Tensor:
    """Features of a picture, of which the size, type and device alone count."""
    like = next(model.parameters())
    return like.new_empty(1).expand(1, model.config.channels, -(-height // 2), -(-width // 2))


class _Pass:
    """One picture's way through the network; see `restore_in_pieces`."""

    def __init__(
        self, model: BANet, picture: npt.NDArray[Any], memory: int, folder: Path | None, on_progress: OnProgress
    ) -> None:
        self.model, self.picture, self.memory = model, picture, memory
        self.like = _no_features(model, *picture.shape[:2])
        _, C, H, W = self.like.shape
        self.whole = Area(0, H, 0, W)
        self.grid = model._grid(self.like)
        self.needs = needs(model, self.grid)
        axes = {COLUMNS: self.grid.columns, ROWS: self.grid.rows} if model.config.attention in HAVE_STRIPS else {}
        self.across = {dim: strips for dim, strips in axes.items() if isinstance(strips, GlobalStrips)}
        margin = self.needs["transform"].halo
        self.features = FeatureMap((C, H, W), margin=margin, like=self.like, folder=folder)
        self.on_progress, self.done = on_progress, 0

    def run(self, restored: npt.NDArray[Any]) -> None:
        self._each(self._encode, self.needs["encode"])
        for module in self.model.modules_:
            self.features.turn()
            averages = {dim: StripAverages(strips, dim, self.like) for dim, strips in self.across.items()}
            if averages:
                self._each(partial(self._average, module, averages), self.needs["average"])
            self._each(partial(self._transform, module, averages), self.needs["transform"])
        self.features.turn()
        self._each(partial(self._decode, torch.from_numpy(restored)), self.needs["decode"])

    def _each(self, work: Callable[[Area, Area], None], need: Need, area: Area | None = None) -> None:
        """Call work(piece, piece with its halo) for all pieces of an area (None: the whole), in the features' order."""
        area = area or self.whole
        seen = area.widened(need.halo, self.whole)
        smallest = max(need.halo, SMALLEST)  # halves of less would see almost as much
        is_smallest = max(area.height, area.width) <= smallest
        size = seen.height * seen.width * need.numbers * self.like.itemsize
        if is_smallest or size <= self.memory:
            try:
                work(area, seen)
            except Exception as error:
                if is_smallest or not is_too_little_memory(error):
                    raise
            else:
                self._report(area)
                return
            self.memory = size // 2
        side = math.isqrt(self.memory // (need.numbers * self.like.itemsize)) - 2 * need.halo
        halves = area.halves(max(side, smallest))
        for half in reversed(halves) if self.features.backwards else halves:
            self._each(work, need, half)

    def _report(self, piece: Area) -> None:
        self.features.release()
        self.done += piece.height * piece.width
        passes = 2 + len(self.model.modules_) * (2 if self.across else 1)
        self.on_progress(self.done, passes * self.whole.height * self.whole.width)

    def _encode(self, piece: Area, seen: Area) -> None:
        features_BCHW = self.model.down(self.model.stem(self._pixels(seen) - 0.5))
        self.features.write(piece, piece.within(seen).cut(features_BCHW))

    def _average(self, module: nn.Module, averages: dict[int, StripAverages], piece: Area, seen: Area) -> None:
        f_BCHW = piece.within(seen).cut(_module(module).input(self.features.read(seen)))
        f_BCHW = f_BCHW.contiguous(memory_format=torch.channels_last)
        for axis in averages.values():
            axis.add(f_BCHW, piece)

    def _transform(self, module: nn.Module, averages: dict[int, StripAverages], piece: Area, seen: Area) -> None:
        grid = StripGrid(
            columns=averages[COLUMNS].of(seen) if COLUMNS in averages else self.grid.columns,
            rows=averages[ROWS].of(seen) if ROWS in averages else self.grid.rows,
        )
        self.features.write(piece, piece.within(seen).cut(module(self.features.read(seen), grid)))

    def _decode(self, restored_HW3: Tensor, piece: Area, seen: Area) -> None:
        model, x_BCHW = self.model, self._pixels(seen)
        both_BCHW = torch.cat([model.up(self.features.read(seen)), model.stem(x_BCHW - 0.5)], dim=1)
        y_BCHW = piece.within(seen).doubled().cut(x_BCHW.add_(model.output(model.merge(both_BCHW)))).float()
        out_HW3 = restored_HW3[2 * piece.top : 2 * piece.bottom, 2 * piece.left : 2 * piece.right]
        if not out_HW3.is_floating_point():
            most = torch.iinfo(out_HW3.dtype).max
            y_BCHW = (y_BCHW.clamp(0, 1) * most + 0.5).floor()  # half rounded up, as `to_image` does
        out_HW3.copy_(y_BCHW[0, :, : out_HW3.shape[0], : out_HW3.shape[1]].permute(1, 2, 0))

    def _pixels(self, seen: Area) -> Tensor:
        """The picture below these features in [0, 1], reflected where a side is odd, (B, 3, 2 H, 2 W)."""
        pixels = self.picture[2 * seen.top : 2 * seen.bottom, 2 * seen.left : 2 * seen.right]
        missing = [(0, 2 * seen.height - pixels.shape[0]), (0, 2 * seen.width - pixels.shape[1]), (0, 0)]
        x_HW3 = torch.from_numpy(np.pad(pixels, missing, mode="reflect")).to(self.like.device)
        most = 1.0 if x_HW3.is_floating_point() else torch.iinfo(x_HW3.dtype).max
        return (x_HW3.float() / most).permute(2, 0, 1).unsqueeze(0).to(self.like.dtype)
