"""`make backup`: both databases, the artifacts and the passwords in one folder."""

import os
import shutil
import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path

from banet.errors import ConfigError
from banet.files import whole_folder
from pipelines.services.postgres import DATABASES, run_client
from pipelines.services.processes import processes
from pipelines.services.servers import ARTIFACTS
from pipelines.services.settings import FILE, FOLDER, Settings, read_settings
from pipelines.services.start import alone, checkout
from pipelines.stages.entrypoint import run_command


def backup() -> None:
    """Copy what the servers keep into a new folder below TO, named by the time, while they run."""
    root = checkout()
    folder = root / FOLDER
    with alone(root):
        settings = read_settings(folder)
        if settings is None or not (folder / ARTIFACTS).is_dir():
            raise ConfigError(f"there is nothing to copy in {folder}: `make services` makes it")
        if settings.database == "postgres" and not processes(folder, "postgres"):
            raise ConfigError("the database does not run: `make services` first")
        target = Path(os.environ.get("TO") or "backups").expanduser() / f"{datetime.now():%Y-%m-%dT%H%M%S}"
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with whole_folder(target) as partial:
            partial.chmod(0o700)  # it holds passwords
            for database in DATABASES:
                _dump(settings, folder, database, partial)
            # Last: MLflow names an artifact in its database once it is whole.
            shutil.copytree(folder / ARTIFACTS, partial / ARTIFACTS)
            shutil.copy2(folder / FILE, partial / FILE)
    print(f"copied into {target}; it holds passwords. Again from it: make restore FROM={target}")  # noqa: T201


def _dump(settings: Settings, folder: Path, database: str, target: Path) -> None:
    if settings.database == "postgres":
        options = ["--format=custom", f"--file={target / database}.dump", database]
        run_client("pg_dump", options, settings, folder)
        return
    with (
        closing(sqlite3.connect(f"file:{folder / database}.db?mode=ro", uri=True)) as there,
        closing(sqlite3.connect(target / f"{database}.db")) as here,
    ):
        there.backup(here)  # whole also while it is written to


if __name__ == "__main__":
    run_command(backup)
