"""One file from one source, over as many attempts as make progress."""

import random
import shutil
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from banet.data.answers import reason, require_archive, require_first_bytes
from banet.data.links import Link, SourceError, resolve
from banet.data.partial import Partial
from banet.errors import DataError, ResourceError

if TYPE_CHECKING:
    import requests

CHUNK = 2**20  # bytes asked for at once; what has arrived is taken, so that a trickle is seen as one
HEADERS = {"User-Agent": "Mozilla/5.0 (compatible; banet)", "Accept-Encoding": "identity"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What is known of a file before it comes."""

    bytes: int | None = None
    sha256: str | None = None
    remedy: str = ""  # ends the line that says that every source gives another file

    def problem(self, found: "Found") -> str | None:
        """Say what is wrong with a file, if anything."""
        if self.bytes is not None and found.bytes != self.bytes:
            return f"has {found.bytes} bytes, not {self.bytes}"
        if self.sha256 is not None and found.sha256 != self.sha256:
            return f"has the SHA-256 {found.sha256}, not {self.sha256}"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A whole file."""

    bytes: int
    sha256: str
    source: str | None  # None: it was there already


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How patient a download is."""

    connect_seconds: float = 20.0
    read_seconds: float = 60.0  # without a single byte
    window_seconds: float = 60.0  # over which the rate is measured
    slowest: float = 20_000.0  # bytes a second over a window; a slower source is left for the next one
    attempts: int = 5  # in a row, without progress, for each source
    progress_bytes: int = 2**20  # beyond the farthest point so far; less is no progress
    first_wait: float = 1.0  # seconds before the second attempt, doubled each time
    longest_wait: float = 120.0  # seconds; a server that asks for more is left for the next one


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a download is."""

    done: int  # bytes
    total: int | None  # bytes, where the server says so
    rate: float  # bytes a second, over the last window

    @property
    def seconds_left(self) -> float | None:
        """Time to the end at this rate."""
        return None if self.total is None or self.rate <= 0 else (self.total - self.done) / self.rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to bring, and how."""

    path: Path  # the final name; its ending tells how the file must begin
    expected: Expected  # size and digest, where known
    check: Callable[[Path], None]  # raises a DataError for a file that is not whole; its name is not yet the final one
    report: Callable[[Progress], None] = lambda _: None  # called as bytes arrive
    say: Callable[[str], None] = lambda _: None  # gets a line when something else happens: a wait, a mirror that fails
    limits: Limits = Limits()


class Transfer:
    """The download from one source, over as many attempts as make progress."""

    def __init__(self, source: str, order: Order) -> None:
        self.source, self.order, self.limits = source, order, order.limits
        self.partial = Partial(order.path, source)
        self.twice = False  # whether a file that came in pieces was wrong, and was begun again

    def run(self) -> Found:
        """Bring the file.

        Raises:
            SourceError: the source does not give it; what has arrived stays if it may be of use later.
        """
        import requests  # type: ignore[import-untyped,unused-ignore]

        self.partial.load()
        farthest, failures = self.partial.size, 0
        with requests.Session() as session:
            session.headers.update(HEADERS)
            while True:
                try:
                    return self._attempt(session)
                except SourceError as fault:
                    progress = self.partial.size >= farthest + self.limits.progress_bytes
                    farthest = max(farthest, self.partial.size)
                    failures = 1 if progress else failures + 1
                    if not fault.retry or failures >= self.limits.attempts:
                        raise
                    self._wait(fault, failures)
                finally:
                    self.partial.close()

    def _wait(self, fault: SourceError, failures: int) -> None:
        seconds = min(self.limits.first_wait * 2 ** (failures - 1), self.limits.longest_wait) * random.uniform(0.5, 1)
        if fault.after is not None:
            if fault.after > self.limits.longest_wait:
                raise SourceError(f"{fault}, and asks to wait {fault.after:.0f} s", service=True)
            seconds = fault.after
        self.order.say(f"{self.source}: {fault}; again in {seconds:.0f} s")
        time.sleep(seconds)

    def _attempt(self, session: "requests.Session") -> Found:
        import requests
        import urllib3

        partial, timeout = self.partial, (self.limits.connect_seconds, self.limits.read_seconds)
        try:
            link = resolve(self.source, session, timeout)
            expected = self._agreed(link)
            if partial.total is None or partial.size < partial.total:
                if partial.size and not partial.validator and expected.sha256 is None:
                    partial.restart()  # nothing would show that the file changed
                with session.get(
                    link.url, headers={**link.headers, **partial.request()}, stream=True, timeout=timeout
                ) as response:
                    require_archive(response)
                    partial.begin(response)
                    self._receive(response, expected)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            problem = reason(error, connect_seconds=timeout[0], read_seconds=timeout[1])
            raise SourceError(problem, retry=True, service=True) from None
        if partial.total is not None and partial.size < partial.total:
            problem = f"the connection ended after {partial.size} of {partial.total} bytes"
            raise SourceError(problem, retry=True, service=True)
        return self._finish(expected)

    def _agreed(self, link: Link) -> Expected:
        """Expect what the link's site says where nothing else is known; refuse the link where they differ."""
        known = self.order.expected
        if known.sha256 is not None and link.sha256 is not None and link.sha256 != known.sha256:
            raise SourceError(f"has the SHA-256 {link.sha256}, not {known.sha256}", wrong=True)
        return Expected(bytes=known.bytes or link.bytes, sha256=known.sha256 or link.sha256)

    def _receive(self, response: "requests.Response", expected: Expected) -> None:
        partial, limits = self.partial, self.limits
        self._require_room((expected.bytes or partial.total or 0) - partial.size)
        meter = Meter(partial.size, limits.window_seconds)
        while chunk := response.raw.read1(CHUNK, decode_content=False):
            partial.append(chunk)
            require_first_bytes(partial, self.order.path)
            self._require_size(expected)
            rate = meter.rate(partial.size)
            self.order.report(Progress(done=partial.size, total=partial.total or expected.bytes, rate=rate))
            if meter.full and rate < limits.slowest:
                raise SourceError(f"is too slow, {rate / 1000:.1f} kB/s", service=True)

    def _require_size(self, expected: Expected) -> None:
        partial = self.partial
        total = partial.size if partial.total is None else partial.total
        if expected.bytes is None or total == expected.bytes or (partial.total is None and total < expected.bytes):
            return
        more = " or more" if partial.total is None else ""
        partial.discard()
        raise SourceError(f"has {total} bytes{more}, not {expected.bytes}", wrong=True)

    def _require_room(self, needed: int) -> None:
        path = self.order.path
        free = shutil.disk_usage(path.parent).free
        if needed > free:
            raise ResourceError(
                f"{path.name} needs {needed / 1e6:,.0f} MB more, and the disk of {path.parent} has {free / 1e6:,.0f} "
                "MB left: make room and run again, what has arrived is kept and continued"
            )

    def _finish(self, expected: Expected) -> Found:
        partial = self.partial
        partial.sync()
        found = Found(bytes=partial.size, sha256=partial.digest.hexdigest(), source=self.source)
        problem = expected.problem(found)
        try:
            if problem is None:
                self.order.check(partial.path)
        except DataError as error:
            problem = str(error).replace(str(partial.path), self.order.path.name)
        if problem is None:
            partial.publish()
            return found
        # Pieces that do not fit, or a disk that lost some: worth one more try, from the start.
        again = partial.pieces > 1 and not self.twice
        self.twice = True
        partial.discard()
        raise SourceError(problem, retry=again, wrong=True)


class Meter:
    """The rate over a sliding window."""

    def __init__(self, size: int, seconds: float) -> None:
        self.seconds = seconds
        self.start = time.monotonic()
        self.points = deque([(self.start, size)])  # a hundred a window at most

    @property
    def full(self) -> bool:
        """Whether a whole window has passed."""
        return time.monotonic() - self.start >= self.seconds

    def rate(self, size: int) -> float:
        """Bytes a second, now that `size` bytes are there."""
        now = time.monotonic()
        while len(self.points) > 1 and self.points[1][0] <= now - self.seconds:
            self.points.popleft()
        first, before = self.points[0]
        if now - self.points[-1][0] >= self.seconds / 100:
            self.points.append((now, size))
        return (size - before) / max(now - first, 1e-3)
