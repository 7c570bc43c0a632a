"""One archive from the first of several sources that gives it whole; a download that was cut goes on where it stopped.

Under the final name there is nothing, or the whole and verified file. Beside it lie, until then and hidden, for each
source that was tried the part that has arrived and a small JSON of what its server said of it: another mirror's bytes,
or those of a file that changed meanwhile, are never glued to it.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from banet import files
from banet.data.links import SourceError
from banet.data.partial import Partial, sha256_of
from banet.data.transfer import Found, Order, Transfer
from banet.errors import DataError, ServiceError


def download(sources: Sequence[str], order: Order) -> Found:
    """Bring a file, or find it there; a second process that does the same waits for the first.

    Args:
        sources: in order of preference, as `banet.data.links.resolve` takes them.
        order: what to bring, and how.

    Raises:
        DataError: no source gives the file, each with its reason.
        ServiceError: the same, and a server's failure is among the reasons.
        ResourceError: the disk is full, or cannot be written.
    """
    path = order.path
    with writing_to(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(order):
            if path.is_file():
                found = Found(bytes=path.stat().st_size, sha256=sha256_of(path).hexdigest(), source=None)
                problem = order.expected.problem(found)
                if problem is None:
                    return found
                order.say(f"{path} {problem}: it is fetched anew")
            return _first_of(sources, order)


def writing_to(folder: Path) -> AbstractContextManager[None]:
    """As `banet.files.writing_to`, of a folder that keeps what has arrived."""
    return files.writing_to(folder, ", what has arrived is kept and continued")


@contextmanager
def _alone(order: Order) -> Iterator[None]:
    lock = FileLock(order.path.with_name(f".{order.path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        order.say(f"another process fetches {order.path.name}: waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _first_of(sources: Sequence[str], order: Order) -> Found:
    faults = []
    for source in sources:
        try:
            found = Transfer(source, order).run()
        except SourceError as fault:
            faults.append(fault)
            order.say(f"{source}: {fault}")
            continue
        for left in Partial.all_of(order.path):
            left.unlink(missing_ok=True)
        return found
    reasons = "; ".join(f"{source}: {fault}" for source, fault in zip(sources, faults, strict=True))
    error = ServiceError if any(fault.service for fault in faults) else DataError
    end = order.expected.remedy if any(fault.wrong for fault in faults) else ""
    raise error(f"no source gives {order.path.name} ({reasons}){end}")
