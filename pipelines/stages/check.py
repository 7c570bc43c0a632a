"""check: `params.yaml`, the manifests that it names and the registered version are checked before anything runs."""

import sys
from pathlib import Path

from banet.config import Params
from banet.data.manifest import MANIFESTS, read_benchmark
from banet.errors import BanetError, ConfigError, ModelError
from banet.tracking.registry import find
from banet.tracking.store import connect
from banet.tracking.version_files import RegisteredModel
from pipelines.stages.entrypoint import params, run_command
from pipelines.stages.stage_results import REGISTERED, REPORTS, read_json


def check(chosen: Params, manifests: Path) -> None:
    """Check that every benchmark exists and has the variant that is trained on.

    Raises:
        ConfigError: names the benchmark or the variant, and the known ones.
    """
    benchmarks = {name: read_benchmark(manifests, name) for name in chosen.evaluate_on}
    variants = benchmarks[chosen.benchmark.name].variants
    if chosen.benchmark.variant not in variants:
        raise ConfigError(
            f"benchmark.variant {chosen.benchmark.variant!r} is not a variant of {chosen.benchmark.name}: "
            f"choose from {', '.join(variants)}"
        )


def forget_lost(reports: Path) -> str | None:
    """Delete `registered.json` if the store lacks the version that it names, and return a line that says so.

    DVC sees files only. One that was pulled is up to date to it, although a colleague's store holds the model. Without
    the file, it runs the register stage, and what follows from it.
    """
    try:
        model = read_json(RegisteredModel, reports / REGISTERED, stage="register")
        store = connect()
        if find(store, model.name, model.version).digest == model.digest:
            return None
    except ModelError:
        pass  # there is no such version
    except BanetError:  # nothing is registered yet, or the store does not answer, without which a training can run
        return None
    (reports / REGISTERED).unlink()
    return f"{model.name} version {model.version} of {REGISTERED} is not in {store.shown}: it will be registered there"


def main() -> None:
    """Check params.yaml, the manifests that it names, and that the store holds what was registered."""
    check(params(), MANIFESTS)
    if line := forget_lost(REPORTS):
        print(line, file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    run_command(main)
