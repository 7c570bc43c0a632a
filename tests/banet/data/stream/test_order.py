"""The sampling contract: a sample is a function of (seed, k) alone, whoever asks for it and in whatever order."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banet.data.stream import order as sampling
from banet.data.stream.order import RankSlice, augmentation_rng, pair_of_sample

Words = npt.NDArray[np.uint64]
SEEDS = st.integers(0, 2**63)
# runs of any shape: (batch size, ranks that divide it)
WORLDS = st.tuples(st.integers(1, 6), st.integers(1, 6)).map(lambda sizes: (sizes[0] * sizes[1], sizes[1]))
properties = settings(deadline=None, derandomize=True, database=None)  # the same cases in every run


@pytest.mark.parametrize("pairs", [1, 2, 7, 100])
@pytest.mark.parametrize("seed", [0, 1, 2**40])
def test_each_epoch_is_a_permutation(seed: int, pairs: int) -> None:
    for epoch in (0, 1, 2, 5000):
        seen = [pair_of_sample(seed, epoch * pairs + i, pairs) for i in range(pairs)]
        assert sorted(seen) == list(range(pairs))


@properties
@given(seed=SEEDS, pairs=st.integers(1, 300), epoch=st.integers(0, 10**9))
def test_any_epoch_of_any_set_shows_every_pair_once(seed: int, pairs: int, epoch: int) -> None:
    seen = [pair_of_sample(seed, k, pairs) for k in range(epoch * pairs, (epoch + 1) * pairs)]
    assert sorted(seen) == list(range(pairs))


@properties
@given(seed=SEEDS, pairs=st.integers(1, 50), data=st.data())
def test_a_sample_is_a_function_of_seed_and_number(seed: int, pairs: int, data: st.DataObject) -> None:
    numbers = data.draw(st.lists(st.integers(0, 20 * pairs), min_size=2, max_size=30))
    alone = []
    for k in numbers:
        sampling._epoch_order.cache_clear()  # what another process would know
        alone.append(pair_of_sample(seed, k, pairs))
    assert [pair_of_sample(seed, k, pairs) for k in numbers] == alone
    for k in numbers:
        assert np.array_equal(words(augmentation_rng(seed, k), 4), words(augmentation_rng(seed, k), 4))


def test_epochs_and_seeds_differ_in_their_order() -> None:
    def order(seed: int, epoch: int) -> tuple[int, ...]:
        return tuple(pair_of_sample(seed, epoch * 20 + i, 20) for i in range(20))

    orders = {order(seed, epoch) for seed in range(10) for epoch in range(10)}
    assert len(orders) == 100


def test_every_order_of_a_small_set_comes_equally_often() -> None:
    counts = np.zeros((3, 3))
    for k in range(3 * 3000):
        counts[k % 3, pair_of_sample(0, k, 3)] += 1
    assert np.all(np.abs(counts - 1000) < 5 * np.sqrt(1000 * 2 / 3))


def test_a_sample_does_not_depend_on_those_asked_for_before() -> None:
    numbers = np.random.default_rng(0).permutation(300)  # jumps over more epochs than are remembered
    jumping = {int(k): pair_of_sample(3, int(k), 10) for k in numbers}
    assert [jumping[k] for k in range(300)] == [pair_of_sample(3, k, 10) for k in range(300)]


@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize("first", [0, 8, 1003])
def test_the_ranks_slices_of_a_batch_are_the_batch_in_order(ranks: int, first: int) -> None:
    B, batches = 8, 5
    parts = [RankSlice(first=first, batch_size=B, rank=rank, ranks=ranks) for rank in range(ranks)]
    assert {part.size for part in parts} == {B // ranks}
    numbers = [part.numbers(np.arange(batches * part.size)).reshape(batches, part.size) for part in parts]
    for b in range(batches):
        together = np.concatenate([of_rank[b] for of_rank in numbers])
        assert together.tolist() == list(range(first + b * B, first + (b + 1) * B))


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_a_restart_after_some_batches_goes_on_with_the_same_numbers(ranks: int) -> None:
    B, done = 8, 7
    for rank in range(ranks):
        whole = RankSlice(first=0, batch_size=B, rank=rank, ranks=ranks)
        rest = RankSlice(first=done * B, batch_size=B, rank=rank, ranks=ranks)
        j = np.arange(40)
        assert np.array_equal(rest.numbers(j), whole.numbers(j + done * whole.size))


@properties
@given(world=WORLDS, first=st.integers(0, 10**12), batches=st.integers(1, 9), pairs=st.integers(1, 20))
def test_batches_of_any_world_are_whole_and_in_order(
    world: tuple[int, int], first: int, batches: int, pairs: int
) -> None:
    B, ranks = world  # with few pairs a batch spans several epochs
    parts = [RankSlice(first=first, batch_size=B, rank=rank, ranks=ranks) for rank in range(ranks)]
    shares = [part.numbers(np.arange(batches * part.size)).reshape(batches, B // ranks) for part in parts]
    in_order = np.concatenate(shares, axis=1).ravel()
    assert np.array_equal(in_order, np.arange(first, first + batches * B))
    epochs, shown = in_order // pairs, np.array([pair_of_sample(3, int(k), pairs) for k in in_order])
    for epoch in np.unique(epochs):
        among = shown[epochs == epoch]
        assert len(np.unique(among)) == len(among)  # no pair twice, and all of them where the epoch is whole


@properties
@given(world=WORLDS, first=st.integers(0, 10**12), done=st.integers(0, 10**6), data=st.data())
def test_a_restart_anywhere_and_blocks_of_any_size_give_the_same_tail(
    world: tuple[int, int], first: int, done: int, data: st.DataObject
) -> None:
    B, ranks = world
    rank = data.draw(st.integers(0, ranks - 1))
    whole = RankSlice(first=first, batch_size=B, rank=rank, ranks=ranks)
    rest = RankSlice(first=first + done * B, batch_size=B, rank=rank, ranks=ranks)
    j = np.arange(60)
    ends = sorted(data.draw(st.lists(st.integers(0, 60), max_size=6)))
    blocks = [rest.numbers(block) for block in np.split(j, ends)]
    assert np.array_equal(np.concatenate(blocks), whole.numbers(j + done * whole.size))


def test_numbers_do_not_depend_on_blocks() -> None:
    part = RankSlice(first=5, batch_size=12, rank=1, ranks=4)
    j = np.arange(100)
    blocks = [part.numbers(block) for block in np.split(j, [1, 17, 64])]
    assert np.array_equal(np.concatenate(blocks), part.numbers(j))


def test_epoch_ends_make_no_short_batch_and_lose_no_pair() -> None:
    pairs, B, ranks = 7, 4, 2  # 7 batches are 4 epochs
    parts = [RankSlice(first=0, batch_size=B, rank=rank, ranks=ranks) for rank in range(ranks)]
    numbers = np.concatenate([part.numbers(np.arange(7 * part.size)) for part in parts])
    shown = [pair_of_sample(0, int(k), pairs) for k in numbers]
    assert np.bincount(shown).tolist() == [4] * pairs


def words(rng: np.random.Generator, count: int = 500) -> Words:
    """The raw 64-bit words of a stream; a Philox block is four of them."""
    return rng.bit_generator.random_raw(count)  # type: ignore[no-any-return, attr-defined, unused-ignore]


def overlap(streams: list[Words]) -> bool:
    """Whether two streams share a word: by chance once in 10^10 such tests."""
    together = np.concatenate(streams)
    return len(np.unique(together)) < len(together)


def test_streams_of_different_samples_never_overlap() -> None:
    numbers = [*range(10), 255, 256, 257, 2**32 - 1, 2**32, 2**32 + 1, 2**60]
    assert not overlap([words(augmentation_rng(7, k)) for k in numbers])


def test_the_common_idiom_would_overlap_from_the_second_block_on() -> None:
    """Why the number does not stand in the lowest word: block i of sample k + 1 would be block i + 1 of sample k."""
    idiom = [np.random.Generator(np.random.Philox(key=[7, 1], counter=[k, 0, 0, 0])) for k in range(2)]
    first, second = (words(rng) for rng in idiom)
    assert overlap([first, second])
    assert np.array_equal(first[4:], second[:-4])


def test_a_stream_leaves_its_own_word_of_the_counter_alone() -> None:
    rng = augmentation_rng(7, 1234)
    words(rng, 4000)
    state = rng.bit_generator.state["state"]
    assert state["counter"].tolist() == [1000, 1234, 0, 0]  # 2^64 blocks of its own, however much is drawn
    assert state["key"].tolist() == [7, sampling.AUGMENTATION]


def test_order_and_augmentation_and_seeds_are_independent_families() -> None:
    families = [(seed, family) for seed in range(3) for family in (sampling.ORDER, sampling.AUGMENTATION)]
    assert not overlap([words(sampling._stream(seed, family, k)) for seed, family in families for k in range(5)])


def test_the_same_sample_draws_the_same_again() -> None:
    assert np.array_equal(words(augmentation_rng(1, 9)), words(augmentation_rng(1, 9)))
