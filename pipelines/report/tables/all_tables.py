"""All tables of the report in reading order, and the files that show them together."""

from pipelines.report.data.inputs import ReportInputs
from pipelines.report.tables.ablation import ABLATIONS, ablation_table
from pipelines.report.tables.checks_table import checks_table
from pipelines.report.tables.comparison import COMPARISONS, comparison_table
from pipelines.report.tables.formats import Table, markdown, plain
from pipelines.report.tables.results import results_table, strata_table, worst_table


def measured_tables(inputs: ReportInputs) -> dict[str, Table]:
    """What was measured here, by the names of the tables' files."""
    found: dict[str, Table] = {}
    for each in inputs.benchmarks:
        name = each.evaluation.benchmark
        found[f"results_{name}"] = results_table(each)
        by_stratum = strata_table(each.evaluation)
        if by_stratum is not None:
            found[f"strata_{name}"] = by_stratum
        found[f"worst_{name}"] = worst_table(name, each.images)
        if each.checks is not None:
            found[f"checks_{name}"] = checks_table(each.checks)
    return found


def paper_tables(inputs: ReportInputs) -> dict[str, Table]:
    """Tables 1 to 3 and 5 to 9 of the paper together with what was measured here."""
    tables = {f"table{n}": comparison_table(n, inputs) for n in COMPARISONS}
    return tables | {f"table{n}": ablation_table(inputs.published[n], inputs.runs) for n in ABLATIONS}


def report_markdown(inputs: ReportInputs) -> str:
    """Every table as Markdown, under the model's name: the content of `table.md`."""
    every = measured_tables(inputs) | paper_tables(inputs)
    return "\n".join([f"# {inputs.label}\n", *(markdown(table) for table in every.values())])


def report_text(inputs: ReportInputs) -> str:
    """Results and strata as plain text with aligned columns: the content of `table.txt`."""
    tables = measured_tables(inputs).items()
    return "\n\n".join(plain(table) for name, table in tables if not name.startswith(("worst_", "checks_")))
