"""The report's files."""

from pathlib import Path

from banet.files import write_atomically
from pipelines.report.data.inputs import ReportInputs
from pipelines.report.page.render import render_page
from pipelines.report.tables.all_tables import measured_tables, paper_tables, report_markdown, report_text
from pipelines.report.tables.formats import write_tables


def write_report(inputs: ReportInputs, out: Path) -> None:
    """Write `index.html`, `table.md`, `table.txt` and the folder `tables` into `out`, each whole or not at all.

    Raises:
        DataError: a picture is missing or damaged.
    """
    page = render_page(inputs)
    write_tables(measured_tables(inputs) | paper_tables(inputs), out / "tables")
    write_atomically(out / "table.md", report_markdown(inputs))
    write_atomically(out / "table.txt", report_text(inputs))
    write_atomically(out / "index.html", page)
