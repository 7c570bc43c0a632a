"""PSNR by image: its distribution before and after restoration, and each image's gain against its blur."""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from pipelines.report.data.image_rows import ImageRow
from pipelines.report.figures.svg import ACCENT, INK, MUTED, RULE, annotate, blank, svg

_BINS = 24
_FEWEST = 3  # images that are worth drawing


def distribution_svg(benchmark: str, rows: Sequence[ImageRow]) -> Markup:
    """Histograms of the images' PSNR: blurred as an outline, restored filled. Empty for too few images."""
    drawn = [row for row in rows if row.finite]
    if len(drawn) < _FEWEST:
        return Markup()
    before = np.array([row.blurred_psnr for row in drawn])
    after = np.array([row.restored_psnr for row in drawn])
    figure, axes = blank("PSNR, dB", "images")
    edges = np.histogram_bin_edges(np.concatenate([before, after]), bins=min(_BINS, max(4, len(drawn) // 2))).tolist()
    axes.hist(after, bins=edges, color=ACCENT, alpha=0.55, linewidth=0)
    axes.hist(before, bins=edges, histtype="step", color=INK, linewidth=1.2)
    for values, name, colour, line in ((before, "blurred", INK, (0, (4, 3))), (after, "restored", ACCENT, "solid")):
        mean, left = values.mean(), values.mean() <= (before.mean() + after.mean()) / 2
        axes.axvline(mean, color=colour, linewidth=1.2, linestyle=line)
        style = {"color": colour, "fontsize": 9, "va": "top", "xycoords": ("data", "axes fraction")}
        annotate(axes, f"{name} {mean:.2f}", (mean, 1), offset=(4, -2), left=left, **style)
    axes.set_ylim(top=axes.get_ylim()[1] * 1.2)
    label = (
        f"Distribution of PSNR over {len(drawn)} images of {benchmark}: blurred {before.min():.2f} to "
        f"{before.max():.2f} dB, mean {before.mean():.2f}; restored {after.min():.2f} to {after.max():.2f} dB, mean "
        f"{after.mean():.2f}"
    )
    return svg(figure, name=f"distribution-{benchmark}", label=label)


def gain_svg(benchmark: str, rows: Sequence[ImageRow]) -> Markup:
    """Each image's gain against the PSNR of its blurred input. Empty for too few images."""
    drawn = [row for row in rows if row.finite]
    if len(drawn) < _FEWEST:
        return Markup()
    before, gained = [row.blurred_psnr for row in drawn], [row.gain for row in drawn]
    figure, axes = blank("PSNR of the blurred input, dB", "gain, dB")
    axes.axhline(0, color=MUTED, linewidth=1)
    axes.scatter(before, gained, s=14 if len(drawn) < 200 else 6, color=ACCENT, alpha=0.6, linewidths=0)
    low, high = min(0.0, *gained), max(0.0, *gained)
    axes.set_ylim(low - 0.08 * (high - low or 1), high + 0.08 * (high - low or 1))
    axes.grid(axis="x", color=RULE, linewidth=0.6)
    worse = sum(gain < 0 for gain in gained)
    label = (
        f"Gain of {len(drawn)} images of {benchmark} against the PSNR of their inputs: {low:.2f} to {high:.2f} dB; "
        f"{worse} became worse"
    )
    return svg(figure, name=f"gain-{benchmark}", label=label)
