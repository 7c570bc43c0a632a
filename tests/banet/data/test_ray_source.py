"""What Ray streams is what the sampling contract says, in its order, for every rank."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from banet.data.sampling import RankSlice
from banet.data.training import TrainingSet


@pytest.mark.distributed
@pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.*", "ignore::FutureWarning:ray.*")
def test_a_stream_is_the_samples_of_its_rank_in_order(
    ray_session: None, make_shards: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from banet.data import ray_source

    monkeypatch.setattr(ray_source, "SAMPLES_PER_TASK", 3)  # blocks and batches cross each other's borders
    data = TrainingSet(folder=make_shards(), variant="blur", held_out=("c",), seed=5)
    for rank in range(2):
        part = RankSlice(first=12, batch_size=4, rank=rank, ranks=2)
        batches = list(ray_source.stream(data, part, batches=7, crop=6))  # 28 samples over 8 pairs: several epochs
        assert [blurred.shape for blurred, _ in batches] == [(2, 6, 6, 3)] * 7
        expected = data.samples(part.numbers(np.arange(14)), 6)
        for got, samples in zip(zip(*batches, strict=True), expected, strict=True):
            assert np.array_equal(np.concatenate([tensor.numpy() for tensor in got]), samples)
