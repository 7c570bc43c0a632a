"""Where runs and models are remembered: the address of the store, and a connection to it."""

import logging
import os
import re
import shlex
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from banet.errors import ConfigError, ServiceError
from banet.tracking.addresses import FORMS, checked, scheme_of, sqlite_address, sqlite_file, without_password

if TYPE_CHECKING:
    from mlflow import MlflowClient

ANSWER_SECONDS = 5.0  # a server that is up answers its health check in milliseconds
CREATION_SECONDS = 300.0  # MLflow's migrations of an empty sqlite database took 12 s on a busy machine
ANSWERS = {"RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS", "INVALID_PARAMETER_VALUE"}  # MLflow's, not failures
PATIENCE = {  # MLflow's own would retry for minutes
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}
PACKAGES = {"psycopg": "'psycopg[binary]'", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}  # of drivers
PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """A tracking store that answered; made by `connect`, cheap to pass on and to pickle."""

    uri: str  # absolute; may carry a password, so print `shown` instead

    @property
    def shown(self) -> str:
        """The address without user and password, for messages and files."""
        return without_password(self.uri)

    def client(self) -> "MlflowClient":
        """An `mlflow.MlflowClient` of this store, which leaves MLflow's global tracking and registry URIs alone.

        Its methods raise ServiceError if the store fails.
        """
        return _Client(self)

    @contextmanager
    def one_line_failures(self) -> Iterator[None]:
        """Turn a failing store into one line; what MLflow answers, such as that there is no such run, passes.

        Raises:
            ServiceError: the store does not answer, or refuses the login.
        """
        from mlflow.exceptions import MlflowException
        from requests import RequestException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (MlflowException, RequestException, SQLAlchemyError) as error:
            if isinstance(error, MlflowException) and error.error_code in ANSWERS:
                raise
            require_answer(self.uri)
            raise ServiceError(
                f"{self.shown} fails ({self.reason(error)}): mend it, and run the same command again"
            ) from None

    def reason(self, error: BaseException) -> str:
        """The first line of an error, without the user and password of the address."""
        line = str(error).partition("\n")[0].replace(self.uri.rstrip("/"), self.shown)
        return re.sub(r"://[^/\s]*@", "://", line)[:300]

    def experiment_id(self, name: str) -> str:
        """The id of the experiment `name`, which is created if it does not exist.

        A sqlite store keeps artifacts in `mlartifacts/` beside the database, at an absolute address; a server chooses
        its own place.
        """
        client = self.client()
        found = client.get_experiment_by_name(name)
        if found is None:
            database = sqlite_file(self.uri)
            location = None if database is None else _artifacts(database)
            return _created(client, name, location)
        if found.lifecycle_stage != "active":
            raise ConfigError(
                f"experiment {name!r} was deleted in {self.shown}: restore it with "
                f"`mlflow experiments restore --experiment-id {found.experiment_id}`"
            )
        return str(found.experiment_id)


def tracking_uri(start: Path | None = None) -> str:
    """The address of the store: MLFLOW_TRACKING_URI, else `mlflow.db` at the root of the main checkout.

    The checkout is that of `start`, or of the current folder. DVC's temporary workspaces and git's linked worktrees
    share the store of the main checkout.

    Raises:
        ConfigError: outside a checkout without the variable, or the variable's address cannot be shared.
    """
    named = os.environ.get("MLFLOW_TRACKING_URI")
    if named:
        return checked(named)
    here = (start or Path.cwd()).resolve()
    root = next((folder for folder in (here, *here.parents) if (folder / "dvc.yaml").is_file()), None)
    if root is None:
        raise ConfigError(
            f"no dvc.yaml in {here} or above it, so there is no store of runs and models: "
            "run this inside the checkout, or set MLFLOW_TRACKING_URI"
        )
    return sqlite_address(main_checkout(root) / "mlflow.db")


def main_checkout(root: Path) -> Path:
    """The checkout that `root` is a temporary workspace of DVC or a linked worktree of git for, else `root` itself."""
    parts = root.parts
    for i in range(len(parts) - 2):
        if parts[i : i + 3] == (".dvc", "tmp", "exps"):
            root = Path(*parts[:i])
            break
    top = next((folder for folder in (root, *root.parents) if (folder / ".git").exists()), None)
    if top is None or (top / ".git").is_dir():
        return root
    # A linked worktree: `.git` names <main>/.git/worktrees/<name>, whose file `commondir` leads back to <main>/.git.
    git_dir = top / (top / ".git").read_text(encoding="utf-8").partition("gitdir:")[2].strip()
    if not (git_dir / "commondir").is_file():  # a submodule is a checkout of its own
        return root
    common = (git_dir / (git_dir / "commondir").read_text(encoding="utf-8").strip()).resolve()
    return common.parent / root.relative_to(top) if common.name == ".git" else root


def require_answer(uri: str) -> None:
    """Ask an http(s) tracking server whether it is up; other addresses pass.

    Raises:
        ServiceError: the server does not answer its health check within 5 s.
    """
    if scheme_of(uri) not in {"http", "https"}:
        return
    import requests  # type: ignore[import-untyped,unused-ignore]

    try:
        status = requests.get(f"{uri.rstrip('/')}/health", timeout=ANSWER_SECONDS).status_code
        problem = None if status in {200, 401, 403} else f"status {status} for /health"  # 401, 403: up, with a login
    except (requests.RequestException, ValueError) as error:  # ValueError: a host that cannot be one
        problem = type(error).__name__
    if problem is not None:
        raise ServiceError(
            f"tracking server {without_password(uri)} does not answer ({problem}): "
            "start it, or unset MLFLOW_TRACKING_URI to use the checkout's own store"
        )


