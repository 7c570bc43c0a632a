"""The file of a study in JSON lines: the first says what is compared, each later one is a choice."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from banet.errors import BanetError, ConfigError, DataError, ResourceError
from banet.files import writing_to
from banet.parsing import parse
from banet.study.trials import Method

FORMAT = 1
Preferred = Literal["a", "b", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The first line."""

    study: int  # the format
    a: str  # folder of the first method, as it was named
    b: str  # of the second
    images: int
    digest: str  # of all images
    seed: int  # of orders and sides
    began: str  # UTC, ISO 8601


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One line: what one participant said of one photograph."""

    participant: int  # from 1
    trial: int  # in this participant's order, from 0
    image: str
    left: Method
    right: Method
    preferred: Preferred
    time: str  # UTC, ISO 8601


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """All that a file says."""

    header: Header
    choices: tuple[Choice, ...]


class Record:
    """A study's file, open for more choices; made by `open_record`."""

    def __init__(self, path: Path, study: Study, descriptor: int) -> None:
        self.path, self.header, self.choices = path, study.header, list(study.choices)
        self._descriptor = descriptor

    def append(self, choice: Choice) -> None:
        """Put one choice on disk before returning.

        Raises:
            ResourceError: it could not be written; the file is as it was.
        """
        _append(self._descriptor, self.path, choice)
        self.choices.append(choice)


def read_study(path: Path) -> Study:
    """Read a study; an incomplete last line, as an interrupted write leaves it, is ignored.

    Raises:
        DataError: the file is missing, damaged, or not a study.
    """
    try:
        return _parsed(path, path.read_bytes())
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): name the file of `banet study --out`") from None


@contextmanager
def open_record(path: Path, *, a: str, b: str, images: int, digest: str, seed: int | None) -> Iterator[Record]:
    """Begin a study, or resume it if the file exists; the file is locked against other processes meanwhile.

    Args:
        path: the file, in a folder that exists.
        a: name of the first method.
        b: name of the second.
        images: how many photographs are compared.
        digest: of all images.
        seed: of orders and sides, from 0 to 2**32 - 1; if None, the seed in the file, or a random one for a new study.

    Raises:
        DataError: the file is not a study, or is a study of other images.
        ConfigError: the study has another seed, or another process writes to it.
        ResourceError: the disk is full, or cannot be written to.
    """
    with writing_to(path.parent):
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        _lock(descriptor, path)
        content = path.read_bytes()
        if content:
            study = _parsed(path, content)
            _require_same(path, study.header, images=images, digest=digest, seed=seed)
            os.ftruncate(descriptor, content.rfind(b"\n") + 1)
        else:
            chosen = int.from_bytes(os.urandom(4)) if seed is None else seed
            began = now()
            header = Header(study=FORMAT, a=a, b=b, images=images, digest=digest, seed=chosen, began=began)
            _append(descriptor, path, header)
            study = Study(header=header, choices=())
        yield Record(path, study, descriptor)
    finally:
        os.close(descriptor)


def now() -> str:
    """The time, UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _lock(descriptor: int, path: Path) -> None:
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise ConfigError(f"{path}: another `banet study` writes to it: stop that one, or name another file") from None


def _append(descriptor: int, path: Path, line: Header | Choice) -> None:
    content = (json.dumps(asdict(line), ensure_ascii=False) + "\n").encode()
    before = os.fstat(descriptor).st_size
    try:
        with writing_to(path.parent, ": the choice is not recorded"):
            written = os.write(descriptor, content)
            if written != len(content):
                raise ResourceError(f"the disk of {path.parent} is full: the choice is not recorded")
            os.fsync(descriptor)
    except BanetError:
        os.ftruncate(descriptor, before)
        raise


def _parsed(path: Path, content: bytes) -> Study:
    lines = content.split(b"\n")[:-1]
    if not lines:
        raise DataError(f"{path} is not a study: name a new file, or one that `banet study` wrote")
    header: Header | None = None
    choices = []
    for number, line in enumerate(lines, start=1):
        try:
            values = json.loads(line)
            if header is None:
                header = parse(Header, values, where=str(path))
            else:
                choices.append(parse(Choice, values, where=str(path)))
        except (ValueError, ConfigError):
            what = (
                "is not a study: name a new file" if number == 1 else f"is damaged in line {number}: remove that line"
            )
            raise DataError(f"{path} {what}, or one that `banet study` wrote") from None
    assert header is not None  # noqa: S101  # there is a first line
    if header.study != FORMAT:
        raise DataError(f"{path} has format {header.study}, this program reads {FORMAT}: use the newer program")
    _require_once(path, choices)
    return Study(header=header, choices=tuple(choices))


def _require_once(path: Path, choices: list[Choice]) -> None:
    seen: set[tuple[int, str]] = set()
    for choice in choices:
        key = (choice.participant, choice.image)
        if key in seen:
            raise DataError(f"{path}: participant {choice.participant} chose twice for {choice.image}: remove one line")
        seen.add(key)


def _require_same(path: Path, header: Header, *, images: int, digest: str, seed: int | None) -> None:
    if header.digest != digest:
        raise DataError(
            f"{path} is the study of {header.images} other images ({header.a} against {header.b}), these are {images}: "
            "name the same folders (and --input if it was given then), or a new file"
        )
    if seed is not None and seed != header.seed:
        raise ConfigError(f"{path} has the seed {header.seed}, not {seed}: leave out --seed to go on with it")
