"""The stream in benchmarks/loading.py: end to end, at epoch ends and joins, its start, and over 100,000 pairs."""

import os
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from loading_frames import (
    BATCH,
    CROP,
    GOPRO_PAIRS,
    HELD_OUT,
    Files,
    Frames,
    batches,
    close,
    images,
    png_sample,
    spread,
    training_set,
    write_shards,
)
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from banet.cluster.ray_session import start_ray
from banet.data.sharding.writer import ShardWriter, WrittenShard, shard_name, write_shard
from banet.data.shards.reader import Pair
from banet.data.stream.ray_stream import segment_length

WORKERS = 2  # of the DataLoader: as many as cores
WARM_UP = 100  # batches that do not count where waits are measured


class PngSet(Dataset[tuple[Tensor, Tensor]]):
    """The samples of a DataLoader over PNG files."""

    def __init__(self, files: Files) -> None:
        self.files = files

    def __len__(self) -> int:
        return 10**6

    def __getitem__(self, k: int) -> tuple[Tensor, Tensor]:
        blurred, sharp = png_sample(self.files, k)
        return torch.from_numpy(blurred), torch.from_numpy(sharp)


def end_to_end(frames: Frames) -> dict[str, Any]:
    """Samples a second into batches in this process: the stream over a DataLoader, each with the cores to itself."""
    rounds = 5
    warm_up, measured = {"stream": 160, "loader": 10}, {"stream": 320, "loader": 40}
    data = write_shards(frames.folder / "stream", frames.pairs, "compact")
    start_ray()
    rates: dict[str, list[float]] = {"stream": [], "loader": []}
    for _ in range(rounds):
        for name, values in rates.items():
            loader = DataLoader(
                PngSet(frames.files),
                batch_size=BATCH,
                num_workers=WORKERS,
                persistent_workers=True,
                worker_init_fn=one_thread,
                multiprocessing_context="spawn",
            )
            source = batches(data, 10**6) if name == "stream" else iter(loader)
            for _ in islice(source, warm_up[name]):
                pass
            start = time.perf_counter()
            for _ in islice(source, measured[name]):
                pass
            values.append(measured[name] * BATCH / (time.perf_counter() - start))
            if name == "stream":
                close(source)
            del source, loader  # the workers end
    ratios = [a / b for a, b in zip(*rates.values(), strict=True)]
    return {
        "samples_per_second": {name: spread(values) for name, values in rates.items()},
        "stream_over_loader": spread(ratios),
        "aims": {"stream >= 5 x": statistics.median(ratios) >= 5},
    }


def one_thread(_worker: int) -> None:
    """OpenCV's threads in a worker."""
    cv2.setNumThreads(1)


