"""The interval covers what it should, and sequences count as what they are."""

import numpy as np
import pytest

from banet.scoring.bootstrap import paired_bootstrap


def test_equal_differences_leave_nothing_to_chance() -> None:
    found = paired_bootstrap([0.25] * 6, ["a", "a", "a", "b", "b", "c"])
    assert (found.mean, found.low, found.high) == (0.25, 0.25, 0.25)
    assert (found.images, found.sequences, found.confidence) == (6, 3, 0.95)
    assert found.better
    assert not paired_bootstrap([0.0] * 6, list("aaabbc")).better
    assert str(found) == "+0.250 dB (95% interval +0.250 to +0.250)"


def test_the_same_images_give_the_same_interval_in_any_order_of_sequences() -> None:
    rng = np.random.default_rng(1)
    values, names = rng.normal(size=20).tolist(), [f"s{i // 5}" for i in range(20)]
    one = paired_bootstrap(values, names)
    assert one == paired_bootstrap(values, names)
    other = paired_bootstrap(values[10:] + values[:10], names[10:] + names[:10])
    assert (one.low, one.high) == (other.low, other.high)
    assert paired_bootstrap(values, names, seed=1).low != one.low


def test_sequences_that_disagree_make_the_interval_wider_than_their_images_do() -> None:
    values = [1.0, 1.1, 0.9, 1.0] * 5 + [-0.5, -0.6, -0.4, -0.5] * 5
    by_sequence = paired_bootstrap(values, ["good"] * 20 + ["bad"] * 20)
    by_image = paired_bootstrap(values, [str(i) for i in range(40)])
    assert by_image.low > 0 > by_sequence.low
    assert not by_sequence.better
    assert by_image.better


def test_one_sequence_is_resampled_by_its_images() -> None:
    values = np.random.default_rng(0).normal(1.0, 0.5, 400).tolist()
    found = paired_bootstrap(values, ["only"] * 400)
    error = 1.96 * np.std(values) / np.sqrt(400)
    assert found.low == pytest.approx(np.mean(values) - error, abs=0.01)
    assert found.high == pytest.approx(np.mean(values) + error, abs=0.01)


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    """40 sequences of 5 images; differences of mean 0.1, more between sequences than within."""
    rng, inside = np.random.default_rng(3), 0
    for _ in range(200):
        levels = rng.normal(0.1, 0.3, 40).repeat(5)
        values = levels + rng.normal(0, 0.1, 200)
        found = paired_bootstrap(values.tolist(), [f"s{i // 5}" for i in range(200)], draws=500)
        inside += found.low <= 0.1 <= found.high
    assert 0.90 <= inside / 200 <= 0.99


def test_a_sequence_of_each_image_is_asked_for() -> None:
    with pytest.raises(ValueError, match="2 differences for the sequences of 1 images"):
        paired_bootstrap([1.0, 2.0], ["a"])
    with pytest.raises(ValueError, match="0 differences"):
        paired_bootstrap([], [])
