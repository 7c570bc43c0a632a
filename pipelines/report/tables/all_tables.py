"""All tables of the report, in the order in which they are read, and the files that show them together."""

from collections.abc import Iterator

from pipelines.report.data.inputs import ReportInputs
from pipelines.report.data.other_methods import others_of
from pipelines.report.tables.ablation import ABLATIONS, ablation_table
from pipelines.report.tables.comparison import COMPARISONS, Measured, comparison_table
from pipelines.report.tables.formats import Table, markdown, plain
from pipelines.report.tables.results import results_table, strata_table, worst_table


def measured_tables(inputs: ReportInputs) -> dict[str, Table]:
    """What was measured here, by the names of their files."""
    found: dict[str, Table] = {}
    for evaluation, images, others in zip(inputs.evaluations, inputs.images, others_of(inputs), strict=True):
        found[f"results_{evaluation.benchmark}"] = results_table(evaluation, others)
        by_stratum = strata_table(evaluation)
        if by_stratum is not None:
            found[f"strata_{evaluation.benchmark}"] = by_stratum
        found[f"worst_{evaluation.benchmark}"] = worst_table(evaluation.benchmark, images)
    return found


def measured(inputs: ReportInputs) -> Measured:
    """The registered version and its scores, as the paper's tables and figures need them."""
    return Measured(
        name=inputs.registered.name,
        version=inputs.registered.version,
        network=inputs.network,
        parameters=inputs.training.parameters,
        evaluations=inputs.evaluations,
    )


def paper_tables(inputs: ReportInputs) -> dict[str, Table]:
    """Tables 1 to 3 and 5 to 9 of the paper with what was measured here among or beside its figures."""
    scored = [other for others in others_of(inputs) for other in others.shown]
    compared = {
        f"table{n}": comparison_table(inputs.published[n], inputs.published[1], measured(inputs), scored)
        for n in COMPARISONS
    }
    return compared | {f"table{n}": ablation_table(inputs.published[n], inputs.runs) for n in ABLATIONS}


def report_markdown(inputs: ReportInputs) -> str:
    """Every table as Markdown, under the model's name: the content of `table.md`."""
    title = f"# {inputs.registered.name} version {inputs.registered.version}\n"
    every = measured_tables(inputs) | paper_tables(inputs)
    return "\n".join([title, *(markdown(table) for table in every.values())])


def report_text(inputs: ReportInputs) -> str:
    """Results and strata as plain text for a terminal, columns aligned."""
    return "\n\n".join(plain(table) for table in _summary(inputs))


def _summary(inputs: ReportInputs) -> Iterator[Table]:
    for name, table in measured_tables(inputs).items():
        if not name.startswith("worst_"):
            yield table
