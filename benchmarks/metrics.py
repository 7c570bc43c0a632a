"""How much faster the scores are than the scikit-image and scipy forms of the same, on one 720p pair.

    python benchmarks/metrics.py

Contract: each score at least 5 times as fast, interleaved in one run. Both sides run on one thread: the reference forms
have no other, ours keep below what wakes a BLAS library's threads. Time is the process's own CPU time over all of its
threads, so that no thread is free and neighbours on the machine count as little as they can. Writes
`benchmarks/results/metrics.json`.
"""

import datetime
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import scipy
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from banet.image import Image
from banet.metrics.psnr import psnr
from banet.metrics.ssim import ssim_channel, ssim_matlab3d

ROUNDS = 15
SIZE = (720, 1280)
AIM = 5.0
RESULT = Path(__file__).parent / "results" / "metrics.json"

Score = Callable[[Image, Image], float]


def reference_psnr(restored: Image, sharp: Image) -> float:
    """Scikit-image's PSNR."""
    return float(peak_signal_noise_ratio(sharp, restored, data_range=255))


def reference_matlab3d(restored: Image, sharp: Image) -> float:
    """Filter five volumes with scipy, as MATLAB's recipe says it."""

    def mean(volume: np.ndarray) -> np.ndarray:
        return np.asarray(gaussian_filter(volume, 1.5, mode="nearest", radius=5))

    x, y = restored.astype(np.float64), sharp.astype(np.float64)
    mx, my = mean(x), mean(y)
    vx, vy, vxy = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return float(((2 * mx * my + c1) * (2 * vxy + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))).mean())


def reference_channel(restored: Image, sharp: Image) -> float:
    """Scikit-image's SSIM with a Gaussian window."""
    options = {"channel_axis": 2, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return float(structural_similarity(sharp, restored, data_range=255, **options))


SCORES: dict[str, tuple[Score, Score]] = {
    "psnr": (psnr, reference_psnr),
    "ssim_matlab3d": (ssim_matlab3d, reference_matlab3d),
    "ssim_channel": (ssim_channel, reference_channel),
}


def pair() -> tuple[Image, Image]:
    """Make a smooth picture and the same with noise."""
    rng = np.random.default_rng(0)
    sharp = gaussian_filter(rng.uniform(-400, 655, (*SIZE, 3)), (2, 2, 0.5)).clip(0, 255)
    return (sharp + rng.normal(0, 10, sharp.shape)).clip(0, 255).astype(np.uint8), sharp.astype(np.uint8)


def milliseconds(score: Score, restored: Image, sharp: Image) -> float:
    """CPU time of one call."""
    start = time.process_time()
    score(restored, sharp)
    return (time.process_time() - start) * 1000


def compare(ours: Score, reference: Score, restored: Image, sharp: Image) -> dict[str, float]:
    """Time both in turns, after one call each to warm up."""
    difference = abs(ours(restored, sharp) - reference(restored, sharp))
    rounds = [(milliseconds(ours, restored, sharp), milliseconds(reference, restored, sharp)) for _ in range(ROUNDS)]
    ratios = sorted(slow / fast for fast, slow in rounds)
    return {
        "ms": round(statistics.median(fast for fast, _ in rounds), 2),
        "reference_ms": round(statistics.median(slow for _, slow in rounds), 2),
        "ratio": round(statistics.median(ratios), 2),
        "ratio_lowest": round(ratios[0], 2),
        "ratio_highest": round(ratios[-1], 2),
        "difference": difference,
    }


def commit() -> str | None:
    """The commit that is measured; None outside a checkout."""
    answer = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return answer.stdout.strip() if answer.returncode == 0 else None


def main() -> None:
    """Measure, print, and write the result."""
    restored, sharp = pair()
    scores = {name: compare(*forms, restored, sharp) for name, forms in SCORES.items()}
    for name, result in scores.items():
        verdict = "reached" if result["ratio"] >= AIM else "MISSED"
        print(
            f"{name:14} {result['ms']:7.2f} ms, reference {result['reference_ms']:7.2f} ms: {result['ratio']:.2f}x "
            f"({result['ratio_lowest']:.2f} to {result['ratio_highest']:.2f}), aim {AIM:g}x {verdict}"
        )
    environment = {
        "commit": commit(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "scikit-image": version("scikit-image"),
    }
    params = {"size": SIZE, "rounds": ROUNDS, "threads": 1, "clock": "process_time", "aim": AIM}
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps({"environment": environment, "params": params, "scores": scores}, indent=2) + "\n")


if __name__ == "__main__":
    main()
