"""What is started beside PostgreSQL: MLflow's server, Prefect's server and a worker, all on loopback."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import yaml

from banet.errors import ConfigError, ServiceError
from banet.files import write_atomically
from banet.tracking.addresses import sqlite_address
from pipelines.services.postgres import USER, password
from pipelines.services.processes import Server, last_line
from pipelines.services.settings import Settings
from pipelines.stages.entrypoint import QUIET

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

POOL = "local"
ARTIFACTS, HOME = "mlartifacts", "prefect"  # below the folder of the servers
AUTOMATIONS = "deploy/automations.yaml"
BASIC_AUTH = """\
[mlflow]
default_permission = EDIT
database_uri = {}
admin_username = admin
"""


def mlflow(settings: Settings, folder: Path) -> Server:
    """MLflow's server, which alone reads and writes its database and artifacts.

    Raises:
        ConfigError: passwords are asked for and a package that they need is missing.
    """
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(settings.mlflow_port)]
    # A start with several processes takes longer; the threads of one answer side by side.
    command += ["--workers", "1", "--serve-artifacts", "--artifacts-destination", str(folder / ARTIFACTS)]
    store = address(settings, folder, "mlflow")
    environment = {"MLFLOW_BACKEND_STORE_URI": store, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    if settings.mlflow_auth:
        if find_spec("flask_wtf") is None:
            raise ConfigError("MLFLOW_AUTH=1 needs a package that is not installed: pip install 'banet[server]'")
        write_atomically(folder / "basic_auth.ini", BASIC_AUTH.format(store.replace("%", "%%")))
        command += ["--app-name", "basic-auth"]
        environment |= {
            "MLFLOW_AUTH_CONFIG_PATH": str(folder / "basic_auth.ini"),
            "MLFLOW_AUTH_ADMIN_PASSWORD": settings.mlflow_password,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": settings.mlflow_secret_key,
        }
    return Server(
        name="mlflow",
        command=command,
        environment=QUIET | environment | password(settings),
        answers=lambda: _is_up(f"http://127.0.0.1:{settings.mlflow_port}/health"),
        port=settings.mlflow_port,
    )


def prefect(settings: Settings, folder: Path) -> Server:
    """Prefect's server, which asks for a password and answers no page but its own."""
    here = f"http://127.0.0.1:{settings.prefect_port}"
    login = settings.exported()["PREFECT_API_AUTH_STRING"]
    environment = {
        "PREFECT_HOME": str(folder / HOME),
        "PREFECT_API_URL": f"{here}/api",
        "PREFECT_API_AUTH_STRING": login,
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "PREFECT_SERVER_API_PORT": str(settings.prefect_port),
        "PREFECT_SERVER_API_AUTH_STRING": login,
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": f"{here},http://localhost:{settings.prefect_port}",
        "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": address(settings, folder, "prefect"),
    }
    return Server(
        name="prefect",
        command=[sys.executable, "-m", "prefect", "server", "start"],
        environment=QUIET | environment | password(settings),
        answers=lambda: _is_up(f"{here}/api/health"),
        port=settings.prefect_port,
    )


def worker(settings: Settings, folder: Path) -> Server:
    """A worker of the pool `local`, which it creates; it runs flows in this environment, with the servers of here."""
    bin_first = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"

    def answers() -> bool:
        with suppress(ServiceError), client(settings) as api:
            return any(pool.name == POOL and pool.status == "READY" for pool in api.read_work_pools())
        return False

    return Server(
        name="worker",
        command=[sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL, "--type", "process"],
        environment=QUIET | settings.exported() | {"PREFECT_HOME": str(folder / HOME), "PATH": bin_first},
        answers=answers,
    )


def address(settings: Settings, folder: Path, database: str) -> str:
    """The address of a database, without a password: PostgreSQL's clients find it in their environment."""
    driver = {"mlflow": ("pysqlite", "psycopg"), "prefect": ("aiosqlite", "asyncpg")}[database]
    if settings.database == "sqlite":
        return f"sqlite+{driver[0]}://{sqlite_address(folder / f'{database}.db').partition('://')[2]}"
    return f"postgresql+{driver[1]}://{USER}@127.0.0.1:{settings.postgres_port}/{database}"


def register(settings: Settings, root: Path) -> None:
    """Tell Prefect's server of the deployments and automations that it does not know.

    Those that it knows stay as they are, with the schedules that somebody has switched on.

    Raises:
        ServiceError: Prefect refuses.
    """
    deployments = yaml.safe_load((root / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
    automations = yaml.safe_load((root / AUTOMATIONS).read_text(encoding="utf-8"))["automations"]
    with client(settings) as api:
        known = {deployment.name for deployment in api.read_deployments()}
        told = {automation.name for automation in api.read_automations()}
    environment = QUIET | settings.exported()
    if not {deployment["name"] for deployment in deployments} <= known:
        _run(root, environment, "prefect", "--no-prompt", "deploy", "--all")
    if not {automation["name"] for automation in automations} <= told:
        _run(root, environment, "prefect", "automation", "create", "--from-file", AUTOMATIONS)


def upgrade(settings: Settings, folder: Path) -> None:
    """Bring databases of older versions of MLflow and Prefect up to date, which cannot be undone.

    Raises:
        ServiceError: one of them refuses.
    """
    _run(folder, QUIET | password(settings), "mlflow", "db", "upgrade", address(settings, folder, "mlflow"))
    _run(folder, dict(prefect(settings, folder).environment), "prefect", "server", "database", "upgrade", "-y")


@contextmanager
def client(settings: Settings) -> "Iterator[SyncPrefectClient]":
    """A client of Prefect's server, whose failures are one line each."""
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    exported = settings.exported()
    ours = {setting: exported[setting.name] for setting in (PREFECT_API_URL, PREFECT_API_AUTH_STRING)}
    try:
        with temporary_settings(ours), get_client(sync_client=True) as api:
            yield api
    except httpx.HTTPError as error:
        raise ServiceError(f"Prefect's server does not answer ({type(error).__name__}): see its log") from None


def _run(folder: Path, environment: dict[str, str], *words: str) -> None:
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", *words],
        cwd=folder,
        env=os.environ | environment,
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode:
        raise ServiceError(f"{' '.join(words)} fails: {last_line(done.stdout)}")


def _is_up(health: str) -> bool:
    try:
        return httpx.get(health, timeout=5, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
