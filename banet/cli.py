"""`banet …`: for people who restore photographs, bring weights, or look into a model, and know nothing of stages."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from banet.commands.evaluate import add_evaluate
from banet.commands.registry import add_registry
from banet.commands.restore import add_restore
from banet.commands.score import add_score
from banet.commands.study import add_study
from banet.commands.synthesize import add_synthesize
from banet.commands.weights import add_weights
from banet.errors import BanetError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status: 0, 2 for bad input, 1 for a failure, each with one line."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    parsed = _parser().parse_args(arguments)
    try:
        parsed.command(parsed)
    except BanetError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="banet", description="Restore motion-blurred photographs.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Callable[..., None], text: str, *examples: str) -> argparse.ArgumentParser:
        added = commands.add_parser(
            name,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            epilog="\n".join(["examples:", *(f"  banet {name} {example}" for example in examples)]),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        added.set_defaults(command=command)
        return added

    add_restore(add)
    add_weights(add)
    add_synthesize(add)
    add_registry(add)
    add_score(add)
    add_evaluate(add)
    add_study(add)
    return parser


if __name__ == "__main__":
    sys.exit(main())
