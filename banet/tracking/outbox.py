"""The metrics of a training: kept in a file as they come, and sent to the store whenever it answers."""

import json
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from banet.tracking.runs import Point, log_points, now_ms
from banet.tracking.store import Store, require_answer

SECONDS_BETWEEN = 1.0  # attempts to send


@dataclass(frozen=True, slots=True)
class MetricsLog:
    """A file with a line of JSON per report; several processes may hold it, one of them writes."""

    file: Path

    def append(self, step: int, metrics: Mapping[str, float]) -> None:
        """Keep the metrics of a step."""
        with self.file.open("a", encoding="utf-8") as stream:
            stream.write(f"{json.dumps([now_ms(), step, dict(metrics)])}\n")

    def points(self) -> list[Point]:
        """All that was kept, in order; a line that was cut off by a killed process is left out."""
        found = []
        text = self.file.read_text(encoding="utf-8") if self.file.exists() else ""
        for line in text.splitlines(keepends=True):
            with suppress(ValueError):
                time_ms, step, metrics = json.loads(line if line.endswith("\n") else "")
                found.append(Point(time_ms=time_ms, step=step, metrics=metrics))
        return found


class MetricsSender:
    """Sends a log to a run from a thread of its own while it is entered: training never waits for the store.

    What an earlier process has sent is sent again, which changes nothing: a point keeps its time.
    """

    def __init__(self, store: Store, run_id: str, log: MetricsLog) -> None:
        log.file.parent.mkdir(parents=True, exist_ok=True)
        with log.file.open("a", encoding="utf-8") as stream:
            if stream.tell():
                stream.write("\n")  # after a line that was cut off
        self._store, self._run_id, self._log = store, run_id, log
        self._sent = 0
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
        new = self._log.points()[self._sent :]
        if new:
            require_answer(self._store.uri)
            log_points(self._store, self._run_id, new)
            self._sent += len(new)

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
