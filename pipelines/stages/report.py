"""report: tables and one self-contained HTML page."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from banet import __version__
from banet.config import Params
from banet.lineage.trace import Lineage, shown, trace
from banet.tracking.registry import champion
from banet.tracking.runs import EXPERIMENT, GIT_COMMIT, RunScores, git_tags, runs_of
from banet.tracking.store import connect
from pipelines.report.data.reading import read_inputs
from pipelines.report.write import write_report
from pipelines.stages.entrypoint import params, run_command
from pipelines.stages.stage_results import REPORTS


def report(chosen: Params, *, reports: Path, runs: Sequence[RunScores] = (), lineage: Lineage | None = None) -> None:
    """Write `index.html`, `table.md`, `table.txt` and `tables/` into the folder of the other stages' reports.

    The ablation tables are made from `runs`, all training runs in MLflow; `lineage` is that of the champion.

    Raises:
        DataError: a file of another stage, or one of the paper's tables, is missing or damaged.
    """
    inputs = read_inputs(
        reports,
        benchmarks=chosen.evaluate_on,
        params=asdict(chosen),
        network=chosen.model,
        runs=runs,
        lineage=shown(lineage) if lineage else None,
        package_version=__version__,
        commit=git_tags(Path.cwd()).get(GIT_COMMIT),
    )
    write_report(inputs, reports)


def main(reports: Path = REPORTS) -> None:
    """Write the tables and the HTML page."""
    chosen, store = params(), connect()
    best = champion(store, f"banet-{chosen.benchmark.name}")
    lineage = None if best is None else trace(store, best)
    report(chosen, reports=reports, runs=runs_of(store, EXPERIMENT), lineage=lineage)


if __name__ == "__main__":
    run_command(main)
