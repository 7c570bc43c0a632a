"""Time and memory of restoring pictures from 0.25 to 100 megapixels, whole and in pieces; and frames on a GPU.

    python benchmarks/latency.py                 (about 12 minutes on 2 idle cores)
    python benchmarks/latency.py large           (BANet at 24 megapixels, twice: half an hour)

Arms, chosen by name; each keeps what it measured in `benchmarks/results/latency.json`:

- equal: in pieces against the whole pass in turns, in one process. BANet at 1 and 4 megapixels, a narrow network at 24.
  Aims: equal to 1e-5, at most 1.25 times the CPU time, which other programs disturb less than the clock.
- curve: the embedded network from 0.25 to 100 megapixels, whole and within 2 GiB. Draws `results/latency.svg`.
  Aim: 100 megapixels in at most 2 GiB.
- large: BANet at 24 megapixels, in free memory and within 2 GiB. Aims: at most 4.5 and 2 GiB.
- gpu: BANet and BANet+ at 720x1280, bfloat16, channels_last, compiled. Aims on an H200: 16.7 and 33 ms, and PSNR within
  0.01 dB of float32. Without a GPU the result says that it was not run.

Weights and pictures are random, float32 and channels_last on the CPU. Memory is all that a process of its own holds
(the peak of its resident set): Python, torch, weights, picture and result included. Passes are warmed up; where a pass
takes minutes there is one, and no spread.
"""

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from banet.config import read_model_config
from banet.inference import restore
from banet.model.network import BANet
from banet.model.network_config import BANetConfig
from banet.restoring.any_size import PIECE, restore_any_size
from banet.restoring.piecewise import restore_in_pieces

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "latency.json"
PLOT = RESULT.with_suffix(".svg")
SIZES = {  # megapixels: height, width
    0.25: (408, 612),
    1: (816, 1224),
    4: (1632, 2448),
    12: (2828, 4242),
    24: (4000, 6000),
    50: (5776, 8664),
    100: (8164, 12246),
}
LIMIT = 2 * 2**30
AIM_DIFFERENCE, AIM_TIME, AIM_GIB, AIM_GIB_LIMITED = 1e-5, 1.25, 4.5, 2.0
LARGEST_WHOLE = 12  # megapixels, of the embedded network: 6.5 GiB
NARROW = BANetConfig(name="narrow", stem_channels=4, channels=8, modules=2, fusion_channels=4)
GPU_AIMS = {"banet": 16.7, "banet_plus": 33.0}  # ms

Result = dict[str, Any]


def network(name: str) -> BANet:
    """A network of `conf/model/`, or the narrow one, with random weights."""
    torch.manual_seed(0)
    config = NARROW if name == "narrow" else read_model_config(ROOT / f"conf/model/{name}.yaml")
    return BANet(config).eval()


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Seconds by the clock, seconds of the CPU, and what the work returned."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return time.perf_counter() - wall, time.process_time() - cpu, result


def equal(name: str, megapixels: float, rounds: int) -> Result:
    """In this process: the whole pass and pieces in turns."""
    model, (height, width) = network(name), SIZES[megapixels]
    picture = np.random.default_rng(0).random((height, width, 3), dtype=np.float32)
    x_BCHW = torch.from_numpy(picture).permute(2, 0, 1).unsqueeze(0)

    def whole() -> np.ndarray:
        with torch.inference_mode():
            return model(x_BCHW)[0].permute(1, 2, 0).numpy()  # type: ignore[no-any-return]

    restore_in_pieces(model, picture[:128, :128], memory=PIECE)
    ratios: dict[str, list[float]] = {"clock": [], "CPU": []}
    difference = 0.0
    for _ in range(rounds):
        whole_wall, whole_cpu, expected = timed(whole)
        wall, cpu, restored = timed(lambda: restore_in_pieces(model, picture, memory=PIECE))
        ratios["clock"].append(wall / whole_wall)
        ratios["CPU"].append(cpu / whole_cpu)
        difference = max(difference, float(np.abs(restored - expected).max()))
    return {"difference": difference, "times the whole pass": {key: spread(values) for key, values in ratios.items()}}


def single(name: str, megapixels: float, arm: str, rounds: int) -> Result:
    """In this process: restoring one picture, its time, and all that the process held meanwhile."""
    model, (height, width) = network(name), SIZES[megapixels]
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    ways: dict[str, Callable[[], Any]] = {
        "whole": lambda: restore(model, picture),
        "free memory": lambda: restore_any_size(model, picture, folder=RESULT.parent),
        "within 2 GiB": lambda: restore_any_size(model, picture, max_memory=LIMIT, folder=RESULT.parent),
    }
    restore(model, picture[:128, :128])
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    passes = [timed(ways[arm])[:2] for _ in range(rounds)]
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return {
        "seconds": spread([wall for wall, _ in passes]),
        "CPU seconds": spread([cpu for _, cpu in passes]),
        "peak GiB": round(int(peak.split()[1]) / 2**20, 2),
    }


