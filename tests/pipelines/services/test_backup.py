"""Copies of what the servers keep, on real databases without the servers above them."""

import shutil
import socket
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from banet.errors import ConfigError, DataError, ServiceError
from pipelines.services.backup import backup
from pipelines.services.postgres import DATABASES, USER, create_databases, password, postgres, programs, run_client
from pipelines.services.processes import end, processes, start
from pipelines.services.restore_backup import restore
from pipelines.services.servers import ARTIFACTS
from pipelines.services.settings import ASKED, FOLDER, Settings, settle
from pipelines.services.start import make
from tests.pipelines.services.databases import why_no_postgres

pytestmark = pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")


needs_postgres = pytest.mark.skipif(why_no_postgres() is not None, reason=str(why_no_postgres()))


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="copies-"))  # pytest's own are closed to the account that runs PostgreSQL
    path.chmod(0o711)
    (path / "prefect.yaml").touch()
    monkeypatch.chdir(path)
    for name in (*ASKED, "TO", "FROM"):
        monkeypatch.delenv(name, raising=False)
    yield path
    end(path / FOLDER, "postgres")
    shutil.rmtree(path)


class Kept:
    """A value in each database and an artifact."""

    def __init__(self, root: Path, settings: Settings) -> None:
        self.folder, self.settings = root / FOLDER, settings
        make(self.folder)

    def write(self, value: int) -> None:
        (self.folder / ARTIFACTS / "weights").write_text(str(value))
        for database in DATABASES:
            self._ask(database, f"CREATE TABLE kept AS SELECT {value} AS value")

    def read(self) -> set[str]:
        kept = {self._ask(database, "SELECT value FROM kept") for database in DATABASES}
        return kept | {(self.folder / ARTIFACTS / "weights").read_text()}

    def _ask(self, database: str, question: str) -> str:
        if self.settings.database == "sqlite":
            with closing(sqlite3.connect(self.folder / f"{database}.db")) as connection, connection:
                return "".join(str(row[0]) for row in connection.execute(question))
        command: list[str | Path] = [
            programs(self.folder) / "psql",
            "-XqtA",
            "-h",
            "127.0.0.1",
            "-p",
            str(self.settings.postgres_port),
        ]
        command += ["-U", USER, "-d", database, "-c", question]
        done = subprocess.run(command, env=password(self.settings), check=True, capture_output=True, text=True)
        return str(done.stdout).strip()


def drill(kept: Kept, root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write, copy, wipe and restore."""
    kept.write(7)
    backup()
    (copy,) = (root / "backups").iterdir()
    assert copy.stat().st_mode & 0o777 == 0o700
    monkeypatch.setenv("FROM", str(copy))
    with pytest.raises(ConfigError, match="not overwritten"):
        restore()
    end(kept.folder, "postgres")
    shutil.rmtree(kept.folder)
    restore()
    assert processes(kept.folder) == []
    assert settle(kept.folder, running=True) == kept.settings
    assert (kept.folder / "env").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in root.iterdir() if path.name.endswith(".part")] == []
    return copy


def test_sqlite_is_copied_and_restored(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE", "sqlite")
    (root / FOLDER).mkdir()
    kept = Kept(root, settle(root / FOLDER, running=False))
    drill(kept, root, monkeypatch)
    assert kept.read() == {"7"}


@pytest.mark.slow
@needs_postgres
def test_postgres_is_copied_while_it_runs_and_restored(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        monkeypatch.setenv("POSTGRES_PORT", str(probe.getsockname()[1]))
    (root / FOLDER).mkdir()
    kept = Kept(root, settle(root / FOLDER, running=False))
    start([postgres(kept.settings, kept.folder)], kept.folder)
    create_databases(kept.settings, kept.folder)
    create_databases(kept.settings, kept.folder)
    drill(kept, root, monkeypatch)
    with pytest.raises(ConfigError, match="make services"):
        backup()
    start([postgres(kept.settings, kept.folder)], kept.folder)
    assert kept.read() == {"7"}
    (process,) = processes(kept.folder)
    (listening,) = process.net_connections("inet")
    assert listening.laddr.ip == "127.0.0.1"


def test_what_is_no_copy_is_refused_and_leaves_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="nothing to copy"):
        backup()
    monkeypatch.setenv("FROM", str(root))
    with pytest.raises(DataError, match=f"{root} holds no copy"):
        restore()
    assert not (root / FOLDER).exists()


@needs_postgres
def test_a_client_that_fails_is_one_line_without_the_password(root: Path) -> None:
    settings = Settings(postgres_port=1024)
    with pytest.raises(ServiceError, match="pg_dump fails") as error:
        run_client("pg_dump", ["mlflow"], settings, root)
    assert settings.postgres_password not in str(error.value)
    assert "\n" not in str(error.value)
