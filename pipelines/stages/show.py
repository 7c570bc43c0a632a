"""show: the end of `make demo`, with the table and where to look next."""

import shlex
from pathlib import Path

from banet.errors import DataError
from banet.tracking.addresses import sqlite_file
from banet.tracking.store import connect
from pipelines.stages.entrypoint import run_command
from pipelines.stages.stage_results import REPORTS

QUIETLY = "MLFLOW_DISABLE_TELEMETRY=true"  # MLflow's pages report home unless their server is told not to


def show(reports: Path) -> str:
    """The table of the last report, the path of its page, and the command that opens MLflow's UI.

    Raises:
        DataError: there is no report yet.
    """
    table = reports / "table.txt"
    if not table.is_file():
        raise DataError(f"{table} is missing: run `dvc repro` first")
    store = connect()
    command = f"{QUIETLY} .venv/bin/mlflow ui --backend-store-uri {shlex.quote(store.uri)} --host 127.0.0.1"
    opened = f"open {store.shown}" if sqlite_file(store.uri) is None else command
    return "\n".join(
        (
            table.read_text(encoding="utf-8"),
            f"report      {(reports / 'index.html').resolve()}",
            f"MLflow UI   {opened}",
            "restore     .venv/bin/banet deblur PHOTO.jpg OUT.png",
        )
    )


def main() -> None:
    """Show the last report's table and where to look next."""
    print(show(REPORTS))  # noqa: T201


if __name__ == "__main__":
    run_command(main)
