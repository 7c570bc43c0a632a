"""DVC's own graph of stages as plain data: which stages there are, and which run before which.

The graph is defined in `dvc.yaml` alone. DVC also decides what a stage does and whether it has to run.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path

from banet.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage of `dvc.yaml`, or one cell of a stage with a matrix."""

    name: str  # as `dvc repro` takes it: train, fetch@mini
    parents: tuple[str, ...]  # names of the stages whose outputs this one reads, sorted


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """All stages of one project, parents before children, otherwise in the order of `dvc.yaml`."""

    stages: tuple[Stage, ...]

    def upstream(self, targets: Iterable[str]) -> "Graph":
        """Keep the targets and every stage they read from, directly or not, in the same order.

        A target is a stage's name; as for `dvc repro`, `fetch` means `fetch@mini`, `fetch@gopro` and so on.

        Raises:
            ConfigError: a target that is not a stage.
        """
        wanted: set[str] = set()
        for target in targets:
            found = {stage.name for stage in self.stages if target in (stage.name, stage.name.split("@")[0])}
            if not found:
                known = ", ".join(stage.name for stage in self.stages)
                raise ConfigError(f"unknown stage {target!r}: choose from {known}")
            wanted |= found
        for stage in reversed(self.stages):  # children first, so each stage is marked before its parents are asked for
            if stage.name in wanted:
                wanted.update(stage.parents)
        return Graph(stages=tuple(stage for stage in self.stages if stage.name in wanted))


def read_graph(root: Path) -> Graph:
    """Read the graph of the DVC project at `root`, a folder with `.dvc` and `dvc.yaml`, in under a second.

    Data added with `dvc add` has no command and is left out.

    Raises:
        ConfigError: there is no DVC project, no stage, or a `dvc.yaml` that DVC cannot read.
    """
    from dvc.exceptions import DvcException, NotDvcRepoError
    from dvc.repo import Repo

    try:
        with Repo(str(root)) as repo:
            names = {stage: stage.name for stage in repo.index.stages if stage.cmd}
            readers = repo.index.graph  # edges go from a stage to those it reads from
            parents = {names[stage]: tuple(sorted(names[p] for p in readers[stage] if p in names)) for stage in names}
    except NotDvcRepoError:
        raise ConfigError(f"{root}: no DVC project here; run this at the root of the checkout") from None
    except DvcException as error:
        # DVC prints the line of the mistake, but its exceptions do not carry it.
        reason = " ".join(str(error).split())
        raise ConfigError(f"{root / 'dvc.yaml'}: {reason}; `dvc dag` shows where") from error
    if not parents:
        raise ConfigError(f"{root / 'dvc.yaml'}: no stages; run this at the root of the checkout")
    order = TopologicalSorter(parents).static_order()
    return Graph(stages=tuple(Stage(name=name, parents=parents[name]) for name in order))
