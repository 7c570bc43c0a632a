"""How many ranks a node can feed: each reads its own stream, as in a training, and a network that only sleeps takes it.

In rounds of 1, 2, 4, 8 and 16 ranks, each a process with a Ray Data executor of its own, on pictures as large as
GoPro's: the share of time that a rank waits for data, its own CPU (fetching and Ray Data's scheduler), the CPU of the
tasks that cut crops, and the node's memory. Prints and writes benchmarks/results/ranks.json.

    python benchmarks/ranks.py [--ranks 1 2 4] [--step 0.5]       (about 10 minutes on 2 cores)
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import psutil
import ray
from loading_frames import find_frames, write_shards

from banet.data.stream.order import RankSlice
from banet.data.stream.ray_stream import stream
from banet.data.stream.training_set import TrainingSet
from banet.ray_session import OWN_CLUSTER

ROOT = Path(__file__).parents[1]
CROP, PER_RANK = 256, 1  # the recipe `paper`, a GPU per pair of a batch
WARM_UP, STEPS = 10, 60
RANKS = (1, 2, 4, 8, 16)
STEP_S = 0.5


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

    def run(self) -> dict[str, float]:
        """Take batches; the times are those after the first ones."""
        for _ in islice(self.batches, WARM_UP):
            time.sleep(self.step)
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
    """One round, in a Ray of its own: as many ranks as asked for."""
    ray.init(
        num_cpus=ranks + 1,  # a rank's tasks want half a CPU each, as in a training with one CPU per worker
        include_dashboard=False,
        logging_level="ERROR",
        log_to_driver=False,
        object_store_memory=min(ranks * 2**30, 4 * 2**30),
        _system_config=OWN_CLUSTER,
    )
    try:
        actors = [Rank.remote(data, rank, ranks, step) for rank in range(ranks)]  # type: ignore[attr-defined]
        own = set(ray.get([actor.ready.remote() for actor in actors]))
        running = [actor.run.remote() for actor in actors]
        before, samples = _cpu(), []
        while len(ray.wait(running, num_returns=len(running), timeout=2)[1]):
            samples.append(_memory(own))
        spent = {name: value - before.get(name, 0.0) for name, value in _cpu().items()}
        results = ray.get(running)
        ray.get([actor.close.remote() for actor in actors])
    finally:
        ray.shutdown()
    seconds = max(result["seconds"] for result in results) + WARM_UP * step
    return {
        "ranks": ranks,
        **{name: statistics.median(result[name] for result in results) for name in results[0]},
        "worst_waited": max(result["waited"] for result in results),
        "cpu_of_node": {name: value / seconds for name, value in spent.items() if value / seconds > 0.005},
        "memory_mib": {name: max(sample[name] for sample in samples) for name in samples[0]},
    }


def _processes() -> Any:  # noqa: ANN401
    return psutil.Process().children(recursive=True)


def _kind(process: psutil.Process) -> str:
    """Ray's name of a process, without its arguments: ray::Rank.run, ray::MapBatches(samples), raylet, gcs_server."""
    title = " ".join(process.cmdline())
    if title.startswith("ray::"):
        return "ray::Rank" if "Rank" in title else "ray::Map" if "Map" in title else "ray, idle"
    return next((name for name in ("raylet", "gcs_server") if name in title.split(" ")[0]), "others")


def _cpu() -> dict[str, float]:
    """Seconds of CPU so far, by kind of process."""
    total: dict[str, float] = {}
    for process in _processes():
        try:
            times, kind = process.cpu_times(), _kind(process)
        except psutil.Error:
            continue
        total[kind] = total.get(kind, 0.0) + times.user + times.system
    return total


def _memory(ranks: set[int]) -> dict[str, float]:
    """Memory of the node, MiB: each process's own, and the object store's pages once."""
    own = {"ranks": 0.0, "others": 0.0}
    for process in _processes():
        try:
            own["ranks" if process.pid in ranks else "others"] += process.memory_full_info().uss / 2**20
        except psutil.Error:
            continue
    return own | {"shared": psutil.virtual_memory().shared / 2**20}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ranks", type=int, nargs="+", default=RANKS)
    parser.add_argument("--step", type=float, default=STEP_S, help="seconds that the network sleeps")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/ranks.json")
    chosen = parser.parse_args()
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        frames = find_frames(Path(folder))
        data = write_shards(Path(folder) / "shards", frames.pairs, "compact")
        for ranks in chosen.ranks:
            rounds.append(measure(data, ranks, chosen.step))
            print(json.dumps(rounds[-1], indent=2), flush=True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    report = {
        "commit": commit.strip(),
        "device": f"CPU, {os.cpu_count()} cores",
        "ray": ray.__version__,
        "step_s": chosen.step,
        "frames": f"{len(frames.files)} {'real GoPro' if frames.real else 'generated'} frames",
        "crop": CROP,
        "pairs_per_rank_and_step": PER_RANK,
        "rounds": rounds,
    }
    chosen.out.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
