"""Whether another engine, or torch's own thread settings, restore faster: on an idle machine and beside other load.

    python benchmarks/engines.py        (about 6 minutes on 2 cores, which should be idle)

Each arm is a process of its own that has loaded the network; all but one are stopped while that one restores a picture
of 256x256. Arms take turns in rounds, as many as fit into the time. The load is one busy process per core, started by
this script. onnxruntime and OpenVINO run the file that `banet export` writes, of dynamic sizes, in float32.

- torch: as it comes. Its OpenMP is GNU's here, whose threads spin between two loops and then sleep.
- torch again: the same. What it differs from the first by is noise.
- torch, passive: OMP_WAIT_POLICY=passive; threads sleep at once.
- torch, short spin: GOMP_SPINCOUNT=10000 rounds of spinning; 300,000 are usual.
- torch, 1 thread
- torch, KMP: KMP_BLOCKTIME=0; without effect where OpenMP is GNU's.
- onnxruntime, and without spinning (session.intra_op.allow_spinning=0)
- openvino: hints LATENCY and f32; openvino, 1 thread

Ratios are torch's time over the arm's, of one round: above 1, the arm is faster. An arm wins if its median is above
1.05 on the idle machine and beside the load, for both networks. Writes `benchmarks/results/engines.json`.
"""

import argparse
import datetime
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from banet.config import read_model_config
from banet.engines.export import export_network
from banet.model.network import BANet
from banet.model.weights import load_weights, save_weights

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "engines.json"
NETWORKS = ("banet_mini", "banet")
SIDE, FEWEST, MOST, WINS = 256, 3, 25, 1.05
BUSY = "while True: pass"

Array = npt.NDArray[np.float32]
Pass = Callable[[Array], Array]
ARMS: dict[str, tuple[str, dict[str, str], dict[str, Any]]] = {  # engine, environment, options
    "torch": ("torch", {}, {}),
    "torch again": ("torch", {}, {}),
    "torch, passive": ("torch", {"OMP_WAIT_POLICY": "passive"}, {}),
    "torch, short spin": ("torch", {"GOMP_SPINCOUNT": "10000"}, {}),
    "torch, 1 thread": ("torch", {}, {"threads": 1}),
    "torch, KMP": ("torch", {"KMP_BLOCKTIME": "0"}, {}),
    "onnxruntime": ("onnxruntime", {}, {}),
    "onnxruntime, no spinning": ("onnxruntime", {}, {"session.intra_op.allow_spinning": "0"}),
    "openvino": ("openvino", {}, {}),
    "openvino, 1 thread": ("openvino", {}, {"INFERENCE_NUM_THREADS": 1}),
}


def by_torch(folder: Path, options: dict[str, Any]) -> Pass:
    """The network as `banet deblur` runs it."""
    if options:
        torch.set_num_threads(options["threads"])
    model = load_weights(folder)

    def run(x_BCHW: Array) -> Array:
        with torch.inference_mode():
            return model(torch.from_numpy(x_BCHW)).numpy()  # type: ignore[no-any-return]

    return run


def by_onnxruntime(folder: Path, options: dict[str, Any]) -> Pass:
    """The exported file in onnxruntime."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    for key, value in options.items():
        settings.add_session_config_entry(key, value)
    session = onnxruntime.InferenceSession(folder / "network.onnx", settings, providers=["CPUExecutionProvider"])
    (name,) = (one.name for one in session.get_inputs())
    return lambda x_BCHW: session.run(None, {name: x_BCHW})[0]


def by_openvino(folder: Path, options: dict[str, Any]) -> Pass:
    """The exported file in OpenVINO."""
    import openvino  # type: ignore[import-not-found,import-untyped,unused-ignore]

    hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32", **options}
    compiled = openvino.Core().compile_model(folder / "network.onnx", "CPU", hints)
    return lambda x_BCHW: np.array(compiled(x_BCHW)[0])


ENGINES = {"torch": by_torch, "onnxruntime": by_onnxruntime, "openvino": by_openvino}


def picture() -> Array:
    """The one that all arms restore."""
    return np.random.default_rng(0).random((1, 3, SIDE, SIDE), dtype=np.float32)


def serve(name: str, folder: Path) -> None:
    """In an arm's process: warm up, keep the result, then restore once for every line that comes."""
    engine, _, options = ARMS[name]
    run, x_BCHW = ENGINES[engine](folder, options), picture()
    run(x_BCHW)
    np.save(folder / f"{name}.npy", run(x_BCHW))
    print("ready", flush=True)
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        run(x_BCHW)
        print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]), flush=True)


