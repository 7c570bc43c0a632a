"""Which stages run in a checkout: each holds a lock that ends with its process, however that ends."""

import fcntl
import os
import time
from datetime import datetime
from pathlib import Path

from banet.errors import ResourceError

FOLDER = Path(".dvc/tmp")  # git and DVC's digests leave it out
ENDING = ".running"
PROBE_S = 0.2  # longer than `running` holds a lock to see whether it is free


def claim(stage: str) -> None:
    """Hold the lock of a stage of the DVC project in the working directory until this process ends.

    Raises:
        ResourceError: another process runs the stage, in another terminal or left behind by a run that was killed.
    """
    if not FOLDER.parent.is_dir():
        return
    FOLDER.mkdir(exist_ok=True)
    file = FOLDER / f"{stage}{ENDING}"
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)  # open to the end of the process
    if not _locked(descriptor, fcntl.LOCK_EX):
        time.sleep(PROBE_S)
        if not _locked(descriptor, fcntl.LOCK_EX):
            raise ResourceError(_described(file))
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()} since {datetime.now():%Y-%m-%d %H:%M:%S}".encode())


def running(root: Path) -> list[str]:
    """Return a line for each stage that runs in a checkout: which process, since when, and how to end it."""
    lines = []
    for file in sorted((root / FOLDER).glob(f"*{ENDING}")):
        with file.open() as stream:
            if not _locked(stream.fileno(), fcntl.LOCK_SH):
                lines.append(_described(file))
    return lines


def _locked(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _described(file: Path) -> str:
    process = file.read_text() or "of an unknown number"
    remedy = f"wait until it ends, or end it with `kill {process.partition(' ')[0]}`"
    return f"{file.name.removesuffix(ENDING)} is being run by the process {process}: {remedy}"
