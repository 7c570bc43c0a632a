"""The training loop in plain torch, independent of Ray and MLflow."""

import copy
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from banet.config import LossParams, PhaseParams, RecipeParams
from banet.errors import ModelError
from banet.losses import total_loss
from banet.model.network import BANet
from banet.train.plan import PlannedPhase

Batch = tuple[Tensor, Tensor]
"""Blurred and sharp crops, each uint8 (B, crop, crop, 3) in RGB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingProgress:
    """A point of the training curve."""

    step: int  # optimizer steps done
    loss: float  # Eq. (8), mean since the previous point
    lr: float  # of the last step
    validation_psnr: float | None = None  # dB, mean over the held-out images; None if not measured


@dataclass(slots=True)
class Best:
    """The weights with the highest validation PSNR so far."""

    psnr: float = -math.inf
    step: int = 0
    weights: dict[str, Tensor] = field(default_factory=dict)


class Training:
    """A model in training: exactly what a checkpoint has to hold."""

    def __init__(self, model: BANet, recipe: RecipeParams, phases: tuple[PlannedPhase, ...]) -> None:
        self.model = model
        self.recipe = recipe
        self.phases = phases
        self.step = 0
        self.best = Best()
        self._start(phases[0])

    @property
    def finished(self) -> bool:
        """Whether all steps are done."""
        return self.step >= self.phases[-1].last_step

    def remaining(self) -> Iterator[PlannedPhase]:
        """Yield the phases that are not finished; each that has not begun starts with a new optimizer."""
        for phase in self.phases:
            if self.step < phase.last_step:
                if self.step == phase.first_step:
                    self._start(phase)
                yield phase

    def keep_if_best(self, psnr: float) -> None:
        """Keep the current weights if they validate better than the best so far."""
        if psnr > self.best.psnr:
            weights = {name: tensor.detach().cpu().clone() for name, tensor in self.model.state_dict().items()}
            self.best = Best(psnr=psnr, step=self.step, weights=weights)

    def state(self) -> dict[str, Any]:
        """Everything needed to continue with equal results to the bit: tensors and plain numbers only."""
        return {
            "step": self.step,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "best": {"psnr": self.best.psnr, "step": self.best.step, "weights": self.best.weights},
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Continue from a state."""
        self.step = state["step"]
        phase = next((p for p in self.phases if self.step <= p.last_step), self.phases[-1])
        self._start(phase)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.best = Best(**state["best"])

    def _start(self, phase: PlannedPhase) -> None:
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=phase.params.lr_start, betas=(0.9, 0.999))
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, _cosine(phase.params, phase.steps))


def fit(
    training: Training,
    network: nn.Module,
    batches: Callable[[PlannedPhase, int], Iterable[Batch]],
    validate: Callable[[], float],
    report: Callable[[TrainingProgress], None],
) -> None:
    """Train to the end of the last phase.

    Args:
        training: the model and its state, from which training continues.
        network: the module to call, e.g. the model wrapped in DDP.
        batches: returns the batches of a phase from a step of the run on.
        validate: returns the mean PSNR over the held-out images, dB.
        report: called with the progress every `log_every` steps and at validations.
    """
    recipe = training.recipe
    for phase in training.remaining():
        losses: list[Tensor] = []
        for batch in batches(phase, training.step):
            lr = float(training.schedule.get_last_lr()[0])
            losses.append(train_step(network, batch, training.optimizer, recipe.loss, phase.params))
            training.schedule.step()
            training.step += 1
            validating = training.step % recipe.validate_every == 0 or training.step == phase.last_step
            if validating or training.step % recipe.log_every == 0:
                loss = float(torch.stack(losses).mean())
                _require_finite(loss, training.step)
                psnr = validate() if validating else None
                if psnr is not None:
                    training.keep_if_best(psnr)
                report(TrainingProgress(step=training.step, loss=loss, lr=lr, validation_psnr=psnr))
                losses = []


def train_step(
    network: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer, loss: LossParams, params: PhaseParams
) -> Tensor:
    """Take one optimizer step; return the loss before it, a detached scalar."""
    device = next(network.parameters()).device
    blurred, sharp = (_to_float(images.to(device, non_blocking=True)) for images in batch)
    value = total_loss(network(blurred), sharp, fft_weight=loss.fft_weight, fft_norm=loss.fft_norm)
    optimizer.zero_grad(set_to_none=True)
    value.backward()  # type: ignore[no-untyped-call]
    if params.clip_norm is not None:
        nn.utils.clip_grad_norm_(network.parameters(), params.clip_norm)
    optimizer.step()
    return value.detach()


def best_model(training_state: dict[str, Any], model: BANet) -> BANet:
    """Return the model with the best weights of a training state."""
    best = copy.deepcopy(model)
    best.load_state_dict(training_state["best"]["weights"])
    return best.eval()


def _to_float(images_BHWC: Tensor) -> Tensor:
    # on the device; the result is channels_last without a copy
    return images_BHWC.permute(0, 3, 1, 2).float() / 255


def _require_finite(loss: float, step: int) -> None:
    if not math.isfinite(loss):
        raise ModelError(f"the loss is {loss} at step {step}: lower lr_start, or set clip_norm, in recipe.phases")


def _cosine(params: PhaseParams, steps: int) -> Callable[[int], float]:
    """Return the factor on lr_start by step of a phase: linear warm-up, then a cosine that ends at lr_end."""
    floor = params.lr_end / params.lr_start if params.lr_start else 0.0
    span = max(1, steps - 1 - params.warmup_steps)

    def factor(step: int) -> float:
        if step < params.warmup_steps:
            return (step + 1) / (params.warmup_steps + 1)
        done = min(1.0, (step - params.warmup_steps) / span)
        return floor + (1 - floor) * (1 + math.cos(math.pi * done)) / 2

    return factor
