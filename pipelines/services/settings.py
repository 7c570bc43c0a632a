"""What `make services` was asked for, and its passwords: one file, which a shell can read."""

import os
import secrets
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from banet.errors import ConfigError
from banet.files import whole_file

FOLDER = ".services"  # at the root of the checkout; git ignores it
FILE = "env"
ASKED = ("DATABASE", "MLFLOW_AUTH", "MLFLOW_PORT", "PREFECT_PORT", "POSTGRES_PORT")  # of make or the environment
HEAD = "# Made by `make services`. It holds passwords: keep it to yourself. In a shell: . {}/env"


def _password() -> str:
    return secrets.token_urlsafe(24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The servers of one folder. Passwords are left out of its text, which tracebacks may show."""

    database: str = "postgres"  # or sqlite
    mlflow_auth: int = 0  # 1: MLflow asks for a user and password
    mlflow_port: int = 5000
    prefect_port: int = 4200
    postgres_port: int = 15432  # 5432 is that of the system's own
    postgres_password: str = field(default_factory=_password, repr=False)
    prefect_password: str = field(default_factory=_password, repr=False)
    mlflow_password: str = field(default_factory=_password, repr=False)
    mlflow_secret_key: str = field(default_factory=_password, repr=False)

    def exported(self) -> dict[str, str]:
        """Return the variables of programs that use the servers."""
        return {
            "PREFECT_API_URL": f"http://127.0.0.1:{self.prefect_port}/api",
            "PREFECT_API_AUTH_STRING": f"banet:{self.prefect_password}",
            "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{self.mlflow_port}",
            "MLFLOW_TRACKING_USERNAME": "admin",
            "MLFLOW_TRACKING_PASSWORD": self.mlflow_password,
        }


def read_settings(folder: Path) -> Settings | None:
    """Return the settings of a folder that has some."""
    if not (folder / FILE).is_file():
        return None
    words = shlex.split((folder / FILE).read_text(encoding="utf-8"), comments=True)
    return _parsed(dict(word.split("=", 1) for word in words if "=" in word))


def settle(folder: Path, *, running: bool) -> Settings:
    """Return the settings of a folder with what the environment asks for, and keep them there; only the owner may read.

    Raises:
        ConfigError: a value is none that can be used, or differs from that of servers that run.
    """
    known = read_settings(folder)
    asked = {name: value for name in ASKED if (value := os.environ.get(name, ""))}
    kept = {} if known is None else _values(known)
    settings = _parsed(kept | asked)
    changed = [name for name in asked if running and asked[name] != kept.get(name)]
    if changed:
        raise ConfigError(f"the servers run with {changed[0]}={kept[changed[0]]}: `make stop` first")
    file, text = folder / FILE, _text(settings, folder)
    if not file.is_file() or file.read_text(encoding="utf-8") != text:
        with whole_file(file) as partial:
            partial.touch(mode=0o600)
            partial.write_text(text, encoding="utf-8")
    return settings


def _values(settings: Settings) -> dict[str, str]:
    return {each.name.upper(): str(getattr(settings, each.name)) for each in fields(Settings)}


def _text(settings: Settings, folder: Path) -> str:
    exported = [f"export {name}={value}" for name, value in settings.exported().items()]
    kept = [f"{name}={value}" for name, value in _values(settings).items()]
    return "\n".join([HEAD.format(folder.name), *exported, "# What the servers are started with.", *kept, ""])


def _parsed(values: Mapping[str, str]) -> Settings:
    numbers = {"MLFLOW_AUTH": (0, 1)} | {name: (1024, 65535) for name in ASKED if name.endswith("_PORT")}
    given: dict[str, str | int] = {}
    for each in fields(Settings):
        name = each.name.upper()
        if (value := values.get(name)) is None:
            continue
        if name == "DATABASE" and value not in ("postgres", "sqlite"):
            raise ConfigError(f"DATABASE={value} is none of postgres and sqlite")
        least, most = numbers.get(name, (0, 0))
        if name in numbers and not (value.isdecimal() and least <= int(value) <= most):
            raise ConfigError(f"{name}={value} is no number from {least} to {most}")
        given[each.name] = int(value) if name in numbers else value
    return Settings(**given)  # type: ignore[arg-type]  # each field's own kind
