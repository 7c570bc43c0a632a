"""`banet …`: for people who restore photographs, bring weights, or look into a model, and know nothing of stages."""

import os
import signal
import sys
from collections.abc import Callable, Sequence

from cyclopts import App, CycloptsError, Parameter

from banet.commands.evaluate import evaluate
from banet.commands.pull import pull
from banet.commands.registry import lineage, models, promote, register
from banet.commands.restore import deblur
from banet.commands.score import score
from banet.commands.serve import drift, serve
from banet.commands.study import study
from banet.commands.synthesize import synthesize
from banet.commands.training import cost, replay
from banet.commands.weights import explain, export, export_checkpoint, import_checkpoint, info
from banet.errors import BanetError, raise_on_signals, say_no_more

app = App(
    name="banet",
    help="Restore motion-blurred photographs, and score and keep the networks that do it.",
    version_flags=(),
    help_format="plaintext",
    default_parameter=Parameter(negative=()),
    suppress_keyboard_interrupt=False,
)
COMMANDS: tuple[Callable[..., None], ...] = (
    deblur,
    explain,
    info,
    import_checkpoint,
    export_checkpoint,
    export,
    synthesize,
    pull,
    models,
    lineage,
    promote,
    register,
    score,
    evaluate,
    cost,
    replay,
    serve,
    drift,
)
for command in COMMANDS:
    app.command(command)
app.command(study)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status: 0, 2 for bad input, 1 for a failure, each with one line.

    A signal ends the process with one line and the status 128 and its number, if it has no `arguments` but its own.
    `banet drift --fail` has 3 for what has moved.
    """
    stopped = raise_on_signals() if arguments is None else []
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    try:
        app(arguments, exit_on_error=False, print_error=False, result_action="return_none")
    except BanetError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    except CycloptsError as error:
        help_of = " ".join(("banet", *(error.command_chain or ()), "--help"))
        print(f"error: {' '.join(str(error).splitlines())} `{help_of}` says what is accepted.", file=sys.stderr)
        return BanetError.exit_status
    except KeyboardInterrupt:
        number = stopped[0] if stopped else signal.SIGINT
        print(f"stopped by {number.name}: nothing half-written is left", file=sys.stderr, flush=True)
        say_no_more()
        return 128 + number
    return 0


if __name__ == "__main__":
    sys.exit(main())
