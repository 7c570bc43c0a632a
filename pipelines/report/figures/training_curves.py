"""Curves of one training."""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from pipelines.report.data.inputs import LogRow
from pipelines.report.figures.svg import ACCENT, INK, MUTED, annotate, blank, svg
from pipelines.stages.stage_results import TrainingReport

_RUN = 50  # most rows averaged into one point of the strong line


def loss_svg(log: Sequence[LogRow]) -> Markup:
    """Loss by step: every row faint, the running mean strong. Empty if nothing was logged."""
    if not log:
        return Markup()
    figure, axes = blank("step", "loss")
    steps = np.array([row.step for row in log])
    loss = np.array([row.loss for row in log])
    axes.plot(steps, loss, color=ACCENT, linewidth=0.6, alpha=0.3)
    run = max(1, min(_RUN, len(log) // 10))
    axes.plot(steps[run - 1 :], np.convolve(loss, np.full(run, 1 / run), mode="valid"), color=ACCENT, linewidth=1.8)
    if loss.min() > 0 and loss.max() > 10 * loss.min():
        axes.set_yscale("log")
    return svg(figure, name="loss", label=f"Training loss over {steps[-1]} steps, from {loss[0]:.4g} to {loss[-1]:.4g}")


def validation_svg(training: TrainingReport, log: Sequence[LogRow]) -> Markup:
    """PSNR on the validation images by step, against that of the blurred inputs. Empty if none was logged."""
    scored = [(row.step, row.validation_psnr) for row in log if row.validation_psnr is not None]
    if not scored:
        return Markup()
    figure, axes = blank("step", "validation PSNR, dB")
    axes.plot(*zip(*scored, strict=True), color=ACCENT, linewidth=1.8, marker="o", markersize=3)
    baseline, best = training.blurred_validation_psnr, training.validation_psnr
    axes.axhline(baseline, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    name = f"blurred input {baseline:.2f}"
    annotate(axes, name, (1, baseline), offset=(0, 4), left=True, color=MUTED, xycoords=("axes fraction", "data"))
    axes.plot([training.best_step], [best], color=ACCENT, marker="o", markersize=7, linestyle="none")
    left = training.best_step > training.steps / 2
    annotate(axes, f"best {best:.2f}", (training.best_step, best), offset=(0, 8), left=left, color=INK)
    axes.margins(y=0.15)
    label = f"Validation PSNR: best {best:.2f} dB at step {training.best_step}, blurred input {baseline:.2f} dB"
    return svg(figure, name="validation", label=label)
