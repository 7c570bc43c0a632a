"""Many pictures, one after the other: read, restored and written at the same time; what is done stays done."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from banet.data.images.photograph import encode_photograph, read_photograph, require_holdable
from banet.data.images.photograph_file import PhotographFile
from banet.errors import BanetError, DataError, PartialError, ResourceError
from banet.files import FULL, write_atomically
from banet.memory import enough_memory
from banet.model.network_config import BANetConfig
from banet.progress import OnProgress
from banet.restoring.any_photograph import Restore, restore_photograph
from banet.restoring.change import Change, measure_change
from banet.restoring.input_files import PictureFile, compared_path
from banet.restoring.output_record import OutputRecord

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


Start = Callable[[str, int | None], Restoration]
"""Makes what is done to every picture, for a device and for what its process may hold in memory, bytes."""


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


def read_file(path: Path) -> tuple[bytes, str]:
    """Return the bytes of a file and their digest; raise DataError if it cannot be read."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from None
    return content, hashlib.sha256(content).hexdigest()


def restore(what: Restoration, photograph: PhotographFile, where: str) -> PhotographFile:
    """Restore a picture, see `restore_photograph`.

    Raises:
        DataError: it is smaller than 8x8.
        ResourceError: too little memory.
    """
    try:
        with enough_memory(where, REMEDY, size=photograph.pixels.shape, config=what.config):
            return restore_photograph(photograph, what.restore)
    except DataError as error:
        raise DataError(f"{where}: {error}") from None


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
    with writing(target):
        write_atomically(target, restored.content)
        if restored.compared:
            write_atomically(compared_path(target), restored.compared)


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Turn errors of the disk into one line about an output, see `write`."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise ResourceError(f"the disk of {target.parent} is full: make room and run again") from None
        raise DataError(f"{target} cannot be written ({error.strerror})") from None


class Outputs:
    """What is written into a folder, its record, and what became of each picture.

    Args:
        folder: of the outputs; holds the record.
        what: is done to all.
        on_message: is told of outputs that look wrong.

    Raises:
        ResourceError: the folder cannot be written.
    """

    def __init__(self, folder: Path, what: Restoration, on_message: Callable[[str], None]) -> None:
        self.record = OutputRecord(folder, what.options, compare=what.compare)
        self.outcome, self._say = BatchOutcome(), on_message

    def keep(self, picture: PictureFile, digest: str, restored: Restored) -> None:
        """Write and record what was made of an input with this digest."""
        write(restored, picture.target)
        parts = [part for part in (restored.content, restored.compared) if part]
        written = [hashlib.sha256(part).hexdigest() for part in parts]
        self.record.add(picture, digest, written, {"change": asdict(restored.change)})
        self.outcome.changes[str(picture.target)] = restored.change
        self.count(restored, str(picture.target))

    def count(self, restored: Restored, where: str) -> None:
        """Count a restored picture, and say if it looks wrong."""
        self.outcome.restored += 1
        for note in restored.notes:
            self.outcome.notes[note] = self.outcome.notes.get(note, 0) + 1
        if warning := restored.change.warning():
            self._say(f"{where}: {warning}")

    def keep_done(self, picture: PictureFile, change: Change) -> None:
        """Count a picture that was done before."""
        self.outcome.done_before += 1
        self.outcome.changes[str(picture.target)] = change

    def fail(self, picture: PictureFile, error: BanetError) -> None:
        """Note a bad picture."""
        text = str(error)
        self.outcome.failures.append(text if str(picture.source) in text else f"{picture.source}: {text}")

    def stopped(self, error: ResourceError, pictures: int) -> PartialError:
        """Return what to raise when the disk is full."""
        done = self.outcome.restored + self.outcome.done_before
        return PartialError(f"{error}; {done} of {pictures} pictures are done, the others follow then")


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
    outputs = Outputs(folder, what, on_message)

    def coming(picture: PictureFile) -> tuple[PictureFile, str, PhotographFile | Change | BanetError]:
        digest = ""
        try:
            content, digest = read_file(picture.source)
            done = outputs.record.done(picture, digest)
            return picture, digest, done or read(content, str(picture.source), picture.target.suffix.lower())
        except BanetError as error:
            return picture, digest, error

    def leaving(picture: PictureFile, digest: str, before: PhotographFile, after: PhotographFile) -> None:
        outputs.keep(picture, digest, encode(what, before, after, picture.target.suffix.lower()))

    def finish(writes: "list[tuple[PictureFile, Future[None]]]") -> None:
        while writes:
            picture, one = writes.pop()
            try:
                one.result()
            except DataError as error:
                outputs.fail(picture, error)

    writes: list[tuple[PictureFile, Future[None]]] = []
    try:
        with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
            for number, (picture, digest, found) in enumerate(one_ahead(reader, coming, pictures)):
                on_progress(number, len(pictures))
                if isinstance(found, BanetError):
                    outputs.fail(picture, found)
                elif isinstance(found, Change):
                    outputs.keep_done(picture, found)
                else:
                    try:
                        after = restore(what, found, str(picture.source))
                    except BanetError as error:
                        outputs.fail(picture, error)
                    else:
                        finish(writes)  # at most one waits to be written
                        writes.append((picture, writer.submit(leaving, picture, digest, found, after)))
            finish(writes)
            on_progress(len(pictures), len(pictures))
    except ResourceError as error:
        raise outputs.stopped(error, len(pictures)) from None
    return outputs.outcome


def one_ahead(pool: ThreadPoolExecutor, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Yield function(item) in order; while one is used, the next is made."""
    ahead: Future[R] | None = None
    for item in items:
        ahead, ready = pool.submit(function, item), ahead
        if ready is not None:
            yield ready.result()
    if ahead is not None:
        yield ahead.result()
