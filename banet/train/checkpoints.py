"""Checkpoints of a run: whole files that carry their digest, of which a damaged one is said and passed over."""

import hashlib
import io
import os
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from banet.errors import ResourceError
from banet.files import hold, sha256_of, writing_to

KEPT = 2  # generations; each holds the best weights so far
PARTIAL = ".part"  # of the one process that writes
_NAME = re.compile(r"step-(\d+)-([0-9a-f]{16})\.pt")


class Checkpoints:
    """The checkpoints in a folder, of which one process at a time writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def steps(self) -> list[int]:
        """The steps of which there are checkpoints, newest first."""
        return [step for step, _, _ in self._found()]

    def own(self, seconds: float) -> None:
        """Be the one that writes, until this process ends; wait for the end of one that was left behind.

        Raises:
            ResourceError: another process still writes here, or the folder cannot be written.
        """
        end = time.monotonic() + seconds
        with writing_to(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            while True:
                try:
                    hold(self.folder / "writer", f"checkpoints in {self.folder} are being written")
                    break
                except ResourceError:
                    if time.monotonic() > end:
                        raise
            (self.folder / PARTIAL).unlink(missing_ok=True)

    def save(self, step: int, state: Mapping[str, Any]) -> None:
        """Write a state; older ones are removed once it is there.

        Raises:
            ResourceError: the disk is full or cannot be used; the earlier checkpoints are kept.
        """
        last = self.steps[:1]
        content = io.BytesIO()  # torch hides what goes wrong on a disk
        torch.save(dict(state), content)
        digest = hashlib.sha256(content.getbuffer()).hexdigest()[:16]
        partial = self.folder / PARTIAL
        with writing_to(self.folder, f"; the checkpoint of step {last[0]} is kept" if last else ""):
            try:
                with partial.open("wb") as stream:
                    stream.write(content.getbuffer())
                    stream.flush()
                    os.fsync(stream.fileno())
                partial.rename(self.folder / f"step-{step:09d}-{digest}.pt")
            finally:
                partial.unlink(missing_ok=True)
        for _, _, path in self._found()[KEPT:]:
            path.unlink(missing_ok=True)

    def newest(self, say: Callable[[str], None]) -> dict[str, Any] | None:
        """Return the newest whole state, None if there is none; `say` is told about those that are damaged."""
        for step, digest, path in self._found():
            try:
                if sha256_of(path).startswith(digest):
                    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
                    return state
            except FileNotFoundError:  # removed by the process that writes
                continue
            say(f"the checkpoint of step {step} is damaged ({path}): going on from the one before it")
        return None

    def _found(self) -> list[tuple[int, str, Path]]:
        matches = ((_NAME.fullmatch(path.name), path) for path in self.folder.glob("step-*.pt"))
        found = [(int(match[1]), match[2], path) for match, path in matches if match]
        return sorted(found, key=lambda each: (each[0], each[2].stat().st_mtime_ns), reverse=True)
