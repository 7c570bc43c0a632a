"""What the demo takes: wall time, and the peak of proportional memory (PSS) over all its processes.

    python benchmarks/demo.py        (in a fresh clone after installation; writes benchmarks/results/demo.json)

PSS shares out pages that several processes map, so that the sum over the processes is what the machine really holds.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
INTERVAL_S = 5.0  # reading PSS takes the demo's time


def proportional_bytes(session: int) -> int:
    """Sum of PSS over this process's descendants and over what they left running since."""
    total = 0
    for process in psutil.process_iter(["create_time"]):
        try:
            if process.info["create_time"] >= session - 1 and process.pid != os.getpid():
                total += process.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return total


def main() -> None:
    """Run the demo twice, the first time watched, and write what it took."""
    start = time.time()
    peak = 0
    process = subprocess.Popen(["make", "demo"], cwd=ROOT)
    while process.poll() is None:
        peak = max(peak, proportional_bytes(int(start)))
        time.sleep(INTERVAL_S)
    seconds = time.time() - start
    if process.returncode != 0:
        sys.exit(process.returncode)
    again = time.time()
    subprocess.run(["make", "demo"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    metrics = json.loads((ROOT / "reports/evaluate/mini/metrics.json").read_text())
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    report = {
        "commit": commit.strip(),
        "cores": os.cpu_count(),
        "seconds": round(seconds, 1),
        "second_run_seconds": round(time.time() - again, 1),
        "peak_pss_gib": round(peak / 2**30, 2),
        "blurred_psnr": metrics["blurred"]["psnr"],
        "gain": metrics["gain"],
        "gain_noise_free": metrics["noise_free"]["gain"],
        "gain_best_filter": metrics["best_filter"]["gain"],
        "gain_strata": {name: part["gain"] for name, part in metrics["strata"].items()},
    }
    (ROOT / "benchmarks/results").mkdir(exist_ok=True)
    (ROOT / "benchmarks/results/demo.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
