"""The plan of a run: which optimizer steps and samples belong to which phase."""

import math
from dataclasses import dataclass

from banet.config import PhaseParams


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedPhase:
    """One phase and its position in the run."""

    params: PhaseParams
    first_step: int  # optimizer steps before it
    first_sample: int  # samples drawn before it
    steps: int

    @property
    def last_step(self) -> int:
        """Optimizer steps of the run up to its end."""
        return self.first_step + self.steps

    def sample_at(self, step: int) -> int:
        """Return the number of the first sample after `step` steps of the run."""
        return self.first_sample + (step - self.first_step) * self.params.batch_size


def plan(phases: tuple[PhaseParams, ...], pairs: int) -> tuple[PlannedPhase, ...]:
    """Plan the phases of a run over a number of training pairs."""
    planned: list[PlannedPhase] = []
    step = sample = 0
    for params in phases:
        steps = params.steps or math.ceil((params.epochs or 0) * pairs / params.batch_size)
        planned.append(PlannedPhase(params=params, first_step=step, first_sample=sample, steps=steps))
        step += steps
        sample += steps * params.batch_size
    return tuple(planned)
