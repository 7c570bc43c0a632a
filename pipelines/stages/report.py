"""report: tables and one self-contained HTML page."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from banet import __version__
from banet.config import Params
from banet.files import write_atomically
from banet.tracking.runs import EXPERIMENT, GIT_COMMIT, RunScores, git_tags, runs_of
from banet.tracking.store import connect
from pipelines.report.data.reading import read_inputs
from pipelines.report.tables.all_tables import report_text
from pipelines.report.write import write_report
from pipelines.stages.entrypoint import params, run_command, stage_parser
from pipelines.stages.stage_results import REPORTS


def report(chosen: Params, *, reports: Path, runs: Sequence[RunScores] = ()) -> None:
    """Write `index.html`, `table.md`, `table.txt` and `tables/` into the folder that holds what the other stages wrote.

    Args:
        chosen: params.yaml.
        reports: the folder.
        runs: every training run that MLflow remembers, for the ablation tables.

    Raises:
        DataError: a file that another stage writes, or one of the paper's tables, is missing or damaged.
    """
    inputs = read_inputs(
        reports,
        benchmarks=chosen.evaluate_on,
        params=asdict(chosen),
        network=chosen.model,
        runs=runs,
        package_version=__version__,
        commit=git_tags(Path.cwd()).get(GIT_COMMIT),
    )
    write_report(inputs, reports)
    write_atomically(reports / "table.txt", report_text(inputs))


def main() -> None:
    """Read the arguments and write the report."""
    parser = stage_parser(__doc__)
    parser.add_argument("--reports", type=Path, default=REPORTS, help="folder with what the other stages wrote")
    reports = parser.parse_args().reports
    report(params(), reports=reports, runs=runs_of(connect(), EXPERIMENT))


if __name__ == "__main__":
    run_command(main)
