"""How many ranks a node can feed: each reads its own stream, as in a training, and a network that only sleeps takes it.

In rounds of 1 to 16 ranks, each a process with a Ray Data executor of its own, on pictures as large as
GoPro's: the share of time that a rank waits for data, its own CPU (fetching and Ray Data's scheduler), the CPU of the
tasks that cut crops, and the node's memory. Prints and writes benchmarks/results/ranks.json.

    [BANET_SAMPLES=FOLDER] python benchmarks/ranks.py [--ranks 1 2 4] [--step 0.5]       (7 minutes on 2 idle cores)

With real frames (`gopro_sample/` in FOLDER) the shards are as large as GoPro's; else they are of generated ones.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import psutil
import ray
from loading_frames import find_frames, write_shards

from banet.cluster.ray_session import OWN_CLUSTER
from banet.data.shards.reader import ShardFolder
from banet.data.stream.order import RankSlice
from banet.data.stream.ray_stream import stream
from banet.data.stream.training_set import TrainingSet

ROOT = Path(__file__).parents[1]
CROP, PER_RANK = 256, 1  # the recipe `paper`, a GPU per pair of a batch
WARM_UP, STEPS = 60, 60
RANKS = (1, 2, 4, 8, 16)
STEP_S = 0.5
STORE_GIB = 8  # at most, of Ray's object store


@ray.remote(num_cpus=0)
class Rank:
    """One process of a training whose network sleeps."""

    def __init__(self, data: TrainingSet, rank: int, ranks: int, step: float) -> None:
        part = RankSlice(first=0, batch_size=PER_RANK * ranks, rank=rank, ranks=ranks)
        self.step = step
        started = time.perf_counter()
        self.batches = stream(data, part, batches=10**6, crop=CROP)  # far more than are taken, as in a training
        next(self.batches)
        self.first_s = time.perf_counter() - started

    def ready(self) -> int:
        """The number of this process, when its first batch is there."""
        return os.getpid()

    def warm_up(self) -> None:
        """Take the first batches, while the streams fill what they may keep ahead."""
        for _ in islice(self.batches, WARM_UP):
            time.sleep(self.step)

    def run(self) -> dict[str, float]:
        """Take batches."""
        begun, cpu, waits = time.perf_counter(), time.process_time(), []
        for _ in range(STEPS):
            asked = time.perf_counter()
            next(self.batches)
            waits.append(time.perf_counter() - asked)
            time.sleep(self.step)
        seconds = time.perf_counter() - begun
        return {
            "seconds": seconds,
            "waited": sum(waits) / seconds,
            "longest_wait_s": max(waits),
            "cpu_of_rank": (time.process_time() - cpu) / seconds,
            "first_batch_s": self.first_s,
        }

    def close(self) -> None:
        """End the stream and what it has started."""
        self.batches.close()  # type: ignore[attr-defined]  # a generator


def measure(data: TrainingSet, ranks: int, step: float) -> dict[str, Any]:
    """One round, in a Ray of its own whose logical CPUs, those for the tasks that cut crops, are the node's cores."""
    store = min(ranks, STORE_GIB) * 2**30
    ray.init(
        address="local",
        num_cpus=os.cpu_count(),
        include_dashboard=False,
        logging_level="ERROR",
        log_to_driver=False,
        object_store_memory=store,
        _system_config=OWN_CLUSTER,
    )
    try:
        actors, own = [], set()
        for rank in range(ranks):  # one after another: so many imports of torch at once starve Ray itself
            actors.append(Rank.remote(data, rank, ranks, step))  # type: ignore[attr-defined]
            own.add(ray.get(actors[-1].ready.remote()))
        ray.get([actor.warm_up.remote() for actor in actors])
        begun, before, memory = time.perf_counter(), _cpu(own), []
        running = [actor.run.remote() for actor in actors]
        while len(ray.wait(running, num_returns=len(running), timeout=2)[1]):
            memory.append(_memory(own) | {"object_store": store - ray.available_resources()["object_store_memory"]})
        seconds, after = time.perf_counter() - begun, _cpu(own)
        results = ray.get(running)
        ray.get([actor.close.remote() for actor in actors])
    finally:
        ray.shutdown()
    return {
        "ranks": ranks,
        **{name: statistics.median(result[name] for result in results) for name in results[0]},
        "worst_waited": max(result["waited"] for result in results),
        "cpu_of_node": {name: (after[name] - before.get(name, 0.0)) / seconds for name in after},
        "memory_gib": {name: max(sample[name] for sample in memory) / 2**30 for name in memory[0]},
    }


def _processes(ranks: set[int]) -> Iterator[tuple[str, psutil.Process]]:
    """Every process of this Ray with what it is: a rank, one that cuts crops, or Ray's own."""
    for process in psutil.Process().children(recursive=True):
        try:
            title = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if process.pid in ranks:
            yield "ranks", process
        elif title.startswith("ray::"):
            yield "tasks", process
        else:
            program = Path(title.partition(" ")[0]).name
            yield program if program in {"raylet", "gcs_server"} else "ray's others", process


def _cpu(ranks: set[int]) -> dict[str, float]:
    """Seconds of CPU so far, by kind of process."""
    total: dict[str, float] = {}
    for kind, process in _processes(ranks):
        with suppress(psutil.Error):
            times = process.cpu_times()
            total[kind] = total.get(kind, 0.0) + times.user + times.system
    return total


def _memory(ranks: set[int]) -> dict[str, float]:
    """Bytes: all processes with shared pages counted once, and what the ranks alone hold."""
    total = {"all": 0.0, "ranks": 0.0}
    for kind, process in _processes(ranks):
        with suppress(psutil.Error):
            found = process.memory_full_info()
            total["all"] += found.pss
            total["ranks"] += found.uss * (kind == "ranks")
    return total


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ranks", type=int, nargs="+", default=RANKS)
    parser.add_argument("--step", type=float, default=STEP_S, help="seconds that the network sleeps")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/ranks.json")
    chosen = parser.parse_args()
    rounds: list[dict[str, Any]] = []
    load = os.getloadavg()
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    with tempfile.TemporaryDirectory() as folder:
        frames = find_frames(Path(folder))
        data = write_shards(Path(folder) / "shards", frames.pairs, "compact")
        summary = ShardFolder(Path(folder) / "shards").summary
        stored, pixels = sum(file.bytes for file in summary.files), sum(size.pixels for size in summary.sizes.values())
        report = {
            "commit": commit.strip(),
            "device": f"CPU, {os.cpu_count()} cores",
            "ray": ray.__version__,
            "step_s": chosen.step,
            "load_before": load,
            "bytes_per_pixel": stored / (2 * pixels),
            "frames": f"{len(frames.files)} {'real GoPro' if frames.real else 'generated'} frames",
            "crop": CROP,
            "pairs_per_rank_and_step": PER_RANK,
            "rounds": rounds,
        }
        for ranks in chosen.ranks:
            rounds.append(measure(data, ranks, chosen.step))
            print(json.dumps(rounds[-1], indent=2), flush=True)
            chosen.out.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
