"""`make ui`: open the pages of MLflow, of Prefect and of the report, or print where they are."""

import os
import sys
import webbrowser

from banet.errors import ServiceError
from pipelines.services.processes import processes
from pipelines.services.settings import FOLDER, read_settings
from pipelines.services.start import addresses, checkout
from pipelines.stages.entrypoint import run_command


def pages() -> None:
    """Open the pages in a browser where there is a screen, and print their addresses."""
    root = checkout()
    folder = root / FOLDER
    settings = read_settings(folder)
    if settings is None or not processes(folder):
        raise ServiceError("no server runs here: `make services` starts them")
    report = root / "reports/index.html"
    shown = [settings.exported()["MLFLOW_TRACKING_URI"], f"http://127.0.0.1:{settings.prefect_port}"]
    shown += [report.as_uri()] if report.is_file() else []
    if sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        for page in shown:
            webbrowser.open(page)
    where = report if report.is_file() else "none yet: `dvc repro` or `prefect deployment run train-banet` writes it"
    print(f"report   {where}", *addresses(settings, folder), sep="\n")  # noqa: T201


if __name__ == "__main__":
    run_command(pages)
