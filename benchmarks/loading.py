"""Loading training data: crops a core, the stream end to end, its starts and joins, 100,000 pairs, and sharding.

    BANET_SAMPLES=FOLDER python benchmarks/loading.py [--only crops,stream,epochs,start,many,shard]

A sample is a 256x256 crop of both images of a pair, flipped and turned; a batch has 8. FOLDER has `gopro_sample`, real
GoPro frames of 1280x720 as PNG; without it frames are generated, which compress too well, and the result says so. All
arms of a section take turns in one run, each on one thread a process. Sections that are run replace their part of
`benchmarks/results/loading.json`; the others stay. Fails where an aim is missed. About 20 minutes on 2 cores.
"""

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.metadata import version
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import loading_shard
import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from banet.data.augmentation import draw_augmentation
from banet.data.pixels import Storage
from banet.data.ray_cluster import start_ray
from banet.data.ray_source import segment_length, stream
from banet.data.sampling import RankSlice, augmentation_rng, pair_of_sample
from banet.data.shard_writer import NewPair, ShardWriter, WrittenShard, shard_name, write_shard
from banet.data.shards import Pair
from banet.data.training import TrainingSet
from banet.image import Image

RESULT = Path(__file__).parent / "results" / "loading.json"
PACKAGES = ("numpy", "opencv-python-headless", "pyarrow", "ray", "torch")
CROP, BATCH = 256, 8
HELD_OUT = "held"  # a sequence: something must validate
WORKERS = 2  # of the DataLoader: as many as cores
GOPRO_PAIRS = 2103  # that GoPro trains on
WARM_UP = 100  # batches that do not count where waits are measured
Files = list[tuple[Path, Path]]
"""PNG files of pairs, blurred and sharp."""


@dataclass(frozen=True)
class Frames:
    """What all sections measure on."""

    files: Files
    real: bool
    folder: Path  # for what is written

    @cached_property
    def pairs(self) -> list[tuple[Image, Image]]:
        """The images, RGB."""
        return [(read(blurred), read(sharp)) for blurred, sharp in self.files]

    @cached_property
    def parts(self) -> TrainingSet:
        """As many pairs as GoPro trains on, each a 256x256 part of a frame."""
        rng = np.random.default_rng(0)

        def cut() -> Iterator[tuple[Image, Image]]:
            for i in range(GOPRO_PAIRS):
                pair = self.pairs[i % len(self.pairs)]
                top, left = (int(rng.integers(0, side - CROP + 1)) for side in pair[0].shape[:2])
                yield tuple(image[top : top + CROP, left : left + CROP] for image in pair)  # type: ignore[misc]

        return write_shards(self.folder / "parts", cut(), "compact")


def find_frames(folder: Path) -> Frames:
    """Real GoPro frames where BANET_SAMPLES has them, else generated ones."""
    blurred = sorted((Path(os.environ.get("BANET_SAMPLES", "")) / "gopro_sample").rglob("blur/*.png"))
    if blurred:
        return Frames([(path, path.parents[1] / "sharp" / path.name) for path in blurred], True, folder)
    rng = np.random.default_rng(0)
    files = []
    for i in range(12):
        smooth = cv2.resize(rng.integers(0, 256, (90, 160, 3), np.uint8), (1280, 720))
        files.append((folder / f"{i}-blur.png", folder / f"{i}-sharp.png"))
        for path in files[-1]:
            cv2.imwrite(str(path), np.clip(smooth + rng.normal(0, 2, smooth.shape), 0, 255).astype(np.uint8))
    return Frames(files, False, folder)


def read(path: Path) -> Image:
    """Decode a whole PNG file."""
    return cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)  # type: ignore[return-value]


def write_shards(folder: Path, pairs: Iterable[tuple[Image, Image]], storage: Storage) -> TrainingSet:
    """Write shards of these pairs, and one more pair that is held out."""
    writer = ShardWriter(folder, ("blur",), storage)

    def named() -> Iterator[Pair]:
        for i, (blurred, sharp) in enumerate(pairs):
            if not i:
                yield Pair(key=f"{HELD_OUT}/0", split="train", sequence=HELD_OUT, images=images(blurred, sharp))
            yield Pair(key=f"a/{i:06d}", split="train", sequence="a", images=images(blurred, sharp))

    writer.write("train", named())
    writer.finish("benchmark")
    return training_set(folder)


def images(blurred: Image, sharp: Image) -> dict[str, Image]:
    """The columns of a pair."""
    return {"blur": blurred, "sharp": sharp}


def training_set(folder: Path) -> TrainingSet:
    """The training set of these shards."""
    return TrainingSet(folder=folder, variant="blur", held_out=(HELD_OUT,), seed=0)


def batches(data: TrainingSet, count: int, crop: int = CROP) -> Iterator[tuple[Tensor, Tensor]]:
    """The stream of a single rank."""
    return stream(data, RankSlice(first=0, batch_size=BATCH, rank=0, ranks=1), batches=count, crop=crop)


