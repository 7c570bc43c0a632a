"""The pictures of docs/quick-start.md: the report, MLflow's run and registry, and Prefect's run, from a real run.

    python benchmarks/screenshots.py        (after a run of train-banet; writes docs/screenshots/*.jpg)

Needs Chromium, and the Prefect server of PREFECT_API_URL without a password; it starts MLflow's server for the store
of this checkout by itself. Headless Chromium draws each page as soon as 10 virtual seconds have passed in it.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from banet.data.images.codec import read_image
from banet.errors import BanetError, ConfigError, DataError, ServiceError
from banet.tracking.registry import latest_champion
from banet.tracking.store import connect, tracking_uri

ROOT = Path(__file__).parents[1]
REPORT = ROOT / "reports/index.html"
FOLDER = ROOT / "docs/screenshots"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SIZE = (1280, 860)  # CSS pixels
VIRTUAL_MS = 10_000
MOST_BYTES = 1_000_000  # of all pictures
QUALITY = 80
STARTS_WITHIN_S = 120.0


def main() -> None:
    """Draw every page, and replace the pictures once all are there."""
    import cv2

    if not REPORT.is_file():
        raise DataError(f"{REPORT} is missing: run train-banet first")
    with tempfile.TemporaryDirectory() as scratch, mlflow_server() as mlflow:
        for name, address in {"report": REPORT.as_uri(), **mlflow_pages(mlflow), "prefect": prefect_page()}.items():
            drawn = Path(scratch) / f"{name}.png"
            draw(address, drawn)
            pixels = cv2.cvtColor(read_image(drawn), cv2.COLOR_RGB2BGR)
            cv2.imwrite(str(drawn.with_suffix(".jpg")), pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        made = sorted(Path(scratch).glob("*.jpg"))
        if (size := sum(path.stat().st_size for path in made)) > MOST_BYTES:
            raise DataError(f"the pictures take {size:,} bytes, more than {MOST_BYTES:,}: lower QUALITY")
        FOLDER.mkdir(exist_ok=True)
        for path in made:
            shutil.copy(path, FOLDER)
    print(f"{', '.join(path.name for path in made)}: {size:,} bytes")


def draw(address: str, out: Path) -> None:
    """Draw one page as a PNG.

    Raises:
        ConfigError: no browser.
        ServiceError: the browser drew nothing.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise ConfigError(f"no browser: install one of {', '.join(BROWSERS)}")
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    flags += [f"--window-size={SIZE[0]},{SIZE[1]}", f"--virtual-time-budget={VIRTUAL_MS}", f"--screenshot={out}"]
    done = subprocess.run([browser, *flags, address], capture_output=True, text=True, check=False)
    if not out.is_file():
        raise ServiceError(f"{browser} drew nothing of {address}: {done.stderr.strip().splitlines()[-1:]}")


def mlflow_pages(address: str) -> dict[str, str]:
    """The pages of the champion's run and of its registered model."""
    model = latest_champion(connect())
    run = connect().client().get_run(model.run_id).info
    return {
        "mlflow-run": f"{address}/#/experiments/{run.experiment_id}/runs/{run.run_id}",
        "mlflow-registry": f"{address}/#/models/{model.name}",
    }


def prefect_page() -> str:
    """The page of the newest run of train-banet that has ended well.

    Raises:
        DataError: there is none.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import DeploymentFilter, FlowRunFilter
    from prefect.client.schemas.sorting import FlowRunSort
    from prefect.settings import PREFECT_API_URL

    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(
            flow_run_filter=FlowRunFilter.model_validate({"state": {"type": {"any_": ["COMPLETED"]}}}),
            deployment_filter=DeploymentFilter.model_validate({"name": {"any_": ["train-banet"]}}),
            sort=FlowRunSort.START_TIME_DESC,
            limit=1,
        )
    if not runs:
        raise DataError("no run of train-banet has ended well: `prefect deployment run train-banet`")
    return f"{str(PREFECT_API_URL.value()).removesuffix('/api')}/runs/flow-run/{runs[0].id}"


@contextmanager
def mlflow_server() -> Iterator[str]:
    """The address of a server of MLflow for the store of this checkout, until the block ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", tracking_uri()]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + STARTS_WITHIN_S
        while not _answers(f"http://127.0.0.1:{port}/health"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise ServiceError(f"MLflow's server does not start: try `{' '.join(command)}`")
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _answers(address: str) -> bool:
    try:
        with urlopen(address, timeout=2):  # noqa: S310  # ours
            return True
    except (URLError, OSError):
        return False


if __name__ == "__main__":
    try:
        main()
    except BanetError as error:
        sys.exit(f"error: {error}")
