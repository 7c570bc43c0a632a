"""Addresses of a store: which kinds there are, how a path becomes one, and what of them may be shown."""

import re
from pathlib import Path
from urllib.parse import unquote

from banet.errors import ConfigError

DATABASES = ("postgresql", "mysql", "mssql")  # beside sqlite, with or without a driver: mysql+pymysql
FORMS = (
    "write http://HOST:PORT for MLflow's server, sqlite:////PATH/mlflow.db for a file, "
    "or postgresql://USER:PASSWORD@HOST/NAME (mysql, mssql) for a database"
)
_SQLITE = re.compile(r"sqlite(?:\+\w+)?:///(?P<path>[^?]*)(?:\?(?P<query>.*))?", re.DOTALL)


def scheme_of(uri: str) -> str:
    """What stands before `://`, in lower case and without a driver; empty if there is none."""
    found = re.match(r"([A-Za-z][A-Za-z0-9.-]*)(?:\+\w+)?://", uri)
    return found[1].lower() if found else ""


def sqlite_address(database: Path) -> str:
    """The address of a sqlite file, whatever characters are in its path."""
    path = str(database)
    escaped = path.replace("%", "%25").replace("?", "%3F")
    # MLflow makes the folders of `sqlite:///` addresses, under their escaped names; not where the driver is named.
    return f"sqlite:///{path}" if escaped == path else f"sqlite+pysqlite:///{escaped}"


def sqlite_file(uri: str) -> Path | None:
    """The database file of a sqlite address, None for any other address."""
    found = _SQLITE.fullmatch(uri)
    return Path(unquote(found["path"])) if found else None


def without_password(uri: str) -> str:
    """The address without user, password and query, whatever is wrong with it otherwise."""
    if scheme_of(uri) in {"sqlite", "file"}:
        return uri
    return re.sub(r"^([A-Za-z][\w+.-]*:/+)?.*@", r"\1", uri, flags=re.DOTALL).partition("?")[0]


def checked(uri: str) -> str:
    """Return an address that every process may use, in whatever folder it runs.

    Raises:
        ConfigError: it is of another kind, or relative.
    """
    uri = uri.strip()
    named, scheme = f"MLFLOW_TRACKING_URI={without_password(uri)}", scheme_of(uri)
    if scheme in {"http", "https", *DATABASES}:
        return uri
    if scheme == "sqlite":
        return _checked_sqlite(uri, named)
    if scheme == "file" or uri.startswith(("file:", "/", ".", "~")):
        raise ConfigError(f"{named}: MLflow keeps no runs in plain folders any more; write sqlite:////…")
    if re.fullmatch(r"(.*@)?(\[[\da-fA-F:]+\]|[\w.-]+):\d+(/.*)?", uri):
        raise ConfigError(f"{named} lacks its scheme: write http://{without_password(uri)}")
    raise ConfigError(f"{named} is no address of a store that can be used here: {FORMS}")


def _checked_sqlite(uri: str, named: str) -> str:
    found, database = _SQLITE.fullmatch(uri), sqlite_file(uri)
    if found is None or database is None or not database.is_absolute():
        # Ray's workers and DVC's temporary workspaces run in other folders, where it would name another file.
        raise ConfigError(f"{named} is relative: write the whole path, sqlite:////…/mlflow.db")
    if found["query"] and "=" not in found["query"].partition("/")[0]:
        raise ConfigError(f"{named}: the path ends at its ?: write ? as %3F, and % as %25")
    address = sqlite_address(database)
    return f"{address}?{found['query']}" if found["query"] else address
