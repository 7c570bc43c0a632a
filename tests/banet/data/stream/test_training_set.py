"""Samples by number: aligned, the same whoever asks, and never from a held-out sequence."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banet.data.shards.reader import ShardFolder
from banet.data.stream.augmentation import draw_augmentation
from banet.data.stream.order import augmentation_rng, pair_of_sample
from banet.data.stream.training_set import TrainingSet
from banet.errors import ConfigError, DataError

Make = Callable[..., Path]


def training_set(folder: Path, *held_out: str, variant: str = "blur", seed: int = 0) -> TrainingSet:
    return TrainingSet(folder=folder, variant=variant, held_out=held_out, seed=seed)


def test_a_sample_is_the_pair_and_the_crop_that_its_number_says(make_shards: Make) -> None:
    data = training_set(make_shards(), "c")
    rows, shards = data.training_rows(), ShardFolder(data.folder)
    blurred, sharp = data.samples(np.arange(20), 8)
    assert blurred.shape == sharp.shape == (20, 8, 8, 3)
    assert blurred.dtype == np.uint8
    for k in range(20):
        images = shards.read(rows[pair_of_sample(0, k, len(rows))], ("blur", "sharp")).images
        draw = draw_augmentation(augmentation_rng(0, k), 12, 15, 8, where="x")
        assert np.array_equal(sharp[k], draw(images["sharp"]))
        assert np.array_equal(blurred[k], draw(images["blur"]))


def test_both_images_of_a_pair_get_the_same_crop_flips_and_turns(make_shards: Make) -> None:
    blurred, sharp = training_set(make_shards(), "c").samples(np.arange(200), 5)
    assert np.array_equal(blurred, 255 - sharp)


def test_a_sample_does_not_depend_on_its_company_or_process(make_shards: Make) -> None:
    data = training_set(make_shards(), "c")
    together = data.samples(np.arange(10), 8)
    sent = pickle.loads(pickle.dumps(data))  # noqa: S301
    for k in (9, 0, 4):
        alone = sent.samples(np.array([k]), 8)
        assert all(np.array_equal(one[0], many[k]) for one, many in zip(alone, together, strict=True))


def test_every_pair_comes_once_an_epoch(make_shards: Make) -> None:
    folder = make_shards(size=(6, 6))
    data = training_set(folder, "c")
    rows, shards = data.training_rows(), ShardFolder(folder)
    _, sharp = data.samples(np.arange(2 * len(rows)), 6)  # whole images, so the sorted pixels name the pair
    names = {np.sort(shards.read(row, ("sharp",)).images["sharp"], axis=None).tobytes(): row.key for row in rows}
    shown = [names[np.sort(patch, axis=None).tobytes()] for patch in sharp]
    assert sorted(shown[: len(rows)]) == sorted(shown[len(rows) :]) == [row.key for row in rows]


def test_samples_of_any_numbers_are_those_that_each_is_alone(make_shards: Make) -> None:
    folder = make_shards(("a", "b", "c"), pairs=3, size=(7, 9))

    @settings(deadline=None, derandomize=True, database=None, max_examples=40)
    @given(
        numbers=st.lists(st.integers(0, 10**12), min_size=1, max_size=6),
        seed=st.integers(0, 2**63),
        crop=st.integers(1, 7),
    )
    def check(numbers: list[int], seed: int, crop: int) -> None:
        data = training_set(folder, "c", seed=seed)
        blurred, sharp = data.samples(np.array(numbers), crop)
        assert blurred.flags.c_contiguous
        assert sharp.flags.c_contiguous
        assert np.array_equal(blurred, 255 - sharp)  # the same crop, flips and turns
        for i, k in enumerate(numbers):
            alone = data.samples(np.array([k]), crop)
            assert np.array_equal(alone[0][0], blurred[i])
            assert np.array_equal(alone[1][0], sharp[i])

    check()


@pytest.mark.parametrize(("pairs", "seed"), [(1, 0), (4, 1), (7, 2**62)])
def test_the_pixels_of_every_pair_come_once_in_any_epoch(make_shards: Make, pairs: int, seed: int) -> None:
    data = training_set(make_shards(("a", "c"), pairs=pairs, size=(4, 4)), "c", seed=seed)
    rows, shards = data.training_rows(), ShardFolder(data.folder)
    names = {np.sort(shards.read(row, ("sharp",)).images["sharp"], axis=None).tobytes(): row.key for row in rows}
    for epoch in (0, 1, 3000):
        _, sharp = data.samples(np.arange(epoch * pairs, (epoch + 1) * pairs), 4)
        assert sorted(names[np.sort(patch, axis=None).tobytes()] for patch in sharp) == [row.key for row in rows]


def test_held_out_sequences_validate_whole_and_never_train(make_shards: Make) -> None:
    data = training_set(make_shards(("a_long", "a_short", "b_long")), "a_*")
    assert {row.sequence for row in data.validation_rows()} == {"a_long", "a_short"}
    assert {row.sequence for row in data.training_rows()} == {"b_long"}
    assert len(data.validation_rows()) == 8
    keys = [row.key for row in data.validation_rows()]
    assert keys == sorted(keys)


def test_another_seed_gives_other_samples(make_shards: Make) -> None:
    folder = make_shards()
    one, other = (training_set(folder, "c", seed=seed).samples(np.arange(8), 8)[1] for seed in (0, 1))
    assert not np.array_equal(one, other)


def test_a_pattern_that_matches_nothing_is_named_with_what_is_there(make_shards: Make) -> None:
    with pytest.raises(ConfigError, match=r"benchmark.validation.sequences: 'rocket_\*' matches none of a, b, c"):
        training_set(make_shards(), "a", "rocket_*").training_rows()


def test_something_must_train_and_something_validate(make_shards: Make) -> None:
    folder = make_shards()
    with pytest.raises(ConfigError, match="leaves nothing to train on"):
        training_set(folder, "*").training_rows()
    with pytest.raises(ConfigError, match="leaves nothing to validate on"):
        training_set(folder).validation_rows()


def test_a_pair_smaller_than_the_crop_is_named(make_shards: Make) -> None:
    with pytest.raises(DataError, match=r"[ab]/00000\d is 12x15, smaller than the training crop 14"):
        training_set(make_shards(), "c").samples(np.arange(2), 14)


def test_an_unknown_variant_is_named_with_the_known(make_shards: Make) -> None:
    with pytest.raises(DataError, match=r"no variant 'blur_gamma': it holds blur \(benchmark.variant\)"):
        training_set(make_shards(), "c", variant="blur_gamma").samples(np.arange(2), 8)


def test_all_pairs_smaller_than_the_crop_are_told_before_the_start(make_shards: Make) -> None:
    data = training_set(make_shards(), "c")
    data.require_crop(12)
    with pytest.raises(DataError) as caught:
        data.require_crop(14)
    said = str(caught.value)
    assert said.count("is 12x15, smaller than the training crop 14") == 5
    assert "; and 3 more: lower recipe.phases crop" in said


def test_an_equal_sequence_validates_before_patterns(make_shards: Make) -> None:
    folder = make_shards(("clip 1", "clip [1]", "caf\u00e9"))
    for named, expected in (("clip [1]", "clip [1]"), ("cafe\u0301", "caf\u00e9"), ("clip ?", "clip 1")):
        assert {row.sequence for row in training_set(folder, named).validation_rows()} == {expected}
