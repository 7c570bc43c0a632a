"""check: `params.yaml` and the manifests that it names are checked before anything runs."""

from pathlib import Path

from banet.config import Params
from banet.data.manifest import MANIFESTS, read_benchmark
from banet.errors import ConfigError
from pipelines.stages.entrypoint import params, run_command


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


def main() -> None:
    """Check params.yaml and the manifests that it names."""
    check(params(), MANIFESTS)


if __name__ == "__main__":
    run_command(main)
