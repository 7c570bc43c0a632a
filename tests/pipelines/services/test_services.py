"""The servers of a team, really started: once on PostgreSQL with logins, once on SQLite."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
import psutil
import pytest
import yaml

from banet.errors import ServiceError
from banet.model.digest import weights_digest
from banet.model.network import BANet
from banet.model.network_config import BANetConfig
from banet.model.weights import save_weights
from banet.tracking.registry import find_alias, promote, register
from banet.tracking.store import connect
from pipelines.services.postgres import DATABASES, postgres, run_client
from pipelines.services.processes import end, processes, start
from pipelines.services.servers import address, client
from pipelines.services.settings import ASKED, FOLDER, Settings, read_settings
from tests.pipelines.services.databases import why_no_postgres

REPO = Path(__file__).parents[3]
NEEDED = ("banet", "pipelines", "deploy", "prefect.yaml", "prefect.toml")
SERVERS = ("postgres", "mlflow", "prefect", "worker")
EVIL = "http://elsewhere.example"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.server,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning"),  # MLflow's own use of SQLAlchemy
    pytest.mark.filterwarnings("ignore:.*psycopg.Connection object:ResourceWarning"),  # of MLflow's pool
    pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning"),  # a server outlives its start
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """A checkout with servers of its own."""

    root: Path
    environment: dict[str, str]

    @property
    def folder(self) -> Path:
        return self.root / FOLDER

    @property
    def settings(self) -> Settings:
        settings = read_settings(self.folder)
        assert settings is not None
        return settings

    def type(self, command: str, status: int = 0, **variables: str) -> str:
        """Run `python -m pipelines.services.COMMAND`; return what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", f"pipelines.services.{command}"],
            check=False,
            cwd=self.root,
            env=self.environment | variables,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert done.returncode == status, done.stdout
        return done.stdout

    def running(self) -> set[tuple[int, float]]:
        return {(process.pid, process.create_time()) for process in processes(self.folder)}


def free_ports(number: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@pytest.fixture(scope="module", params=["postgres", "sqlite"])
def team(request: pytest.FixtureRequest) -> Iterator[Team]:
    if request.param == "postgres" and (reason := why_no_postgres()):
        pytest.skip(reason)
    root = Path(tempfile.mkdtemp(prefix="team-"))  # pytest's own folders are closed to the account that runs PostgreSQL
    root.chmod(0o711)
    for name in NEEDED:
        (root / name).symlink_to(REPO / name)
    ports = dict(zip(("MLFLOW_PORT", "PREFECT_PORT", "POSTGRES_PORT"), map(str, free_ports(3)), strict=True))
    elsewhere = ("PREFECT_", "MLFLOW_", "RAY_", *ASKED)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(elsewhere)}
    environment |= {"PYTHONPATH": os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])}
    asked = {"DATABASE": request.param, "MLFLOW_AUTH": str(int(request.param == "postgres"))}
    team = Team(root=root, environment=environment | ports | asked)
    try:
        team.type("start")
        yield team
    finally:
        for name in reversed(SERVERS):
            end(team.folder, name)
        shutil.rmtree(root)


def test_everything_is_registered_once_and_what_was_killed_comes_back(team: Team) -> None:
    with client(team.settings) as api:
        deployments = sorted(str(deployment.name) for deployment in api.read_deployments())
        assert [automation.name for automation in api.read_automations()] == ["banet-lost-runs"]
    named = yaml.safe_load((REPO / "prefect.yaml").read_text())["deployments"]
    assert deployments == sorted(deployment["name"] for deployment in named)

    worker, before = processes(team.folder, "worker"), team.running()
    assert worker
    for process in worker:
        process.kill()
    kept = (team.folder / "env").read_bytes()
    printed = team.type("start", DATABASE="", MLFLOW_AUTH="", PREFECT_PORT="")
    assert f"http://127.0.0.1:{team.settings.mlflow_port}" in printed
    assert f"http://127.0.0.1:{team.settings.prefect_port}" in printed
    after = team.running()
    assert processes(team.folder, "worker")
    assert before - after == {(process.pid, process.create_time()) for process in worker}

    assert team.type("start") == printed
    assert (team.running(), (team.folder / "env").read_bytes()) == (after, kept)
    with client(team.settings) as api:
        assert len(api.read_automations()) == 1


