"""What Prefect costs over plain DVC: the flow against `dvc repro`, and one up-to-date stage through the flow.

    make demo && python benchmarks/flow.py                  (about 10 minutes on 2 idle cores)
    python benchmarks/flow.py --rounds 2 --checkout FOLDER  (another checkout whose stages are up to date)

A clone of the checkout with its outputs is brought up to date in turns by three arms: `dvc repro`, the flow called
directly, and the deployment from `prefect deployment run` typed to the end of its run. Server and worker are this
script's own. First nothing has changed; then, in every turn, the code of the report stage (by a comment), which runs.
Aims: the flow at most 30 s over `dvc repro`, and 3 s for a stage that is up to date, from the start of its task to its
end. Writes `benchmarks/results/flow.json`.
"""

import argparse
import datetime
import itertools
import json
import os
import platform
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "flow.json"
AIM_FLOW, AIM_STAGE = 30.0, 3.0  # seconds
WITHIN_S = 1200.0
BIN = Path(sys.executable).parent
DIRECT = "from pipelines.flows import train_banet; train_banet()"


def clone(checkout: Path, folder: Path) -> dict[str, str]:
    """Clone a checkout with what DVC has made there; return the environment to work in."""
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    elsewhere = ("PREFECT_", "MLFLOW_", "PYTHONPATH")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(elsewhere)}
    environment |= {"PATH": path, "DVC_NO_ANALYTICS": "1", "DO_NOT_TRACK": "true"}
    environment["MLFLOW_TRACKING_URI"] = os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{checkout}/mlflow.db")
    if not (checkout / "dvc.lock").exists():
        sys.exit(f"error: nothing was made in {checkout}: run `make demo` there first")
    subprocess.run(["git", "clone", "--quiet", checkout, folder], check=True)
    shutil.copy(checkout / "dvc.lock", folder)
    for words in (["config", "--local", "cache.dir", str(checkout / ".dvc/cache")], ["checkout", "--quiet"]):
        subprocess.run(["dvc", *words], cwd=folder, env=environment, check=True)
    status = subprocess.run(["dvc", "status", "--json"], cwd=folder, env=environment, check=True, capture_output=True)
    if changed := json.loads(status.stdout):
        sys.exit(f"error: {', '.join(changed)} not up to date in {checkout}: commit, run `dvc repro`, and begin again")
    return environment


@contextmanager
def background(command: list[str], folder: Path, environment: dict[str, str]) -> Iterator[None]:
    """A program that runs until the block ends."""
    with (folder / f"{command[1]}.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait()


@contextmanager
def services(home: Path, folder: Path, environment: dict[str, str]) -> Iterator[None]:
    """A server and a worker with this checkout's deployments."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    url = f"http://127.0.0.1:{port}/api"
    ours = {"PREFECT_HOME": str(home), "PREFECT_SERVER_API_PORT": port, "PREFECT_API_URL": url}
    os.environ.update(ours)
    environment |= ours
    home.mkdir()
    with background(["prefect", "server", "start"], home, environment):
        from prefect.client.orchestration import get_client

        with get_client(sync_client=True) as client:
            while client.api_healthcheck() is not None:
                time.sleep(0.5)
        for words in ("work-pool create local --type process", "--no-prompt deploy --all"):
            subprocess.run(["prefect", *words.split()], cwd=folder, env=environment, check=True, capture_output=True)
        with background(["prefect", "worker", "start", "--pool", "local"], home, environment):
            yield


def ended_run(run: UUID | None) -> tuple[UUID, dict[str, float]]:
    """Wait for the end of a run, else take the last; return it, and the seconds of its tasks by stage."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
    from prefect.client.schemas.sorting import FlowRunSort

    with get_client(sync_client=True) as client:
        if run is None:
            run = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1)[0].id
        deadline = time.monotonic() + WITHIN_S
        while not (state := client.read_flow_run(run).state) or not state.is_final():
            if time.monotonic() > deadline:
                sys.exit(f"error: the run {run} has not ended within {WITHIN_S:.0f} s")
            time.sleep(0.2)
        if not state.is_completed():
            sys.exit(f"error: the run {run} has failed: {state.message}")
        time.sleep(3)  # the server hears of tasks a little later
        tasks = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run])))
    return run, {task.name: task.total_run_time.total_seconds() for task in tasks}


