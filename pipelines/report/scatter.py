"""Fig. 1 of the paper: PSNR against time, with what was measured here."""

from pipelines.report.comparison import Measured
from pipelines.report.drawing import ACCENT, INK, MUTED, blank, svg
from pipelines.report.published import PublishedTable

_LEFT = {"MIMO-UNet+", "SAPHN", "DSD", "SRN"}  # names that would run over others or over the edge


def time_svg(table1: PublishedTable, measured: Measured) -> str:
    """PSNR on GoPro against the published time, hollow: these times were not synchronised with the GPU.

    What was measured here has no time; a line stands at its PSNR.
    """
    points = [
        (row.method, time, psnr)
        for row in table1.rows
        if (time := table1.figure(row.method, "time_ms")) and (psnr := table1.figure(row.method, "psnr_db"))
    ]
    figure, axes = blank("published time, ms (not synchronised)", "PSNR on GoPro, dB", inches=(4.8, 3.6))
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xticks([10, 30, 100, 300, 1000])
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
    here = next((e.restored.psnr for e in measured.evaluations if e.benchmark == "gopro"), None)
    label = f"PSNR on GoPro against published, unsynchronised time of {len(points)} methods"
    if here is not None:
        axes.axhline(here, color=ACCENT, linewidth=1.4)
        axes.annotate(
            f"{measured.label}, measured here: {here:.2f}",
            (0, here),
            xycoords=("axes fraction", "data"),
            xytext=(0, 4),
            textcoords="offset points",
            color=ACCENT,
            fontsize=8.5,
        )
        label += f"; {measured.label} reached {here:.2f} dB here, without a time"
    axes.margins(x=0.2, y=0.08)
    return svg(figure, name="scatter", label=label)
