"""`make restore`: the servers' folder from a copy that `make backup` has made."""

import os
import shutil
from pathlib import Path

from banet.errors import ConfigError, DataError
from banet.files import whole_folder
from pipelines.services.postgres import DATABASES, create_databases, postgres, run_client
from pipelines.services.processes import end, processes, start
from pipelines.services.servers import ARTIFACTS
from pipelines.services.settings import FILE, FOLDER, Settings, read_settings, settle
from pipelines.services.start import alone, checkout, make
from pipelines.stages.entrypoint import run_command


def restore() -> None:
    """Make the servers' folder, which must be absent, from a copy FROM; `make services` starts them then.

    Raises:
        ConfigError: the folder is there.
        DataError: the copy is none.
    """
    root = checkout()
    folder, source = root / FOLDER, Path(os.environ.get("FROM") or "none named").expanduser().resolve()
    with alone(root):
        if processes(folder) or folder.exists():
            raise ConfigError(f"{folder} is there, and is not overwritten: `make stop`, and move it away")
        if read_settings(source) is None or not (source / ARTIFACTS).is_dir():
            raise DataError(f"{source} holds no copy by `make backup`: make restore FROM=FOLDER")
        with whole_folder(folder) as partial:
            make(partial)
            shutil.copy2(source / FILE, partial / FILE)
            shutil.copytree(source / ARTIFACTS, partial / ARTIFACTS, dirs_exist_ok=True)
            settings = settle(partial, running=False)
            if settings.database == "sqlite":
                for database in DATABASES:
                    shutil.copy2(source / f"{database}.db", partial / f"{database}.db")
            else:
                _load(settings, partial, source)
    print(f"made {folder} from {source}: `make services` starts it")  # noqa: T201


def _load(settings: Settings, folder: Path, source: Path) -> None:
    try:
        start([postgres(settings, folder)], folder)
        create_databases(settings, folder)
        for database in DATABASES:
            options = ["--exit-on-error", "--no-owner", f"--dbname={database}", str(source / f"{database}.dump")]
            run_client("pg_restore", options, settings, folder)
    finally:
        end(folder, "postgres")


if __name__ == "__main__":
    run_command(restore)
