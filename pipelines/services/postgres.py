"""A PostgreSQL server of our own, on loopback, whose data is a folder."""

import os
import re
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import psutil

from banet.errors import ConfigError, ServiceError
from banet.files import whole_folder
from pipelines.services.processes import Server, account, last_line
from pipelines.services.settings import Settings

DATABASES = ("mlflow", "prefect")
USER = "banet"
DATA = "postgres"  # below the folder of the servers
# PostgreSQL refuses to run as root; packages of it make this account.
ACCOUNT = "postgres"
PLACES = ("/usr/lib/postgresql/{}/bin", "/usr/pgsql-{}/bin", "/opt/homebrew/opt/postgresql@{}/bin")
# \\gexec runs what the query before it has answered
CREATE = "SELECT 'CREATE DATABASE {0}' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{0}')\\gexec\n"


def postgres(settings: Settings, folder: Path) -> Server:
    """Return the server, whose data folder is made if it is absent.

    Raises:
        ConfigError: PostgreSQL is not installed.
        ServiceError: its data folder cannot be made.
    """
    data = folder / DATA
    found = programs(data)
    who = ACCOUNT if os.geteuid() == 0 else None
    if not data.is_dir():
        _initialise(found, data, settings, who)
    _forget_killed(data)
    where = ["-h", "127.0.0.1", "-p", str(settings.postgres_port)]

    def answers() -> bool:
        return subprocess.run([found / "pg_isready", "--quiet", *where], check=False).returncode == 0  # noqa: S603

    # No socket: its path may hold a hundred characters, and that of a checkout more.
    only_loopback = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
    return Server(
        name="postgres",
        command=[str(found / "postgres"), "-D", str(data), "-p", str(settings.postgres_port), *only_loopback],
        environment={},
        answers=answers,
        port=settings.postgres_port,
        account=who,
    )


def _forget_killed(data: Path) -> None:
    """Remove the mark of a killed server that is still in the table of processes, as it stays for ever in containers.

    PostgreSQL would take it for one that runs.
    """
    mark = data / "postmaster.pid"
    with suppress(FileNotFoundError, psutil.NoSuchProcess):
        if psutil.Process(int(mark.read_text().split()[0])).status() == psutil.STATUS_ZOMBIE:
            mark.unlink()


def create_databases(settings: Settings, folder: Path) -> None:
    """Create those databases of a running server that are absent."""
    run_client(
        "psql",
        ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", "postgres"],
        settings,
        folder,
        "".join(map(CREATE.format, DATABASES)),
    )


def run_client(program: str, options: list[str], settings: Settings, folder: Path, script: str = "") -> None:
    """Run a client program of PostgreSQL's on the server.

    Raises:
        ServiceError: it fails.
    """
    where = ["-h", "127.0.0.1", "-p", str(settings.postgres_port), "-U", USER, "--no-password"]
    command: list[str | Path] = [programs(folder / DATA) / program, *where, *options]
    _run(command, f"{program} fails", input=script, env=os.environ | password(settings))


def password(settings: Settings) -> dict[str, str]:
    """Return the variable that clients of PostgreSQL read: a password needs no place in an address or a command."""
    return {"PGPASSWORD": settings.postgres_password}


def programs(data: Path) -> Path:
    """Return the folder of PostgreSQL's programs: of the version that made the data, else of the newest.

    Raises:
        ConfigError: there is none.
    """
    made_by = (data / "PG_VERSION").read_text().strip() if (data / "PG_VERSION").is_file() else "*"
    found = [path for place in PLACES for path in Path("/").glob(place.format(made_by).lstrip("/"))]
    if not found and (on_path := shutil.which("postgres")):
        found = [Path(on_path).resolve().parent]  # not where it is only linked to: not all of them may be
    found = [path for path in found if (path / "initdb").is_file()]
    if not found:
        version = "" if made_by == "*" else f" {made_by}, which made {data},"
        raise ConfigError(
            f"PostgreSQL{version} is not installed: `sudo apt install postgresql` (brew install postgresql, "
            "dnf install postgresql-server), or do without: make services DATABASE=sqlite"
        )
    return max(found, key=lambda path: [int(number) for number in re.findall(r"\d+", str(path))])


def _initialise(found: Path, data: Path, settings: Settings, who: str | None) -> None:
    options = ["--username", USER, "--auth", "scram-sha-256", "--encoding", "UTF8", "--no-locale"]
    with whole_folder(data) as partial, tempfile.NamedTemporaryFile("w", dir=data.parent) as file:
        file.write(settings.postgres_password)
        file.flush()
        if who:
            data.parent.chmod(0o711)  # what is inside is closed to others itself
            for path in (partial, file.name):
                _give(path, who)
        command: list[str | Path] = [found / "initdb", "--pgdata", partial, "--pwfile", file.name, *options]
        as_root = f"; started by root it runs as {who}, who must be able to enter {data.parent}" if who else ""
        _run(command, f"PostgreSQL cannot make {data}{as_root}", cwd=data.parent, **account(who))


def _give(path: str | Path, who: str) -> None:
    try:
        shutil.chown(path, who, who)
    except LookupError:
        raise ConfigError(
            f"PostgreSQL does not run as root, and there is no account {who}: use one of a person"
        ) from None


def _run(command: list[str | Path], failure: str, **options: object) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True, **options)  # type: ignore[call-overload]  # noqa: S603
    if done.returncode:
        raise ServiceError(f"{failure}: {last_line(done.stderr)}")
