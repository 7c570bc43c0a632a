"""The plan of a run: which optimizer steps and samples belong to which phase, and the learning rate of each step."""

import math
from dataclasses import dataclass

from banet.config import PhaseParams


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedPhase:
    """One phase and its position in the run."""

    params: PhaseParams
    pairs: int  # of the training set: samples per epoch
    first_step: int  # optimizer steps before it
    first_sample: int  # samples drawn before it
    steps: int

    @property
    def last_step(self) -> int:
        """Optimizer steps of the run up to its end."""
        return self.first_step + self.steps

    @property
    def samples(self) -> int:
        """Samples drawn in it."""
        return self.steps * self.params.batch_size

    def sample_at(self, step: int) -> int:
        """Return the number of the first sample after `step` steps of the run."""
        return self.first_sample + (step - self.first_step) * self.params.batch_size

    def lr_at(self, step: int) -> float:
        """Return the learning rate of the next step after `step` steps of the run.

        It rises linearly, stays at `lr_start`, and falls to `lr_end`, which the last step has. Where it changes with
        the epochs, a cosine is that of the released training code, which would end one epoch after the last.
        """
        params, done = self.params, step - self.first_step
        if done < params.warmup_steps:
            return params.lr_start * ((done + 1) / (params.warmup_steps + 1))
        if params.lr_every == "epoch":
            at, last = self._epochs(done), self._epochs(self.steps - 1) + (params.schedule == "cosine")
            held = params.constant if params.epochs else self._epochs(params.constant)
        else:
            at, last = done, self.steps - 1
            held = params.warmup_steps
            held += params.constant if params.steps else math.ceil(params.constant * self.pairs / params.batch_size)
        fallen = min(1.0, max(0, at - held) / max(1, last - held))
        left = (1 + math.cos(math.pi * fallen)) / 2 if params.schedule == "cosine" else 1 - fallen
        floor = params.lr_end / params.lr_start if params.lr_start else 0.0
        return params.lr_start * (floor + (1 - floor) * left)

    def _epochs(self, steps: int) -> int:
        return steps * self.params.batch_size // self.pairs


def plan(phases: tuple[PhaseParams, ...], pairs: int) -> tuple[PlannedPhase, ...]:
    """Plan the phases of a run over a number of training pairs."""
    planned: list[PlannedPhase] = []
    step = sample = 0
    for params in phases:
        steps = params.steps or math.ceil((params.epochs or 0) * pairs / params.batch_size)
        phase = PlannedPhase(params=params, pairs=pairs, first_step=step, first_sample=sample, steps=steps)
        planned.append(phase)
        step += steps
        sample += phase.samples
    return tuple(planned)