class Arm:
    """An arm's process."""

    def __init__(self, name: str, folder: Path) -> None:
        environment = os.environ | {"PYTHONPATH": str(ROOT)} | ARMS[name][1]
        command = [sys.executable, __file__, "--serve", name, str(folder)]
        pipe = subprocess.PIPE
        self.name = name
        self.process = subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True)

    def wait(self) -> None:
        """Wait until it is warm, then stop it."""
        if self._line() != "ready\n":
            raise SystemExit(f"{self.name} does not start")
        self.process.send_signal(signal.SIGSTOP)

    def seconds(self) -> list[float]:
        """Restore once; seconds by the clock and of CPU."""
        assert self.process.stdin is not None  # noqa: S101
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        found: list[float] = json.loads(self._line())
        self.process.send_signal(signal.SIGSTOP)
        return found

    def end(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.communicate()

    def _line(self) -> str:
        assert self.process.stdout is not None  # noqa: S101
        return self.process.stdout.readline()


@contextmanager
def load(processes: int) -> Iterator[None]:
    """Keep cores busy."""
    started = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def rounds(arms: list[Arm], seconds: float) -> list[dict[str, list[float]]]:
    """Let all arms take turns for about so many seconds; the order changes from round to round."""
    for arm in arms:
        arm.seconds()
    found: list[dict[str, list[float]]] = []
    end = time.monotonic() + seconds
    while len(found) < FEWEST or (time.monotonic() < end and len(found) < MOST):
        shift = len(found) % len(arms)
        found.append({arm.name: arm.seconds() for arm in arms[shift:] + arms[:shift]})
    return found


def spread(values: list[float], digits: int) -> dict[str, float]:
    """Median, lowest and highest."""
    shown = {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}
    return {key: round(value, digits) for key, value in shown.items()}


def summed_up(found: list[dict[str, list[float]]]) -> dict[str, Any]:
    """Times and ratios of each arm."""
    shown: dict[str, Any] = {"rounds": len(found)}
    for name in found[0]:
        shown[name] = {
            "ms": spread([1000 * one[name][0] for one in found], 1),
            "CPU ms": spread([1000 * one[name][1] for one in found], 1),
            "times as fast as torch": spread([one["torch"][0] / one[name][0] for one in found], 3),
        }
    return shown


def measure(network: str, folder: Path, names: list[str], seconds: float) -> dict[str, Any]:
    """One network, idle and beside the load."""
    torch.manual_seed(0)
    model = BANet(read_model_config(ROOT / f"conf/model/{network}.yaml")).eval()
    save_weights(model, folder)
    export_network(model, folder / "network.onnx", digest="random", source="random")
    arms: list[Arm] = []
    try:
        for name in names:
            arms.append(Arm(name, folder))
        for arm in arms:
            arm.wait()
        expected = np.load(folder / "torch.npy")
        difference = {name: float(np.abs(np.load(folder / f"{name}.npy") - expected).max()) for name in names}
        result: dict[str, Any] = {"difference from torch": difference, "idle": summed_up(rounds(arms, seconds))}
        with load(os.cpu_count() or 1):
            result["beside load"] = summed_up(rounds(arms, 2 * seconds))
    finally:
        for arm in arms:
            arm.end()
    return result


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=40.0, help="idle, of a network; twice as many beside load")
    parser.add_argument("--arms", nargs="*", default=list(ARMS), metavar="ARM", help="; ".join(ARMS))
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS))
    parser.add_argument("--output", type=Path, default=RESULT)
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    parsed = parser.parse_args()
    if parsed.serve:
        serve(parsed.serve[0], Path(parsed.serve[1]))
        return
    names = list(dict.fromkeys(["torch", *parsed.arms]))
    packages = {ARMS[name][0]: version(ARMS[name][0]) for name in names}
    answer = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    result: dict[str, Any] = {
        "commit": answer.stdout.strip() or None,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "device": f"{platform.machine()}, {os.cpu_count()} cores",
        "load before": [round(load, 1) for load in os.getloadavg()],
        "side": SIDE,
        "versions": packages,
        "OpenMP": next(line for line in torch.__config__.parallel_info().splitlines() if line.startswith("OpenMP")),
        "networks": {},
    }
    for network in parsed.networks:
        with tempfile.TemporaryDirectory() as folder:
            result["networks"][network] = measure(network, Path(folder), names, parsed.seconds)
    cells = [cell for found in result["networks"].values() for cell in (found["idle"], found["beside load"])]
    result["wins"] = {
        name: all(cell[name]["times as fast as torch"]["median"] > WINS for cell in cells) for name in names
    }
    text = json.dumps(result, indent=2)
    print(text)
    parsed.output.write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
