"""`make services`: start what does not run, wait until it answers, and say where it is."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from banet.errors import ConfigError, ResourceError
from pipelines.services.postgres import create_databases, postgres
from pipelines.services.processes import LOGS, STARTED_WITHIN, end, log_of, processes, start
from pipelines.services.servers import ARTIFACTS, HOME, mlflow, prefect, register, upgrade, worker
from pipelines.services.settings import FOLDER, Settings, settle
from pipelines.stages.entrypoint import run_command


def services() -> None:
    """Start PostgreSQL, MLflow, Prefect and a worker on this machine, and print their addresses."""
    root = checkout()
    folder = root / FOLDER
    with alone(root):
        make(folder)
        running = {name for name in ("postgres", "mlflow", "prefect", "worker") if processes(folder, name)}
        settings = settle(folder, running=bool(running))
        try:
            if settings.database == "postgres":
                start([postgres(settings, folder)], folder)
                create_databases(settings, folder)
            if os.environ.get("UPGRADE"):
                upgrade(settings, folder)
            start([mlflow(settings, folder), prefect(settings, folder)], folder)
            start([worker(settings, folder)], folder)
            register(settings, root)
        except BaseException:
            for name in ("worker", "prefect", "mlflow", "postgres"):
                if name not in running:
                    end(folder, name)
            raise
    print("\n".join(addresses(settings, folder)))  # noqa: T201


def make(folder: Path) -> None:
    """Make the folder of the servers and what is in it, closed to other accounts."""
    for path in (folder, *(folder / name for name in (ARTIFACTS, HOME, LOGS))):
        path.mkdir(mode=0o700, exist_ok=True)


def checkout() -> Path:
    """The checkout in which the command was typed.

    Raises:
        ConfigError: it was typed elsewhere.
    """
    if not Path("prefect.yaml").is_file():
        raise ConfigError(f"there is no prefect.yaml in {Path.cwd()}: type this at the root of the checkout")
    return Path.cwd()


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """Let one process at a time start, end or copy the servers of a checkout; others wait."""
    from filelock import FileLock, Timeout

    try:
        with FileLock(root / f"{FOLDER}.lock", timeout=3 * STARTED_WITHIN):
            yield
    except Timeout:
        raise ResourceError(f"another process holds {root / FOLDER}.lock: wait for its end, or end it") from None


def addresses(settings: Settings, folder: Path) -> list[str]:
    """Say where the servers are and how to use them, without passwords."""
    login = f", as admin with MLFLOW_TRACKING_PASSWORD of {FOLDER}/env" if settings.mlflow_auth else ""
    return [
        f"MLflow   {settings.exported()['MLFLOW_TRACKING_URI']}{login}",
        f"Prefect  http://127.0.0.1:{settings.prefect_port}, with PREFECT_API_AUTH_STRING of {FOLDER}/env",
        f"logs     {log_of(folder, '*')}",
        f"Type `. {FOLDER}/env` in each terminal, then for example `prefect deployment run train-banet`.",
    ]


if __name__ == "__main__":
    run_command(services)
