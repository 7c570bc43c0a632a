"""Many pictures, one after the other: read, restored and written at the same time; what is done stays done.

A small file beside the outputs records of each from what and how it was made, and the digest of what was written.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from banet.data.images.photograph import PhotographFile, encode_photograph, read_photograph, require_holdable
from banet.errors import BanetError, DataError, PartialError, ResourceError
from banet.files import FULL, sha256_of, write_atomically, writing_to
from banet.memory import enough_memory
from banet.model.network_config import BANetConfig
from banet.progress import OnProgress
from banet.restoring.any_photograph import Restore, restore_photograph
from banet.restoring.change import Change, measure_change
from banet.restoring.input_files import RECORD, PictureFile, compared_path

GAP = 8  # between before and after, pixels
REMEDY = "make it smaller first"

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Restoration:
    """What is done to every picture."""

    restore: Restore
    config: BANetConfig  # of the network
    facts: Mapping[str, str]  # of the model, for XMP
    options: Mapping[str, object]  # all but the input that decides an output
    quality: int | None = None
    compare: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """A restored picture, encoded."""

    content: bytes
    compared: bytes  # before and after side by side; empty if that was not wanted
    change: Change
    notes: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class BatchOutcome:
    """What became of many pictures."""

    restored: int = 0
    done_before: int = 0
    failures: list[str] = field(default_factory=list)
    changes: dict[str, Change] = field(default_factory=dict)  # by output
    notes: dict[str, int] = field(default_factory=dict)  # how many pictures each is said of


def read(content: bytes, where: str, ending: str | None) -> PhotographFile:
    """Decode a picture whose restoration is to have a format, its own if None.

    Raises:
        DataError: it cannot be read whole, or that format cannot hold it.
        ResourceError: too little memory.
    """
    with enough_memory(where, REMEDY):
        photograph = read_photograph(content, where)
        require_holdable(photograph, ending or photograph.ending, where)
    return photograph


def restore(what: Restoration, photograph: PhotographFile, where: str) -> PhotographFile:
    """Restore a picture, see `restore_photograph`.

    Raises:
        DataError: it is smaller than 8x8.
        ResourceError: too little memory.
    """
    with enough_memory(where, REMEDY, size=photograph.pixels.shape, config=what.config):
        return restore_photograph(photograph, what.restore)


def encode(what: Restoration, before: PhotographFile, after: PhotographFile, ending: str) -> Restored:
    """Encode a restored picture and measure what changed.

    Raises:
        DataError: it is too large for its format.
    """
    change = measure_change(before.colours, after.colours, 2**before.bits - 1)
    content = encode_photograph(after, ending, what.facts, quality=what.quality)
    compared = b""
    if what.compare:
        gap = np.full_like(before.pixels[:, :GAP], 2**before.bits - 1)
        both: Any = np.hstack([before.pixels, gap, after.pixels])
        compared = encode_photograph(replace(after, pixels=both), ending, what.facts, quality=what.quality)
    return Restored(content=content, compared=compared, change=change, notes=after.notes)


def write(restored: Restored, target: Path) -> None:
    """Write a restored picture, and beside it the comparison; each is whole or not there.

    Raises:
        DataError: the file cannot be written.
        ResourceError: the disk is full.
    """
    try:
        write_atomically(target, restored.content)
        if restored.compared:
            write_atomically(compared_path(target), restored.compared)
    except OSError as error:
        if error.errno in FULL:
            raise ResourceError(f"the disk of {target.parent} is full: make room and run again") from None
        raise DataError(f"{target} cannot be written ({error.strerror})") from None


def restore_all(
    what: Restoration,
    pictures: list[PictureFile],
    folder: Path,
    *,
    on_progress: OnProgress = lambda done, total: None,
    on_message: Callable[[str], None] = lambda text: None,
) -> BatchOutcome:
    """Restore pictures that are not done yet; a bad one does not stop the others.

    Args:
        what: is done.
        pictures: from `many_pictures`.
        folder: of the outputs; holds the record.
        on_progress: is told how many are done.
        on_message: is told of outputs that look wrong.

    Raises:
        ResourceError: the folder cannot be written.
        PartialError: the disk is full; what was done before is recorded.
    """
    outcome, record = BatchOutcome(), _Record(folder, what)

    def coming(picture: PictureFile) -> "tuple[PictureFile, _Read | BanetError]":
        try:
            return picture, record.read(picture)
        except BanetError as error:
            return picture, error

    def leaving(picture: PictureFile, found: "_Read", photograph: PhotographFile, after: PhotographFile) -> None:
        restored = encode(what, photograph, after, picture.target.suffix.lower())
        record.write(picture, found.digest, restored)
        outcome.restored += 1
        outcome.changes[str(picture.target)] = restored.change
        for note in restored.notes:
            outcome.notes[note] = outcome.notes.get(note, 0) + 1
        if warning := restored.change.warning():
            on_message(f"{picture.target}: {warning}")

    def finish(writes: "list[tuple[PictureFile, Future[None]]]") -> None:
        while writes:
            picture, one = writes.pop()
            try:
                one.result()
            except DataError as error:
                outcome.failures.append(_named(picture, error))

    writes: list[tuple[PictureFile, Future[None]]] = []
    try:
        with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
            for number, (picture, found) in enumerate(_one_ahead(reader, coming, pictures)):
                on_progress(number, len(pictures))
                if isinstance(found, BanetError):
                    outcome.failures.append(_named(picture, found))
                elif found.done is not None:
                    outcome.done_before += 1
                    outcome.changes[str(picture.target)] = found.done
                elif found.photograph is not None:
                    try:
                        after = restore(what, found.photograph, str(picture.source))
                    except BanetError as error:
                        outcome.failures.append(_named(picture, error))
                    else:
                        finish(writes)  # at most one waits to be written
                        writes.append((picture, writer.submit(leaving, picture, found, found.photograph, after)))
            finish(writes)
            on_progress(len(pictures), len(pictures))
    except ResourceError as error:
        done = outcome.restored + outcome.done_before
        raise PartialError(f"{error}; {done} of {len(pictures)} pictures are done, the others follow then") from None
    return outcome


def _named(picture: PictureFile, error: BanetError) -> str:
    text = str(error)
    return text if str(picture.source) in text else f"{picture.source}: {text}"


def _one_ahead(pool: ThreadPoolExecutor, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Yield function(item) in order; while one is used, the next is made."""
    ahead: Future[R] | None = None
    for item in items:
        ahead, ready = pool.submit(function, item), ahead
        if ready is not None:
            yield ready.result()
    if ahead is not None:
        yield ahead.result()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """A picture read; without pixels if it is done already."""

    digest: str
    photograph: PhotographFile | None = None
    done: Change | None = None


