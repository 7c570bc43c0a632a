"""A picture of what attention sees: masks, attended features and strip maps of chosen modules (Figs. 5 to 8).

Shapes: ``B`` batch, ``C`` channels, ``H`` rows and ``W`` columns of the features, ``n`` strips.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from banet.errors import ConfigError, ModelError
from banet.image import Image, require_image
from banet.inference import network_input
from banet.model.network import BANet
from banet.model.strips import StripGrid

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Map = npt.NDArray[np.float32]  # one value per place, (H, W)

CHANNELS = 5  # single channels drawn per module
FAINT = 0.1  # a channel that varies less than this share of the one that varies most is not drawn
CLIPPED = 0.01  # share of a map's values beyond either end of its colours
PANEL = 320  # longer side of a panel, pixels
CELL = 176, 64  # least width and height of the place for a panel, pixels
CAPTIONS = 52  # height of the words above and below a panel, pixels
DPI = 100
GREY = "0.4"
NOTES = f"""
Masks and strips (y of Eq. 4): mean over channels.
Features before and after attention: mean magnitude
over channels. Single channels: those of the attended
features that are least alike.

Each panel has its own colours, from the first number
below it (dark) to the second (bright); {CLIPPED:.0%} of its
values are beyond either end."""


@dataclass(frozen=True, slots=True, eq=False)
class ModuleView:
    """What the attention of one module did with one image."""

    number: int  # of the module, from 1
    steps: dict[str, Map]  # from "before attention" to "after attention", Figs. 5 to 7: masks and features
    strips: dict[int, Map]  # y^n of Eq. (4) by n, mean over channels
    channels: dict[int, Map]  # attended features by channel, from 0, unlike ones: Fig. 8

    def lines(self) -> list[list[tuple[str, Map]]]:
        """The lines of panels that are drawn of it, each panel with its name."""
        strips = [(f"strips, n = {n}", part) for n, part in self.strips.items()]
        channels = [(f"attended channel {channel}", part) for channel, part in self.channels.items()]
        return [line for line in (list(self.steps.items()), strips, channels) if line]


def explain(model: BANet, image: Image, *, modules: Sequence[int] | None = None) -> Image:
    """Draw what attention sees in an image: uint8 RGB in, a sheet of panels, uint8 RGB, out.

    Args:
        model: a network with attention, any variant of it.
        image: uint8 RGB (H, W, 3), from 8x8 up.
        modules: numbers from 1; the first, the middle and the last if None.

    Raises:
        BanetError: as `observe`.
    """
    image, count = require_image(image), model.config.modules
    views = observe(model, image, (1, (count + 1) // 2, count) if modules is None else modules)
    chosen = ", ".join(str(view.number) for view in views)
    return draw(image, views, title=f"What attention sees: {model.config.name}, modules {chosen} of {count}")


def observe(model: BANet, image: Image, modules: Sequence[int]) -> tuple[ModuleView, ...]:
    """Run the network once and keep what the attention of the chosen modules did, in the order given.

    Raises:
        DataError: not a uint8 RGB image, or smaller than 8x8.
        ConfigError: a module that the network does not have.
        ModelError: a network without attention, or one whose features are not finite.
    """
    numbers = _require_modules(model, modules)
    with torch.inference_mode(), ExitStack() as hooks:  # the stack removes its hooks whatever happens
        views = tuple(_watch(model, number, hooks) for number in numbers)
        model(network_input(model, image))
    for view in views:
        if not all(np.isfinite(part).all() for line in view.lines() for _, part in line):
            raise ModelError(f"module {view.number} gives values that are not finite: try float32, or other weights")
    return views


def draw(image: Image, views: Sequence[ModuleView], *, title: str = "What attention sees") -> Image:
    """Draw the image with notes, then the panels of each module: steps through attention, strips, single channels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lines = [(view.number, line) for view in views for line in view.lines()]
    columns = max(4, *(len(line) for _, line in lines))
    H, W = image.shape[:2]
    width, height = (max(least, PANEL * side / max(H, W)) for least, side in zip(CELL, (W, H), strict=True))
    size = columns * width / DPI, (2 + len(lines)) * (height + CAPTIONS) / DPI
    figure = Figure(figsize=size, dpi=DPI)
    figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.1)  # inches
    grid = figure.add_gridspec(2 + len(lines), columns)
    photograph, words = figure.add_subplot(grid[:2, :2]), figure.add_subplot(grid[:2, 2:])
    photograph.imshow(image)
    photograph.set_xlabel(f"{W} x {H} pixels", loc="left", color=GREY)
    words.set_axis_off()
    words.set_title(title, loc="left", fontsize=12)
    words.text(0, 1, NOTES, va="top", color=GREY).set_in_layout(False)
    for row, (number, line) in enumerate(lines, start=2):
        for column, (name, part) in enumerate(line):
            _panel(figure.add_subplot(grid[row, column]), name, part)
        figure.axes[-len(line)].set_ylabel(f"module {number}")
    for axes in figure.axes:
        axes.set(xticks=[], yticks=[], anchor="NW", frame_on=False)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])


