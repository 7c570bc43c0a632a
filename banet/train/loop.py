"""The training loop in plain torch, independent of Ray and MLflow."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from banet.config import LossParams, PhaseParams, RecipeParams
from banet.errors import ModelError
from banet.losses import charbonnier, fft_l1
from banet.model.network import BANet
from banet.scoring.bootstrap import paired_bootstrap
from banet.train.meter import Meter, Step
from banet.train.plan import PlannedPhase

Batch = tuple[Tensor, Tensor]
"""Blurred and sharp crops, each uint8 (B, crop, crop, 3) in RGB."""
Which = Literal["raw", "average"]
"""The weights themselves, or their exponential moving average."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationScores:
    """How a network restores the held-out images."""

    psnr: Sequence[float]  # dB, of each image
    ssim: float | None = None  # mean over the images; None if not measured


MOST_REFUSED = 3  # steps in a row whose gradient is not finite
FIRST_SCALE = 1024.0  # of the loss in float16; torch's default of 65536 costs the first six steps


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingProgress:
    """A point of the training curve; losses, norm and shares are means since the previous point."""

    step: int  # optimizer steps done
    loss: float | None = None  # Eq. (8); None if no step since the previous point was taken
    charbonnier: float | None = None  # Eq. (6)
    fft_l1: float | None = None  # Eq. (7), before its weight
    gradient_norm: float | None = None  # before clipping
    lr: float  # of the last step
    samples_per_second: float | None = None  # of this worker, waiting included
    data_wait: float | None = None  # share of the time that this worker waited for batches
    memory_gib: float | None = None  # most of the GPU's memory, or of the process on a CPU, so far
    validation_psnr: float | None = None  # dB, mean over the held-out images; None if not measured
    validation_ssim: float | None = None
    average_psnr: float | None = None  # dB, the same with the average of the weights


@dataclass(slots=True)
class Best:
    """The weights with the highest mean validation PSNR so far."""

    psnr: float = -math.inf
    step: int = 0
    images: list[float] = field(default_factory=list)  # PSNR of each held-out image, dB
    weights: dict[str, Tensor] = field(default_factory=dict)


