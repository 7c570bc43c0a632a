"""What a second worker gains when RealBlur's images are scored, against what any second process gains here.

    python benchmarks/scoring.py                                   (about 8 minutes on 2 cores)
    python benchmarks/scoring.py --rounds 1 --pairs 4 --size 170x193 --out /tmp/scoring.json

Contract: scoring with alignment over two workers (`banet.scoring.spread`) gains at least 0.9 of what a plain CPU-bound
job gains from one process to two, in the same run; and the scores are the same whichever way they were spread. All four
arms take turns in every round. A process is on one thread, does one piece of work to warm up, and waits for the other:
starting Python, torch and Ray is not measured. Writes `benchmarks/results/scoring.json`.
"""

import argparse
import datetime
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import ray
import torch

from banet.cluster.ray_session import use_threads
from banet.data.images.codec import read_image, write_image
from banet.metrics.realblur import opencv_version
from banet.scoring.scores import AlignedScores, Scores, score, score_aligned
from banet.scoring.spread import spread

ROUNDS, PAIRS, SIZE = 5, 24, (680, 773)  # RealBlur's pictures are around this size
AIM = 0.9
CONTROL_ITEMS, CONTROL_STEPS = 8, 24_000_000
RESULT = Path(__file__).parent / "results" / "scoring.json"

Result = tuple[float, float, Scores, AlignedScores | None]
"""When its process was warm and when it was done, by the clock that all processes share, and the scores."""


def write_pairs(folder: Path, pairs: int, size: tuple[int, int]) -> None:
    """Write smooth pictures, and the same a little moved, darker and noisy."""
    rng = np.random.default_rng(0)
    for i in range(pairs):
        sharp = cv2.GaussianBlur(rng.uniform(-400, 655, (*size, 3)), (0, 0), 2).clip(0, 255)
        moved = cv2.warpAffine(sharp, np.array([[1, 0.001, 0.7], [0, 1.001, -0.4]]), size[::-1], borderMode=2)
        write_image(folder / f"{i}_sharp.png", sharp.astype(np.uint8))
        noisy = moved * 0.9 + rng.normal(0, 5, sharp.shape)
        write_image(folder / f"{i}_restored.png", noisy.clip(0, 255).astype(np.uint8))


def open_pairs(folder: Path, waiting: Path, workers: int) -> Callable[[int], Result]:
    """What each process starts with: it warms up, and waits before its first pair until every process has."""
    warm: list[float] = []

    def scores_of(number: int) -> tuple[Scores, AlignedScores | None]:
        restored, sharp = (read_image(folder / f"{number}_{kind}.png") for kind in ("restored", "sharp"))
        return score(restored, sharp), score_aligned(restored, sharp, "realblur")

    def work(number: int) -> Result:
        if not warm:
            scores_of(0)
            (waiting / str(os.getpid())).touch()
            while len(list(waiting.iterdir())) < workers:
                time.sleep(0.01)
            warm.append(time.monotonic())
        scores = scores_of(number)
        return warm[0], time.monotonic(), *scores

    return work


def score_pairs(folder: Path, pairs: int, workers: int) -> tuple[float, list[tuple[Scores, AlignedScores | None]]]:
    """Score all pairs; return seconds from when all processes were warm to the last result, and the scores."""
    with tempfile.TemporaryDirectory() as waiting:
        found = dict(spread(partial(open_pairs, folder, Path(waiting), workers), range(pairs), workers=workers))
    seconds = max(end for _, end, *_ in found.values()) - max(start for start, *_ in found.values())
    return seconds, [found[i][2:] for i in range(pairs)]


def spin(items: int, steps: int, barrier: Barrier, ends: Any) -> None:  # noqa: ANN401
    """The control: arithmetic in this process alone, hardly any memory."""
    for item in range(items + 1):
        x = 1
        for _ in range(steps):
            x = x * 1103515245 + 12345 & 0x7FFFFFFF
        if item == 0:
            barrier.wait()
            start = time.monotonic()
    ends.put((start, time.monotonic()))