class _Record:
    """What the outputs of a folder were made of, a line of JSON each; the last one of a name holds."""

    def __init__(self, folder: Path, what: Restoration) -> None:
        self.folder, self.what, self.file = folder, what, folder / RECORD
        self.options = json.loads(json.dumps(dict(what.options)))  # as they come back from the file
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

    def read(self, picture: PictureFile) -> _Read:
        try:
            content = picture.source.read_bytes()
        except OSError as error:
            raise DataError(f"{picture.source} cannot be read ({error.strerror})") from None
        digest = hashlib.sha256(content).hexdigest()
        if (done := self._done(picture, digest)) is not None:
            return _Read(digest=digest, done=done)
        return _Read(digest=digest, photograph=read(content, str(picture.source), picture.target.suffix.lower()))

    def _done(self, picture: PictureFile, digest: str) -> Change | None:
        entry = self.entries.get(self._name(picture))
        if entry is None or (entry.get("input"), entry.get("options")) != (digest, self.options):
            return None
        written = [picture.target, *([picture.compared] if self.what.compare else [])]
        try:
            if [sha256_of(path) for path in written] != entry["written"]:
                return None
            return Change(**(entry["change"] | {"blocks": tuple(map(tuple, entry["change"]["blocks"]))}))
        except (OSError, KeyError, TypeError):
            return None

    def write(self, picture: PictureFile, digest: str, restored: Restored) -> None:
        write(restored, picture.target)
        parts = [part for part in (restored.content, restored.compared) if part]
        entry = {
            "output": self._name(picture),
            "input": digest,
            "options": self.options,
            "written": [hashlib.sha256(part).hexdigest() for part in parts],
            "change": asdict(restored.change),
        }
        with writing_to(self.folder), self.file.open("a", encoding="utf-8") as lines:
            lines.write(f"{json.dumps(entry)}\n")

    def _name(self, picture: PictureFile) -> str:
        return picture.target.relative_to(self.folder).as_posix()
