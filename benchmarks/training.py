"""What training costs beside the network's own work, and what precision, memory format and compilation gain.

1. One Ray Train worker takes steps in rounds that take turns: the loop in plain torch on samples made beforehand; the
   same once more, which shows the noise; with DDP alone; with the data stream alone; with both, the agreement between
   steps and the journal; and plain torch beside a process that takes as much of another core as everything beside the
   worker did as trained, which shows what the machine does to it. A stream makes as many samples as its turn takes, no
   more, so that making them counts in full.
2. How long a checkpoint and a point of the journal take, of the time between two at their defaults.
3. How long a run whose worker is killed takes until its next step, on a cluster that stands.
4. Float32, eager, NCHW against bfloat16, compiled, channels_last: rate, memory and the loss curves of both. Without a
   GPU, a narrow network and few steps, so that the script is known to work: those figures say nothing about a GPU.

Prints, and writes benchmarks/results/training.json and training_losses.svg.

    python benchmarks/training.py        (after `dvc repro shard@mini`; about 12 minutes on 2 idle cores)
"""

import itertools
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import ray.train
import ray.train.torch
import torch
from training_precision import GPU, draw, precisions, recipe_of

from banet.cluster.ray_session import start_ray
from banet.config import PhaseParams, read_params
from banet.data.stream.order import RankSlice
from banet.model.network import BANet
from banet.parsing import parse
from banet.train.checkpoints import Checkpoints
from banet.train.launch import launch
from banet.train.loop import Batch, Training, TrainingProgress, ValidationScores, Which, fit
from banet.train.plan import PlannedPhase, plan
from banet.train.ray_worker import TrainingJob, TrainingWorker
from banet.train.run_folder import RunFolder

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results"
STEPS, ROUNDS, LOG_EVERY = 384, 5, 20
DEFAULT_INTERVAL_S = 300  # between checkpoints: cluster.checkpoint_every
PLAIN, TRAINED, BESIDE = "plain torch", "as trained", "plain torch beside as much"
DDP, STREAM = {"DDP alone", TRAINED}, {"stream alone", TRAINED}
ARMS = (PLAIN, "plain torch again", "DDP alone", "stream alone", TRAINED, BESIDE)
BUSY = """
import sys, time
import numpy as np
share, image = float(sys.argv[1]), np.zeros((256, 256, 3), np.uint8)
while True:
    started = time.perf_counter()
    while time.perf_counter() < started + 0.05 * share:
        np.ascontiguousarray(image[:, ::-1])
    time.sleep(max(0.0, started + 0.05 - time.perf_counter()))
"""


