"""What `banet deblur` costs beside the network: its start from the shell, and reading and writing a folder.

    python benchmarks/startup.py        (about 3 minutes on 2 idle cores)

Aims: a 64x64 picture from the shell in at most 1.3 times what importing torch and loading the weights takes; a folder
of 1280x720 pictures, read and written as PNG, in at most 1.1 times what its network takes alone, with memory that does
not grow with their number. Both arms of a ratio take turns in one run; CPU time is steadier than the clock where the
machine does other work, too. The network is `conf/model/banet_mini.yaml` at random, the fastest and so the hardest.
Writes `benchmarks/results/startup.json`.
"""

import argparse
import datetime
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from banet.config import read_model_config
from banet.data.images.codec import read_image, write_image
from banet.inference import restore_array
from banet.model.network import BANet
from banet.model.weights import load_weights, save_weights
from banet.restoring.batch import Restoration, restore_all
from banet.restoring.input_files import many_pictures

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "startup.json"
AIM_START, AIM_FOLDER = 1.3, 1.1
LOAD = "import torch, pathlib; from banet.model.weights import load_weights; load_weights(pathlib.Path('model'))"


def seconds_of(command: list[str], folder: Path) -> dict[str, float]:
    """Run a program; return its seconds by the clock and of CPU."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run([sys.executable, *command], cwd=folder, env=environment, check=True, capture_output=True)
    clock, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"clock": clock, "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


def timed(work: Callable[[], object]) -> dict[str, float]:
    """Do something in this process; return its seconds by the clock and of CPU."""
    clock, cpu = time.monotonic(), time.process_time()
    work()
    return {"clock": time.monotonic() - clock, "cpu": time.process_time() - cpu}


def ratio(rounds: list[tuple[dict[str, float], dict[str, float]]]) -> dict[str, list[float] | float]:
    """Median of the first arm over the second, by clock and CPU, with the lowest and highest of a round."""
    found: dict[str, list[float] | float] = {}
    for kind in ("cpu", "clock"):
        ratios = sorted(first[kind] / second[kind] for first, second in rounds)
        seconds = [statistics.median(arm[kind] for arm in arms) for arms in zip(*rounds, strict=True)]
        found[kind] = round(statistics.median(ratios), 3)
        found[f"{kind} lowest and highest"] = [round(ratios[0], 3), round(ratios[-1], 3)]
        found[f"{kind} seconds"] = [round(number, 3) for number in seconds]
    return found


def start(folder: Path, rounds: int) -> dict[str, list[float] | float]:
    """The command over importing torch and loading the weights."""
    write_image(folder / "small.png", noise(64, 64))
    command = ["-m", "banet.cli", "deblur", "small.png", "out.png", "--model", "model"]
    for arm in (command, ["-c", LOAD]):  # compiles the files, fills the disk's cache
        seconds_of(arm, folder)
    return ratio([(seconds_of(command, folder), seconds_of(["-c", LOAD], folder)) for _ in range(rounds)])


def many(folder: Path, rounds: int, pictures: int) -> dict[str, list[float] | float]:
    """A folder over its network alone; and how memory grows from that folder to one of four times as many pictures."""
    model = load_weights(folder / "model")
    what = Restoration(
        restore=lambda image: restore_array(model, image), config=model.config, facts={}, options={}, quality=None
    )
    images = []
    for number in range(pictures):
        write_image(folder / f"photos/{number}.png", smooth(720, 1280, number))
        images.append(read_image(folder / f"photos/{number}.png"))

    def whole(name: str, source: Path) -> None:
        found = many_pictures(str(source), folder / name, compare=False)
        assert found is not None  # noqa: S101
        assert restore_all(what, found, folder / name).restored == len(found)  # noqa: S101

    alone: Callable[[], object] = lambda: [restore_array(model, image) for image in images]  # noqa: E731
    alone()
    found = ratio([(timed(lambda n=n: whole(f"out{n}", folder / "photos")), timed(alone)) for n in range(rounds)])  # type: ignore[misc]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(4 * pictures):
        write_image(folder / f"more/{number}.png", smooth(720, 1280, number))
    whole("out-more", folder / "more")
    growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak
    return found | {"MiB more for 4 times the pictures": round(growth / 1024, 1), "pictures": pictures}


def noise(height: int, width: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """A picture without any structure."""
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def smooth(height: int, width: int, seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Slopes with a little noise, whose PNG is as large as a photograph's (1.6 MB)."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    slopes = 128 + 90 * np.sin(rows / 70 + random.random() * 6)[..., None] * np.cos(columns / 90)[..., None]
    return np.asarray(np.clip(slopes + random.normal(0, 4, (height, width, 3)), 0, 255), np.uint8)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pictures", type=int, default=10)
    parser.add_argument("--only", choices=("start", "folder"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        torch.manual_seed(0)
        save_weights(BANet(read_model_config(ROOT / "conf/model/banet_mini.yaml")), folder / "model")
        result = json.loads(RESULT.read_text(encoding="utf-8")) if arguments.only and RESULT.exists() else {}
        environment = {
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "load": [round(load, 1) for load in os.getloadavg()],
            "python": platform.python_version(),
            "torch": torch.__version__,
            "rounds": arguments.rounds,
        }
        if arguments.only != "folder":
            result["start"] = environment | {"aim": AIM_START} | start(folder, arguments.rounds)
        if arguments.only != "start":
            result["folder"] = environment | {"aim": AIM_FOLDER} | many(folder, arguments.rounds, arguments.pictures)
    text = json.dumps(result, indent=2)
    print(text)
    RESULT.write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
