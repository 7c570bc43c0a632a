"""Which stages run in a checkout: each holds a lock that ends with its process, however that ends."""

import os
import signal
import threading
import time
from pathlib import Path

import psutil

from banet.files import hold, holder

FOLDER = Path(".dvc/tmp")  # git and DVC's digests leave it out
ENDING = ".running"
LOOK_S = 1.0  # between looks at what runs a stage
IN_ORDER_S = 6.0  # for a stage that is left alone: with the rest, ten seconds at most


def claim(stage: str) -> None:
    """Hold the lock of a stage of the DVC project in the working directory until this process ends.

    Raises:
        ResourceError: another process runs the stage, in another terminal or left behind by a run that was killed.
    """
    if not FOLDER.parent.is_dir():
        return
    FOLDER.mkdir(exist_ok=True)
    hold(FOLDER / f"{stage}{ENDING}", f"{stage} is being run")


def end_when_left_alone() -> None:
    """Send this process SIGTERM once the DVC that runs it, or the flow above that, has ended, and soon once more.

    DVC forwards no signal, and what is killed cannot; a stage would go on unseen.
    """
    if "DVC_STAGE" in os.environ:  # set by DVC
        threading.Thread(target=_watch, args=(_above(),), daemon=True).start()


def _above() -> list[psutil.Process]:
    """The processes from this one's parent to DVC, and what has started DVC if that is a run of Prefect's."""
    parents: list[psutil.Process] = psutil.Process().parents()
    dvc = next((i for i, parent in enumerate(parents) if "dvc" in (Path(word).name for word in parent.cmdline())), 0)
    return parents[: dvc + 1 + ("PREFECT__FLOW_RUN_ID" in os.environ)]


def _watch(above: list[psutil.Process]) -> None:
    while all(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in above):
        time.sleep(LOOK_S)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(IN_ORDER_S)
    os.kill(os.getpid(), signal.SIGTERM)  # the second takes its effect at once


def running(root: Path) -> list[str]:
    """Return a line for each stage that runs in a checkout: which process, since when, and how to end it."""
    held = ((file.name.removesuffix(ENDING), holder(file)) for file in sorted((root / FOLDER).glob(f"*{ENDING}")))
    return [f"{stage} is being run by {process}" for stage, process in held if process is not None]
