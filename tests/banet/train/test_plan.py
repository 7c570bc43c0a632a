"""Phases laid out over steps and samples."""

from banet.config import PhaseParams
from banet.train.plan import plan


def phase(**values: int) -> PhaseParams:
    return PhaseParams(**{"crop": 8, "batch_size": 4, "lr_start": 1e-3, "lr_end": 0.0, **values})  # type: ignore[arg-type]


def test_phases_follow_each_other_in_steps_and_samples() -> None:
    first, second = plan((phase(steps=10), phase(epochs=3, batch_size=2)), pairs=7)
    assert (first.first_step, first.first_sample, first.last_step) == (0, 0, 10)
    assert second.first_step == 10
    assert second.first_sample == 40
    assert second.steps == 11  # 21 samples in batches of 2, the last one reaching into the next epoch
    assert second.last_step == 21


def test_a_run_that_goes_on_knows_its_next_sample() -> None:
    _, second = plan((phase(steps=10), phase(steps=5, batch_size=2)), pairs=7)
    assert second.sample_at(10) == 40
    assert second.sample_at(13) == 46
