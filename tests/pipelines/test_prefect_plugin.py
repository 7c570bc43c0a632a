import asyncio
import logging
import os
import sys
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace

import pytest
from prefect.plugins import HookContext

from pipelines.prefect_plugin import accept_short_names, setup_environment
from pipelines.running import claim

MODULE = "a_prefect_that_changed"


class Client:
    def read_deployment_by_name(self, name: str) -> str:
        return name


class AsyncClient:
    async def read_deployment_by_name(self, name: str) -> str:
        return name


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    module = SimpleNamespace(
        DeploymentClient=type("DeploymentClient", (Client,), {}),
        DeploymentAsyncClient=type("DeploymentAsyncClient", (AsyncClient,), {}),
    )
    monkeypatch.setitem(sys.modules, MODULE, module)
    return module


def test_a_bare_name_is_the_flows_and_the_deployments(clients: SimpleNamespace) -> None:
    accept_short_names(MODULE)
    assert clients.DeploymentClient().read_deployment_by_name("train-banet") == "train-banet/train-banet"
    assert clients.DeploymentClient().read_deployment_by_name(name="train-banet") == "train-banet/train-banet"
    found = asyncio.run(clients.DeploymentAsyncClient().read_deployment_by_name("train-banet"))
    assert found == "train-banet/train-banet"


def test_a_whole_name_stays_as_it_is(clients: SimpleNamespace) -> None:
    accept_short_names(MODULE)
    assert clients.DeploymentClient().read_deployment_by_name("a/b") == "a/b"


def test_wrapping_twice_is_wrapping_once(clients: SimpleNamespace) -> None:
    accept_short_names(MODULE)
    once = clients.DeploymentClient.read_deployment_by_name
    accept_short_names(MODULE)
    assert clients.DeploymentClient.read_deployment_by_name is once


def test_a_prefect_without_the_module_the_client_or_the_method_is_left_alone(clients: SimpleNamespace) -> None:
    accept_short_names("no_such_module_of_prefect")
    del clients.DeploymentClient
    clients.DeploymentAsyncClient = type("DeploymentAsyncClient", (), {})
    accept_short_names(MODULE)
    assert not hasattr(clients.DeploymentAsyncClient, "read_deployment_by_name")


def test_the_installed_prefect_finds_the_hook_and_has_what_it_wraps() -> None:
    from prefect.client.orchestration import PrefectClient, SyncPrefectClient

    (ours,) = entry_points(group="prefect.plugins", name="banet")
    assert ours.load().setup_environment is setup_environment
    setup_environment(ctx=HookContext(prefect_version="", api_url=None, logger_factory=lambda _: pytest.fail("quiet")))
    for client in (PrefectClient, SyncPrefectClient):
        assert getattr(client.read_deployment_by_name, "accepts_short_names", False)


@pytest.mark.parametrize("command", ["worker start --pool local", "--no-prompt deployment run train-banet"])
def test_a_worker_or_run_that_is_started_says_which_stages_run_here(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".dvc").mkdir()
    claim("train")  # by this process
    context = HookContext(prefect_version="3", api_url=None, logger_factory=logging.getLogger)
    monkeypatch.setattr("sys.argv", ["prefect", *command.split()])
    setup_environment(ctx=context)
    assert f"a new run will wait: train is being run by the process {os.getpid()} on " in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["prefect", "flow-run", "ls"])
    setup_environment(ctx=context)
    assert capsys.readouterr().err == ""
