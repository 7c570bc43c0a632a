"""Ends a run's stages when Prefect cannot: its worker was killed, its observer of cancellations gave up, time is up."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from uuid import UUID

import httpx
import psutil
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Failed

LOOK_S = 1.0  # between looks at the worker
ASK_S = 3.0  # between questions to the server
CANCELLED_WITHIN_S = 3.0  # for the worker, which may take 15 s to hear of it, or never does


class Watch:
    """Looks after a run from a thread of its own; `ended` is the state to end in once it has stopped the stages."""

    def __init__(
        self, run: UUID, stop: Callable[[], None], worker: psutil.Process | None = None, hours: float | None = None
    ) -> None:
        self._run, self._stop, self._hours = run, stop, hours
        self._worker = worker or psutil.Process(os.getppid())
        self._cancelling_since: float | None = None
        self._done = threading.Event()
        self.ended: State[None] | None = None

    @contextmanager
    def looking(self) -> Iterator["Watch"]:
        """Look until the block ends."""
        thread = threading.Thread(target=copy_context().run, args=(self._look,), daemon=True)  # Prefect's settings
        thread.start()
        try:
            yield self
        finally:
            self._done.set()
            thread.join()

    def _look(self) -> None:
        began = asked = time.monotonic()
        while not self._done.wait(LOOK_S):
            if not lives(self._worker):
                self.ended = Failed(message="its worker has ended; start a worker and run it again to go on")
            elif self._hours is not None and time.monotonic() - began > 3600 * self._hours:
                self.ended = Failed(message=f"it has taken its {self._hours:g} hours; run it again to go on")
            elif time.monotonic() - asked > ASK_S:
                asked = time.monotonic()
                self.ended = self._told()
            if self.ended is not None:
                self._stop()
                return

    def _told(self) -> State[None] | None:
        """How the server wants the run to end; None if it does not, or does not answer: a training goes on."""
        try:
            with get_client(sync_client=True) as client:
                state = client.read_flow_run(self._run).state
        except ObjectNotFound:
            return Cancelled(message="it was deleted")
        except (httpx.HTTPError, OSError):
            return None
        if state is None or not state.is_cancelling():
            self._cancelling_since = None
            return None
        if self._cancelling_since is None:
            self._cancelling_since = time.monotonic()
        late = time.monotonic() - self._cancelling_since > CANCELLED_WITHIN_S
        return Cancelled(message="it was cancelled; its worker had not noticed") if late else None


def lives(process: psutil.Process) -> bool:
    """Whether a process has not ended."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