def gpu(name: str) -> Result:
    """In this process: single frames on a GPU, and what bfloat16 does to the PSNR."""
    device = torch.device("cuda")
    exact = network(name).to(device)
    laid_out = network(name).to(device, torch.bfloat16)
    laid_out.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # documented, missing from its types
    fast = torch.compile(laid_out, dynamic=False)
    x_BCHW = torch.rand(1, 3, 720, 1280, device=device).contiguous(memory_format=torch.channels_last)
    frame = x_BCHW.bfloat16()
    milliseconds = []
    with torch.inference_mode():
        expected = exact(x_BCHW)
        for run in range(60):
            torch.cuda.synchronize()
            start = time.perf_counter()
            restored = fast(frame)
            torch.cuda.synchronize()
            if run >= 10:
                milliseconds.append(1000 * (time.perf_counter() - start))
        sharp = expected + 10 ** (-30 / 20) * torch.randn_like(expected)  # 30 dB away
        errors = [float((y.float() - sharp).square().mean()) for y in (expected, restored)]
    return {
        "ms": spread(milliseconds),
        "reached": statistics.median(milliseconds) <= GPU_AIMS[name],
        "change of PSNR, dB": round(10 * float(np.log10(errors[0] / errors[1])), 4),
        "device": torch.cuda.get_device_name(device),
        "dtype": "bfloat16",
        "memory_format": "channels_last",
        "compiled": True,
    }


def spread(values: list[float]) -> Result:
    """Median, lowest and highest; the median alone of a single value."""
    shown = {"median": statistics.median(values)}
    if len(values) > 1:
        shown |= {"lowest": min(values), "highest": max(values)}
    return {key: round(value, 3) for key, value in shown.items()}


def in_own_process(function: str, *arguments: float | str) -> Result:
    """One of the functions above in a process of its own."""
    command = [sys.executable, __file__, "--run", json.dumps([function, *arguments])]
    found: Result = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    print(*arguments, found, flush=True)
    return found


def equal_arm() -> Result:
    """All comparisons with the whole pass."""
    cases = [("banet", 1, 3), ("banet", 4, 1), ("narrow", 24, 1)]
    found = {f"{name}, {size} megapixels": in_own_process("equal", name, size, rounds) for name, size, rounds in cases}
    ratio = found["banet, 1 megapixels"]["times the whole pass"]["CPU"]["median"]
    return found | {
        "reached": {
            "equal": all(case["difference"] <= AIM_DIFFERENCE for case in found.values()),
            "time": ratio <= AIM_TIME,
        }
    }


def curve_arm() -> Result:
    """The embedded network at all sizes."""
    found: Result = {"whole": {}, "within 2 GiB": {}}
    for size in SIZES:
        for arm, results in found.items():
            if arm != "whole" or size <= LARGEST_WHOLE:
                results[str(size)] = in_own_process("single", "banet_mini", size, arm, 5 if size <= 1 else 1)
    draw(found)
    return found | {"reached": found["within 2 GiB"]["100"]["peak GiB"] <= AIM_GIB_LIMITED}


def large_arm() -> Result:
    """BANet at 24 megapixels."""
    limited = in_own_process("single", "banet", 24, "within 2 GiB", 1)
    free = in_own_process("single", "banet", 24, "free memory", 1)
    reached = {"free memory": free["peak GiB"] <= AIM_GIB, "within 2 GiB": limited["peak GiB"] <= AIM_GIB_LIMITED}
    return {"free memory": free, "within 2 GiB": limited, "reached": reached}


def gpu_arm() -> Result:
    """Frames on a GPU, if there is one."""
    if not torch.cuda.is_available():
        return {"not run": "no GPU where this was measured"}
    return {name: in_own_process("gpu", name) for name in GPU_AIMS}


def draw(curves: Result) -> None:
    """Plot time and memory over the size."""
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    for name, points in curves.items():
        sizes = [float(size) for size in points]
        axes[0].plot(sizes, [point["CPU seconds"]["median"] for point in points.values()], "o-", label=name)
        axes[1].plot(sizes, [point["peak GiB"] for point in points.values()], "o-", label=name)
    for axis, label in zip(axes, ("CPU time, s", "resident memory, GiB"), strict=True):
        axis.set(xscale="log", yscale="log", xlabel="megapixels", ylabel=label)
        axis.grid(alpha=0.3)
        axis.legend()
    figure.savefig(PLOT, metadata={"Date": None})


ARMS: dict[str, Callable[[], Result]] = {
    "equal": equal_arm,
    "curve": curve_arm,
    "large": large_arm,
    "gpu": gpu_arm,
}
FUNCTIONS: dict[str, Callable[..., Result]] = {"equal": equal, "single": single, "gpu": gpu}


def main(names: list[str]) -> None:
    """Measure the named arms, print, and keep the results beside those of the others."""
    for name in names:
        environment = {
            "commit": commit(),
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "device": f"{platform.machine()}, {os.cpu_count()} cores",
            "load": [round(load, 1) for load in os.getloadavg()],
            "torch": torch.__version__,
            "dtype": "float32",
            "memory_format": "channels_last",
        }
        found = ARMS[name]()
        kept = json.loads(RESULT.read_text()) if RESULT.exists() else {}
        kept[name] = {"environment": environment} | found
        RESULT.parent.mkdir(parents=True, exist_ok=True)
        RESULT.write_text(json.dumps(kept, indent=2) + "\n")
        print(name, found.get("reached", found))


def commit() -> str | None:
    """The commit that is measured; None outside a checkout."""
    answer = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return answer.stdout.strip() if answer.returncode == 0 else None


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("arms", nargs="*", default=["equal", "curve", "gpu"], metavar="ARM", help=", ".join(ARMS))
    parser.add_argument("--run", type=json.loads, help=argparse.SUPPRESS)
    parsed = parser.parse_args()
    if parsed.run:
        function, *values = parsed.run
        print(json.dumps(FUNCTIONS[function](*values)))
    else:
        main(parsed.arms)
