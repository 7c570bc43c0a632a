"""How far long work is: one line that is drawn again on a terminal, a line now and then elsewhere."""

import time
from typing import TextIO


class StatusLine:
    """The state of one piece of work, by name."""

    def __init__(self, name: str, stream: TextIO) -> None:
        self.name, self.stream = name, stream
        self.terminal = stream.isatty()
        self.pause = 0.2 if self.terminal else 30.0  # seconds between two
        self.next = time.monotonic() + (0 if self.terminal else 5)
        self.drawn = False

    def show(self, state: str) -> None:
        """Show the state, if it is time to."""
        now = time.monotonic()
        if now < self.next:
            return
        self.next = now + self.pause
        line = f"{self.name}: {state}"
        self.stream.write(f"\r\033[K{line}" if self.terminal else f"{line}\n")
        self.stream.flush()
        self.drawn = self.terminal

    def count(self, done: int, total: int | None) -> None:
        """Show how many pairs are done, if it is time to."""
        self.show(f"{done:,} pairs" if total is None else f"{done:,} of {total:,} pairs")

    def say(self, text: str) -> None:
        """Print a line of its own."""
        self.close()
        self.stream.write(f"{self.name}: {text}\n")
        self.stream.flush()

    def close(self) -> None:
        """End the line that was drawn."""
        if self.drawn:
            self.stream.write("\n")
        self.drawn = False
