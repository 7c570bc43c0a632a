"""The sharding part of benchmarks/loading.py: speed against plain processes, and memory at two lengths."""

import multiprocessing
import shutil
import statistics
import threading
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path

import cv2
import psutil
import ray

from banet.cluster.ray_session import start_ray
from banet.data.images.codec import decode
from banet.data.manifest import ArchiveSource, Benchmark
from banet.data.shards.pixels import encode
from pipelines.stages.shard import shard

SPEED_PAIRS, ROUNDS = 800, 3
SPEED_AIM = 0.8
MEMORY_AIM = 1.1  # most memory at the larger number of pairs over that at the smaller
MEMORY_PAIRS = (100, 2000)
MEMBERS = 8  # images a plain process takes at once
SAMPLING_SECONDS = 0.5
ARCHIVE = "pairs.zip"


def measure(pairs: list[tuple[Path, Path]], folder: Path) -> dict[str, object]:
    """Shard ZIPs of some pairs (blurred, sharp), as many as are asked for by taking them again and again."""
    ray.shutdown()  # its object store holds what other sections left there
    start_ray()
    workers = multiprocessing.cpu_count()
    raw = write_zip(folder / "speed", pairs, SPEED_PAIRS)
    times: dict[str, list[float]] = {"sharded": [], "plain": []}
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        for _ in range(ROUNDS + 1):  # the first starts the processes of both
            times["sharded"].append(seconds_to_shard(raw, folder))
            times["plain"].append(seconds_in_plain_processes(raw / ARCHIVE, pool))
    ratios = [plain / sharded for plain, sharded in zip(times["plain"][1:], times["sharded"][1:], strict=True)]
    shutil.rmtree(raw)
    memory = {count: peak_while_sharding(pairs, count, folder) for count in MEMORY_PAIRS}
    return {
        "workers": workers,
        "pairs": SPEED_PAIRS,
        "speed_over_plain_processes": {"median": statistics.median(ratios), "range": [min(ratios), max(ratios)]},
        "seconds": {arm: statistics.median(values[1:]) for arm, values in times.items()},
        "peak_pss_mib": memory,
        "aims": {
            f"sharding >= {SPEED_AIM} of plain processes": statistics.median(ratios) >= SPEED_AIM,
            "memory flat": memory[MEMORY_PAIRS[-1]] <= MEMORY_AIM * memory[MEMORY_PAIRS[0]],
        },
    }


def write_zip(folder: Path, pairs: list[tuple[Path, Path]], count: int) -> Path:
    """Write an archive in GoPro's layout, every fourth pair of the test split."""
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / ARCHIVE, "w", zipfile.ZIP_STORED) as archive:
        for i, files in enumerate(islice(cycle(pairs), count)):
            place = f"all/{'test' if i % 4 == 3 else 'train'}/sequence{i // 20:04d}"
            for kind, file in zip(("blur", "sharp"), files, strict=True):
                archive.write(file, f"{place}/{kind}/{i:06d}.png")
    return folder


def seconds_to_shard(raw: Path, folder: Path) -> float:
    """Shard over Ray, which runs already."""
    source = ArchiveSource(name=ARCHIVE, sources=(ARCHIVE,))
    benchmark = Benchmark(
        name="all",
        title="-",
        licence="-",
        citation="-",
        layout="gopro",
        variants=("blur",),
        archives=(source,),
        counts={},
    )
    start = time.perf_counter()
    shard(benchmark, raw, folder / "shards", "compact", parallel=True)
    return time.perf_counter() - start


def seconds_in_plain_processes(archive: Path, pool: ProcessPoolExecutor) -> float:
    """Decode and encode every image of the archive, and do nothing else with it."""
    with zipfile.ZipFile(archive) as file:
        names = file.namelist()
    parts = [(archive, names[i : i + MEMBERS]) for i in range(0, len(names), MEMBERS)]
    start = time.perf_counter()
    list(pool.map(decode_and_encode, parts))
    return time.perf_counter() - start


def decode_and_encode(part: tuple[Path, list[str]]) -> int:
    """In a plain process: the bytes that come out."""
    cv2.setNumThreads(1)
    archive, names = part
    with zipfile.ZipFile(archive) as file:
        return sum(len(encode(decode(file.read(name), name), "compact")) for name in names)


def peak_while_sharding(pairs: list[tuple[Path, Path]], count: int, folder: Path) -> float:
    """Most memory (PSS) that this process and all of Ray hold while an archive of so many pairs is sharded, MiB."""
    raw = write_zip(folder / f"memory{count}", pairs, count)
    with watched() as peak:
        seconds_to_shard(raw, folder)
    shutil.rmtree(raw)
    return round(peak[0] / 2**20)


@contextmanager
def watched() -> Iterator[list[int]]:
    """Watch the memory of this process and its descendants, bytes; the first element is the peak so far."""
    peak, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(SAMPLING_SECONDS):
            me = psutil.Process()
            peak[0] = max(peak[0], sum(proportional(process) for process in (me, *me.children(recursive=True))))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def proportional(process: psutil.Process) -> int:
    """PSS of a process, bytes; none of one that has ended."""
    try:
        return int(process.memory_full_info().pss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0
