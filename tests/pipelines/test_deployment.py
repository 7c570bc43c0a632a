"""The deployment as it is typed, on a real server and worker, in a fresh checkout with a very small recipe."""

import json
import re
import subprocess
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from uuid import UUID

import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.settings import PREFECT_API_URL, temporary_settings

from banet.tracking.registry import find_alias
from banet.tracking.store import connect
from pipelines.graph import read_graph
from tests.pipelines.checkouts import REPO

LIMIT_S = 400  # for the whole line; about a minute and a half on 2 idle cores, far more on busy ones

pytestmark = [
    pytest.mark.slow,
    pytest.mark.server,
    pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning"),  # DVC's own use of pygtrie
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning"),  # MLflow's own use of SQLAlchemy
]


class Commands:
    """What a person types in the checkout, and what the server says about it."""

    def __init__(self, checkout: Path, environment: dict[str, str]) -> None:
        self.checkout = checkout
        self.environment = environment

    def type(self, command: str) -> str:
        done = subprocess.run(
            command.split(), cwd=self.checkout, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def run_to_its_end(self, command: str, limit_s: float) -> str:
        """Type a command that creates a flow run, wait until the run has ended well, and return its id."""
        match = re.search(r"UUID: (\S+)", self.type(command))
        assert match
        deadline = time.monotonic() + limit_s
        with get_client(sync_client=True) as client:
            while not (state := client.read_flow_run(UUID(match[1])).state) or not state.is_final():
                assert time.monotonic() < deadline, f"{state}\n{self.log(match[1])}"
                time.sleep(0.5)
        assert state.is_completed(), f"{state}\n{self.log(match[1])}"
        return match[1]

    def log(self, run: str) -> str:
        return self.type(f"prefect flow-run logs {run}")

    def stages(self, run: str) -> dict[str, str]:
        """Name and state of the run's task runs, as soon as the server has heard of the last."""
        of_run = FlowRunFilter(id=FlowRunFilterId(any_=[UUID(run)]))
        deadline = time.monotonic() + 30
        while True:
            with get_client(sync_client=True) as client:
                tasks = client.read_task_runs(flow_run_filter=of_run)
            states = {task.name: task.state_name or "" for task in tasks}
            if set(states.values()) == {"Completed"} or time.monotonic() > deadline:
                return states
            time.sleep(0.5)


def test_both_forms_of_the_command_run_the_whole_line(
    checkout: Path, prefect_environment: dict[str, str], prefect_worker: Path
) -> None:
    names = {stage.name for stage in read_graph(checkout).stages}
    commands = Commands(checkout, prefect_environment)
    commands.type("prefect --no-prompt deploy --all")
    with temporary_settings({PREFECT_API_URL: prefect_environment["PREFECT_API_URL"]}):
        run = commands.run_to_its_end("prefect deployment run train-banet/train-banet", LIMIT_S)
        assert commands.stages(run) == dict.fromkeys(names, "Completed"), prefect_worker.read_text()
        assert "Running stage 'train':" in commands.log(run)
        candidate = find_alias(connect(f"sqlite:///{checkout / 'mlflow.db'}"), "banet-mini", "candidate")
        assert candidate is not None
        assert candidate.digest == json.loads((checkout / "reports/registered.json").read_text())["digest"]

        again = commands.run_to_its_end("prefect deployment run train-banet", LIMIT_S)
        assert again != run
        assert commands.stages(again) == dict.fromkeys(names, "Completed")
        assert "Stage 'train' didn't change, skipping" in commands.log(again)


def test_no_path_of_this_machine_is_written_down() -> None:
    directory = yaml.safe_load((REPO / "prefect.yaml").read_text())["pull"][0]
    assert directory == {"prefect.deployments.steps.set_working_directory": {"directory": "{{ checkout.stdout }}"}}


def test_a_page_in_a_browser_can_neither_write_nor_read(prefect_environment: dict[str, str]) -> None:
    page = {"Origin": "http://elsewhere.example", "Content-Type": "text/plain"}  # sent by browsers without asking first
    api = prefect_environment["PREFECT_API_URL"]
    with pytest.raises(HTTPError, match="403"):
        urlopen(Request(f"{api}/flows/filter", data=b"{}", headers=page, method="POST"), timeout=30)
    with urlopen(Request(f"{api}/health", headers=page), timeout=30) as answer:
        assert "access-control-allow-origin" not in answer.headers
