"""The folder of an unfinished run: all that a later process needs to continue it."""

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from banet.files import hold, whole_file, writing_to
from banet.image import Image
from banet.train.checkpoints import Checkpoints
from banet.train.journal import Journal


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Where a run keeps what; all nodes can write it."""

    folder: Path

    @property
    def checkpoints(self) -> Checkpoints:
        """The states of the training."""
        return Checkpoints(self.folder / "checkpoints")

    @property
    def journal(self) -> Journal:
        """Metrics and messages."""
        return Journal(self.folder / "journal.jsonl")

    def keep_picture(self, step: int, number: int, restored: Image) -> None:
        """Keep a held-out image as it was restored after a step, until it is sent to the run.

        Raises:
            ResourceError: the disk is full or cannot be used.
        """
        path = self._pictures / f"{step}-{number}.npy"
        with writing_to(self.folder, f"; {self.kept}"), whole_file(path) as partial, partial.open("wb") as stream:
            np.save(stream, restored)

    def take_pictures(self) -> Iterator[tuple[int, int, Image]]:
        """Yield the step, the number and the pixels of each kept picture, which is removed when the next is taken."""
        for path in sorted(self._pictures.glob("*-*.npy"), key=lambda path: path.stat().st_mtime_ns):
            step, number = path.stem.split("-")
            yield int(step), int(number), np.load(path)
            path.unlink()

    @property
    def initial_weights(self) -> Path:
        """The weights that training starts from, if the recipe names some."""
        return self.folder / "initial"

    @property
    def refused(self) -> Path:
        """Batches whose gradient was not finite."""
        return self.folder / "refused"

    @property
    def tracebacks(self) -> Path:
        """What workers have met that nobody expects, one after the other."""
        return self.folder / "tracebacks.txt"

    def keep_traceback(self, text: str) -> None:
        """Add to them."""
        with self.tracebacks.open("a", encoding="utf-8") as stream:
            stream.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} on {socket.gethostname()}\n{text}\n")

    @property
    def stop_request(self) -> Path:
        """Asks the workers to leave at the next step, by being there."""
        return self.folder / "stop"

    @property
    def kept(self) -> str:
        """Which checkpoint is kept, for a message."""
        steps = self.checkpoints.steps
        return f"the checkpoint of step {steps[0]} is kept" if steps else "no checkpoint was written yet"

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Be the one process that continues this run.

        Raises:
            ResourceError: another process trains it, or the folder cannot be written.
        """
        with writing_to(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = hold(self._lock, "this training is being run")
            self.stop_request.unlink(missing_ok=True)
        try:
            yield
        finally:
            os.close(lock)

    def remove(self) -> None:
        """Remove all of it: the run has finished."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.unlink(missing_ok=True)

    @property
    def _pictures(self) -> Path:
        return self.folder / "pictures"

    @property
    def _lock(self) -> Path:
        return self.folder.with_suffix(".lock")
