"""Restoring a video: time of the whole pipe over the network's own, memory by the number of frames, and what is lost.

    python benchmarks/video.py

The clip is generated: 360x640, H.264, 8 bits. `time` runs banet_mini with random weights over 24 frames in turns with
the pipe of `banet deblur` over a clip of as many, in three rounds after one that warms up. On a machine with other load
the ratio of CPU time says more than the ratio by the clock. `memory` runs clips of 50 and 200 frames, each in a process
of its own, with a network that changes nothing; so does `lost`, which compares samples. A GPU is used if there is one.
Writes `results/video.json`; about 5 minutes on 2 cores.
"""

import datetime
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import torch
from latency import commit, network, spread

from banet.inference import fastest_device
from banet.restoring.video.frame import Restore, by_network
from banet.restoring.video.restore import restore_video

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/reference"))
from films import film, psnr_of

RESULT = Path(__file__).parent / "results" / "video.json"
SIZE, FRAMES, ROUNDS = (360, 640), 24, 3
Result = dict[str, Any]


def clip(folder: Path, frames: int) -> Path:
    """A video of some frames."""
    return film(folder / f"{frames}.mp4", size=SIZE, times=range(0, frames * 3003, 3003))


def timed(work: Callable[[], Any], device: torch.device) -> tuple[float, float]:
    """Seconds by the clock and of the CPU."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - wall, time.process_time() - cpu


def ratio(folder: Path) -> Result:
    """The pipe over the network alone, on the same number of frames."""
    device = torch.device(fastest_device())
    restore = by_network(network("banet_mini").to(device))
    frame = torch.rand(1, 3, *SIZE, device=device)
    source = clip(folder, FRAMES)

    def alone() -> None:
        with torch.inference_mode():
            for _ in range(FRAMES):
                restore(frame)

    def piped() -> None:
        restore_video(restore, source, folder / "out.mp4", identity="", device=device)

    alone_s, pipe_s = [], []
    for _ in range(ROUNDS + 1):
        alone_s.append(timed(alone, device))
        pipe_s.append(timed(piped, device))
    pairs = list(zip(alone_s, pipe_s, strict=True))[1:]
    return {
        "frames": FRAMES,
        "network alone, s": spread([one[0] for one, _ in pairs]),
        "times the network, by the clock": spread([other[0] / one[0] for one, other in pairs]),
        "times the network, CPU": spread([other[1] / one[1] for one, other in pairs]),
    }


def peak(frames: int) -> float:
    """MiB that this process held at most while it restored a clip."""
    with tempfile.TemporaryDirectory() as folder:
        source = clip(Path(folder), frames)
        code = f"import video; video.unchanged({str(source)!r})"
        ended = subprocess.run(
            [sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
    return float(ended.stdout)


def unchanged(source: str) -> None:
    """Restore a clip with a network that changes nothing; print the most memory that was held, MiB."""
    restore: Restore = lambda x: x  # noqa: E731
    restore_video(restore, Path(source), Path(source).with_name("out.mp4"), identity="")
    print(round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1))


def lost(folder: Path, codec: str, pixels: str) -> float:
    """PSNR of a clip that a network left unchanged, dB: what the encoder loses at the default quality."""
    source = film(folder / f"{codec}-{pixels}.mp4", codec, pixels, size=SIZE)
    restore_video(lambda x: x, source, source.with_suffix(".out.mp4"), identity="")
    return round(psnr_of(source, source.with_suffix(".out.mp4")), 2)


def main() -> None:
    """Measure all, print and write it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = {
            "commit": commit(),
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "device": f"{platform.machine()}, {os.cpu_count()} cores, {fastest_device()}",
            "load": [round(load, 1) for load in os.getloadavg()],
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "av": av.__version__,
            "time": ratio(folder),
            "peak memory, MiB": {str(frames): peak(frames) for frames in (50, 200)},
            "PSNR of an unchanged clip, dB": {
                f"{codec}, {pixels}": lost(folder, codec, pixels)
                for codec, pixels in (("libx264", "yuv420p"), ("libx265", "yuv420p"), ("libx265", "yuv420p10le"))
            },
        }
    RESULT.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
