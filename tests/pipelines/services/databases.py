"""Whether tests can have PostgreSQL here."""

from pathlib import Path

from banet.errors import ConfigError
from pipelines.services.postgres import programs


def why_no_postgres() -> str | None:
    """The reason why tests with PostgreSQL are skipped, in the program's own words."""
    try:
        programs(Path("none yet"))
    except ConfigError as error:
        return str(error)
    return None
