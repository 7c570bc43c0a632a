"""Cancels and kills of a team's workflow: nothing is left behind, and the next run goes on to the same weights.

`make chaos` runs it. The servers are those of `make services`; every fault hits a run of `train-banet` in a checkout
with a small recipe, at a random moment, and after it `make services` is typed again.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import numpy as np
import psutil
import pytest
import torch
from prefect.client.schemas.objects import FlowRun
from safetensors.torch import load_file

from pipelines.services.servers import client
from pipelines.services.settings import FOLDER, read_settings
from tests.pipelines.checkouts import make_checkout
from tests.pipelines.services.databases import why_no_postgres

FAULTS = 20
GONE_WITHIN_S = 10.0
ENDS_WITHIN_S = 900.0
STEPS = 120
MARK = "BANET_CHAOS"
OF_A_RUN = ("prefect.engine", "-m dvc", "pipelines.stages.", "/ray/", "ray::")  # and not of the servers
SERVERS = ("prefect", "postgres", "mlflow", "worker")
KILLS = ("flow", *SERVERS)

pytestmark = [pytest.mark.chaos, pytest.mark.server, pytest.mark.filterwarnings("ignore::ResourceWarning")]


class Team:
    """A checkout, the servers of `make services`, and what a person types."""

    def __init__(self, folder: Path) -> None:
        self.checkout, self.mark = folder / "checkout", uuid.uuid4().hex
        make_checkout(self.checkout, steps=STEPS, checkpoint_every=10)
        ours = ("PREFECT_", "MLFLOW_", "RAY_ADDRESS")
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        self.environment |= {MARK: self.mark, "PYTHONPATH": str(self.checkout), "RAY_worker_niceness": "0"}
        self.environment |= {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        self.environment |= {f"{name}_PORT": str(free_port()) for name in ("MLFLOW", "PREFECT", "POSTGRES")}
        if why_no_postgres():
            self.environment |= {"DATABASE": "sqlite"}

    def services(self) -> None:
        """Start what does not run."""
        self.run(sys.executable, "-m", "pipelines.services.start")
        settings = read_settings(self.checkout / FOLDER)
        assert settings is not None
        self.settings = settings
        self.environment |= settings.exported()

    def run(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=self.checkout, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def begin(self) -> UUID:
        """Type the command, and return the run once it has begun."""
        said = self.run("prefect", "deployment", "run", "train-banet")
        run = UUID(said.partition("UUID: ")[2].split()[0])
        deadline = time.monotonic() + ENDS_WITHIN_S
        while not self.named("prefect.engine"):
            assert time.monotonic() < deadline, self.said(run)
            time.sleep(0.1)
        return run

    def processes(self) -> Iterator[tuple[psutil.Process, str]]:
        """All that was started here, with its command line."""
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(MARK) == self.mark and process.status() != psutil.STATUS_ZOMBIE:
                    yield process, " ".join(process.cmdline())

    def named(self, *words: str) -> list[psutil.Process]:
        return [process for process, command in self.processes() if any(word in command for word in words)]

    def kill(self, whom: str) -> None:
        """SIGKILL to a flow's process, or to a server with all of its own processes, but not what a worker runs."""
        if whom == "flow":
            killed = self.named("prefect.engine")
        elif whom == "worker":
            killed = self.named("worker start")
        else:
            words = {
                "prefect": ("prefect server", "prefect.server"),
                "mlflow": ("mlflow", "huey"),
                "postgres": ("postgres",),
            }
            killed = [process for process in self.named(*words[whom]) if process not in self.named(*OF_A_RUN)]
        assert killed, whom
        for process in killed:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)

    def left_after(self, seconds: float) -> list[str]:
        """What of runs is still there after some seconds."""
        end = time.monotonic() + seconds
        while (left := [line for _, line in self.processes() if any(word in line for word in OF_A_RUN)]) and (
            time.monotonic() < end
        ):
            time.sleep(0.2)
        return left

    def ended(self, run: UUID) -> FlowRun:
        """Wait until a run has ended, as the server knows it."""
        deadline = time.monotonic() + ENDS_WITHIN_S
        while not (known := self.known(run)).state or not known.state.is_final():
            assert time.monotonic() < deadline, self.said(run)
            time.sleep(0.5)
        return known

    def known(self, run: UUID) -> FlowRun:
        with client(self.settings) as api:
            return api.read_flow_run(run)

    def said(self, run: UUID) -> str:
        return self.run("prefect", "flow-run", "logs", str(run))

    def weights(self) -> dict[str, torch.Tensor]:
        weights: dict[str, torch.Tensor] = load_file(self.checkout / "models/candidate/model.safetensors")
        return weights

    def champion(self) -> str:
        """The digest of the champion of the server's registry."""
        code = "from banet.tracking.registry import champion; from banet.tracking.store import connect; "
        code += "print(champion(connect(), 'banet-mini').digest)"
        return self.run(sys.executable, "-c", code).strip()

    def forget(self) -> None:
        """Train and score anew at the next run, with the same data."""
        for name in (".runs", "models", "reports", "dvc.lock", ".dvc/cache/runs", "data/shards/mini"):
            path = self.checkout / name
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def team() -> Iterator[Team]:
    folder = Path(tempfile.mkdtemp(dir="/tmp", prefix="banet-"))
    folder.chmod(0o755)  # PostgreSQL runs as an account of its own where this runs as root
    made = Team(folder)
    try:
        made.services()
        yield made
    finally:
        subprocess.run(
            [sys.executable, "-m", "pipelines.services.stop"], cwd=made.checkout, env=made.environment, check=False
        )
        for process, _ in made.processes():
            with suppress(psutil.Error):
                process.kill()
        shutil.rmtree(folder, ignore_errors=True)


