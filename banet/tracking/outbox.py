"""The journal of a training: shown to people, and sent to the store whenever it answers."""

import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from banet.tracking.runs import log_points
from banet.tracking.store import Store, require_answer
from banet.train.journal import Journal, Point

SECONDS_BETWEEN = 1.0  # attempts to send


class MetricsSender:
    """Shows a journal and sends it to a run, from a thread of its own while it is entered: training waits for neither.

    What an earlier process has sent is sent again, which changes nothing: a point keeps its time.

    Args:
        show: is given each new point or message, once.
        send_more: sends what is not in the journal, after each attempt to send that.
    """

    def __init__(
        self,
        store: Store,
        run_id: str,
        journal: Journal,
        *,
        show: Callable[[Point | str], None] = lambda _: None,
        send_more: Callable[[], None] = lambda: None,
    ) -> None:
        self._store, self._run_id, self._journal, self._show, self._send_more = store, run_id, journal, show, send_more
        self._unsent = [point for point in journal.new() if isinstance(point, Point)]  # of an earlier process
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    def send(self) -> None:
        """Send what is not sent yet.

        Raises:
            ServiceError: the store does not answer; everything is kept.
        """
        self._take()
        if self._unsent:
            require_answer(self._store.uri)
            log_points(self._store, self._run_id, self._unsent)
            self._unsent = []
        self._send_more()

    def _take(self) -> None:
        for told in self._journal.new():
            self._show(told)
            if isinstance(told, Point):
                self._unsent.append(told)

    def _run(self) -> None:
        failing = False
        while not self._end.wait(SECONDS_BETWEEN):
            try:
                self.send()
            except Exception as error:  # whatever it is: training goes on, and the last attempt will raise it
                if not failing:
                    print(f"train: metrics are kept and sent later: {error}", file=sys.stderr, flush=True)  # noqa: T201
                failing = True
            else:
                failing = False
