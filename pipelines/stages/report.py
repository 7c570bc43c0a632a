"""report: tables and one self-contained HTML page."""

from dataclasses import asdict
from pathlib import Path

from banet import __version__
from banet.config import Params
from banet.files import write_atomically
from banet.tracking.runs import GIT_COMMIT, git_tags
from pipelines.report import read_inputs, report_text, write_report
from pipelines.stages.face import params, run_command, stage_parser
from pipelines.stages.outputs import REPORTS


def report(chosen: Params, *, reports: Path) -> None:
    """Write `index.html`, `table.md` and `table.txt` into the folder that holds what the other stages wrote."""
    inputs = read_inputs(
        reports,
        benchmarks=chosen.evaluate_on,
        params=asdict(chosen),
        package_version=__version__,
        commit=git_tags(Path.cwd()).get(GIT_COMMIT),
    )
    write_report(inputs, reports)
    write_atomically(reports / "table.txt", report_text(inputs))


def main() -> None:
    """Read the arguments and write the report."""
    parser = stage_parser(__doc__)
    parser.add_argument("--reports", type=Path, default=REPORTS, help="folder with what the other stages wrote")
    report(params(), reports=parser.parse_args().reports)


if __name__ == "__main__":
    run_command(main)