def control(workers: int, steps: int) -> float:
    """Spread the control over some processes; return the seconds of its work."""
    spawn = multiprocessing.get_context("spawn")
    barrier, ends = spawn.Barrier(workers), spawn.Queue()
    arguments = (CONTROL_ITEMS // workers, steps, barrier, ends)
    processes = [spawn.Process(target=spin, args=arguments) for _ in range(workers)]
    for process in processes:
        process.start()
    times: list[tuple[float, float]] = [ends.get() for _ in processes]
    for process in processes:
        process.join()
    return max(end for _, end in times) - min(start for start, _ in times)


def measure(folder: Path, rounds: int, pairs: int, steps: int) -> list[dict[str, float]]:
    """Take every arm in turn, every second round backwards; check the scores."""
    found: list[dict[str, float]] = []
    first = None
    for number in range(rounds):
        seconds: dict[str, float] = {}
        for arm in ("scoring 1", "control 1", "scoring 2", "control 2")[:: -1 if number % 2 else 1]:
            workers = int(arm[-1])
            if arm.startswith("control"):
                seconds[arm] = control(workers, steps)
                continue
            seconds[arm], scores = score_pairs(folder, pairs, workers)
            first = first or scores
            assert scores == first, "the scores depend on how they were spread"  # noqa: S101
        seconds["scoring gain"] = seconds["scoring 1"] / seconds["scoring 2"]
        seconds["control gain"] = seconds["control 1"] / seconds["control 2"]
        seconds["ratio"] = seconds["scoring gain"] / seconds["control gain"]
        print("  ".join(f"{name} {value:.2f}" for name, value in seconds.items()), flush=True)
        found.append({name: round(value, 4) for name, value in seconds.items()})
    return found


def commit() -> str | None:
    """The commit that is measured; None outside a checkout."""
    answer = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return answer.stdout.strip() if answer.returncode == 0 else None


def arguments() -> argparse.Namespace:
    """Read the command line; its defaults are what the contract is measured with."""
    parser = argparse.ArgumentParser(description="What a second worker gains when RealBlur's images are scored.")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--pairs", type=int, default=PAIRS, help="an even number")
    parser.add_argument("--size", default="x".join(map(str, SIZE)), help="of the pictures, HxW")
    parser.add_argument("--control-steps", type=int, default=CONTROL_STEPS, help="of each of the control's eight items")
    parser.add_argument("--out", type=Path, default=RESULT)
    return parser.parse_args()


def main() -> None:
    """Measure, print, and write the result."""
    chosen = arguments()
    size = tuple(int(side) for side in chosen.size.split("x"))
    torch.set_num_threads(1)  # this process is the one worker of an arm
    use_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        write_pairs(Path(folder), chosen.pairs, (size[0], size[1]))
        rounds = measure(Path(folder), chosen.rounds, chosen.pairs, chosen.control_steps)
    medians = {name: round(statistics.median(each[name] for each in rounds), 3) for name in rounds[0]}
    verdict = "reached" if medians["ratio"] >= AIM else "MISSED"
    print(
        f"a second worker gains {medians['scoring gain']:.2f}x, a second process of the control "
        f"{medians['control gain']:.2f}x: {medians['ratio']:.2f} of it, aim {AIM:g} {verdict}"
    )
    environment = {
        "commit": commit(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "opencv": opencv_version(),
        "ray": ray.__version__,
        "numpy": np.__version__,
    }
    params = {
        "rounds": chosen.rounds,
        "pairs": chosen.pairs,
        "size": size,
        "control_items": CONTROL_ITEMS,
        "control_steps": chosen.control_steps,
        "threads_a_process": 1,
        "aim": AIM,
    }
    result = {"environment": environment, "params": params, "median": medians, "rounds": rounds, "same_scores": True}
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