def arms(folder: Path, environment: dict[str, str]) -> dict[str, Callable[[], tuple[float, dict[str, float]]]]:
    """What brings the clone up to date: each returns its seconds, and those of its tasks by stage."""

    def typed(*command: str) -> tuple[float, str]:
        began = time.monotonic()
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"error: {' '.join(command)}: {done.stdout}{done.stderr}")
        return time.monotonic() - began, done.stdout

    def direct() -> tuple[float, dict[str, float]]:
        seconds, _ = typed(sys.executable, "-c", DIRECT)
        return seconds, ended_run(None)[1]

    def deployed() -> tuple[float, dict[str, float]]:
        from prefect.client.orchestration import get_client

        began = datetime.datetime.now(datetime.UTC)
        _, said = typed("prefect", "deployment", "run", "train-banet/train-banet")
        run, tasks = ended_run(UUID(re.findall(r"UUID: (\S+)", said)[0]))
        with get_client(sync_client=True) as client:
            end = client.read_flow_run(run).end_time
        return end.timestamp() - began.timestamp() if end else float("nan"), tasks

    return {"dvc repro": lambda: (typed("dvc", "repro")[0], {}), "flow": direct, "deployment": deployed}


def measure(folder: Path, environment: dict[str, str], rounds: int, change: Callable[[], None]) -> dict[str, Any]:
    """Seconds of the arms, which take turns, and what the last two need beyond the first."""
    seconds: dict[str, list[float]] = {}
    stages: dict[str, list[float]] = {}
    for number, (name, arm) in itertools.product(range(rounds + 1), arms(folder, environment).items()):
        change()
        took, tasks = arm()
        if number:  # the first turn warms up
            seconds.setdefault(name, []).append(took)
            for stage, its_seconds in tasks.items():
                stages.setdefault(stage, []).append(its_seconds)
    plain = seconds.pop("dvc repro")
    over = {name: [took - base for took, base in zip(of_arm, plain, strict=True)] for name, of_arm in seconds.items()}
    return {
        "dvc repro, seconds": spread(plain),
        **{f"{name} over dvc repro, seconds": spread(of_arm) for name, of_arm in over.items()},
        "stages, seconds": {stage: spread(of_stage) for stage, of_stage in sorted(stages.items())},
    }


def spread(values: list[float]) -> list[float]:
    """Median, lowest and highest."""
    return [round(value, 2) for value in (statistics.median(values), min(values), max(values))]


def main(checkout: Path, rounds: int) -> None:
    """Measure, print and write."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "clone"
        environment = clone(checkout, folder)
        turns = itertools.count()

        def edit() -> None:
            with (folder / "pipelines/stages/report.py").open("a") as file:
                file.write(f"# {time.time()} {next(turns)}\n")

        with services(Path(name) / "prefect", folder, environment):
            same = measure(folder, environment, rounds, lambda: None)
            one = measure(folder, environment, rounds, edit)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    result = {
        "environment": {
            "commit": commit.strip(),
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "device": f"{platform.machine()}, {os.cpu_count()} cores",
            "load": [round(load, 1) for load in os.getloadavg()],
            "rounds": rounds,
        },
        "numbers": "median, lowest, highest",
        "aims": {"flow over dvc repro": AIM_FLOW, "stage": AIM_STAGE},
        "nothing has changed": same,
        "the report stage runs": one,
        "reached": {
            "flow": same["flow over dvc repro, seconds"][0] <= AIM_FLOW,
            "stage": max(values[0] for values in same["stages, seconds"].values()) <= AIM_STAGE,
        },
    }
    text = json.dumps(result, indent=2)
    print(text)
    RESULT.write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkout", type=Path, default=ROOT)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    main(arguments.checkout.resolve(), arguments.rounds)