def connect(uri: str | None = None) -> Store:
    """Reach the store at `uri`, or at `tracking_uri()`; several processes may create its database at the same time.

    Raises:
        ConfigError: there is no address, it is of no known kind, or the database cannot be used.
        ServiceError: the server does not answer.
    """
    uri = tracking_uri() if uri is None else checked(uri)
    require_answer(uri)
    database = sqlite_file(uri)
    if database is not None:
        _require_usable(database)  # before MLflow is imported, which takes seconds
        _create(uri, database)
    elif scheme_of(uri) in PORTS:
        _require_database(uri)
    return Store(uri=uri)


def quiet_mlflow() -> None:
    """Keep MLflow's and its migrations' progress reports and bars off the terminal; warnings stay.

    A server that does not answer is given up after seconds, unless the environment says otherwise.
    """
    import mlflow  # noqa: F401  # it configures its loggers when it is imported

    quiet = {
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # the address would be printed with its password
    }
    for name, value in (quiet | PATIENCE).items():
        os.environ.setdefault(name, value)  # MLflow reads them nowhere else
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)


def all_pages(search: Callable[[str | None], Any]) -> Iterator[Any]:
    """Yield all results of a search of MLflow's, which takes a page token and returns one page."""
    token = None
    while True:
        page = search(token)
        yield from page
        token = page.token
        if not token:
            return


class _Client:
    """An `MlflowClient` whose failures are one line each."""

    def __init__(self, store: Store) -> None:
        from mlflow import MlflowClient

        quiet_mlflow()
        self._store = store
        with store.one_line_failures():
            self._client = MlflowClient(tracking_uri=store.uri, registry_uri=store.uri)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return self._store.one_line_failures()(getattr(self._client, name))


def _artifacts(database: Path) -> str:
    return (database.parent / "mlartifacts").as_uri()


def _create(uri: str, database: Path) -> None:
    from filelock import FileLock, Timeout
    from mlflow.exceptions import MlflowException
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy.exc import SQLAlchemyError

    quiet_mlflow()
    try:
        # MLflow's own store migrates an empty database without a lock, and the slower of two processes fails.
        with FileLock(f"{database}.lock", timeout=CREATION_SECONDS):
            # Not through a client, which would put the default experiment into the current folder, unquoted in SQL.
            SqlAlchemyStore(uri, _artifacts(database)).get_experiment("0")
    except Timeout as error:
        raise ConfigError(f"{database}: another process has been creating it for {CREATION_SECONDS:.0f} s") from error
    except (OSError, MlflowException, SQLAlchemyError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(
            f"{database} cannot be used as the store of runs and models ({reason}): move it away, or "
            f"`mlflow db upgrade {shlex.quote(uri)}` if an older MLflow made it"
        ) from error


def _require_usable(database: Path) -> None:
    """Look at a sqlite file first: MLflow makes missing folders, and tries for two minutes to open what it cannot."""
    if database.is_dir():
        raise ConfigError(f"{database} is a folder: name a file for the store, sqlite:///{database}/mlflow.db")
    if not database.parent.is_dir():
        raise ConfigError(f"the folder {database.parent} does not exist: make it, or correct MLFLOW_TRACKING_URI")
    if not database.exists():
        return
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=rw", uri=True)) as connection:
            connection.execute("PRAGMA schema_version")
    except sqlite3.Error as error:
        raise ConfigError(
            f"{database} cannot be used as the store of runs and models ({error}): move it away"
        ) from None


def _require_database(uri: str) -> None:
    """Connect to a database once: MLflow would try for two minutes."""
    import sqlalchemy

    shown = without_password(uri)
    try:
        engine = sqlalchemy.create_engine(uri)
        if engine.url.host:
            port = engine.url.port or PORTS[scheme_of(uri)]
            socket.create_connection((engine.url.host, port), timeout=ANSWER_SECONDS).close()
        engine.connect().close()
    except ImportError as error:
        package = PACKAGES.get(error.name or "", error.name or "its driver")
        raise ConfigError(f"MLFLOW_TRACKING_URI={shown} needs a driver: pip install {package}") from None
    except (sqlalchemy.exc.ArgumentError, ValueError):
        raise ConfigError(f"MLFLOW_TRACKING_URI={shown} cannot be read: {FORMS}") from None
    except (OSError, sqlalchemy.exc.SQLAlchemyError) as error:
        reason = str(error).partition("\n")[0]
        raise ServiceError(
            f"the database {shown} does not answer ({reason}): start it, or correct its address"
        ) from None


def _created(client: "MlflowClient", name: str, location: str | None) -> str:
    from mlflow.exceptions import MlflowException

    try:
        return str(client.create_experiment(name, artifact_location=location))
    except MlflowException:
        found = client.get_experiment_by_name(name)  # another process was faster
        if found is None:
            raise
        return str(found.experiment_id)
