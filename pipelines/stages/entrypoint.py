"""The face of every stage: arguments in, parameters read once, expected errors as one line."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from banet.config import Params, read_params
from banet.errors import BanetError

PARAMS = Path("params.yaml")

QUIET = {  # no tool calls home, and nothing is unpickled
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def run_command(command: Callable[[], None]) -> NoReturn:
    """Run a command to its end: status 0, or one line on standard error and the error's own status (2 or 1)."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        command()
    except BanetError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)


def stage_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the description's first line."""
    return argparse.ArgumentParser(description=(description or "").partition("\n")[0])


def params() -> Params:
    """Read `params.yaml` of the working directory, which DVC sets to the checkout."""
    return read_params(PARAMS)
