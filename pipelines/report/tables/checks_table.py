"""The table of the checks of a benchmark's data."""

from banet.data.data_checks import DataChecks
from pipelines.report.tables.formats import Table, TableRow


def checks_table(checks: DataChecks) -> Table:
    """Every check of every split; what is not ok is strong."""
    return Table(
        caption=f"{checks.benchmark}: checks of the data, {checks.severity}",
        headings=("check", "split", "severity", "found", "ok"),
        rows=tuple(
            TableRow(
                label=check.name.replace("_", " "),
                figures=(check.split, check.severity, check.found, check.limits),
                strong=check.severity != "ok",
            )
            for check in checks.checks
        ),
    )