def work(config: dict[str, Any]) -> None:
    """One worker: rounds of steps, timed from batch to batch."""
    job = parse(TrainingJob, config["job"], where="job")
    torch.set_num_threads(1)
    worker = TrainingWorker(job)
    worker.training = worker.started()
    model = worker.training.model
    network = ray.train.torch.prepare_model(model, move_to_device=False)
    times: dict[str, list[list[float]]] = {arm: [] for arm in ARMS}
    waits: list[list[float]] = []
    shares: list[float] = []  # of one core, that is taken beside this process as trained

    def report(progress: TrainingProgress) -> None:
        worker.report(progress)
        waits[-1].append(progress.data_wait or 0.0)

    for arm in itertools.islice(itertools.cycle(ARMS), ROUNDS * len(ARMS)):
        stamps: list[float] = []

        def batches(phase: PlannedPhase, step: int, arm: str = arm, stamps: list[float] = stamps) -> Iterator[Batch]:
            turn, taken = replace(phase, steps=step + STEPS - phase.first_step), 0.0
            coming = worker.batches(turn, step) if arm in STREAM else repeated(worker, phase)
            for batch in itertools.islice(coming, STEPS):
                taken = taken if stamps else busy_elsewhere()
                stamps.append(time.perf_counter())
                yield batch
            stamps.append(time.perf_counter())
            if arm == TRAINED:
                shares.append((busy_elsewhere() - taken) / (stamps[-1] - stamps[0]))
            if arm in STREAM:
                coming.close()  # type: ignore[attr-defined]  # a generator
                time.sleep(5)  # its tasks end before the next arm begins

        def nothing(*_: object) -> None:
            """Neither report nor agree."""

        busy = None
        if arm == BESIDE:
            busy = subprocess.Popen([sys.executable, "-c", BUSY, str(min(1.0, shares[-1]))])
            time.sleep(1)
        own: dict[str, Callable[..., None]] = {"report": nothing, "between_steps": nothing}
        if arm == TRAINED:
            waits.append([])
            own = {"report": report, "between_steps": worker.between_steps}
        called = network if arm in DDP else model
        fit(worker.training, called, batches, lambda _: ValidationScores(psnr=[0.0]), **own)  # type: ignore[arg-type]
        times[arm].append(np.diff(stamps).tolist())
        if busy is not None:
            busy.kill()
            busy.wait()
    started = time.perf_counter()
    for _ in range(100):
        worker.journal.append(0, {"loss": 0.5, "lr": 1e-3, "gradient_norm": 1.0, "data_wait": 0.0, "memory_gib": 1.0})
    point_s = (time.perf_counter() - started) / 100
    Path(config["out"]).write_text(
        json.dumps(
            {
                "times": times,
                "waits": [share for each in waits for share in each[1:]],
                "point_s": point_s,
                "shares": shares,
            }
        )
    )


def busy_elsewhere() -> float:
    """CPU seconds that all other processes have taken since the machine was started."""
    whole, own = psutil.cpu_times(), psutil.Process().cpu_times()
    return float(whole.user + whole.nice + whole.system - own.user - own.system)


def repeated(worker: TrainingWorker, phase: PlannedPhase) -> Iterator[Batch]:
    """One batch that was made beforehand, again and again."""
    part = RankSlice(first=0, batch_size=phase.params.batch_size, rank=0, ranks=1)
    blurred, sharp = worker.data.samples(part.numbers(np.arange(part.size)), phase.params.crop)
    yield from itertools.repeat((torch.from_numpy(blurred), torch.from_numpy(sharp)))


def loop_cost(job: TrainingJob) -> dict[str, object]:
    """Part 1: ratios to plain torch, round by round."""
    out = Path(job.folder) / "out.json"
    ray.train.torch.TorchTrainer(
        work,
        train_loop_config={"job": asdict(job), "out": str(out)},
        scaling_config=ray.train.ScalingConfig(num_workers=1, resources_per_worker={"CPU": 0.5}),
        torch_config=ray.train.torch.TorchConfig(backend="gloo"),
        run_config=ray.train.RunConfig(storage_path=job.folder, name="rounds"),
    ).fit()
    measured = json.loads(out.read_text())
    means = {arm: [statistics.mean(values) for values in rounds] for arm, rounds in measured["times"].items()}
    ratios = {arm: [a / b for a, b in zip(means[arm], means[PLAIN], strict=True)] for arm in ARMS[1:]}
    step_s = statistics.median(means[PLAIN])
    return {
        "step_ms": {arm: 1000 * statistics.median(values) for arm, values in means.items()},
        "ratio_to_plain_torch": {arm: statistics.median(values) for arm, values in ratios.items()},
        "ratio_of_each_round": ratios,
        "cores_taken_beside": statistics.median(measured["shares"]),
        "waiting_for_data": statistics.median(measured["waits"]),
        "journal_share": measured["point_s"] / (LOG_EVERY * step_s),
    }


