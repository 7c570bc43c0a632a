"""What is done of a folder stays done: a small file beside the outputs says of each from what and how it was made.

A line of JSON each, with the digest of what was written; the last line of a name holds.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from banet.files import sha256_of, writing_to
from banet.restoring.change import Change
from banet.restoring.input_files import RECORD, PictureFile


class OutputRecord:
    """What the outputs of a folder were made of.

    Args:
        folder: of the outputs.
        options: all but the input that decides an output.
        compare: whether a comparison is written beside each.

    Raises:
        ResourceError: the folder cannot be written.
    """

    def __init__(self, folder: Path, options: Mapping[str, object], *, compare: bool) -> None:
        self.folder, self.compare, self.file = folder, compare, folder / RECORD
        self.options = json.loads(json.dumps(dict(options)))  # as they come back from the file
        self.entries: dict[str, dict[str, Any]] = {}
        with writing_to(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with self.file.open("a+", encoding="utf-8") as record:  # which shows that the folder can be written, too
                record.seek(0)
                lines = record.readlines()
                if lines and not lines[-1].endswith("\n"):  # cut off when the disk was full
                    record.write("\n")
        for line in lines:
            try:
                entry = json.loads(line)
                self.entries[entry["output"]] = entry
            except (ValueError, KeyError, TypeError):
                continue

    def done(self, picture: PictureFile, digest: str | None = None) -> Change | None:
        """Return how a picture was changed when it was done before, if its output is still there; else None.

        Args:
            picture: its input and output.
            digest: of the input; None: it is read, if the record has such a picture at all.
        """
        try:
            change = self.entry(picture, digest)["change"]
            return Change(**(change | {"blocks": tuple(map(tuple, change["blocks"]))}))
        except (KeyError, TypeError):
            return None

    def entry(self, picture: PictureFile, digest: str | None = None) -> dict[str, Any]:
        """Return what was recorded of an output, see `done`; empty if it is to be made."""
        entry = self.entries.get(self._name(picture), {})
        if entry.get("options") != self.options:
            return {}
        written = [picture.target, *([picture.compared] if self.compare else [])]
        try:
            same = entry["input"] == (digest or sha256_of(picture.source))
            return entry if same and [sha256_of(path) for path in written] == entry["written"] else {}
        except (OSError, KeyError):
            return {}

    def add(self, picture: PictureFile, digest: str, written: Sequence[str], said: Mapping[str, object]) -> None:
        """Record the digests of what was written and of the input that it was made of, and what is said of it."""
        entry = {
            "output": self._name(picture),
            "input": digest,
            "options": self.options,
            "written": written,
            **said,
        }
        with writing_to(self.folder), self.file.open("a", encoding="utf-8") as lines:
            lines.write(f"{json.dumps(entry)}\n")

    def _name(self, picture: PictureFile) -> str:
        return picture.target.relative_to(self.folder).as_posix()
