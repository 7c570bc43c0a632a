"""The paper's ablation tables in one command: train each network once, then print it beside the paper's figures.

A network is trained by `dvc exp run --temp`, in a workspace of its own: the files of this checkout stay as they are.
"""

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from banet.analysis.published import PublishedTable, read_published
from banet.config import Params, read_params
from banet.data.shards.reader import ShardFolder
from banet.errors import ConfigError, ServiceError
from banet.parsing import parse
from banet.scoring.aggregate import score_name, score_place
from banet.tracking.runs import EXPERIMENT, RunScores, runs_of
from banet.tracking.store import Store, connect
from banet.tracking.versions import versions
from banet.train.identity import identify
from pipelines.report.tables.ablation import ABLATIONS, ablation_table
from pipelines.report.tables.formats import plain
from pipelines.stages.entrypoint import PARAMS, run_command

CONF = Path("conf")
SHARDS = Path("data/shards")


@dataclass(frozen=True, slots=True, kw_only=True)
class AblationNetwork:
    """A network that some of the tables show."""

    params: Params
    fingerprint: str  # of its training run
    parts: tuple[int, ...]  # the numbers of sub-images per image in which it is scored; 1 is the whole image

    def score(self, parts: int) -> str:
        """The name of a score in MLflow."""
        trained_on = self.params.benchmark
        return score_name(score_place(trained_on.name, trained_on.variant, sub_images=parts))


def compose_params(overrides: Sequence[str]) -> Params:
    """Compose parameters from conf/ as `dvc exp run -S` does.

    Raises:
        ConfigError: an override that conf/ has no place for, or parameters that are not valid.
    """
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        with initialize_config_dir(str(CONF.absolute()), version_base=None):
            composed = OmegaConf.to_container(compose("config", list(overrides)), resolve=True)
    except (HydraException, OmegaConfBaseException) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{' '.join(overrides)}: {reason}") from None
    return parse(Params, composed, where=str(CONF))


def networks_of(tables: Sequence[PublishedTable], overrides: Sequence[str], digest: str) -> list[AblationNetwork]:
    """The networks of some tables, each once, in their order; `digest` is that of the shards they are trained on.

    Raises:
        ConfigError: as `compose_params`; before anything is trained.
    """
    parts: dict[str, set[int]] = {}
    for row in (row for table in tables for row in table.rows if row.model):
        parts.setdefault(str(row.model), {1}).add(int(row.figures.get("sub_images") or 1))
    composed = {name: compose_params((f"model={name}", *overrides)) for name in parts}
    return [
        AblationNetwork(
            params=params, fingerprint=identify(params, digest).fingerprint, parts=tuple(sorted(parts[name]))
        )
        for name, params in composed.items()
    ]


def trained_runs(store: Store, networks: Sequence[AblationNetwork]) -> dict[str, RunScores]:
    """The latest finished and evaluated run of each network that has one, by fingerprint."""
    wanted = {network.fingerprint: network for network in networks}
    return {
        run.fingerprint: run
        for run in runs_of(store, EXPERIMENT)
        if run.fingerprint in wanted and wanted[run.fingerprint].score(1) in run.metrics
    }


def train_missing(store: Store, networks: Sequence[AblationNetwork], overrides: Sequence[str]) -> None:
    """Train and evaluate the networks that have no run yet, one after another.

    Raises:
        ServiceError: DVC failed; what was trained is kept.
    """
    done = trained_runs(store, networks)
    left = [network for network in networks if network.fingerprint not in done]
    print(f"networks: {len(networks)}, trained already: {len(done)}", flush=True)  # noqa: T201
    for number, network in enumerate(left, 1):
        name, benchmark = network.params.model.name, network.params.benchmark.name
        print(f"--- {name}, {number} of {len(left)}", flush=True)  # noqa: T201
        settings = [word for setting in (f"model={name}", *overrides) for word in ("--set-param", setting)]
        _run(name, "dvc", "exp", "run", "--temp", *settings, f"evaluate@{benchmark}")
    for network in networks:
        run = trained_runs(store, [network]).get(network.fingerprint)
        if run is None:
            raise ServiceError(
                f"{network.params.model.name}: DVC is done, but {store.shown} has no evaluated run of it"
            )
        if any(network.score(parts) not in run.metrics for parts in network.parts):
            name = f"banet-{network.params.benchmark.name}"
            model = next(each.model for each in versions(store, name) if each.model.run_id == run.run_id)
            _run(model.uri, "banet.cli", "evaluate", model.uri, network.params.benchmark.name, "--sub-images")


def _run(name: str, *command: str) -> None:
    """Run a module's command in a group of processes of its own, which ends with this process."""
    from pipelines.runs.dvc_runs import ProcessGroups

    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    groups = ProcessGroups()
    with groups.start(
        [sys.executable, "-m", *command], {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"}
    ) as process:
        try:
            for line in process.stdout or ():
                print(line, end="", flush=True)  # noqa: T201
        except BaseException:
            groups.stop()
            raise
    if process.returncode:
        raise ServiceError(
            f"{name}: `{shlex.join(command)}` ended with status {process.returncode}, its lines above say why: run the "
            "same command again then, no network is trained twice"
        )


def main(tables: str, overrides: str = "") -> None:
    """Train every network of some of the paper's Tables 5 to 9 once, and print the tables."""
    settings = shlex.split(overrides)
    numbers = [int(word) for word in tables.split() if word.isdigit() and int(word) in ABLATIONS]
    if not numbers or len(numbers) < len(tables.split()):
        raise ConfigError(f"tables {tables!r}: name some of {', '.join(map(str, ABLATIONS))}")
    published = [read_published(number) for number in numbers]
    benchmark = compose_params(settings).benchmark.name
    if benchmark not in read_params(PARAMS).evaluate_on:
        raise ConfigError(
            f"params.yaml does not have the benchmark {benchmark}: `dvc exp run -S benchmark={benchmark} "
            f"shard@{benchmark}` fetches it"
        )
    _run(benchmark, "dvc", "repro", f"shard@{benchmark}")
    store = connect()
    networks = networks_of(published, settings, ShardFolder(SHARDS.absolute() / benchmark).summary.digest)
    train_missing(store, networks, settings)
    runs = list(trained_runs(store, networks).values())
    print("\n" + "\n\n".join(plain(ablation_table(table, runs)) for table in published))  # noqa: T201


if __name__ == "__main__":
    run_command(main, kept="networks that are trained are kept")