def _panel(axes: "Axes", name: str, part: Map) -> None:
    """Draw one map with its name and the values at the ends of its colours."""
    low, high = np.quantile(part, [CLIPPED, 1 - CLIPPED])  # the zeros padded at a border would rule the colours
    if low == high:
        low, high = part.min(), part.max()
    least = max(1e-5 * max(abs(low), abs(high)), 1e-30)  # a range that rounding errors cannot fill
    axes.imshow(part, cmap="inferno", vmin=low, vmax=max(high, low + least))
    axes.set_title(name, loc="left", fontsize=10)
    axes.set_xlabel(f"{low:.4g} to {high:.4g}", loc="left", color=GREY)


def _watch(model: BANet, number: int, hooks: ExitStack) -> ModuleView:
    """The view of one module, which hooks fill during the forward pass: the network works in place."""
    attention: Any = model.get_submodule(f"modules_.{number - 1}.attention")
    pooling, refinement = getattr(attention, "pooling", None), getattr(attention, "refinement", None)
    view = ModuleView(number=number, steps={}, strips={}, channels={})
    grids: list[StripGrid] = []

    def before(module: nn.Module, keep: Callable[..., None]) -> None:
        hooks.callback(module.register_forward_pre_hook(lambda _, inputs: keep(*inputs)).remove)

    def after(module: nn.Module, keep: Callable[..., None]) -> None:
        hooks.callback(module.register_forward_hook(lambda _, __, output: keep(output)).remove)

    def keep_input(x_BCHW: Tensor, grid: StripGrid) -> None:
        view.steps["before attention"] = _mean(x_BCHW.abs())
        grids.append(grid)

    def keep_strips(pair: tuple[Tensor, Tensor], kernel: int, n: int) -> None:
        yv, yh = (y.mean(dim=1, keepdim=True) for y in pair)  # on the strips: the mean commutes with spreading them
        view.strips[n] = _mean(grids[0].spread(yv, yh, kernel))

    def keep_output(x_BCHW: Tensor) -> None:
        view.steps["after attention"] = _mean(x_BCHW.abs())
        view.channels.update(_unlike_channels(x_BCHW[0].float()))

    before(attention, keep_input)
    if pooling is not None:
        sp = model.config.attention == "sp"
        name, kernels, strips = ("SP", (1,), [pooling.strip]) if sp else ("MKSP", model.config.kernels, pooling.strips)
        for kernel, (n, strip) in enumerate(zip(kernels, strips, strict=True)):
            after(strip, partial(keep_strips, kernel=kernel, n=n))
        after(pooling, lambda mask_BCHW: view.steps.update({f"{name} mask": _mean(mask_BCHW)}))
        if refinement is not None:
            before(refinement, lambda x_BCHW: view.steps.update({f"after {name}": _mean(x_BCHW.abs())}))
    if refinement is not None:
        after(refinement, lambda mask_BCHW: view.steps.update({"AR mask": _mean(mask_BCHW)}))
    after(attention, keep_output)
    return view


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
