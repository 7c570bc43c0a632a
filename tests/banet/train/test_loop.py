"""The loop in plain torch: it learns, schedules, keeps the best, and goes on to the bit."""

import contextlib
import io
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from banet.config import LossParams, PhaseParams, RecipeParams
from banet.losses import total_loss
from banet.model.network import BANet
from banet.model.network_config import BANetConfig
from banet.train.loop import (
    Batch,
    Training,
    TrainingProgress,
    ValidationScores,
    choose_weights,
    fit,
    losses_of,
    train_step,
)
from banet.train.plan import PlannedPhase, plan

MODEL = BANetConfig(stem_channels=4, channels=4, modules=1, fusion_channels=2)
PHASES = (
    PhaseParams(
        steps=6, crop=8, batch_size=2, lr_start=1e-3, lr_end=1e-5, warmup_steps=2, clip_norm=1.0, ema_decay=0.9
    ),
    PhaseParams(steps=4, crop=12, batch_size=2, accumulate=2, lr_start=5e-4, lr_end=0.0, ema_decay=0.5),
)
RECIPE = RecipeParams(
    name="test",
    seed=0,
    init_from=None,
    phases=PHASES,
    loss=LossParams(fft_weight=0.01),
    log_every=1,
    validate_every=2,
)


def new_training() -> Training:
    torch.manual_seed(0)
    return Training(BANet(MODEL), RECIPE, plan(PHASES, pairs=5))


def batches(phase: PlannedPhase, step: int) -> Iterator[Batch]:
    """Random crops that depend on the step alone."""
    for at in range(step, phase.last_step):
        generator = torch.Generator().manual_seed(at)
        shape = (phase.params.batch_size, phase.params.crop, phase.params.crop, 3)
        sharp = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
        yield sharp // 2, sharp


def run(
    training: Training, scores: Iterator[float], stop_at: int | None = None
) -> tuple[list[TrainingProgress], list[Any]]:
    """Train; keep each progress, and the state at each validation as a checkpoint's bytes would."""
    told: list[TrainingProgress] = []
    states: list[Any] = []

    def report(progress: TrainingProgress) -> None:
        told.append(progress)
        if progress.validation_psnr is not None:
            stream = io.BytesIO()
            torch.save(training.state(), stream)
            states.append(stream)
        if progress.step == stop_at:
            raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        fit(training, training.model, batches, lambda _: ValidationScores(psnr=[next(scores)]), report)
    return told, states


def test_the_loss_falls() -> None:
    training = new_training()
    batch = next(batches(training.phases[0], 0))
    losses = [float(train_step(training, training.model, batch, training.phases[0]).values[0]) for _ in range(60)]
    assert losses[-1] < 0.7 * losses[0]


def test_the_losses_are_the_recipes() -> None:
    training = new_training()
    batch = next(batches(training.phases[0], 0))
    blurred, sharp = (images.permute(0, 3, 1, 2).float() / 255 for images in batch)
    expected = total_loss(training.model(blurred), sharp, fft_weight=0.5, fft_norm="ortho")
    loss = LossParams(fft_weight=0.5, fft_norm="ortho")
    total, pixels, frequencies = losses_of(training.model, batch, loss, training.phases[0].params).detach()
    assert float(total) == pytest.approx(expected.item(), rel=1e-5)
    assert float(pixels + 0.5 * frequencies) == pytest.approx(expected.item(), rel=1e-5)


def test_every_step_is_reported_and_validated_where_asked() -> None:
    told, _ = run(new_training(), itertools.count(20.0))
    assert [progress.step for progress in told] == list(range(1, 11))
    assert [progress.step for progress in told if progress.validation_psnr is not None] == [2, 4, 6, 8, 10]


def test_the_learning_rate_warms_up_and_ends_where_it_should_in_every_phase() -> None:
    told, _ = run(new_training(), itertools.count(20.0))
    rates = [progress.lr for progress in told]
    assert rates[0] == pytest.approx(1e-3 / 3)
    assert rates[1] == pytest.approx(1e-3 * 2 / 3)
    assert rates[2] == pytest.approx(1e-3)
    assert rates[5] == pytest.approx(1e-5)
    assert rates[6] == pytest.approx(5e-4)
    assert rates[9] == pytest.approx(0.0)


def test_the_best_weights_are_kept() -> None:
    training = new_training()
    _, states = run(training, iter([20.0, 0.0, 23.0, 0.0, 21.0, 0.0, 22.0, 0.0, 22.5, 0.0]))  # raw, average
    assert (training.best["raw"].psnr, training.best["raw"].step) == (23.0, 4)
    at_step_4 = torch.load(io.BytesIO(states[1].getvalue()), weights_only=True)
    which, best = choose_weights(training.state(), ["held out"])
    assert which == "raw"
    for name, tensor in best.weights.items():
        assert torch.equal(tensor, at_step_4["model"][name])


def cut_off(where: str, at: int) -> bytes:
    """The state of a run that is interrupted at a step, in it or in its validation."""
    training = new_training()

    def between_steps() -> None:
        if where == "between steps" and training.step == at:
            raise KeyboardInterrupt

    def validate(_: object) -> ValidationScores:
        if where == "validation" and training.step == at:
            raise KeyboardInterrupt
        return ValidationScores(psnr=[20.0 + training.step], ssim=0.5)

    with contextlib.suppress(KeyboardInterrupt):
        fit(training, training.model, batches, validate, lambda _: None, between_steps=between_steps)
    stream = io.BytesIO()
    torch.save(training.state(), stream)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("where", "at"),
    [("between steps", step) for step in range(10)] + [("validation", step) for step in (2, 4, 6, 8, 10)],
)
def test_a_run_that_was_cut_off_ends_with_the_same_weights_to_the_bit(where: str, at: int) -> None:
    whole = torch.load(io.BytesIO(cut_off("never", 0)), weights_only=True)
    state = torch.load(io.BytesIO(cut_off(where, at)), weights_only=True)
    assert (state["step"], state["validating"]) == (at, where == "validation")
    resumed = Training(BANet(MODEL), RECIPE, plan(PHASES, pairs=5))
    resumed.resume(state)
    told: list[TrainingProgress] = []
    fit(
        resumed,
        resumed.model,
        batches,
        lambda _: ValidationScores(psnr=[20.0 + resumed.step], ssim=0.5),
        told.append,
    )
    assert resumed.finished
    assert [progress.step for progress in told] == list(range(at + (where != "validation"), 11))
    ended = resumed.state()
    for kept in ("model", "average"):
        for name, tensor in whole[kept].items():
            assert torch.equal(tensor, ended[kept][name]), (kept, name)
    assert torch.equal(
        whole["best"]["average"]["weights"]["output.bias"], ended["best"]["average"]["weights"]["output.bias"]
    )
    assert [ended["best"][which]["step"] for which in ("raw", "average")] == [10, 10]