def test_twenty_cancels_and_kills_leave_nothing_and_the_next_run_goes_on(team: Team) -> None:
    rng = np.random.default_rng(0)
    began = time.monotonic()
    first = team.ended(team.begin())
    lasts = time.monotonic() - began
    assert first.state is not None
    assert first.state.is_completed(), first.state
    expected, digest = team.weights(), team.champion()
    suffered: Counter[str] = Counter()
    team.forget()
    while sum(suffered.values()) < FAULTS:
        fault = ("cancel", *KILLS)[sum(suffered.values()) % (1 + len(KILLS))]
        run = team.begin()
        time.sleep(float(rng.uniform(0, lasts)))
        if not team.named("prefect.engine"):  # it has ended before
            team.ended(run)
        else:
            began = time.monotonic()
            if fault == "cancel":
                team.run("prefect", "flow-run", "cancel", str(run))
            else:
                team.kill(fault)
            suffered[fault] += 1
            if fault in ("cancel", "flow", "worker"):
                left = team.left_after(GONE_WITHIN_S)
                assert left == [], f"{fault}: {left}\n{team.said(run)}"
            team.services()
            if fault in ("cancel", "flow", "worker"):
                state = team.ended(run).state if fault != "flow" else None
            else:  # the run goes on, or ends, and nothing of it is left then
                assert team.left_after(ENDS_WITHIN_S) == []
                state = team.known(run).state
            print(f"{fault}: gone after {time.monotonic() - began:.0f} s; {state.name if state else 'lost'}")
        if (team.checkout / "reports/index.html").exists() and (team.checkout / "reports/promotion.json").exists():
            assert_the_same(team, expected, digest)
            team.forget()
    last = team.ended(team.begin())
    assert last.state is not None
    assert last.state.is_completed(), team.said(last.id)
    assert_the_same(team, expected, digest)
    assert min(suffered.values()) >= 3, suffered


def assert_the_same(team: Team, expected: dict[str, torch.Tensor], digest: str) -> None:
    weights = team.weights()
    assert all(torch.equal(weights[name], tensor) for name, tensor in expected.items())
    assert team.champion() == digest
    registered = json.loads((team.checkout / "reports/registered.json").read_text())
    assert registered["digest"] == digest
