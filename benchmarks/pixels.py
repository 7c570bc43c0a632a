"""What was tried to store pixels: bytes, crops a second, images encoded a second, against decoding two PNG files.

    BANET_SAMPLES=FOLDER python benchmarks/pixels.py [WORDS ...]

Contract: `compact` gives 12 times the crops of decoding the two PNG files of a pair, at 1.05 of their bytes or less;
`raw` 40 times. A sample is the same exact uniform 256x256 crop of both images of a pair, contiguous uint8 RGB. All arms
take turns in one run on one thread, on the same places; time is the process's CPU time; every crop is compared with the
image. FOLDER has `gopro_sample`, real GoPro frames of 1280x720 as PNG; without it frames are generated, which compress
too well, and the result says so. WORDS choose the arms whose names hold them. Prints the table of docs/benchmarks.md
and, of all arms, writes `benchmarks/results/pixels.json`.
"""

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
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import cv2
import numpy as np
import pyarrow as pa
from pixel_candidates import COMPACT, CROP, HEIGHT, RAW, WIDTH, Arm, all_arms, decode_png

from banet.image import Image

P = ParamSpec("P")
T = TypeVar("T")

ROUNDS = 7
PACKAGES = ("numpy", "opencv-python-headless", "pyarrow", "imagecodecs", "blosc2")
RESULT = Path(__file__).parent / "results" / "pixels.json"
PNG = "PNG files, whole"
AIMS = {RAW: 40.0, COMPACT: 12.0}  # crops against PNG, at least
COMPACT_BYTES = 1.05  # of PNG's, at most


def frames() -> tuple[list[bytes], bool]:
    """The PNG files, a blurred and its sharp one in turn, and whether they are real."""
    folder = Path(os.environ.get("BANET_SAMPLES", "")) / "gopro_sample"
    blurred = sorted(path for path in folder.rglob("blur/*.png"))
    if blurred:
        files = [half for path in blurred for half in (path, path.parents[1] / "sharp" / path.name)]
        return [path.read_bytes() for path in files], True
    rng = np.random.default_rng(0)
    images = [cv2.resize(rng.integers(0, 256, (90, 160, 3), np.uint8), (1280, 720)) for _ in range(8)]
    noisy = [np.clip(image + rng.normal(0, 2, image.shape), 0, 255).astype(np.uint8) for image in images]
    return [cv2.imencode(".png", image)[1].tobytes() for image in noisy], False


def version(package: str) -> str | None:
    """The version of a package, None where it is missing."""
    try:
        return installed(package)
    except PackageNotFoundError:
        return None


def timed(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> tuple[float, T]:
    """CPU seconds of the process, and what the function gives."""
    start = time.process_time()
    result = function(*args, **kwargs)
    return time.process_time() - start, result


def encode_all(arm: Arm, images: list[Image]) -> tuple[list[Any], float]:
    """The encoded images, and the median CPU seconds an image."""
    times, encoded = zip(*(timed(arm.encode, image) for image in images), strict=True)
    return list(encoded), statistics.median(times)


def take_crops(arm: Arm, places: list[tuple[Any, int, int]]) -> list[Image]:
    """Crops of encoded images at (top, left), contiguous."""
    return [np.ascontiguousarray(arm.crop(*place)) for place in places]


def measure(arms: list[Arm], files: list[bytes]) -> list[dict[str, Any]]:
    """Rounds in which all arms take the same crops in turn."""
    images = [decode_png(content) for content in files]
    png_bytes = sum(map(len, files))
    whole = Arm(
        PNG, "", lambda image: image, len, lambda content, y, x: decode_png(content)[y : y + CROP, x : x + CROP]
    )
    stored: dict[str, list[Any]] = {PNG: files}
    rows: list[dict[str, Any]] = []
    for arm in arms:
        print(f"encoding: {arm.name} {arm.cut}", file=sys.stderr)
        stored[arm.name + arm.cut], seconds = encode_all(arm, images)
        size = sum(arm.size(data) for data in stored[arm.name + arm.cut]) / png_bytes
        rows.append({"name": arm.name, "cut": arm.cut, "bytes": size, "encoded_per_s": 1 / seconds})
    ratios: list[list[float]] = [[] for _ in arms]
    exact = dict.fromkeys(stored, True)
    rng = np.random.default_rng(0)
    for number in range(ROUNDS):
        print(f"round {number + 1} of {ROUNDS}", file=sys.stderr)
        # a place for each pair: its two images stand side by side
        tops, lefts = (rng.integers(0, side - CROP + 1, len(files) // 2).repeat(2) for side in (HEIGHT, WIDTH))
        times = []
        for arm in (whole, *arms):
            places = list(zip(stored[arm.name + arm.cut], tops.tolist(), lefts.tolist(), strict=True))
            arm.crop(*places[0])  # warm
            seconds, crops = timed(take_crops, arm, places)
            times.append(seconds)
            parts = [image[y : y + CROP, x : x + CROP] for image, (_, y, x) in zip(images, places, strict=True)]
            exact[arm.name + arm.cut] &= all(map(np.array_equal, crops, parts))
        for values, seconds in zip(ratios, times[1:], strict=True):
            values.append(times[0] / seconds)
    for row, values in zip(rows, ratios, strict=True):
        row |= {
            "exact": exact[row["name"] + row["cut"]],
            "crops": statistics.median(values),
            "lowest": min(values),
            "highest": max(values),
        }
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown."""
    lines = ["| pixels | cut into | bytes | crops, median (range) | images encoded a second |", "|---|---|---|---|---|"]
    for row in rows:
        crops = f"{row['crops']:.1f} ({row['lowest']:.1f} to {row['highest']:.1f})"
        note = "" if row["exact"] else " (wrong pixels)"
        encoded = "" if "Parquet" in row["name"] else f"{row['encoded_per_s']:.0f}"
        lines.append(f"| {row['name']}{note} | {row['cut']} | {row['bytes']:.2f} | {crops} | {encoded} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print, write, and fail where an aim is missed."""
    cv2.setNumThreads(1)
    pa.set_cpu_count(1)
    files, real = frames()
    decoding = statistics.median(timed(decode_png, content)[0] for content in files)
    with tempfile.TemporaryDirectory() as folder:
        words = sys.argv[1:]
        arms = [arm for arm in all_arms(Path(folder)) if not words or any(word in arm.name for word in words)]
        rows = measure(arms, files)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout
    report = {
        "commit": commit.strip(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "device": f"{platform.machine()}, {os.cpu_count()} cores, one thread",
        "versions": {name: version(name) for name in PACKAGES},
        "frames": f"{len(files)} {'real GoPro frames' if real else 'GENERATED frames, which compress too well'}",
        "rounds": ROUNDS,
        "png_decoded_per_s": 1 / decoding,
        "rows": rows,
    }
    print(f"{report['frames']}; decoding a PNG file: {1 / decoding:.0f} images a second\n\n{table(rows)}")
    if not words:
        RESULT.write_text(json.dumps(report, indent=2) + "\n")
    missed = [row["name"] for row in rows if row["crops"] < AIMS.get(row["name"], 0)]
    missed += [row["name"] for row in rows if row["name"] == COMPACT and row["bytes"] > COMPACT_BYTES]
    if missed:
        sys.exit(f"missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