class Training:
    """A model in training: exactly what a checkpoint has to hold."""

    def __init__(self, model: BANet, recipe: RecipeParams, phases: tuple[PlannedPhase, ...]) -> None:
        self.model = model
        self.recipe = recipe
        self.phases = phases
        self.step = 0
        self.refused = 0  # steps in a row
        self.validating = False  # whether a validation is due at this step, or was interrupted
        self.best: dict[Which, Best] = {"raw": Best(), "average": Best()}
        self.average: AveragedModel | None = None
        self.compiled = False  # whether the model has a compiled form, which stays in later phases
        self._start(phases[0])

    @property
    def finished(self) -> bool:
        """Whether all steps and validations are done."""
        return self.step >= self.phases[-1].last_step and not self.validating

    def remaining(self) -> Iterator[PlannedPhase]:
        """Yield the phases that are not finished; each that has not begun starts with a new optimizer."""
        for phase in self.phases:
            if self.step < phase.last_step or (self.validating and self.step == phase.last_step):
                if self.step == phase.first_step and not self.validating:
                    self._start(phase)
                yield phase

    def keep_if_best(self, which: Which, images: Sequence[float]) -> float:
        """Keep the current weights, or their average, if they validate better than before; return their mean PSNR.

        `images` are the PSNRs of the held-out images, dB.
        """
        psnr = math.fsum(images) / len(images)
        if psnr > self.best[which].psnr:
            model = self.average.module if which == "average" and self.average is not None else self.model
            weights = {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
            self.best[which] = Best(psnr=psnr, step=self.step, images=list(images), weights=weights)
        return psnr

    def eagerly(self) -> AbstractContextManager[None]:
        """Call the model itself in the block, even if it has a compiled form."""
        stance: AbstractContextManager[None] = (
            torch.compiler.set_stance("force_eager") if self.compiled else nullcontext()
        )
        return stance

    def state(self) -> dict[str, Any]:
        """Everything needed to continue with equal results to the bit: tensors and plain numbers only."""
        return {
            "step": self.step,
            "refused": self.refused,
            "validating": self.validating,
            "model": self.model.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "random": torch.get_rng_state(),
            "best": {
                which: {"psnr": best.psnr, "step": best.step, "images": best.images, "weights": best.weights}
                for which, best in self.best.items()
            },
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Continue from a state."""
        self.step, self.refused, self.validating = state["step"], state["refused"], state["validating"]
        self.model.load_state_dict(state["model"])
        self._start(next((p for p in self.phases if self.step <= p.last_step), self.phases[-1]))
        if self.average is not None and state["average"] is not None:
            self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        torch.set_rng_state(state["random"])
        self.best = {which: Best(**best) for which, best in state["best"].items()}

    def _start(self, phase: PlannedPhase) -> None:
        params = phase.params
        optimizer = torch.optim.AdamW if params.optimizer == "adamw" else torch.optim.Adam
        self.optimizer = optimizer(
            self.model.parameters(),
            lr=params.lr_start,
            betas=(params.betas[0], params.betas[1]),
            weight_decay=params.weight_decay,
        )
        device = next(self.model.parameters()).device.type
        self.scaler = torch.amp.GradScaler(device, init_scale=FIRST_SCALE, enabled=params.precision == "float16")
        if params.compile is not None:
            self.model.compile(backend=params.compile, dynamic=False)
            self.compiled = True
        if params.ema_decay is None:
            self.average = None
        else:
            averaging = get_ema_multi_avg_fn(params.ema_decay)  # type: ignore[no-untyped-call]
            if self.average is None:
                self.average = AveragedModel(self.model, multi_avg_fn=averaging, use_buffers=True)
            self.average.multi_avg_fn = averaging


def fit(
    training: Training,
    network: nn.Module,
    batches: Callable[[PlannedPhase, int], Iterable[Batch]],
    validate: Callable[[nn.Module], ValidationScores],
    report: Callable[[TrainingProgress], None],
    refuse: Callable[[PlannedPhase, Batch], str] = lambda _phase, _batch: "",
    between_steps: Callable[[], None] = lambda: None,
) -> None:
    """Train to the end of the last phase.

    Args:
        training: the model and its state, from which training continues.
        network: the module to call, e.g. the model wrapped in DDP.
        batches: returns the batches of a phase from a step of the run on.
        validate: scores a model on the held-out images.
        report: called with the progress every `log_every` steps and at validations.
        refuse: called when a step is left out because its gradient is not finite; says where its batch is kept.
        between_steps: called when a step can be taken; what it raises ends the training, which may continue later.

    Raises:
        ModelError: three steps in a row were left out.
    """
    recipe = training.recipe
    for phase in training.remaining():
        meter = Meter(phase.params.batch_size)
        if training.validating:  # it was interrupted
            report(
                TrainingProgress(
                    step=training.step, lr=phase.lr_at(training.step - 1), **_validated(training, validate)
                )
            )
        for batch in meter.waiting_for(batches(phase, training.step)):
            between_steps()
            lr = phase.lr_at(training.step)
            step = train_step(training, network, batch, phase)
            training.step += 1
            meter.add(step)
            training.refused = training.refused + 1 if step.refused else 0
            kept = refuse(phase, batch) if step.refused else ""
            if training.refused == MOST_REFUSED:
                raise ModelError(
                    f"the loss or its gradient is not finite at step {training.step}, the third in a row{kept}: "
                    "lower lr_start, or set clip_norm, in recipe.phases"
                )
            training.validating = training.step % recipe.validate_every == 0 or training.step == phase.last_step
            if training.validating or training.step % recipe.log_every == 0:
                measured = meter.read()
                scores = _validated(training, validate) if training.validating else {}
                report(TrainingProgress(step=training.step, lr=lr, **measured, **scores))
                meter.restart()


def train_step(training: Training, network: nn.Module, batch: Batch, phase: PlannedPhase) -> Step:
    """Take one optimizer step on a batch, in parts if `accumulate` says so; all workers take it, or none."""
    params, optimizer, scaler = phase.params, training.optimizer, training.scaler
    for group in optimizer.param_groups:
        group["lr"] = phase.lr_at(training.step)
    optimizer.zero_grad(set_to_none=True)
    parts = list(zip(*(images.chunk(params.accumulate) for images in batch), strict=True))
    losses = []
    for number, part in enumerate(parts, 1):
        as_asked = nullcontext() if params.compile is not None else training.eagerly()
        with as_asked, nullcontext() if number == len(parts) else _unsynchronised(network):
            values = losses_of(network, part, training.recipe.loss, phase.params)
            scaler.scale(values[0] / len(parts)).backward()  # type: ignore[no-untyped-call]
        losses.append(values.detach())
    scaler.unscale_(optimizer)
    norm = nn.utils.clip_grad_norm_(network.parameters(), params.clip_norm or math.inf)
    finite = math.isfinite(float(norm))  # the same on all workers, as the gradients are
    overflow = scaler.is_enabled() and not finite and scaler.get_scale() > 1
    if finite or scaler.is_enabled():  # in float16, an infinite gradient takes no step and lowers the scale
        scaler.step(optimizer)
        scaler.update()
    if finite and training.average is not None:
        training.average.update_parameters(training.model)
    values = torch.cat([torch.stack(losses).mean(dim=0), norm.detach().reshape(1)])
    return Step(values=values, taken=finite, refused=not finite and not overflow)


def losses_of(network: nn.Module, batch: Batch, loss: LossParams, params: PhaseParams) -> Tensor:
    """Return the losses of Eqs. (8), (6) and (7) on a batch, in this order; only the first has a gradient to take."""
    device = next(network.parameters()).device
    blurred, sharp = (_to_float(images.to(device, non_blocking=True)) for images in batch)
    kind = getattr(torch, params.precision)
    with torch.autocast(device.type, kind, enabled=kind != torch.float32):
        restored = network(blurred)
    if params.clamp_output:
        restored = restored.clamp(0, 1)
    pixels = charbonnier(restored, sharp)
    frequencies = fft_l1(restored, sharp, norm=loss.fft_norm) if loss.fft_weight else torch.zeros_like(pixels)
    return torch.stack([pixels + loss.fft_weight * frequencies, pixels.detach(), frequencies.detach()])


def choose_weights(training_state: Mapping[str, Any], sequences: Sequence[str]) -> tuple[Which, Best]:
    """Return the best weights of a training state.

    Their average is taken if it is better on the held-out images by the test that promotes a champion.

    Args:
        training_state: of a finished run.
        sequences: of the held-out images.
    """
    raw, average = (Best(**training_state["best"][which]) for which in ("raw", "average"))
    differences = [
        (ours - theirs, sequence)
        for ours, theirs, sequence in zip(average.images, raw.images, sequences, strict=False)
        if math.isfinite(ours - theirs)
    ]
    if differences and paired_bootstrap(*zip(*differences, strict=True)).better:
        return "average", average
    return "raw", raw


def _validated(training: Training, validate: Callable[[nn.Module], ValidationScores]) -> dict[str, float | None]:
    averaged: dict[str, float | None] = {}
    with training.eagerly():  # scores are those of plain torch, and images come in many sizes
        raw = validate(training.model)
        average = None if training.average is None else validate(training.average.module)
    psnr = training.keep_if_best("raw", raw.psnr)
    if average is not None:
        averaged = {"average_psnr": training.keep_if_best("average", average.psnr)}
    training.validating = False
    return {"validation_psnr": psnr, "validation_ssim": raw.ssim, **averaged}


def _unsynchronised(network: nn.Module) -> AbstractContextManager[None]:
    """DDP sums gradients over the workers only once per step."""
    no_sync: Callable[[], AbstractContextManager[None]] = getattr(network, "no_sync", nullcontext)
    return no_sync()


def _to_float(images_BHWC: Tensor) -> Tensor:
    # on the device; the result is channels_last without a copy
    return images_BHWC.permute(0, 3, 1, 2).float() / 255