def checkpoint_cost(folder: Path) -> dict[str, float]:
    """Part 2: seconds to save a state, and their share of the default interval, for the paper's network."""
    phase = PhaseParams(steps=1, crop=32, batch_size=1, lr_start=1e-4, lr_end=0.0, ema_decay=0.999)
    training = Training(BANet(), recipe_of((phase,)), plan((phase,), pairs=1))
    for parameter in training.model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    training.optimizer.step()
    whiches: tuple[Which, ...] = ("raw", "average")
    for which in whiches:
        training.keep_if_best(which, [20.0])
    seconds = []
    for step in range(5):
        started = time.perf_counter()
        Checkpoints(folder).save(step, training.state())
        seconds.append(time.perf_counter() - started)
    (newest, *_) = sorted(folder.glob("*.pt"))
    median = statistics.median(seconds)
    return {
        "mib": newest.stat().st_size / 2**20,
        "seconds": median,
        "share_of_default_interval": median / DEFAULT_INTERVAL_S,
    }


def time_to_go_on(job: TrainingJob) -> float:
    """Part 3: seconds from a worker's SIGKILL to the first new step."""
    folder = RunFolder(Path(job.folder))
    folder.folder.mkdir(parents=True)
    journal, seen = folder.journal, {"step": 0, "killed": 0.0, "on": 0.0, "at": 0}

    def watch() -> None:
        while not seen["on"]:
            for told in journal.new():
                if isinstance(told, str):
                    continue
                seen["step"] = told.step
                if seen["killed"] and told.step > seen["at"]:
                    seen["on"] = time.monotonic()
            if seen["step"] >= 30 and not seen["killed"]:
                workers = [p for p in psutil.process_iter() if "RayTrainWorker" in " ".join(p.cmdline())]
                workers[0].send_signal(signal.SIGKILL)
                seen.update(killed=time.monotonic(), at=seen["step"])
            time.sleep(0.01)

    watching = threading.Thread(target=watch)
    watching.start()
    launch(job)
    watching.join()
    return seen["on"] - seen["killed"]


def main() -> None:
    """Measure, print and write."""
    params = read_params(ROOT / "params.yaml")
    folder = ROOT / ".runs" / f"benchmark-{time.time_ns()}"
    folder.mkdir(parents=True)
    enough = replace(params.recipe.phases[0], steps=2 * ROUNDS * len(ARMS) * STEPS)
    cluster = replace(params.cluster, workers=1, checkpoint_every="1000 min", timeout_s=60)
    job = TrainingJob(
        shards=str(ROOT / "data/shards" / params.benchmark.name),
        benchmark=params.benchmark,
        model=params.model,
        recipe=replace(params.recipe, phases=(enough,), log_every=LOG_EVERY, validate_every=10**6),
        cluster=cluster,
        folder=str(folder),
    )
    start_ray()
    short = replace(params.recipe.phases[0], steps=60, warmup_steps=0)
    killed = replace(
        job,
        folder=str(folder / "killed"),
        recipe=replace(job.recipe, phases=(short,), log_every=1),
        cluster=replace(cluster, workers=2, checkpoint_every=10),
    )
    arms = precisions()
    first, second = arms.values()
    report: dict[str, Any] = {
        "commit": subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
        ).stdout.strip(),
        "date": f"{date.today()}",
        "device": torch.cuda.get_device_name() if GPU else f"CPU, {os.cpu_count()} cores",
        "torch": torch.__version__,
        "ray": ray.__version__,
        "loop": loop_cost(job),
        "checkpoint_of_banet": checkpoint_cost(folder / "checkpoints"),
        "seconds_to_go_on_after_a_kill": time_to_go_on(killed),
        "precision": {
            "rate": second["samples_per_second"] / first["samples_per_second"],
            "memory": second["memory_gib"] / first["memory_gib"] if GPU else None,
            "last_losses": [statistics.mean(arm["losses"][-10:]) for arm in (first, second)],
            "says": "the paper's network at 256x256, batch 8" if GPU else "only that the script works: no GPU here",
        },
    }
    shutil.rmtree(folder)
    RESULTS.mkdir(exist_ok=True)
    draw(arms)
    (RESULTS / "training.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
