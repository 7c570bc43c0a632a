"""The report's files."""

from pathlib import Path

from banet.files import write_atomically
from pipelines.report.data.inputs import ReportInputs
from pipelines.report.page.render import render_page
from pipelines.report.tables.all_tables import measured_tables, paper_tables, report_markdown
from pipelines.report.tables.formats import write_tables


def write_report(inputs: ReportInputs, out: Path) -> None:
    """Write `index.html`, `table.md` and the folder `tables` into the folder `out`, each whole or not at all.

    Raises:
        DataError: a sample's picture is missing or no PNG.

    """
    page = render_page(inputs)
    write_tables(measured_tables(inputs) | paper_tables(inputs), out / "tables")
    write_atomically(out / "table.md", report_markdown(inputs))
    write_atomically(out / "index.html", page)
