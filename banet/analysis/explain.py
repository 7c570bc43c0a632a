"""A picture of what attention sees: masks, attended features and strip maps of chosen modules (Figs. 5 to 8).

Shapes: ``B`` batch, ``C`` channels, ``H`` rows and ``W`` columns of the features, ``n`` strips.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from banet.errors import ConfigError, DataError, ModelError
from banet.image import Image, require_image
from banet.inference import SMALLEST, to_tensor
from banet.model.network import BANet
from banet.model.strips import StripGrid

Map = npt.NDArray[np.float32]  # one value a place, (H, W)
Line = list[tuple[str, Map]]  # panels side by side: what each shows, and the map

AFTER = {"ba": "MKSP + AR", "mksp": "MKSP", "sp": "SP", "ar": "AR", "sa": "self-attention"}  # what the features passed
CHANNELS = 5  # single channels drawn a module
FAINT = 0.1  # channels that vary less than this share of the liveliest are not drawn
CLIPPED = 0.01  # share of a map's values beyond either end of its colours
WIDE, NOTES = 1760, 600  # most of a line of panels, width of the words beside the photograph, pixels
PHOTO = 656, 480  # box of the photograph at the head, pixels (width, height)
PANEL, CELL = 320, 176  # longer side of a panel, least width of its caption, pixels
MARGIN, GAP = 36, 16  # pixels
WHITE, RULE, GREY, INK = 255, 205, 110, 20  # grey levels
COLOURS = cv2.COLORMAP_INFERNO  # lightness rises evenly: it reads alike in grey


@dataclass(frozen=True, slots=True, eq=False)
class ModuleView:
    """What the attention of one module did with one image; a part that the network does not have is None or empty."""

    number: int  # of the module, from 1
    attention: str  # the configuration's: ba, mksp, sp, ar or sa
    features: Map  # what attention was given: mean magnitude over channels
    pooling_mask: Map | None  # mask of MKSP or SP, mean over channels, in (0, 1): Fig. 5
    pooled: Map | None  # mean magnitude between MKSP and AR: Fig. 6c
    refinement_mask: Map | None  # f_AR of Eq. (5), mean over channels, in (0, 1)
    attended: Map  # what attention gave: mean magnitude over channels, Figs. 6d and 7
    strips: dict[int, Map]  # y^n of Eq. (4) by n, mean over channels
    channels: dict[int, Map]  # attended features by channel, from 0, unlike ones: Fig. 8


def explain(model: BANet, image: Image, *, modules: Sequence[int] | None = None) -> Image:
    """Draw what attention sees in an image: uint8 RGB in, a sheet of panels, uint8 RGB, out.

    Args:
        model: a network with attention, any variant of it.
        image: uint8 RGB (H, W, 3), from 8x8 up.
        modules: numbers from 1; the first, the middle and the last if None.

    Raises:
        BanetError: what `observe` refuses.
    """
    count = model.config.modules
    views = observe(model, image, (1, (count + 1) // 2, count) if modules is None else modules)
    chosen = ", ".join(str(view.number) for view in views)
    return draw(image, views, title=f"What attention sees: {model.config.name}, modules {chosen} of {count}")


def observe(model: BANet, image: Image, modules: Sequence[int]) -> tuple[ModuleView, ...]:
    """Run the network once and keep what the attention of the chosen modules did, in the order of their choice.

    Raises:
        DataError: not a uint8 RGB image, or smaller than 8x8.
        ConfigError: a module that the network does not have.
        ModelError: a network without attention, or one whose features are not finite.
    """
    H, W = require_image(image).shape[:2]
    if min(H, W) < SMALLEST:
        raise DataError(f"the image is {H}x{W} (height x width), the network restores from {SMALLEST}x{SMALLEST} up")
    numbers = _require_modules(model, modules)
    parameter = next(model.parameters())
    with torch.inference_mode(), ExitStack() as hooks:  # the stack removes its hooks whatever happens
        recorders = [_Recorder(model, n, hooks) for n in numbers]
        model(to_tensor(image).to(device=parameter.device, dtype=parameter.dtype))
    views = tuple(ModuleView(**recorder.parts) for recorder in recorders)
    for view in views:
        if not all(np.isfinite(part).all() for line in _lines(view) for _, part in line):
            raise ModelError(f"module {view.number} gives values that are not finite: try float32, or other weights")
    return views


def draw(image: Image, views: Sequence[ModuleView], *, title: str = "What attention sees") -> Image:
    """Draw the image at the head and a block of panels a module: the way through attention, strips, single channels.

    Every panel has its own scale; the values that are drawn darkest and brightest stand below it.
    """
    size = _fit(image, PANEL, PANEL)
    cell = max(size[0], CELL)
    columns = (WIDE + GAP) // (cell + GAP)
    tables = [_wrapped(_lines(view), columns) for view in views]
    columns = max(len(line) for table in tables for line in table)
    width = max(columns * (cell + GAP) - GAP, _fit(image, *PHOTO)[0] + 2 * GAP + NOTES)
    blocks = [_head(image, views[0].features.shape, title)]
    for view, table in zip(views, tables, strict=True):
        panels = [_join([_panel(name, part, size, cell) for name, part in line], 1, GAP) for line in table]
        heading = _join([_blank(1, width, RULE), _text(f"Module {view.number}", width, scale=0.7)], 0, GAP // 2)
        blocks.append(_join([heading, *panels], 0, GAP))
    margins = (MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)
    return np.pad(_join(blocks, 0, 2 * GAP), margins, constant_values=WHITE)


class _Recorder:
    """Hooks on one attention that reduce at once what they see; inputs before the call, which may work in place."""

    def __init__(self, model: BANet, number: int, hooks: ExitStack) -> None:
        config, self._hooks = model.config, hooks
        self.parts: dict[str, Any] = dict.fromkeys(("pooling_mask", "pooled", "refinement_mask"))
        self.parts |= {"number": number, "attention": config.attention, "strips": {}}
        attention = model.get_submodule(f"modules_.{number - 1}.attention")
        pooling, refinement = getattr(attention, "pooling", None), getattr(attention, "refinement", None)
        self._before(attention, lambda x_BCHW: self.parts.update(features=_mean(x_BCHW.abs())))
        self._after(attention, self._attended)
        if pooling is not None:
            self._after(pooling, lambda mask_BCHW: self.parts.update(pooling_mask=_mean(mask_BCHW)))
            self._hooks.callback(pooling.register_forward_pre_hook(self._keep_grid).remove)
            sp = config.attention == "sp"
            strips = zip((1,) if sp else config.kernels, [pooling.strip] if sp else pooling.strips, strict=True)
            for kernel, (n, strip) in enumerate(strips):
                self._after(strip, lambda pair, kernel=kernel, n=n: self._strips(pair, kernel, n))
        if refinement is not None:
            self._after(refinement, lambda mask_BCHW: self.parts.update(refinement_mask=_mean(mask_BCHW)))
            if pooling is not None:
                self._before(refinement, lambda x_BCHW: self.parts.update(pooled=_mean(x_BCHW.abs())))

    def _keep_grid(self, _: nn.Module, inputs: tuple[Tensor, StripGrid]) -> None:
        self._grid = inputs[1]

    def _strips(self, pair: tuple[Tensor, Tensor], kernel: int, n: int) -> None:
        """Keep the mean over channels of y^n, Eq. (4), taken on the strips: it commutes with spreading them."""
        yv, yh = (y.mean(dim=1, keepdim=True) for y in pair)
        self.parts["strips"][n] = _mean(self._grid.spread(yv, yh, kernel))

    def _attended(self, x_BCHW: Tensor) -> None:
        self.parts |= {"attended": _mean(x_BCHW.abs()), "channels": _unlike_channels(x_BCHW[0].float())}

    def _before(self, module: nn.Module, keep: Callable[[Tensor], None]) -> None:
        self._hooks.callback(module.register_forward_pre_hook(lambda _, inputs: keep(inputs[0])).remove)

    def _after(self, module: nn.Module, keep: Callable[..., None]) -> None:
        self._hooks.callback(module.register_forward_hook(lambda _, __, output: keep(output)).remove)


def _require_modules(model: BANet, modules: Sequence[int]) -> list[int]:
    """The chosen numbers, each once, if the network has these modules and attention in them."""
    config = model.config
    if config.attention == "none":
        raise ModelError(f"{config.name} has no attention (model.attention: none): choose a model that has it")
    if not modules:
        raise ConfigError(f"no module is chosen: name some of 1 to {config.modules}")
    for number in modules:
        if not 1 <= number <= config.modules:
            raise ConfigError(f"there is no module {number} in {config.name}: choose from 1 to {config.modules}")
    return list(dict.fromkeys(modules))


def _mean(x_BCHW: Tensor) -> Map:
    return np.asarray(x_BCHW[0].mean(dim=0, dtype=torch.float32).cpu().numpy(), dtype=np.float32)


def _unlike_channels(x_CHW: Tensor) -> dict[int, Map]:
    """Up to CHANNELS channels: the one that varies most, then each time the one least correlated with those chosen."""
    x_CN = x_CHW.flatten(1)
    spread_C, likeness_CC = x_CN.std(dim=1).cpu(), torch.corrcoef(x_CN).nan_to_num().cpu()
    left_C = (spread_C > 0) & (spread_C >= FAINT * spread_C.max())
    chosen: list[int] = []
    while len(chosen) < CHANNELS and left_C.any():
        worst_C = likeness_CC[:, chosen].amax(dim=1) if chosen else -spread_C
        chosen.append(int(worst_C.masked_fill(~left_C, torch.inf).argmin()))
        left_C[chosen[-1]] = False
    return {channel: _mean(x_CHW[None, [channel]]) for channel in chosen}


def _lines(view: ModuleView) -> list[Line]:
    """The panels of one module, line by line, with their names."""
    pooling = "SP" if view.attention == "sp" else "MKSP"
    way = [
        ("before attention", view.features),
        (f"{pooling} mask", view.pooling_mask),
        (f"after {pooling}", view.pooled),
        ("AR mask", view.refinement_mask),
        (f"after {AFTER[view.attention]}", view.attended),
    ]
    strips = [(f"strips, n = {n}", part) for n, part in view.strips.items()]
    channels = [(f"attended channel {channel}", part) for channel, part in view.channels.items()]
    return [line for line in ([(name, part) for name, part in way if part is not None], strips, channels) if line]


def _wrapped(lines: list[Line], columns: int) -> list[Line]:
    """The lines cut to the number of columns, or joined where both have room."""
    wrapped: list[Line] = [[]]
    for line in lines:
        parts = [line[i : i + columns] for i in range(0, len(line), columns)]
        if len(wrapped[-1]) + len(parts[0]) <= columns:
            parts[0] = wrapped.pop() + parts[0]
        wrapped += parts
    return wrapped


def _head(image: Image, features: tuple[int, ...], title: str) -> Image:
    """The photograph, and beside it what the panels are and how their colours are to be read."""
    ramp = _colours(np.linspace(0, 1, 240, dtype=np.float32)[None], (240, 14))
    scale = [_text("low", NOTES, level=GREY), ramp, _text("high", NOTES, level=GREY)]
    notes = [
        f"Photograph {image.shape[1]} x {image.shape[0]} pixels; features {features[1]} x {features[0]}.",
        "",
        "Masks and strips (y of Eq. 4): mean over channels. Features before",
        "and after: mean magnitude over channels. Single channels: those of",
        "the attended features that are least alike.",
        "",
        "Each panel has its own colours, from the first number below it (dark)",
        f"to the second (bright); {CLIPPED:.0%} of its places lie beyond either.",
    ]
    words = [_text(title, NOTES, scale=0.7), _blank(4, 1), *(_text(note, NOTES, level=GREY) for note in notes)]
    words.append(_join(scale, 1, 10))
    return _join([_scaled(image, _fit(image, *PHOTO)), _join(words, 0, 2)], 1, 2 * GAP)


def _panel(name: str, part: Map, size: tuple[int, int], cell: int) -> Image:
    """One map in colours, its name and its range below."""
    words = [_text(name, cell), _text(_range(part), cell, level=GREY)]
    return _join([_colours(part, size), *words, _blank(1, cell)], 0, 3)


def _ends(part: Map) -> tuple[float, float]:
    """The values that are drawn darkest and brightest; clipping keeps the zeros padded at a border from ruling."""
    low, high = np.quantile(part, [CLIPPED, 1 - CLIPPED])
    return (float(low), float(high)) if high > low else (float(part.min()), float(part.max()))


def _range(part: Map) -> str:
    """Both ends, with two digits of what lies between them."""
    low, high = _ends(part)
    digits = 1 - math.floor(math.log10(high - low)) if high > low else 9
    return f"{low:.3g} to {high:.3g}" if digits > 6 else f"{low:z.{max(digits, 0)}f} to {high:z.{max(digits, 0)}f}"


def _colours(part: Map, size: tuple[int, int]) -> Image:
    """The map in colours, (width, height) pixels; an even map is dark."""
    low, high = _ends(part)
    least = max(1e-5 * max(abs(low), abs(high)), 1e-30)  # so that rounding errors are not blown up to a pattern
    steps = (_scaled(part, size) - low) / max(high - low, least) * 255
    painted = cv2.applyColorMap(np.clip(np.rint(steps), 0, 255).astype(np.uint8), COLOURS)
    return np.asarray(cv2.cvtColor(painted, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _scaled(part: Image | Map, size: tuple[int, int]) -> npt.NDArray[Any]:
    """The picture or map at (width, height): averaged when it shrinks, its own pixels when it grows."""
    smaller = size[0] < part.shape[1] or size[1] < part.shape[0]
    return np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_NEAREST))


def _fit(image: Image, width: int, height: int) -> tuple[int, int]:
    """The largest (width, height) within the box that keeps the image's aspect ratio."""
    H, W = image.shape[:2]
    scale = min(width / W, height / H)
    return max(round(W * scale), 1), max(round(H * scale), 1)


def _text(words: str, width: int, *, scale: float = 0.5, level: int = INK) -> Image:
    """One line of words, cut to the width; OpenCV's letters are ASCII."""
    font = cv2.FONT_HERSHEY_SIMPLEX
    while words and cv2.getTextSize(words, font, scale, 1)[0][0] > width - 2:
        words = words[:-1]
    line = _blank(round(40 * scale), cv2.getTextSize(words, font, scale, 1)[0][0] + 2)
    cv2.putText(line, words, (0, round(28 * scale)), font, scale, (level,) * 3, 1, cv2.LINE_AA)
    return line


def _blank(height: int, width: int, level: int = WHITE) -> Image:
    return np.full((height, width, 3), level, dtype=np.uint8)


def _join(parts: Sequence[Image], axis: int, gap: int) -> Image:
    """The parts below (0) or beside (1) one another, aligned at the top and left, with white between."""
    across = max(part.shape[1 - axis] for part in parts)
    padded = []
    for i, part in enumerate(parts):
        pad = [(gap if i else 0, 0), (0, across - part.shape[1 - axis])]
        padded.append(np.pad(part, [*(pad if axis == 0 else pad[::-1]), (0, 0)], constant_values=WHITE))
    return np.concatenate(padded, axis=axis)
