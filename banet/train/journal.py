"""What happens in a run: a file with a line of JSON per point of the training curve or message."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from banet.files import writing_to


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Values that were measured at one step."""

    time_ms: int  # since 1970
    step: int
    metrics: Mapping[str, float]


class Journal:
    """Such a file; one process writes, others read on from where they were."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._read_to = 0  # bytes

    @property
    def size(self) -> int:
        """Bytes that were written."""
        return self.file.stat().st_size if self.file.exists() else 0

    def begin(self) -> None:
        """Go on after a line that a killed process may have cut off."""
        self._write("")

    def append(self, step: int, metrics: Mapping[str, float]) -> None:
        """Keep the metrics of a step.

        Raises:
            ResourceError: the disk is full or cannot be used.
        """
        self._write(json.dumps([now_ms(), step, dict(metrics)]))

    def note(self, text: str) -> None:
        """Keep a message.

        Raises:
            ResourceError: the disk is full or cannot be used.
        """
        self._write(json.dumps([now_ms(), text]))

    def new(self) -> Iterator[Point | str]:
        """Yield what was written since the last call, in order; lines that were cut off are left out."""
        if not self.file.exists():
            return
        with self.file.open("rb") as stream:
            stream.seek(self._read_to)
            for line in stream:
                if not line.endswith(b"\n"):
                    return  # it is being written
                self._read_to += len(line)
                with suppress(ValueError):
                    time_ms, *told = json.loads(line)
                    yield told[0] if len(told) == 1 else Point(time_ms=time_ms, step=told[0], metrics=told[1])

    def _write(self, line: str) -> None:
        with writing_to(self.file.parent), self.file.open("a", encoding="utf-8") as stream:
            stream.write(f"{line}\n")


def now_ms() -> int:
    """The time as MLflow takes it."""
    return int(time.time() * 1000)
