"""The report: tables for people and papers, and one self-contained page."""

from pathlib import Path

from banet.files import write_atomically
from pipelines.report.every_table import measured_tables, paper_tables, report_markdown, report_text
from pipelines.report.formats import write_tables
from pipelines.report.inputs import ReportInputs
from pipelines.report.page import render_page
from pipelines.report.reading import read_inputs

__all__ = ["ReportInputs", "read_inputs", "report_text", "write_report"]


def write_report(inputs: ReportInputs, out: Path) -> None:
    """Write `index.html`, `table.md` and the folder `tables` into the folder `out`, each whole or not at all.

    Raises:
        DataError: a sample's picture is missing or no PNG.

    """
    page = render_page(inputs)
    write_tables(measured_tables(inputs) | paper_tables(inputs), out / "tables")
    write_atomically(out / "table.md", report_markdown(inputs))
    write_atomically(out / "index.html", page)
