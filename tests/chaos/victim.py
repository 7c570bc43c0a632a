"""A small training in a process of its own, and what can happen to it."""

import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
import yaml
from safetensors.torch import load_file

from banet.data.sharding.writer import ShardWriter
from banet.data.shards.reader import Pair

ROOT = Path(__file__).parents[2]
CHECKPOINT_EVERY = 10  # steps
TIMEOUT_S = 10  # of collectives
STEPS = 60
ENDS_WITHIN_S = 600.0
GONE_WITHIN_S = 10.0
MARK = "BANET_CHAOS"
MOMENTS = ("start-up", "first step", "middle", "validation", "save")

MODEL = {
    "name": "victim",
    "stem_channels": 8,
    "channels": 16,
    "modules": 1,
    "kernels": [1, 3],
    "attention": "ba",
    "content": "cpdc",
    "fusion_channels": 4,
}
PHASES = [
    {"steps": 35, "crop": 16, "batch_size": 4, "lr_start": 1e-3, "lr_end": 0.0, "clip_norm": 1.0, "ema_decay": 0.9},
    {"steps": 25, "crop": 24, "batch_size": 4, "accumulate": 2, "lr_start": 5e-4, "lr_end": 1e-5},
]


class EndedBefore(Exception):  # noqa: N818  # what is to be seen decides whether it is an error
    """The process ended before what was waited for."""


