"""Where runs and models are remembered: the address of the store, and a connection to it."""

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from banet.errors import ConfigError, ServiceError

if TYPE_CHECKING:
    from mlflow import MlflowClient

ANSWER_SECONDS = 5.0  # a server that is up answers its health check in milliseconds
CREATION_SECONDS = 300.0  # MLflow's migrations of an empty sqlite database took 12 s on a busy machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """A tracking store that answered; made by `connect`, cheap to pass on and to pickle."""

    uri: str  # absolute; may carry a password, so print `shown` instead

    @property
    def shown(self) -> str:
        """The address without user and password, for messages and files."""
        return without_password(self.uri)

    def client(self) -> "MlflowClient":
        """An `mlflow.MlflowClient` of this store, which leaves MLflow's global tracking and registry URIs alone."""
        from mlflow import MlflowClient

        quiet_mlflow()
        return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    def experiment_id(self, name: str) -> str:
        """The id of the experiment `name`, which is created if it does not exist.

        A sqlite store keeps artifacts in `mlartifacts/` beside the database, at an absolute address; a server chooses
        its own place.
        """
        client = self.client()
        found = client.get_experiment_by_name(name)
        if found is None:
            database = sqlite_file(self.uri)
            location = None if database is None else (database.parent / "mlartifacts").as_uri()
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
        return _checked(named)
    here = (start or Path.cwd()).resolve()
    root = next((folder for folder in (here, *here.parents) if (folder / "dvc.yaml").is_file()), None)
    if root is None:
        raise ConfigError(
            f"no dvc.yaml in {here} or above it, so there is no store of runs and models: "
            "run this inside the checkout, or set MLFLOW_TRACKING_URI"
        )
    return f"sqlite:///{main_checkout(root) / 'mlflow.db'}"


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
    if urlsplit(uri).scheme not in {"http", "https"}:
        return
    import requests  # type: ignore[import-untyped,unused-ignore]

    try:
        status = requests.get(f"{uri.rstrip('/')}/health", timeout=ANSWER_SECONDS).status_code
        problem = None if status in {200, 401, 403} else f"status {status} for /health"  # 401, 403: up, with a login
    except requests.RequestException as error:
        problem = type(error).__name__
    if problem is not None:
        raise ServiceError(
            f"tracking server {without_password(uri)} does not answer ({problem}): "
            "start it, or unset MLFLOW_TRACKING_URI to use the checkout's own store"
        )


def connect(uri: str | None = None) -> Store:
    """Reach the store at `uri`, or at `tracking_uri()`; several processes may create its database at the same time.

    Raises:
        ConfigError: there is no address, or the database cannot be used.
        ServiceError: the server does not answer.
    """
    uri = tracking_uri() if uri is None else _checked(uri)
    require_answer(uri)
    database = sqlite_file(uri)
    if database is not None:
        _create(uri, database)
    return Store(uri=uri)


def quiet_mlflow() -> None:
    """Keep MLflow's and its migrations' progress reports and bars off the terminal; warnings stay."""
    import mlflow  # noqa: F401  # it configures its loggers when it is imported

    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # MLflow reads it nowhere else
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


def sqlite_file(uri: str) -> Path | None:
    """The database file of a sqlite address, None for any other address."""
    prefix = "sqlite:///"
    return Path(uri.removeprefix(prefix)) if uri.startswith(prefix) else None


def without_password(uri: str) -> str:
    """The address without user and password."""
    parts = urlsplit(uri)
    if parts.username is None and parts.password is None:
        return uri
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _checked(uri: str) -> str:
    scheme = urlsplit(uri).scheme
    if scheme in {"", "file"}:
        raise ConfigError(
            f"MLFLOW_TRACKING_URI={uri}: MLflow keeps no runs in plain folders any more; write sqlite:////…"
        )
    if scheme == "sqlite" and not uri.startswith("sqlite:////"):
        # Ray's workers and DVC's temporary workspaces run in other folders, where it would name another file.
        raise ConfigError(f"MLFLOW_TRACKING_URI={uri} is relative: write the whole path, sqlite:////…/mlflow.db")
    return uri


def _create(uri: str, database: Path) -> None:
    from filelock import FileLock, Timeout
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        # MLflow's own store migrates an empty database without a lock, and the slower of two processes fails.
        with FileLock(f"{database}.lock", timeout=CREATION_SECONDS):
            Store(uri=uri).client().get_experiment("0")
    except Timeout as error:
        raise ConfigError(f"{database}: another process has been creating it for {CREATION_SECONDS:.0f} s") from error
    except (OSError, MlflowException, SQLAlchemyError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(
            f"{database} cannot be used as the store of runs and models ({reason}): move it away, or "
            f"`mlflow db upgrade {uri}` if an older MLflow made it"
        ) from error


def _created(client: "MlflowClient", name: str, location: str | None) -> str:
    from mlflow.exceptions import MlflowException

    try:
        return str(client.create_experiment(name, artifact_location=location))
    except MlflowException:
        found = client.get_experiment_by_name(name)  # another process was faster
        if found is None:
            raise
        return str(found.experiment_id)
