"""The command line of every stage: options, parameters read once, and expected errors as one line."""

import argparse
import inspect
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from banet.config import Params, read_params
from banet.errors import BanetError, raise_on_signals, say_no_more
from pipelines.running import claim, end_when_left_alone

PARAMS = Path("params.yaml")

OPTIONS = {  # of the stages; each means the same wherever it is taken
    "benchmark": "name of a manifest, e.g. mini",
    "raw": "folder of the archives",
    "shards": "folder of the benchmark's shards",
    "weights": "folder that the train stage wrote",
    "reports": "folder for what stages tell each other",
    "out": "folder for the result",
    "tables": "numbers of the paper's tables, e.g. '5 8'",
    "overrides": "of conf/, as for dvc exp run -S, e.g. 'recipe=paper benchmark=gopro'",
}
QUIET = {  # no tool sends usage data, and nothing is unpickled
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def run_command(command: Callable[..., None], *, kept: str = "nothing of it is kept") -> NoReturn:
    """Run a stage's command; exit with status 0, or with one line on standard error and the error's status (2 or 1).

    Its parameters, each one of `OPTIONS`, are the options of the command line; its docstring is the help. A signal
    raises KeyboardInterrupt in it, which may carry another text than `kept`; the status is then 128 and its number.
    """
    parser = argparse.ArgumentParser(description=command.__doc__)
    for key, option in inspect.signature(command).parameters.items():
        required = option.default is option.empty
        parser.add_argument(
            f"--{key}", type=option.annotation, required=required, default=option.default, help=OPTIONS[key]
        )
    arguments = vars(parser.parse_args())
    name = Path(inspect.getfile(command)).stem
    for variable, value in QUIET.items():
        os.environ.setdefault(variable, value)
    stopped = raise_on_signals()
    try:
        if arguments:  # the others only read
            claim("@".join(filter(None, (name, arguments.get("benchmark")))))
            end_when_left_alone()
        command(**arguments)
    except BanetError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_status)
    except KeyboardInterrupt as interrupt:
        number = stopped[0] if stopped else signal.SIGTERM  # Ray's, while it starts
        what = f"{name}: stopped by {number.name}; {str(interrupt) or kept}: run the same command again to go on"
        print(what, file=sys.stderr, flush=True)  # noqa: T201
        say_no_more()
        sys.exit(128 + number)
    sys.exit(0)


def params() -> Params:
    """Read `params.yaml` in the working directory, which DVC sets to the checkout."""
    return read_params(PARAMS)
