"""How far long work is: a bar with the time left on a terminal, a line every half minute elsewhere."""

import sys
import threading
from collections.abc import Callable
from typing import TextIO

from tqdm.std import tqdm

OnProgress = Callable[[int, int | None], None]
"""Is told how many items are done, and of how many; None where that is not known before."""

FIRST_SECONDS, NEXT_SECONDS = 5.0, 30.0  # before the first line, and between two, where there is no terminal


class ProgressBar(tqdm):  # type: ignore[type-arg]
    """The state of one piece of work, by name; a context manager.

    Args:
        name: of the work.
        unit: of what is counted; "B" is shown in multiples of 1000.
        stream: standard error if None.
    """

    monitor_interval = 0  # no thread: every report looks at the clock

    def __init__(self, name: str, *, unit: str = " pairs", stream: TextIO | None = None) -> None:
        stream = sys.stderr if stream is None else stream
        self._terminal, self._begun = stream.isatty(), False
        self._next_seconds = 0.2 if self._terminal else NEXT_SECONDS
        first_seconds = 0.0 if self._terminal else FIRST_SECONDS
        super().__init__(
            desc=name,
            unit=unit,
            unit_scale=unit == "B",
            file=stream if self._terminal else _Lines(stream),
            miniters=0,
            mininterval=first_seconds,
            delay=first_seconds,
            dynamic_ncols=self._terminal,
        )

    def to(self, done: int, total: int | None) -> None:
        """Show that `done` items of `total` are done, if it is time to; this is an `OnProgress`."""
        self.total = total
        if not self._begun:  # what an earlier run did says nothing of this one's speed
            self._begun, self.initial, self.n, self.last_print_n = True, done, done, done
        if self.update(done - self.n):
            self.mininterval = self._next_seconds

    def say(self, text: str) -> None:
        """Print a line of its own, above the bar."""
        line = f"{self.desc}: {text}"
        if self._terminal:
            self.write(line, file=self.fp)
        else:
            self.fp.write(line)


def say(text: str) -> None:
    """Print a line to standard error, above the bars of this process."""
    ProgressBar.write(text, file=sys.stderr)


class _Lines:
    """Writes each state of a bar as a line of its own."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> None:
        if state := text.strip():
            self.stream.write(f"{state}\n")

    def flush(self) -> None:
        self.stream.flush()


ProgressBar.set_lock(threading.RLock())  # tqdm's own would be shared by processes, which needs a semaphore
