"""`banet serve` under load on loopback: 50 clients at once, mixed sizes, malformed bodies.

    python benchmarks/serving.py                 (about 3 minutes on 2 idle cores)
    python benchmarks/serving.py --requests 300
    python benchmarks/serving.py --watch         (half a minute: what `--watch` costs)

A tiny network with random weights: what is measured is the service, not the network. 50 clients send one request
after another, none twice: pictures of four sizes as PNG and JPEG, and one in five malformed (no picture, cut off, too
large by its header, too long). Reported: seconds to the answer (median and 95th percentile of status 200), answers by
status beside those that were due, and the resident memory of all of the service's processes, with its slope over the
second half of the requests. Aims: no status but those due and 503, and a slope below 10 MiB per 100 requests.

`--watch` compares, in processor time of one thread, what the log of served pictures adds to a request with decoding,
restoring by the smallest network that ships (`banet_mini`) and encoding. Aim: 2 % at every size.
"""

import argparse
import collections
import datetime
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import requests
import torch

from banet.data.images.codec import decode_picture, encode_jpeg, encode_png
from banet.data.served.picture_features import picture_features
from banet.data.served.served_log import ServedLog
from banet.inference import restore
from banet.model.network import BANet
from banet.model.network_config import BANetConfig
from banet.model.weights import save_weights

RESULT = Path(__file__).parent / "results" / "serving.json"
CLIENTS = 50
SIZES = ((64, 96), (120, 160), (240, 320), (241, 319))
STARTED_WITHIN = 600.0  # seconds
AIM_SLOPE = 10.0  # MiB per 100 requests
AIM_WATCH = 0.02  # of a request's time
MINI = BANetConfig(stem_channels=16, channels=32, modules=2, fusion_channels=16)

Body = tuple[bytes, int]  # and the status that is due


def bodies() -> list[Body]:
    """One of each kind; one in five is malformed."""
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in SIZES]
    good = [(encode(image), 200) for image in images for encode in (encode_png, encode_jpeg)] * 2
    png = encode_png(images[0])
    header = b"IHDR" + (40000).to_bytes(4) * 2 + png[24:29]
    bomb = png[:12] + header + zlib.crc32(header).to_bytes(4) + png[33:]
    return [*good, (b"no picture", 415), (png[:-500], 400), (bomb, 413), (png + bytes(2**21), 413)]


def ask(address: str, body: Body) -> tuple[int, int, float]:
    """Status due, status, seconds; status 0 for a connection that broke."""
    begun = time.perf_counter()
    try:
        status = requests.post(address, data=body[0], timeout=STARTED_WITHIN).status_code
    except requests.ConnectionError:
        status = 0
    return body[1], status, time.perf_counter() - begun


def resident(process: psutil.Process) -> float:
    """MiB of a process and all below it."""
    total = 0
    for each in [process, *process.children(recursive=True)]:
        try:
            total += each.memory_info().rss
        except psutil.Error:  # it has just ended
            continue
    return total / 2**20


def measure(address: str, service: psutil.Process, number: int) -> dict[str, Any]:
    """Send all requests, and look at the memory meanwhile."""
    kinds, memory, done = bodies(), [], threading.Event()
    answered: list[tuple[int, int, float]] = []

    def watch() -> None:
        while not done.wait(1.0):
            memory.append((len(answered), resident(service)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    with ThreadPoolExecutor(CLIENTS) as pool:
        for answer in pool.map(lambda k: ask(address, kinds[k % len(kinds)]), range(number)):
            answered.append(answer)
    done.set()
    watcher.join()
    seconds = sorted(took for _, status, took in answered if status == 200)
    late = [point for point in memory if point[0] >= number / 2]
    enough = len({answers for answers, _ in late}) > 1
    slope = statistics.linear_regression(*zip(*late, strict=True)).slope * 100 if enough else None
    statuses = collections.Counter(f"{due} due: {status}" for due, status, _ in answered)
    wrong = sum(count for key, count in statuses.items() if key.split()[2] not in (key.split()[0], "503"))
    return {
        "requests": number,
        "clients": CLIENTS,
        "seconds": {"p50": round(statistics.median(seconds), 3), "p95": round(seconds[int(0.95 * len(seconds))], 3)},
        "statuses": dict(sorted(statuses.items())),
        "memory MiB": {"first": round(memory[0][1]), "last": round(memory[-1][1])},
        "memory slope, MiB per 100 requests": None if slope is None else round(slope, 2),
        "reached": {"statuses": wrong == 0, "memory": slope is not None and slope <= AIM_SLOPE},
    }


def watch_cost(repeats: int = 40) -> dict[str, Any]:
    """Milliseconds of a request without the log, and of what the log adds, by size; medians."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    network, found = BANet(MINI), {}
    with tempfile.TemporaryDirectory() as folder:
        log = ServedLog(Path(folder))
        for height, width in SIZES:
            image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
            content, plain, added = encode_jpeg(image), [], []
            for _ in range(repeats + 1):
                begun = time.thread_time()
                picture = decode_picture(content, "the picture").pixels
                encode_jpeg(restore(network, picture))
                done = time.thread_time()
                log.add(picture_features(picture), status=200, model="models:/banet-mini/1")
                plain.append(1000 * (done - begun))
                added.append(1000 * (time.thread_time() - done))
            request, extra = statistics.median(plain[1:]), statistics.median(added[1:])
            found[f"{height}x{width}"] = {
                "request ms": round(request, 2),
                "watch ms": round(extra, 3),
                "share": round(extra / request, 4),
            }
        log.close()
    return {"watch": found, "reached": {"watch": all(each["share"] <= AIM_WATCH for each in found.values())}}


def main(number: int, replicas: int) -> None:
    """Start the service, measure, and write the result."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        save_weights(BANet(BANetConfig(stem_channels=4, channels=8, modules=1, fusion_channels=4)), Path(folder))
        command = [sys.executable, "-m", "banet.cli", "serve", folder, "--port", str(port), "--max-mib", "1"]
        command += ["--replicas", str(replicas)]
        process = subprocess.Popen(
            command, env=os.environ | {"RAY_ADDRESS": "local"}, stdout=subprocess.PIPE, text=True
        )
        try:
            for line in process.stdout or ():
                if " restores with " in line:
                    break
            for body in bodies():  # warmed up
                ask(address, body)
            found = measure(address, psutil.Process(process.pid), number)
        finally:
            process.terminate()  # a shell in the background lets what it starts ignore SIGINT
            process.wait(STARTED_WITHIN)
    environment = {
        "commit": subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False
        ).stdout.strip(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "device": f"{platform.machine()}, {os.cpu_count()} cores",
        "load": [round(load, 1) for load in os.getloadavg()],
        "replicas": replicas,
    }
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps({"environment": environment} | found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--watch", action="store_true")
    parsed = parser.parse_args()
    if parsed.watch:
        print(json.dumps(watch_cost(), indent=2))
    else:
        main(parsed.requests, parsed.replicas)
