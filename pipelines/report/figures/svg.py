"""Figures as SVG that is put into the page as it is: no fonts, no colours of its own.

Colours become variables of the page's style sheet, so that one drawing serves light and dark.
"""

import io
import re
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Drawn with a colour that occurs nowhere else, then replaced by the variable's name.
_VARIABLES = {"#010203": "var(--ink)", "#010204": "var(--muted)", "#010205": "var(--rule)", "#010206": "var(--accent)"}
INK, MUTED, RULE, ACCENT = _VARIABLES
INCHES = (4.8, 3.0)


def blank(x: str, y: str, *, inches: tuple[float, float] = INCHES) -> "tuple[Figure, Axes]":
    """An empty figure with the page's manner of axes; `y` stands above them, where it can be read upright."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=inches, layout="constrained")
    axes = figure.add_subplot()
    figure.patch.set_visible(False)
    axes.patch.set_visible(False)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(RULE)
    axes.grid(axis="y", color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", length=0, labelcolor=MUTED)
    axes.set_xlabel(x, color=MUTED)
    axes.set_title(y, color=INK, loc="left", fontsize=10)
    return figure, axes


def svg(figure: "Figure", *, name: str, label: str) -> str:
    """Draw, and make ids unique to the figure, fonts the page's, and colours its variables.

    Args:
        figure: of `blank`, drawn in `INK`, `MUTED`, `RULE` and `ACCENT` alone.
        name: unlike every other figure's on the page.
        label: what the figure shows, for those who do not see it.
    """
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "path.simplify": True}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    drawn = buffer.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r'\bid="', f'id="{name}-', drawn)
    drawn = re.sub(r'(url\(|href=")#', rf"\1#{name}-", drawn)
    drawn = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", drawn)  # as older matplotlib writes it
    drawn = re.sub(r"font-family: [^;\"]*(; )?", "", drawn)
    for colour, variable in _VARIABLES.items():
        drawn = drawn.replace(colour, variable)
    return drawn.replace("<svg ", f'<svg role="img" aria-label="{escape(label)}" ', 1).strip()