def test_only_loopback_is_listened_on(team: Team) -> None:
    listening = [
        connection.laddr.ip
        for process in processes(team.folder)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 2
    assert set(listening) == {"127.0.0.1"}


def test_prefect_asks_for_its_password_and_answers_no_foreign_page(team: Team) -> None:
    api = f"{team.settings.exported()['PREFECT_API_URL']}"
    assert httpx.get(f"{api}/admin/version").status_code == 401
    right = ("banet", team.settings.prefect_password)
    assert httpx.get(f"{api}/admin/version", auth=right).status_code == 200
    answer = httpx.post(f"{api}/flows/filter", auth=right, json={}, headers={"Origin": EVIL})
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


def test_mlflow_answers_no_foreign_page_and_asks_for_a_password_where_it_shall(team: Team) -> None:
    search = f"{team.settings.exported()['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/experiments/search"
    right = ("admin", team.settings.mlflow_password)
    assert httpx.post(search, auth=right, json={"max_results": 1}).status_code == 200
    assert httpx.post(search, auth=right, json={"max_results": 1}, headers={"Origin": EVIL}).status_code == 403
    assert httpx.post(search, auth=right, json={"max_results": 1}, headers={"Host": "elsewhere"}).status_code == 403
    without = httpx.post(search, json={"max_results": 1}).status_code
    assert without == (401 if team.settings.mlflow_auth else 200)


def test_a_wrong_password_in_an_address_is_one_line_without_it(team: Team) -> None:
    if not team.settings.mlflow_auth:
        assert connect(f"http://admin:wr%2Fong@127.0.0.1:{team.settings.mlflow_port}").shown.startswith("http://127")
        return
    with pytest.raises(ServiceError, match=r"127\.0\.0\.1") as refused:
        connect(f"http://admin:wr%2Fong@127.0.0.1:{team.settings.mlflow_port}").experiment_id("any")
    with pytest.raises(ServiceError, match=r"127\.0\.0\.1") as closed:
        connect(f"postgresql+psycopg://banet:wr%2Fong@127.0.0.1:{team.settings.postgres_port}/mlflow")
    for error in (refused, closed):
        assert "\n" not in str(error.value)
        assert not [word for word in ("wr%2Fong", "wr/ong", "admin:") if word in str(error.value)]


def test_the_champion_is_the_same_after_a_wipe_and_a_restore(
    team: Team, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, folder = team.settings, team.folder
    for name, value in settings.exported().items():
        monkeypatch.setenv(name, value)
    save_weights(BANet(BANetConfig(stem_channels=4, channels=4, modules=1, fusion_channels=2)), tmp_path / "weights")
    store = connect(settings.exported()["MLFLOW_TRACKING_URI"])
    version = register(store, tmp_path / "weights", name="banet-mini", run_id="")
    promote(store, version, reason="test")

    secrets = [value for name, value in asdict(settings).items() if isinstance(value, str) and name != "database"]
    commands = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    assert not [command for command in commands if any(secret in command for secret in secrets)]
    assert "backups/" in team.type("backup")
    (copy,) = (team.root / "backups").iterdir()
    assert copy.stat().st_mode & 0o777 == 0o700
    if settings.database == "postgres":
        for database in DATABASES:
            run_client("pg_dump", [f"--file={tmp_path / database}.sql", database], settings, folder)
    assert team.type("stop").startswith("stopped")
    assert (processes(folder), team.type("stop")) == ([], "nothing was running\n")
    files = [file for place in (folder, tmp_path) for file in place.rglob("*") if file.is_file()]
    assert {"mlflow.log", "prefect.log", "worker.log"} <= {file.name for file in files}
    told = [file for file in files if any(secret.encode() in file.read_bytes() for secret in secrets)]
    assert told == [folder / "env"]

    assert f"{folder} is there" in team.type("restore_backup", status=2, FROM=str(copy))
    shutil.rmtree(folder)
    team.type("restore_backup", FROM=str(copy))
    assert processes(folder) == []
    assert team.settings == settings
    assert (folder / "env").stat().st_mode & 0o777 == 0o600
    if settings.database == "postgres":
        start([postgres(settings, folder)], folder)
        monkeypatch.setenv("PGPASSWORD", settings.postgres_password)
    champion = find_alias(connect(address(settings, folder, "mlflow")), "banet-mini", "champion")
    assert champion is not None
    assert (champion.version, champion.digest) == (version.version, version.digest)
    (weights,) = (folder / "mlartifacts").rglob("model.safetensors")
    assert weights_digest(weights.parent) == version.digest
