"""What the stream costs the trainer: one step fed by Ray Data, against the same step on samples made beforehand.

Two Ray Train workers, the recipe and model of params.yaml, in rounds that take turns: no stream, the stream as it is,
the stream with Ray Data's scheduler left to spin. Prints ratios of medians, and writes benchmarks/results/stream.json.

    python benchmarks/stream.py        (after `dvc repro shard@mini`; about 3 minutes on 2 cores)
"""

import itertools
import json
import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import ray.train
import ray.train.torch
import torch

from banet.config import read_params
from banet.data.stream import ray_stream as ray_source
from banet.data.stream.order import RankSlice
from banet.data.stream.training_set import TrainingSet
from banet.model.network import BANet
from banet.parsing import parse
from banet.ray_session import start_ray
from banet.train.loop import Batch, Training, train_step
from banet.train.plan import plan
from banet.train.ray_worker import TrainingJob

ROOT = Path(__file__).parents[1]
STEPS, WARM_UP, ROUNDS = 160, 40, 3
SETTLE_S = 5
ARMS = {"none": None, "as it is": ray_source.PAUSE_SECONDS, "spinning": 0.0}


def work(config: dict[str, Any]) -> None:
    """One worker: rounds of steps, timed step by step."""
    job = parse(TrainingJob, config["job"], where="job")
    rank, ranks = ray.train.get_context().get_world_rank(), ray.train.get_context().get_world_size()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = BANet(job.model).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    phases = plan(job.recipe.phases, len(job.data.training_rows()))
    training = Training(model, job.recipe, phases)
    network = ray.train.torch.prepare_model(model, move_to_device=False)
    phase = job.recipe.phases[0]
    times: dict[str, list[float]] = {arm: [] for arm in ARMS}
    for arm in itertools.islice(itertools.cycle(ARMS), ROUNDS * len(ARMS)):
        part = RankSlice(first=0, batch_size=phase.batch_size, rank=rank, ranks=ranks)
        batches = iter(stream(job.data, part, arm, phase.crop))
        for step in range(STEPS):
            start = time.perf_counter()
            train_step(training, network, next(batches), phases[0])
            if step >= WARM_UP:
                times[arm].append(time.perf_counter() - start)
        for _ in batches:  # let the stream end before the next arm begins
            pass
    if rank == 0:
        Path(config["out"]).write_text(json.dumps({arm: statistics.median(values) for arm, values in times.items()}))


def stream(data: TrainingSet, part: RankSlice, arm: str, crop: int) -> Iterator[Batch]:
    """The batches of one arm."""
    pause = ARMS[arm]
    if pause is None:
        blurred, sharp = (torch.from_numpy(x) for x in data.samples(part.numbers(np.arange(part.size)), crop))
        yield from itertools.repeat((blurred, sharp), STEPS)
        return
    ray_source.PAUSE_SECONDS = pause
    # far more than is used, as in a real run: the scheduler works, or spins, as long as the stream lasts
    batches = ray_source.stream(data, part, batches=STEPS * 20, crop=crop)
    yield from itertools.islice(batches, STEPS)
    batches.close()  # type: ignore[attr-defined]  # a generator; its tasks end before the next arm begins
    time.sleep(SETTLE_S)


def main() -> None:
    """Measure, print and write."""
    params = read_params(ROOT / "params.yaml")
    job = TrainingJob(
        shards=str(ROOT / "data/shards" / params.benchmark.name),
        benchmark=params.benchmark,
        model=params.model,
        recipe=params.recipe,
        cluster=params.cluster,
        folder=str(ROOT / ".runs"),
    )
    start_ray()
    out = ROOT / ".runs" / f"benchmark-{time.time_ns()}.json"
    out.parent.mkdir(exist_ok=True)
    ray.train.torch.TorchTrainer(
        work,
        train_loop_config={"job": asdict(job), "out": str(out)},
        scaling_config=ray.train.ScalingConfig(
            num_workers=params.cluster.workers, resources_per_worker={"CPU": params.cluster.cpus_per_worker}
        ),
        torch_config=ray.train.torch.TorchConfig(backend="gloo"),
        run_config=ray.train.RunConfig(storage_path=str(ROOT / ".runs"), name=out.stem),
    ).fit()
    medians: dict[str, float] = json.loads(out.read_text())
    out.unlink()
    shutil.rmtree(out.with_suffix(""), ignore_errors=True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    report = {
        "commit": commit.strip(),
        "device": f"CPU, {os.cpu_count()} cores",
        "torch": torch.__version__,
        "ray": ray.__version__,
        "median_step_ms": {arm: 1000 * value for arm, value in medians.items()},
        "ratio_to_no_stream": {arm: value / medians["none"] for arm, value in medians.items()},
    }
    (ROOT / "benchmarks/results").mkdir(exist_ok=True)
    (ROOT / "benchmarks/results/stream.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
