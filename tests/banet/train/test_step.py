"""What a phase can ask of a step: parts of a batch, averages, precisions, compilation, clamping."""

import copy
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed
from torch import Tensor, nn

from banet.config import LossParams, PhaseParams, RecipeParams
from banet.errors import ModelError
from banet.model.network import BANet
from banet.model.network_config import BANetConfig
from banet.train.loop import Batch, Training, ValidationScores, choose_weights, fit, losses_of, train_step
from banet.train.plan import PlannedPhase, plan

MODEL = BANetConfig(stem_channels=4, channels=4, modules=1, fusion_channels=2)
PHASE = PhaseParams(steps=8, crop=16, batch_size=8, lr_start=1e-2, lr_end=1e-2, clip_norm=0.05)


def training_of(*phases: PhaseParams, log_every: int = 1, validate_every: int = 100) -> Training:
    recipe = RecipeParams(
        name="test",
        seed=0,
        init_from=None,
        phases=phases,
        loss=LossParams(fft_weight=0.01),
        log_every=log_every,
        validate_every=validate_every,
    )
    torch.manual_seed(0)
    return Training(BANet(MODEL), recipe, plan(phases, pairs=5))


def batch_at(step: int, params: PhaseParams) -> Batch:
    generator = torch.Generator().manual_seed(step)
    shape = (params.batch_size, params.crop, params.crop, 3)
    sharp = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    return sharp // 2, sharp


def trained(*phases: PhaseParams, network: Any = None) -> Training:  # noqa: ANN401
    training = training_of(*phases)
    for phase in training.remaining():
        for step in range(phase.first_step, phase.last_step):
            train_step(training, network or training.model, batch_at(step, phase.params), phase)
            training.step += 1
    return training


def weights(training: Training) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in training.model.state_dict().values()])


@pytest.mark.parametrize("accumulate", [2, 8])
def test_a_batch_in_parts_trains_the_same_and_is_clipped_once(accumulate: int) -> None:
    whole, parts = trained(PHASE), trained(replace(PHASE, accumulate=accumulate))
    assert (weights(whole) - weights(parts)).abs().max() < 1e-6
    unclipped = trained(replace(PHASE, clip_norm=None))
    assert (weights(whole) - weights(unclipped)).abs().max() > 1e-5  # the clipping matters here


@pytest.mark.filterwarnings("ignore:Grad strides do not match bucket view strides")  # of 1x1 convolutions
def test_the_workers_sum_their_gradients_once_per_step(tmp_path: Path) -> None:
    sums: list[int] = []

    def count(_: object, bucket: torch.distributed.GradBucket) -> torch.futures.Future[Tensor]:  # type: ignore[name-defined]
        sums.append(bucket.index())
        done: torch.futures.Future[Tensor] = torch.futures.Future()
        done.set_result(bucket.buffer())
        return done

    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        training = training_of(replace(PHASE, accumulate=4))
        network = nn.parallel.DistributedDataParallel(training.model)
        network.register_comm_hook(None, count)
        train_step(training, network, batch_at(0, PHASE), training.phases[0])
    finally:
        torch.distributed.destroy_process_group()
    assert sums == [0]


def test_the_average_of_the_weights_is_exponential() -> None:
    decay, phase = 0.9, replace(PHASE, ema_decay=0.9, steps=3)
    training = training_of(phase)
    expected = None
    for step in range(3):
        train_step(training, training.model, batch_at(step, phase), training.phases[0])
        training.step += 1
        now = weights(training)
        expected = now if expected is None else decay * expected + (1 - decay) * now
    assert training.average is not None
    average = torch.cat([tensor.flatten() for tensor in training.average.module.state_dict().values()])
    assert expected is not None
    assert (average - expected).abs().max() < 1e-6


def test_an_average_outlives_its_phase_and_a_checkpoint() -> None:
    phases = replace(PHASE, ema_decay=0.5, steps=2), replace(PHASE, ema_decay=0.9, steps=2)
    whole = trained(*phases)
    cut = training_of(*phases)
    for phase in cut.remaining():
        for step in range(phase.first_step, phase.last_step):
            train_step(cut, cut.model, batch_at(step, phase.params), phase)
            cut.step += 1
        break
    resumed = training_of(*phases)
    resumed.resume(copy.deepcopy(cut.state()))
    for phase in resumed.remaining():
        for step in range(resumed.step, phase.last_step):
            train_step(resumed, resumed.model, batch_at(step, phase.params), phase)
            resumed.step += 1
    assert whole.average is not None
    assert resumed.average is not None
    for name, tensor in whole.average.state_dict().items():
        assert torch.equal(tensor, resumed.average.state_dict()[name]), name


@pytest.mark.parametrize(("lead", "chosen"), [(0.5, "average"), (0.0, "raw"), (-0.5, "raw")])
def test_the_average_is_taken_only_if_it_is_better_for_certain(lead: float, chosen: str) -> None:
    training = training_of(replace(PHASE, ema_decay=0.9))
    raw = [20.0 + i % 3 for i in range(12)]
    training.keep_if_best("raw", raw)
    training.keep_if_best("average", [psnr + lead + (-1) ** i * 0.1 for i, psnr in enumerate(raw)])
    which, best = choose_weights(training.state(), [f"sequence {i // 3}" for i in range(12)])
    assert which == chosen
    assert best.weights