@dataclass
class Victim:
    """A project folder with a few pairs, whose `train` stage is run, disturbed and run again."""

    folder: Path
    cluster: dict[str, Any] = field(default_factory=dict)  # of params.yaml, beside the defaults
    environment: dict[str, str] = field(default_factory=dict)
    within: list[str] = field(default_factory=list)  # a command that runs the stage, e.g. in another network
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    process: subprocess.Popen[bytes] | None = None
    seen: set[psutil.Process] = field(default_factory=set)  # those that it has started, as far as they were seen

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder / "shards").exists():
            write_shards(self.folder / "shards")
        values = yaml.safe_load((ROOT / "params.yaml").read_text())
        values["benchmark"] = {"name": "victim", "variant": "blur", "validation": {"sequences": ["held"]}}
        values["evaluate_on"] = ["victim"]
        values["model"] = MODEL
        values["recipe"] |= {"phases": PHASES, "log_every": 1, "validate_every": 20}
        values["cluster"] |= {"checkpoint_every": CHECKPOINT_EVERY, "timeout_s": TIMEOUT_S} | self.cluster
        (self.folder / "params.yaml").write_text(yaml.safe_dump(values))

    @property
    def printed(self) -> Path:
        """What the last start has printed."""
        return self.folder / "printed.txt"

    def start(self) -> None:
        """Begin to train, or go on."""
        store = f"sqlite:///{self.folder / 'mlflow.db'}"
        environment = os.environ | {MARK: self.mark, "MLFLOW_TRACKING_URI": store, "PYTHONPATH": str(ROOT)}
        environment |= {
            "OMP_NUM_THREADS": "1",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_worker_niceness": "0",
        } | self.environment
        command = [*self.within, sys.executable, "-m", "pipelines.stages.train"]
        command += ["--shards", "shards", "--out", "out", "--reports", "reports"]
        with self.printed.open("w") as printed:  # a pipe that nobody reads would stop what writes to it
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=printed, stderr=subprocess.STDOUT
            )

    def ended(self, within_s: float = ENDS_WITHIN_S) -> tuple[int, str]:
        """Wait for the end; return the status and what was printed."""
        assert self.process is not None
        try:
            status = self.process.wait(timeout=within_s)
        except subprocess.TimeoutExpired:
            self.end()
            raise
        return status, self.printed.read_text()

    def end(self) -> None:
        """Kill whatever is left."""
        for process in self.processes():
            with suppress(psutil.Error):
                process.kill()

    def processes(self) -> list[psutil.Process]:
        """All processes of this run: they inherit its environment, but for those of Ray that write over it."""
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(MARK) == self.mark:
                    self.seen |= {process, *process.children(recursive=True)}
        return [process for process in self.seen if _lives(process)]

    def named(self, name: str) -> list[psutil.Process]:
        """The processes of this run with a word in their command line."""
        found = []
        for process in self.processes():
            with suppress(psutil.Error):
                if name in " ".join(process.cmdline()):
                    found.append(process)
        return sorted(found, key=lambda process: process.pid)

    def left_after(self, seconds: float = GONE_WITHIN_S) -> list[str]:
        """Wait until nothing is left, at most some seconds; return what is."""
        end = time.monotonic() + seconds
        while (left := self.processes()) and time.monotonic() < end:
            time.sleep(0.2)
        told = []
        for process in left:
            with suppress(psutil.Error):
                told.append(" ".join(process.cmdline())[:80])
        return told

    # what can be seen of it

    @property
    def run(self) -> Path | None:
        """Its folder of checkpoints."""
        return next((path for path in (self.folder / ".runs").glob("*") if path.is_dir()), None)

    @property
    def step(self) -> int:
        """The last step that was reported."""
        return max(self.steps(), default=0)

    def steps(self) -> list[int]:
        """Every step that was reported, in order, again where it was repeated."""
        file = self.run / "journal.jsonl" if self.run else None
        lines = file.read_text().splitlines() if file and file.is_file() else []
        return [told[1] for line in lines if line.endswith("}]") for told in [json.loads(line)] if told[1:]]

    def until(self, seen: Callable[[], object], within_s: float = 300.0) -> None:
        """Wait until something is seen.

        Raises:
            EndedBefore: the process ended.
        """
        assert self.process is not None
        end = time.monotonic() + within_s
        while not seen():
            assert time.monotonic() < end, "it was not seen"
            if self.process.poll() is not None:
                raise EndedBefore(self.printed.read_text())
            time.sleep(0.002)

    def moment(self, name: str, rng: np.random.Generator) -> None:
        """Wait for a moment that comes next, of a run that has been started or has lost a worker."""
        reported = len(self.steps())
        more = int(rng.integers(2, CHECKPOINT_EVERY + 5))
        seen: dict[str, Callable[[], object]] = {
            "start-up": lambda: any(self.folder.glob(".runs/*.lock")),
            "first step": lambda: len(self.steps()) > reported,
            "middle": lambda: len(self.steps()) >= reported + more,
            "validation": lambda: any(self.folder.glob(".runs/*/pictures/*.npy")),
            "save": lambda: any(self.folder.glob(".runs/*/checkpoints/.part")),
        }
        self.until(seen[name])
        if name == "start-up":
            time.sleep(float(rng.uniform(0, 8)))

    def weights(self) -> dict[str, torch.Tensor]:
        """What it has trained."""
        weights: dict[str, torch.Tensor] = load_file(self.folder / "out" / "model.safetensors")
        return weights

    def repeated(self) -> int:
        """Steps that were logged more than once, in all."""
        from banet.tracking.runs import EXPERIMENT
        from banet.tracking.store import connect

        client = connect(f"sqlite:///{self.folder / 'mlflow.db'}").client()
        experiment = client.get_experiment_by_name(EXPERIMENT)
        (run,) = client.search_runs([experiment.experiment_id])
        counts = Counter(metric.step for metric in client.get_metric_history(run.info.run_id, "loss"))
        return sum(counts.values()) - len(counts)

    def forget(self) -> None:
        """Train afresh at the next start, with the same data."""
        for name in (".runs", "out", "reports", "mlflow.db"):
            path = self.folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def write_shards(folder: Path) -> None:
    """Write random pairs."""
    rng = np.random.default_rng(0)

    def made() -> Iterator[Pair]:
        for sequence, frames in (("a", 6), ("b", 6), ("held", 16)):
            for frame in range(1, frames + 1):
                sharp = rng.integers(0, 256, (64, 72, 3), dtype=np.uint8)
                images = {"sharp": sharp, "blur": 255 - sharp}
                yield Pair(key=f"{sequence}/{frame:06d}", split="train", sequence=sequence, images=images)

    writer = ShardWriter(folder, ("blur",))
    writer.write("train", made())
    writer.finish("victim")
