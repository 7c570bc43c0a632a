"""Runs of a checkout: who writes its files now, and which runs have ended without a word.

Locks of the file system, because they end with their process: Prefect's own limits go on after a machine has died.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed

from banet.errors import ResourceError
from banet.files import hold, holder
from pipelines.running import FOLDER

TURN = "flow.turn"
RUN = ".flow"
LOOK_S = 1.0


@contextmanager
def turn(root: Path, say: Callable[[str], None], given_up: Callable[[], bool]) -> Iterator[None]:
    """Wait until no other run is under way in a checkout, whose files both would write.

    A lock of the file system, because it ends with its process: Prefect's limits go on after a machine has died.
    """
    (root / FOLDER).mkdir(parents=True, exist_ok=True)
    descriptor = None
    while descriptor is None and not given_up():
        try:
            descriptor = hold(root / FOLDER / TURN, "another run is under way in this checkout, driven")
        except ResourceError as error:
            say(str(error))
            say = _nothing
            time.sleep(LOOK_S)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _nothing(_: str) -> None:
    """Say it once."""


@contextmanager
def under_way(root: Path, run: UUID) -> Iterator[None]:
    """Mark a run as one that a process of this checkout carries out."""
    (root / FOLDER).mkdir(parents=True, exist_ok=True)
    mark = root / FOLDER / f"{run}{RUN}"
    descriptor = hold(mark, f"the run {run} is carried out")
    try:
        yield
    finally:
        mark.unlink(missing_ok=True)
        os.close(descriptor)


def say_crashed(root: Path, client: SyncPrefectClient) -> list[str]:
    """Tell the server which runs of a checkout have lost their process, e.g. with the machine; say it."""
    lines = []
    for mark in sorted((root / FOLDER).glob(f"*{RUN}")):
        try:
            if holder(mark) is not None or not mark.read_text():  # without text, it is about to be held
                continue
        except FileNotFoundError:  # that run has just ended
            continue
        run = UUID(mark.stem)
        with suppress(ObjectNotFound):
            found = client.read_flow_run(run)
            if found.state is not None and not found.state.is_final():
                client.set_flow_run_state(run, Crashed(message="its process has ended without a word"), force=True)
                lines.append(f"the run {found.name} had ended without a word: it is marked as crashed")
        mark.unlink(missing_ok=True)
    return lines