def test_half_the_bits_train_almost_the_same_with_the_loss_in_float32() -> None:
    half = replace(PHASE, precision="bfloat16")
    full = trained(PHASE)
    assert (weights(full) - weights(trained(half))).abs().max() < 0.05
    model = training_of(half).model
    losses = losses_of(model, batch_at(0, half), LossParams(fft_weight=0.01), half)
    assert losses.dtype == torch.float32
    exact = losses_of(model, batch_at(0, half), LossParams(fft_weight=0.01), PHASE)
    assert losses[0].item() != exact[0].item()
    assert losses[0].item() == pytest.approx(exact[0].item(), rel=1e-2)


@pytest.mark.slow
def test_compiled_steps_are_the_same_and_leave_no_trace_in_the_weights() -> None:
    compiled = trained(replace(PHASE, compile="aot_eager", steps=1))
    plain = trained(replace(PHASE, steps=1))
    assert list(compiled.model.state_dict()) == list(plain.model.state_dict())
    assert not any("_orig_mod" in name for name in compiled.state()["model"])
    assert (weights(compiled) - weights(plain)).abs().max() < 1e-6


@pytest.mark.slow
def test_only_the_steps_of_a_compiled_phase_run_the_compiled_form() -> None:
    from torch._dynamo.utils import counters

    training = training_of(replace(PHASE, compile="aot_eager", steps=1), replace(PHASE, steps=1), validate_every=1)
    frames: list[int] = []

    def graphs() -> int:
        return counters["stats"]["unique_graphs"]

    def validate(model: nn.Module) -> ValidationScores:
        frames.append(graphs())
        with torch.inference_mode():
            model(torch.zeros(1, 3, 20, 24))
        frames.append(graphs())
        return ValidationScores(psnr=[20.0])

    def batches(phase: PlannedPhase, _step: int) -> list[Batch]:
        return [batch_at(0, replace(phase.params, crop=16 + 8 * phase.first_step))]

    torch.compiler.reset()
    counters.clear()
    fit(training, training.model, batches, validate, lambda _: None)
    assert frames[0] > 0  # the first phase
    assert len(set(frames)) == 1  # neither validation nor the second phase


def test_a_clamped_output_has_no_gradient_outside_the_range() -> None:
    clamped = replace(PHASE, clamp_output=True)
    model = training_of(clamped).model
    with torch.no_grad():
        model.get_parameter("output.bias").fill_(10.0)  # far outside
    losses = losses_of(model, batch_at(0, clamped), LossParams(fft_weight=0.01), clamped)
    losses[0].backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in model.parameters())


def test_weight_decay_belongs_to_its_optimizer() -> None:
    phase = replace(PHASE, steps=3)
    adam, adamw, decaying = (
        weights(trained(each))
        for each in (
            phase,
            replace(phase, optimizer="adamw"),
            replace(phase, optimizer="adamw", weight_decay=0.5),
        )
    )
    assert torch.equal(adam, adamw)
    assert decaying.abs().sum() < adamw.abs().sum()


def poisoned(step: int) -> Batch:
    blurred, sharp = batch_at(step, PHASE)
    return blurred.float().fill_(math.nan), sharp


def test_a_step_without_a_finite_gradient_changes_nothing_and_training_continues() -> None:
    training = training_of(replace(PHASE, ema_decay=0.9))
    before = weights(training).clone()
    step = train_step(training, training.model, poisoned(0), training.phases[0])
    assert step.refused
    assert not step.taken
    assert torch.equal(weights(training), before)
    assert not training.optimizer.state
    kept: list[int] = []
    bad = {1, 2, 5}

    def refuse(_phase: object, _batch: Batch) -> str:
        kept.append(training.step)
        return ""

    steps = [poisoned(i) if i in bad else batch_at(i, PHASE) for i in range(8)]
    told: list[float | None] = []
    fit(
        training,
        training.model,
        lambda _phase, at: steps[at:],
        lambda _: ValidationScores(psnr=[20.0]),
        lambda p: told.append(p.loss),
        refuse,
    )
    assert kept == [2, 3, 6]  # numbers of the steps, from 1
    assert [loss is None for loss in told] == [i in bad for i in range(8)]
    assert torch.isfinite(weights(training)).all()
    assert training.refused == 0


def test_three_steps_in_a_row_end_the_run() -> None:
    training = training_of(PHASE)
    steps = [batch_at(0, PHASE), poisoned(1), poisoned(2), poisoned(3)]
    with pytest.raises(ModelError, match=r"not finite at step 4, the third in a row \(kept there\): lower lr_start"):
        fit(
            training,
            training.model,
            lambda _phase, at: steps[at:],
            lambda _: ValidationScores(psnr=[20.0]),
            lambda _: None,
            lambda _phase, _batch: " (kept there)",
        )
    assert torch.isfinite(weights(training)).all()
