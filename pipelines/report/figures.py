"""Curves of one training as SVG that is put into the page as it is: no fonts, no colours of its own.

Colours become variables of the page's style sheet, so that one drawing serves light and dark.
"""

import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pipelines.report.inputs import LogRow
from pipelines.stages.outputs import TrainingReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Drawn with a colour that occurs nowhere else, then replaced by the variable's name.
_VARIABLES = {"#010203": "var(--ink)", "#010204": "var(--muted)", "#010205": "var(--rule)", "#010206": "var(--accent)"}
_INK, _MUTED, _RULE, _ACCENT = _VARIABLES
_INCHES = (4.8, 3.0)
_RUN = 50  # rows averaged into one point of the strong line, at most


def loss_svg(log: Sequence[LogRow]) -> str:
    """Loss by step: every row faintly, the running mean strongly. Empty where nothing was logged."""
    if not log:
        return ""
    figure, axes = _blank("step", "loss")
    steps = np.array([row.step for row in log])
    loss = np.array([row.loss for row in log])
    axes.plot(steps, loss, color=_ACCENT, linewidth=0.6, alpha=0.3)
    run = max(1, min(_RUN, len(log) // 10))
    axes.plot(steps[run - 1 :], _running_mean(loss, run), color=_ACCENT, linewidth=1.8)
    if loss.min() > 0 and loss.max() > 10 * loss.min():
        axes.set_yscale("log")
    return _svg(
        figure, name="loss", label=f"Training loss over {steps[-1]} steps, from {loss[0]:.4g} to {loss[-1]:.4g}"
    )


def validation_svg(training: TrainingReport, log: Sequence[LogRow]) -> str:
    """PSNR on the validation pictures by step, against that of the blurred inputs. Empty where none was logged."""
    scored = [(row.step, row.validation_psnr) for row in log if row.validation_psnr is not None]
    if not scored:
        return ""
    figure, axes = _blank("step", "validation PSNR, dB")
    axes.plot(*zip(*scored, strict=True), color=_ACCENT, linewidth=1.8, marker="o", markersize=3)
    baseline, best = training.blurred_validation_psnr, training.validation_psnr
    axes.axhline(baseline, color=_MUTED, linewidth=1, linestyle=(0, (4, 3)))
    axes.annotate(
        f"blurred input {baseline:.2f}",
        (1, baseline),
        xycoords=("axes fraction", "data"),
        xytext=(0, 4),
        textcoords="offset points",
        ha="right",
        color=_MUTED,
    )
    axes.plot([training.best_step], [best], color=_ACCENT, marker="o", markersize=7, linestyle="none")
    axes.annotate(
        f"best {best:.2f}",
        (training.best_step, best),
        xytext=(0, 8),
        textcoords="offset points",
        ha="right" if training.best_step > training.steps / 2 else "left",
        color=_INK,
    )
    axes.margins(y=0.15)
    label = f"Validation PSNR: best {best:.2f} dB at step {training.best_step}, blurred input {baseline:.2f} dB"
    return _svg(figure, name="validation", label=label)


def _running_mean(values: npt.NDArray[np.float64], run: int) -> npt.NDArray[np.float64]:
    return np.convolve(values, np.full(run, 1 / run), mode="valid")


def _blank(x: str, y: str) -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=_INCHES, layout="constrained")
    axes = figure.add_subplot()
    figure.patch.set_visible(False)
    axes.patch.set_visible(False)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(_RULE)
    axes.grid(axis="y", color=_RULE, linewidth=0.6)
    axes.tick_params(which="both", length=0, labelcolor=_MUTED)
    axes.set_xlabel(x, color=_MUTED)
    axes.set_title(y, color=_INK, loc="left", fontsize=10)
    return figure, axes


def _svg(figure: "Figure", *, name: str, label: str) -> str:
    """Draw, and make ids unique to the figure, fonts the page's, and colours its variables."""
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "path.simplify": True}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(url\(|href=")#', rf"\1#{name}-", svg)
    svg = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", svg)  # as older matplotlib writes it
    svg = re.sub(r"font-family: [^;\"]*(; )?", "", svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1).strip()
