"""Loading training data: crops a core, the stream end to end, its starts and joins, 100,000 pairs, and sharding.

    BANET_SAMPLES=FOLDER python benchmarks/loading.py [--only crops,stream,epochs,start,many,shard]

A sample is a 256x256 crop of both images of a pair, flipped and turned; a batch has 8. FOLDER has `gopro_sample`, real
GoPro frames of 1280x720 as PNG; without it frames are generated, which compress too well, and the result says so. All
arms of a section take turns in one run, each on one thread a process. Sections that are run replace their part of
`benchmarks/results/loading.json`; the others stay. Fails where an aim is missed. About 20 minutes on 2 cores.
"""

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import loading_shard
import loading_stream
import numpy as np
import pyarrow as pa
from loading_frames import BATCH, CROP, Frames, find_frames, png_sample, spread, write_shards

from banet.data.shards.pixels import Storage

RESULT = Path(__file__).parent / "results" / "loading.json"
PACKAGES = ("numpy", "opencv-python-headless", "pyarrow", "ray", "torch")


def crops(frames: Frames) -> dict[str, Any]:
    """Samples a second of CPU time on one thread, out of shards over out of PNG files; bytes likewise."""
    rounds, count, few = 7, 96, 24
    storages: tuple[Storage, ...] = ("compact", "raw")
    sets = {name: write_shards(frames.folder / name, frames.pairs, name) for name in storages}
    png_bytes = sum(path.stat().st_size for pair in (frames.files[0], *frames.files) for path in pair)
    png: list[float] = []
    rates: dict[Storage, list[float]] = {name: [] for name in storages}
    for number in range(rounds + 1):  # the first one warms the caches
        start = time.process_time()
        for k in range(number * few, (number + 1) * few):
            png_sample(frames.files, k)
        png.append(few / (time.process_time() - start))
        for name, values in rates.items():
            start = time.process_time()
            sets[name].samples(np.arange(number * count, (number + 1) * count), CROP)
            values.append(count / (time.process_time() - start))
    ratios = {name: [a / b for a, b in zip(rates[name], png, strict=True)][1:] for name in storages}
    sizes = {name: sum(path.stat().st_size for path in (frames.folder / name).iterdir()) for name in storages}
    return {
        "samples_per_cpu_second": {"png": spread(png[1:])}
        | {name: spread(values[1:]) for name, values in rates.items()},
        "over_png": {name: spread(values) for name, values in ratios.items()},
        "bytes_over_png": {name: size / png_bytes for name, size in sizes.items()},
        "aims": {
            "compact >= 12 x": statistics.median(ratios["compact"]) >= 12,
            "compact <= 1.05 of the bytes": sizes["compact"] <= 1.05 * png_bytes,
            "raw >= 40 x": statistics.median(ratios["raw"]) >= 40,
        },
    }


SECTIONS: dict[str, Callable[[Frames], dict[str, Any]]] = {
    "crops": crops,
    "stream": loading_stream.end_to_end,
    "epochs": loading_stream.epochs,
    "start": loading_stream.first_batch,
    "many": loading_stream.many,
    "shard": lambda frames: loading_shard.measure(frames.files, frames.folder / "sharding"),
}


def missed(values: dict[str, Any], where: str) -> list[str]:
    """Name the aims that are not reached."""
    found = []
    for key, value in values.items():
        if key == "aims":
            found += [f"{where}: {aim}" for aim, reached in value.items() if not reached]
        elif isinstance(value, dict):
            found += missed(value, f"{where}, {key}")
    return found


def main() -> None:
    """Measure, print, write, and fail where an aim is missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(SECTIONS), metavar="SECTION,...")
    chosen: list[str] = parser.parse_args().only
    unknown = set(chosen) - set(SECTIONS)
    if unknown:
        parser.error(f"no section {', '.join(sorted(unknown))}: there are {', '.join(SECTIONS)}")
    cv2.setNumThreads(1)
    pa.set_cpu_count(1)
    report: dict[str, Any] = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.is_file() else {}
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    with tempfile.TemporaryDirectory() as folder:
        frames = find_frames(Path(folder))
        for name in chosen:
            print(name, file=sys.stderr)
            load = os.getloadavg()
            report[name] = {
                "commit": commit,
                "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                "device": f"{platform.machine()}, {os.cpu_count()} cores",
                "versions": {package: version(package) for package in PACKAGES},
                "frames": f"{2 * len(frames.files)} {'real GoPro' if frames.real else 'GENERATED'} frames",
                "params": {"crop": CROP, "batch_size": BATCH, "loader_workers": loading_stream.WORKERS},
                "load_before": load,
            } | SECTIONS[name](frames)
            report[name]["load_after"] = os.getloadavg()
            RESULT.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
            print(json.dumps({name: report[name]}, indent=2))
    aims = [aim for name in chosen for aim in missed(report[name], name)]
    if aims:
        sys.exit("missed: " + "; ".join(aims))


if __name__ == "__main__":
    main()
