"""Figures as SVG inside the page, in the page's own fonts.

Colours become variables of the page's style sheet, and one drawing serves the light and the dark page.
"""

import io
import re
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Drawn with a colour that occurs nowhere else, then replaced by the variable's name.
_VARIABLES = {"#010203": "var(--ink)", "#010204": "var(--muted)", "#010205": "var(--rule)", "#010206": "var(--accent)"}
INK, MUTED, RULE, ACCENT = _VARIABLES


def blank(x: str, y: str, *, height: float = 3.0) -> "tuple[Figure, Axes]":
    """An empty figure in the page's style, of this height in inches; the label `y` is horizontal, above the axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.8, height), layout="constrained")
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


def annotate(
    axes: "Axes",
    text: str,
    at: tuple[float, float],
    *,
    offset: tuple[float, float],
    left: bool = False,
    **style: Any,  # noqa: ANN401  # keywords of matplotlib's annotate
) -> None:
    """Write text to the right of a point at an offset in points, or mirrored to its `left`."""
    x, y = (-offset[0] if left else offset[0]), offset[1]
    axes.annotate(text, at, xytext=(x, y), textcoords="offset points", ha="right" if left else "left", **style)


def svg(figure: "Figure", *, name: str, label: str) -> Markup:
    """Draw with ids unique to the figure, the page's fonts, and its variables as colours.

    Args:
        figure: of `blank`, drawn only in `INK`, `MUTED`, `RULE` and `ACCENT`.
        name: unique on the page.
        label: describes the figure to those who do not see it.
    """
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    drawn = buffer.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r'\bid="', f'id="{name}-', drawn)
    drawn = re.sub(r'(url\(|href=")#', rf"\1#{name}-", drawn)
    drawn = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", drawn)  # as older matplotlib writes it
    drawn = re.sub(r"font-family: [^;\"]*(; )?", "", drawn)
    for colour, variable in _VARIABLES.items():
        drawn = drawn.replace(colour, variable)
    drawn = drawn.replace("<svg ", f'<svg role="img" aria-label="{escape(label)}" ', 1).strip()
    return Markup(drawn)  # noqa: S704  # matplotlib escapes the words in it
