"""What Ray streams is what the sampling contract says, in its order, for every rank, whatever it is cut into."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from banet.data.stream.order import RankSlice
from banet.data.stream.training_set import TrainingSet
from banet.errors import DataError

pytestmark = [
    pytest.mark.distributed,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.*", "ignore::FutureWarning:ray.*"),
]
Stream = Callable[..., Iterator[tuple[Tensor, Tensor]]]
CROP = 6


@pytest.fixture
def stream(ray_session: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stream]:
    """The stream, cut very small: a segment is 2 tasks of 3 samples at most; nothing of it may be left running."""
    from banet.data.stream import ray_stream as ray_source

    monkeypatch.setattr(ray_source, "TASK_SAMPLES", 3)
    monkeypatch.setattr(ray_source, "SEGMENT_TASKS", 2)
    yield ray_source.stream
    wait_for_the_end()


def wait_for_the_end() -> None:
    """Wait until no thread of ours, and no scheduler of a dataset, runs any more."""
    limit = time.monotonic() + 10
    while left := [t.name for t in threading.enumerate() if t.name.startswith(("banet-", "StreamingExecutor"))]:
        assert time.monotonic() < limit, f"still running: {left}"
        time.sleep(0.02)


def training_set(folder: Path, seed: int = 5) -> TrainingSet:
    return TrainingSet(folder=folder, variant="blur", held_out=("c",), seed=seed)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ranks", "seed", "first", "batches"),
    [(1, 5, 0, 7), (2, 2**40, 12, 9), (4, 5, 8 * 1000 + 4, 5)],
    ids=["1 rank", "2 ranks, another seed, in the second epoch", "4 ranks, in the thousandth epoch"],
)
def test_the_streams_of_all_ranks_are_the_samples_in_order(
    stream: Stream, make_shards: Callable[..., Path], ranks: int, seed: int, first: int, batches: int
) -> None:
    B = 4
    data = training_set(make_shards(), seed)  # 8 pairs: the samples go through several epochs
    parts = [RankSlice(first=first, batch_size=B, rank=rank, ranks=ranks) for rank in range(ranks)]
    streams = [stream(data, part, batches=batches, crop=CROP) for part in parts]
    count = 0
    for b, of_ranks in enumerate(zip(*streams, strict=True)):  # all at once: they share a process and the cluster
        expected = data.samples(np.arange(first + b * B, first + (b + 1) * B), CROP)
        for got, samples in zip(zip(*of_ranks, strict=True), expected, strict=True):
            assert all(tensor.shape == (B // ranks, CROP, CROP, 3) for tensor in got)
            assert all(tensor.dtype == torch.uint8 and tensor.is_contiguous() for tensor in got)
            assert np.array_equal(torch.cat(got).numpy(), samples)
        count += 1
    assert count == batches


@pytest.mark.parametrize(("samples", "tasks"), [(1, 1), (5, 3), (256, 64)])
def test_tasks_and_segments_of_any_length_give_the_same(
    stream: Stream, make_shards: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, samples: int, tasks: int
) -> None:
    from banet.data.stream import ray_stream as ray_source

    monkeypatch.setattr(ray_source, "TASK_SAMPLES", samples)
    monkeypatch.setattr(ray_source, "SEGMENT_TASKS", tasks)
    data, part = training_set(make_shards()), RankSlice(first=3, batch_size=2, rank=0, ranks=1)
    batches = list(stream(data, part, batches=8, crop=CROP))
    assert len(batches) == 8
    for got, expected in zip(zip(*batches, strict=True), data.samples(np.arange(3, 19), CROP), strict=True):
        assert np.array_equal(torch.cat(got).numpy(), expected)


def test_no_batches_are_an_empty_stream(stream: Stream, make_shards: Callable[..., Path]) -> None:
    part = RankSlice(first=0, batch_size=2, rank=0, ranks=1)
    assert not list(stream(training_set(make_shards()), part, batches=0, crop=CROP))


@pytest.mark.parametrize("taken", [1, 3, 4])  # of segments of 6: before, while and after the next one starts
def test_a_stream_without_a_foreseeable_end_starts_at_once_and_stops_when_it_is_closed(
    stream: Stream, make_shards: Callable[..., Path], taken: int
) -> None:
    part = RankSlice(first=0, batch_size=1, rank=0, ranks=1)
    batches = stream(training_set(make_shards()), part, batches=10**12, crop=CROP)
    for _ in range(taken):
        next(batches)
    batches.close()  # type: ignore[attr-defined]  # a generator
    wait_for_the_end()


def test_what_a_task_raises_comes_out_where_its_batches_would(stream: Stream, make_shards: Callable[..., Path]) -> None:

    folder = make_shards()
    (shard,) = folder.glob("train-*.parquet")
    content = bytearray(shard.read_bytes())
    middle = slice(len(content) // 4, len(content) // 2)
    content[middle] = bytes(255 - byte for byte in content[middle])  # some pairs, of the same length
    shard.write_bytes(content)
    data, part = training_set(folder), RankSlice(first=0, batch_size=1, rank=0, ranks=1)
    whole: list[tuple[Tensor, Tensor]] = []
    with pytest.raises(DataError, match=r"^[^\n]*train-00000.parquet is damaged at [ab]/[^\n]*$"):
        whole.extend(stream(data, part, batches=24, crop=CROP))
    for k, (_, sharp) in enumerate(whole):  # what came before it is right
        assert np.array_equal(sharp.numpy(), data.samples(np.array([k]), CROP)[1])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_batches_lie_in_pinned_memory_where_there_is_a_gpu(stream: Stream, make_shards: Callable[..., Path]) -> None:
    data, part = training_set(make_shards()), RankSlice(first=0, batch_size=4, rank=0, ranks=1)
    for b, batch in enumerate(stream(data, part, batches=4, crop=CROP)):
        assert all(images.is_pinned() and images.is_contiguous() and images.dtype == torch.uint8 for images in batch)
        expected = data.samples(np.arange(4 * b, 4 * b + 4), CROP)
        for images, samples in zip(batch, expected, strict=True):
            assert np.array_equal(images.to("cuda", non_blocking=True).cpu().numpy(), samples)
