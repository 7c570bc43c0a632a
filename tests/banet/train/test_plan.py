"""Phases laid out over steps and samples, and the learning rate of each step."""

import math
from pathlib import Path

import pytest

from banet.config import PhaseParams, RecipeParams
from banet.parsing import parse, read_yaml
from banet.train.plan import plan

ROOT = Path(__file__).parents[3]


def phase(**values: object) -> PhaseParams:
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


def rates(*, pairs: int = 16, **values: object) -> list[float]:
    (planned,) = plan((phase(**{"lr_start": 1e-3, "lr_end": 1e-5, **values}),), pairs=pairs)
    return [planned.lr_at(step) for step in range(planned.last_step)]


def test_every_schedule_reaches_its_floor_with_the_last_step() -> None:
    for values in ({}, {"schedule": "linear"}, {"constant": 4}, {"schedule": "linear", "warmup_steps": 3}):
        assert rates(steps=10, **values)[-1] == pytest.approx(1e-5)


def test_a_phase_can_hold_its_learning_rate_before_it_falls_in_a_line() -> None:
    falling = rates(steps=10, constant=4, schedule="linear")
    assert falling[:5] == [1e-3] * 5
    assert falling[4] - falling[5] == pytest.approx((1e-3 - 1e-5) / 5)
    assert falling[5] - falling[6] == pytest.approx((1e-3 - 1e-5) / 5)


def test_the_warm_up_comes_first() -> None:
    warm = rates(steps=10, warmup_steps=3, constant=2)
    assert warm[:6] == pytest.approx([0.25e-3, 0.5e-3, 0.75e-3, 1e-3, 1e-3, 1e-3])
    assert warm[6] < 1e-3


def test_a_learning_rate_can_change_with_the_epochs() -> None:
    by_epoch = rates(epochs=5, lr_every="epoch", schedule="linear", constant=1)
    assert len(by_epoch) == 20  # 4 steps of 4 pairs in an epoch of 16
    assert [len(set(by_epoch[i : i + 4])) for i in range(0, 20, 4)] == [1] * 5
    assert by_epoch[::4] == pytest.approx([1e-3, 1e-3, 1e-3 - 3.3e-4, 1e-3 - 6.6e-4, 1e-5])


def test_the_recipe_paper_s_two_phases_are_those_of_the_released_code() -> None:
    recipe = parse(RecipeParams, read_yaml(ROOT / "conf/recipe/paper.yaml"), where="paper")
    first, second = plan(recipe.phases, pairs=2103)
    assert (first.params.crop, second.params.crop) == (256, 512)
    assert all(planned.params.clamp_output and planned.params.optimizer == "adam" for planned in (first, second))
    for epoch in (0, 1, 1500, 2999):
        released = 1e-7 + (1e-4 - 1e-7) * (1 + math.cos(math.pi * epoch / 3000)) / 2
        assert first.lr_at(math.ceil(epoch * 2103 / 8)) == pytest.approx(released)
    for epoch in (0, 50, 51, 500, 999):
        released = 1e-4 - max(0, epoch - 50) * (1e-4 - 1e-7) / 1000
        assert second.lr_at(second.first_step + math.ceil(epoch * 2103 / 8)) == pytest.approx(released)
