"""What the checks of the data cost: their share of the shard stage's CPU time, on a benchmark's archives.

python benchmarks/data_checks.py [data/raw/mini [mini]]        (writes benchmarks/results/data_checks.json)
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

from banet.data.manifest import MANIFESTS, read_benchmark
from banet.data.sharding import build
from banet.data.sharding.judgement import judge, measure, sample
from pipelines.stages.shard import shard

ROOT = Path(__file__).parents[1]


def main(raw: str = "data/raw/mini", name: str = "mini") -> None:
    """Shard once in this process and write the share."""
    spent = 0.0

    def timed(call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: object, **options: object) -> object:
            nonlocal spent
            start = time.process_time()
            result = call(*arguments, **options)
            spent += time.process_time() - start
            return result

        return run

    with (
        tempfile.TemporaryDirectory() as folder,
        patch.object(build, "measure", timed(measure)),
        patch.object(build, "sample", timed(sample)),
        patch("pipelines.stages.shard.judge", timed(judge)),
    ):
        start = time.process_time()
        summary = shard(read_benchmark(MANIFESTS, name), Path(raw), Path(folder) / "shards", parallel=False)
        whole = time.process_time() - start
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    report = {
        "commit": commit.strip(),
        "benchmark": name,
        "pairs": sum(sum(sequences.values()) for sequences in summary.counts.values()),
        "cpu_seconds": round(whole, 2),
        "share_of_checks": round(spent / whole, 3),
    }
    (ROOT / "benchmarks/results/data_checks.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main(*sys.argv[1:])
