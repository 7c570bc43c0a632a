"""Fig. 1 of the paper: PSNR against time, with what was measured here."""

from typing import TYPE_CHECKING

from pipelines.report.data.published import PublishedTable
from pipelines.report.figures.svg import ACCENT, INK, MUTED, blank, svg
from pipelines.report.tables.comparison import Measured
from pipelines.report.tables.formats import milliseconds

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEFT = {"MIMO-UNet+", "SAPHN", "DSD", "SRN"}  # names that would run over others or over the edge
_TICKS = (10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000, 300_000)  # ms
_LAST_PUBLISHED = 1000  # of the ticks


def time_svg(table1: PublishedTable, measured: Measured) -> str:
    """PSNR on GoPro against the published time, hollow: these times were not synchronised with the GPU.

    What was measured here is a filled point at its synchronised time; without a time, a line at its PSNR.
    """
    points = [
        (row.method, time, psnr)
        for row in table1.rows
        if (time := table1.figure(row.method, "time_ms")) and (psnr := table1.figure(row.method, "psnr_db"))
    ]
    here = next((e for e in measured.evaluations if e.benchmark == "gopro"), None)
    ours = here.latency.median_ms if here is not None and here.latency is not None else None
    axis = "published time, ms (not synchronised)" if ours is None else "time, ms (hollow: published, not synchronised)"
    figure, axes = blank(axis, "PSNR on GoPro, dB", inches=(4.8, 3.6))
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xticks([tick for tick in _TICKS if tick <= max(_LAST_PUBLISHED, ours or 0)])
    axes.minorticks_off()
    for method, time, psnr in points:
        axes.plot(time, psnr, color=MUTED, marker="o", markersize=5, markerfacecolor="none")
        left = method in _LEFT
        axes.annotate(
            method,
            (time, psnr),
            xytext=(-7 if left else 7, -3),
            textcoords="offset points",
            ha="right" if left else "left",
            color=INK if method.startswith("BANet") else MUTED,
            fontsize=8.5,
        )
    label = f"PSNR on GoPro against published, unsynchronised time of {len(points)} methods"
    if here is not None:
        label += _draw_ours(axes, measured.label, here.restored.psnr, ours)
    if ours is None:
        axes.margins(x=0.2, y=0.08)
    return svg(figure, name="scatter", label=label)


def _draw_ours(axes: "Axes", name: str, psnr: float, time: float | None) -> str:
    """A point at a time in ms, a line without one; returns the words for it."""
    if time is None:
        axes.axhline(psnr, color=ACCENT, linewidth=1.4)
        axes.annotate(
            f"{name}, measured here: {psnr:.2f}",
            (0, psnr),
            xycoords=("axes fraction", "data"),
            xytext=(0, 4),
            textcoords="offset points",
            color=ACCENT,
            fontsize=8.5,
        )
        return f"; {name} reached {psnr:.2f} dB here, without a time"
    axes.plot(time, psnr, color=ACCENT, marker="o", markersize=7)
    axes.margins(x=0.2, y=0.08)
    low, high = axes.get_ylim()
    band, above = 0.13 * (high - low), psnr > (low + high) / 2
    axes.set_ylim(low - band * (not above), high + band * above)  # words where no other method's name stands
    axes.annotate(
        f"{name}, synchronised: {psnr:.2f} dB, {milliseconds(time)} ms",
        (time, psnr),
        xytext=(0.99, 0.93 if above else 0.03),
        textcoords="axes fraction",
        ha="right",
        color=ACCENT,
        fontsize=8.5,
        arrowprops={"arrowstyle": "-", "color": ACCENT, "linewidth": 0.8},
    )
    return f"; {name} reached {psnr:.2f} dB here in {milliseconds(time)} ms, synchronised"