def close(batches: Iterator[Any]) -> None:
    """Stop a stream, and give what it has started time to end."""
    batches.close()  # type: ignore[attr-defined]  # a generator
    time.sleep(1)


def spread(values: list[float]) -> dict[str, float]:
    """Median and range."""
    return {"median": statistics.median(values), "lowest": min(values), "highest": max(values), "rounds": len(values)}


def png_sample(files: Files, k: int) -> tuple[Image, Image]:
    """Sample k, as a loader over PNG files makes it: both files decoded whole, one crop, flip and turn of both."""
    pair = [read(path) for path in files[pair_of_sample(0, k, len(files))]]
    height, width = pair[0].shape[:2]
    draw = draw_augmentation(augmentation_rng(0, k), height, width, CROP, where="frame")
    return draw(pair[0]), draw(pair[1])


def crops(frames: Frames) -> dict[str, Any]:
    """Samples a second of CPU time on one thread, out of shards over out of PNG files; bytes likewise."""
    rounds, count, few = 7, 96, 24
    storages: tuple[Storage, ...] = ("compact", "raw")
    sets = {name: write_shards(frames.folder / name, frames.pairs, name) for name in storages}
    png_bytes = sum(path.stat().st_size for pair in (frames.files[0], *frames.files) for path in pair)
    png: list[float] = []
    rates: dict[Storage, list[float]] = {name: [] for name in storages}
    for number in range(rounds + 1):  # the first one warms the caches
        start = time.process_time()
        for k in range(number * few, (number + 1) * few):
            png_sample(frames.files, k)
        png.append(few / (time.process_time() - start))
        for name, values in rates.items():
            start = time.process_time()
            sets[name].samples(np.arange(number * count, (number + 1) * count), CROP)
            values.append(count / (time.process_time() - start))
    ratios = {name: [a / b for a, b in zip(rates[name], png, strict=True)][1:] for name in storages}
    sizes = {name: sum(path.stat().st_size for path in (frames.folder / name).iterdir()) for name in storages}
    return {
        "samples_per_cpu_second": {"png": spread(png[1:])}
        | {name: spread(values[1:]) for name, values in rates.items()},
        "over_png": {name: spread(values) for name, values in ratios.items()},
        "bytes_over_png": {name: size / png_bytes for name, size in sizes.items()},
        "aims": {
            "compact >= 12 x": statistics.median(ratios["compact"]) >= 12,
            "compact <= 1.05 of the bytes": sizes["compact"] <= 1.05 * png_bytes,
            "raw >= 40 x": statistics.median(ratios["raw"]) >= 40,
        },
    }


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

    def pairs() -> Iterator[NewPair]:
        for i in range(count):
            sequence = f"{number:05d}" if number or i else HELD_OUT
            named = images(pixels[0, i], pixels[1, i])
            yield NewPair(pair=Pair(key=f"{sequence}/{i:06d}", split="train", sequence=sequence, images=named))

    return write_shard(folder / shard_name("train", number), pairs(), ("blur",), "raw")


def resident() -> float:
    """Memory of this process, MiB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


SECTIONS: dict[str, Callable[[Frames], dict[str, Any]]] = {
    "crops": crops,
    "stream": end_to_end,
    "epochs": epochs,
    "start": first_batch,
    "many": many,
    "shard": lambda frames: loading_shard.measure(frames.files, frames.folder / "sharding"),
}


def missed(values: dict[str, Any], where: str) -> list[str]:
    """Name the aims that are not reached."""
    found = []
    for key, value in values.items():
        if key == "aims":
            found += [f"{where}: {aim}" for aim, reached in value.items() if not reached]
        elif isinstance(value, dict):
            found += missed(value, f"{where}, {key}")
    return found


def main() -> None:
    """Measure, print, write, and fail where an aim is missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(SECTIONS), metavar="SECTION,...")
    chosen: list[str] = parser.parse_args().only
    unknown = set(chosen) - set(SECTIONS)
    if unknown:
        parser.error(f"no section {', '.join(sorted(unknown))}: there are {', '.join(SECTIONS)}")
    cv2.setNumThreads(1)
    pa.set_cpu_count(1)
    report: dict[str, Any] = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.is_file() else {}
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    with tempfile.TemporaryDirectory() as folder:
        frames = find_frames(Path(folder))
        for name in chosen:
            print(name, file=sys.stderr)
            load = os.getloadavg()
            report[name] = {
                "commit": commit,
                "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                "device": f"{platform.machine()}, {os.cpu_count()} cores",
                "versions": {package: version(package) for package in PACKAGES},
                "frames": f"{2 * len(frames.files)} {'real GoPro' if frames.real else 'GENERATED'} frames",
                "params": {"crop": CROP, "batch_size": BATCH, "loader_workers": WORKERS},
                "load_before": load,
            } | SECTIONS[name](frames)
            report[name]["load_after"] = os.getloadavg()
            RESULT.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
            print(json.dumps({name: report[name]}, indent=2))
    aims = [aim for name in chosen for aim in missed(report[name], name)]
    if aims:
        sys.exit("missed: " + "; ".join(aims))


if __name__ == "__main__":
    main()
