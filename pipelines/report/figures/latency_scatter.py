"""Fig. 1 of the paper: PSNR against time, with what was measured here."""

from typing import TYPE_CHECKING

from markupsafe import Markup

from pipelines.report.data.inputs import ReportInputs
from pipelines.report.figures.svg import ACCENT, INK, MUTED, annotate, blank, svg
from pipelines.report.tables.formats import milliseconds

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEFT = {"MIMO-UNet+", "SAPHN", "DSD", "SRN"}  # names that would overlap others or cross the edge
_TICKS = (10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000, 300_000)  # ms
_LAST_PUBLISHED = 1000  # of the ticks


def time_svg(inputs: ReportInputs) -> Markup:
    """PSNR on GoPro against the published time, hollow: these times were not synchronised with the GPU.

    What was measured here is a filled point at its synchronised time, or without a time a line at its PSNR.
    """
    points = [
        (row.method, time, psnr)
        for row in inputs.published[1].rows
        if (time := row.figures["time_ms"]) and (psnr := row.figures["psnr_db"])
    ]
    here = next((each.evaluation for each in inputs.benchmarks if each.evaluation.benchmark == "gopro"), None)
    ours = here.latency.median_ms if here is not None and here.latency is not None else None
    axis = "published time, ms (not synchronised)" if ours is None else "time, ms (hollow: published, not synchronised)"
    figure, axes = blank(axis, "PSNR on GoPro, dB", height=3.6)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xticks([tick for tick in _TICKS if tick <= max(_LAST_PUBLISHED, ours or 0)])
    axes.minorticks_off()
    for method, time, psnr in points:
        axes.plot(time, psnr, color=MUTED, marker="o", markersize=5, markerfacecolor="none")
        colour = INK if method.startswith("BANet") else MUTED
        annotate(axes, method, (time, psnr), offset=(7, -3), left=method in _LEFT, color=colour, fontsize=8.5)
    label = f"PSNR on GoPro against published, unsynchronised time of {len(points)} methods"
    if here is not None:
        label += _draw_ours(axes, inputs.label, here.restored.psnr, ours)
    if ours is None:
        axes.margins(x=0.2, y=0.08)
    return svg(figure, name="scatter", label=label)


def _draw_ours(axes: "Axes", name: str, psnr: float, time: float | None) -> str:
    """Draw a point at a time in ms, or a line without one; describe it in words."""
    if time is None:
        axes.axhline(psnr, color=ACCENT, linewidth=1.4)
        text = f"{name}, measured here: {psnr:.2f}"
        annotate(axes, text, (0, psnr), offset=(0, 4), color=ACCENT, fontsize=8.5, xycoords=("axes fraction", "data"))
        return f"; {name} reached {psnr:.2f} dB here, without a time"
    axes.plot(time, psnr, color=ACCENT, marker="o", markersize=7)
    axes.margins(x=0.2, y=0.08)
    low, high = axes.get_ylim()
    band, above = 0.13 * (high - low), psnr > (low + high) / 2
    axes.set_ylim(low - band * (not above), high + band * above)  # makes room for the words, clear of other names
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
