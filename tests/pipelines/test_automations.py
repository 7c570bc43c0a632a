"""What Prefect's server is told to do about runs that have lost their machine."""

import subprocess
from pathlib import Path

import pytest
import yaml
from prefect.client.orchestration import get_client

ROOT = Path(__file__).parents[2]
FILE = ROOT / "deploy/automations.yaml"


def test_a_run_is_lost_after_three_heartbeats_of_those_that_it_sends() -> None:
    (automation,) = yaml.safe_load(FILE.read_text())["automations"]
    for deployment in yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]:
        every = int(deployment["work_pool"]["job_variables"]["env"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"])
        assert automation["trigger"]["within"] == 3 * every


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.usefixtures("api")
def test_the_server_takes_the_automation(prefect_environment: dict[str, str]) -> None:
    command = ["prefect", "automation", "create", "--from-file", str(FILE)]
    subprocess.run(command, env=prefect_environment, cwd=prefect_environment["PREFECT_HOME"], check=True)
    with get_client(sync_client=True) as client:
        (made,) = client._client.post("/automations/filter", json={}).json()
    assert (made["name"], made["enabled"]) == ("banet-lost-runs", True)
    (action,) = made["actions"]
    assert (action["type"], action["state"]) == ("change-flow-run-state", "CRASHED")