def epochs(frames: Frames) -> dict[str, Any]:
    """The longest wait for a batch at epoch ends and at segment joins, against the time of an epoch."""
    data, count = frames.parts, 2 * segment_length(BATCH, CROP) + 200
    start_ray()
    report: dict[str, Any] = {"pairs": GOPRO_PAIRS, "segment_batches": segment_length(BATCH, CROP)}
    rate = 0.0  # batches a second of a consumer that takes them as they come
    for name in ("as fast as they come", "at half that rate"):
        waits, seconds = consume(batches(data, count), step=2 / rate if rate else 0.0)
        rate = rate or len(waits) / seconds
        epoch = seconds / len(waits) * GOPRO_PAIRS / BATCH
        ends = [number * GOPRO_PAIRS // BATCH for number in range(1, count * BATCH // GOPRO_PAIRS + 1)]
        joins = list(range(segment_length(BATCH, CROP), count, segment_length(BATCH, CROP)))
        near = {
            "epoch ends": [max(waits[b - 1 : b + 2]) for b in ends],
            "joins": [max(waits[b - 1 : b + 2]) for b in joins],
        }
        report[name] = {
            "epoch_s": epoch,
            "longest_wait_s": {place: max(values) for place, values in near.items()}
            | {"anywhere": max(waits[WARM_UP:])},
            "waited_of_all_time": sum(waits[WARM_UP:]) / seconds if rate else 1.0,
            "aims": {f"{place} <= 5 % of an epoch": max(values) <= 0.05 * epoch for place, values in near.items()},
        }
    return report


def consume(batches: Iterator[Any], step: float) -> tuple[list[float], float]:
    """Take all batches, `step` seconds of other work between them: the wait for each, and the seconds of all."""
    waits: list[float] = []
    start = time.perf_counter()
    while True:
        asked = time.perf_counter()
        if next(batches, None) is None:
            return waits, time.perf_counter() - start
        waits.append(time.perf_counter() - asked)
        time.sleep(step)


def first_batch(frames: Frames) -> dict[str, Any]:
    """Seconds to the first batch of runs of 1, 100 and 10,000 epochs."""
    lengths, rounds = (1, 100, 10_000), 3
    data = frames.parts
    start_ray()
    seconds: dict[int, list[float]] = {length: [] for length in lengths}
    for number in range(rounds + 1):  # the first one starts Ray's workers
        for length in lengths:
            source = batches(data, length * GOPRO_PAIRS // BATCH)
            start = time.perf_counter()
            next(source)
            if number:
                seconds[length].append(time.perf_counter() - start)
            close(source)
    medians = {length: statistics.median(values) for length, values in seconds.items()}
    return {
        "seconds_by_epochs": {str(length): spread(values) for length, values in seconds.items()},
        "aims": {"10,000 epochs <= 1.5 x 1 epoch + 0.5 s": medians[10_000] <= 1.5 * medians[1] + 0.5},
    }


def many(frames: Frames) -> dict[str, Any]:
    """A set of 100,000 small pairs: opening it, the first batch, the rate, and what it takes of memory."""
    count, size, crop, per_shard = 100_000, 32, 24, 1000
    folder = frames.folder / "many"
    folder.mkdir()
    start = time.perf_counter()
    writer = ShardWriter(folder, ("blur",), "raw")
    with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as pool:
        for shard in pool.map(partial(small_shard, folder, per_shard, size), range(count // per_shard)):
            writer.add(shard)
    writer.finish("benchmark")
    written = time.perf_counter() - start
    before, start = resident(), time.perf_counter()
    data = training_set(folder)
    rows = len(data.training_rows())
    opened, memory = time.perf_counter() - start, resident() - before
    start_ray()
    close(warm(batches(frames.parts, 10**6)))  # Ray and its workers have started
    start = time.perf_counter()
    source = warm(batches(data, 10**6, crop))
    first = time.perf_counter() - start
    for _ in islice(source, 500):
        pass
    start = time.perf_counter()
    for _ in islice(source, 2000):
        pass
    rate = 2000 * BATCH / (time.perf_counter() - start)
    close(source)
    return {
        "pairs": rows,
        "size": size,
        "written_s": written,
        "opened_s": opened,
        "first_batch_s": first,
        "samples_per_second": rate,
        "memory_of_the_open_set_mib": memory,
    }


def warm(batches: Iterator[Any]) -> Iterator[Any]:
    """Take the first batch."""
    next(batches)
    return batches


def small_shard(folder: Path, count: int, size: int, number: int) -> WrittenShard:
    """Write one shard of small random pairs, one of all held out."""
    pixels = np.random.default_rng(number).integers(0, 256, (2, count, size, size, 3), np.uint8)

    def pairs() -> Iterator[Pair]:
        for i in range(count):
            sequence = f"{number:05d}" if number or i else HELD_OUT
            named = images(pixels[0, i], pixels[1, i])
            yield Pair(key=f"{sequence}/{i:06d}", split="train", sequence=sequence, images=named)

    return write_shard(folder / shard_name("train", number), pairs(), ("blur",), "raw")


def resident() -> float:
    """Memory of this process, MiB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
