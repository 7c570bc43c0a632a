"""One file from the first of several sources that gives it whole; a download that was cut is resumed.

Under the final name there is nothing, or the whole and verified file. What has arrived is hidden beside it; its name
tells source and version, because the bytes of another must never be appended to it.
"""

import glob
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from filelock import FileLock, Timeout

from banet.data.download.sources import WEB_PAGE, Limits, SourceError, resolve, transfer
from banet.errors import DataError, ServiceError
from banet.files import sha256_of, writing_to
from banet.progress import OnProgress

GZIP = b"\x1f\x8b\x08"
FIRST_BYTES = {".zip": (b"PK\x03\x04", b"PK\x05\x06"), ".gz": (GZIP,), ".tgz": (GZIP,)}  # by the final name's ending
PROGRESS = 2**20  # bytes after which a failure counts as the first again


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedFile:
    """A whole file."""

    bytes: int
    sha256: str
    source: str | None  # None: it was there already

    @classmethod
    def read(cls, path: Path, source: str | None) -> "FetchedFile":
        """Take size and digest from the file itself."""
        return cls(bytes=path.stat().st_size, sha256=sha256_of(path), source=source)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What is known of a file before it arrives."""

    bytes: int | None = None
    sha256: str | None = None
    remedy: str = ""  # ends the line that says that every source gives another file

    def problem(self, file: FetchedFile) -> str | None:
        """Say what is wrong with a file, if anything."""
        if self.bytes is not None and file.bytes != self.bytes:
            return f"has {file.bytes} bytes, not {self.bytes}"
        if self.sha256 is not None and file.sha256 != self.sha256:
            return f"has the SHA-256 {file.sha256}, not {self.sha256}"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadRequest:
    """What to bring, and how."""

    path: Path  # the final name; what ends in .zip, .gz or .tgz must begin like one
    expected: Expected = Expected()
    check: Callable[[Path], None] = lambda _: None  # raises DataError for a wrong file; called before the rename
    on_progress: OnProgress = lambda _done, _total: None  # is told bytes
    on_message: Callable[[str], None] = lambda _: None  # gets a line when something else happens: a mirror fails
    limits: Limits = field(default_factory=Limits)


def download(sources: Sequence[str], request: DownloadRequest) -> FetchedFile:
    """Bring a file, or find it there; a second process that wants the same file waits for the first.

    Args:
        sources: in order of preference, as `banet.data.download.sources.resolve` takes them.
        request: what to bring, and how.

    Raises:
        DataError: no source gives the file; each is named with its reason.
        ServiceError: the same, and a server's failure is among the reasons.
        ResourceError: the disk is full, or cannot be written.
    """
    path = request.path
    with writing_to(path.parent, ", what has arrived is kept and resumed"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(request):
            if path.is_file():
                file = FetchedFile.read(path, None)
                problem = request.expected.problem(file)
                if problem is None:
                    return file
                request.on_message(f"{path} {problem}: it is fetched anew")
            return _first_of(sources, request)


@contextmanager
def _alone(request: DownloadRequest) -> Iterator[None]:
    lock = FileLock(request.path.with_name(f".{request.path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        request.on_message(f"another process fetches {request.path.name}: waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _first_of(sources: Sequence[str], request: DownloadRequest) -> FetchedFile:
    faults = []
    for source in sources:
        try:
            file = _from_source(source, request)
        except SourceError as fault:
            faults.append(fault)
            request.on_message(f"{source}: {fault}")
            continue
        for left in _arrived(request.path, "[0-9a-f]" * 8):
            left.unlink()
        return file
    reasons = "; ".join(f"{source}: {fault}" for source, fault in zip(sources, faults, strict=True))
    error = ServiceError if any(fault.service for fault in faults) else DataError
    end = request.expected.remedy if any(fault.unusable and not fault.service for fault in faults) else ""
    raise error(f"no source gives {request.path.name} ({reasons}){end}")


def _from_source(source: str, request: DownloadRequest) -> FetchedFile:
    """Resume for as long as bytes arrive; start again, once, where an earlier attempt's bytes may be the trouble."""
    known, restarted = request.expected, False
    while True:
        link = resolve(source, request.limits)
        if known.sha256 is not None and link.sha256 not in (None, known.sha256):
            raise SourceError(f"has the SHA-256 {link.sha256}, not {known.sha256}", unusable=True)
        expected = Expected(bytes=known.bytes or link.bytes, sha256=known.sha256 or link.sha256)
        tag = sha256(f"{source} {link.version}".encode()).hexdigest()[:8]
        partial = request.path.with_name(f".{tag}.{request.path.name}")
        before = _size(request.path, tag)
        try:
            transfer(link, partial, size=expected.bytes, limits=request.limits, on_progress=request.on_progress)
            file = _verified(partial, source, expected, request)
        except SourceError as fault:
            again = fault.cut and _size(request.path, tag) >= before + PROGRESS
            if fault.unusable:
                again, restarted = before > 0 and not restarted, True
                for left in _arrived(request.path, tag):
                    left.unlink()
            if not again:
                raise
            request.on_message(f"{source}: {fault}; trying again")
        else:
            partial.replace(request.path)
            return file


def _arrived(path: Path, tag: str) -> list[Path]:
    """The hidden files of the file `path`; gdown adds to their names until the last byte is there."""
    return list(path.parent.glob(f".{tag}.{glob.escape(path.name)}*"))


def _size(path: Path, tag: str) -> int:
    return sum(file.stat().st_size for file in _arrived(path, tag))


def _verified(partial: Path, source: str, expected: Expected, request: DownloadRequest) -> FetchedFile:
    ending = request.path.suffix
    with partial.open("rb") as stream:
        head = stream.read(16)
    if not head.startswith(FIRST_BYTES.get(ending, b"")):
        page = head.lstrip().startswith(b"<")
        raise SourceError(WEB_PAGE if page else f"is no {ending} file", unusable=True)
    file = FetchedFile.read(partial, source)
    problem = expected.problem(file)
    try:
        if problem is None:
            request.check(partial)
    except DataError as error:
        problem = str(error).replace(str(partial), request.path.name)
    if problem is not None:
        raise SourceError(problem, unusable=True)
    return file
