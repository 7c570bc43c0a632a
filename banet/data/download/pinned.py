"""A file that a manifest names: one that somebody has, or a download; pinned by its digest when it first comes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from banet.data.download.lockfile import Pin, add_pin, read_pins, remedy
from banet.data.download.mirrors import DownloadRequest, Expected, FetchedFile, download
from banet.data.download.sources import Limits
from banet.data.manifest import FileSource
from banet.errors import ConfigError, DataError, ServiceError
from banet.progress import ProgressBar

DOWNLOADS = Path("data/downloads")  # in the main checkout, shared by all benchmarks, weights and workspaces
BY_HAND = "a file given by hand"  # what the lock file says of such a file: its path is nobody else's


@dataclass(frozen=True, slots=True, kw_only=True)
class FileStore:
    """Where files are kept between runs, and where their digests are."""

    downloads: Path
    lock: Path  # digests as first fetched
    given: Path | None = None  # a folder of files that somebody already has
    variable: str  # of the environment, that names `given`


def bring(
    file: FileSource, store: FileStore, *, owner: str, check: Callable[[Path], None], limits: Limits
) -> tuple[Path, Pin]:
    """Find a file or download it; nothing carries its final name before it is verified.

    Args:
        file: its name and its sources.
        store: where it is kept, and where its digest is pinned if the manifest has none.
        owner: whose file it is, for errors, e.g. "the benchmark gopro".
        check: raises DataError for a wrong file; not called for a file with a pinned digest, which it passed before.
        limits: how patient to be.

    Returns:
        Where the file is, and what it is.

    Raises:
        ConfigError: `store.given` is not a folder, or the lock file is damaged.
        DataError: no source gives the file, or it is not what the manifest or the lock file says.
        ServiceError: the same, because of a server.
        ResourceError: a disk is full.
    """
    if store.given is not None and not store.given.is_dir():
        raise ConfigError(f"{store.given} is not a folder: {store.variable} names one of files that you already have")
    pin = None if file.sha256 is not None else read_pins(store.lock).get(file.name)
    expected = Expected(
        bytes=file.bytes if pin is None else pin.bytes,
        sha256=file.sha256 if pin is None else pin.sha256,
        remedy="" if pin is None else remedy(store.lock, file.name),
    )
    # What is pinned was read to its end before; the same bytes need no second look.
    checked = check if pin is None else _trust
    path = _at_hand(file, store)
    if path is not None:
        fetched = FetchedFile.read(path, BY_HAND)
        require(expected, fetched, path)
        checked(path)
    else:
        path = store.downloads / file.name
        fetched = _downloaded(file, store, owner, expected, checked, limits)
    known = pin or Pin(bytes=fetched.bytes, sha256=fetched.sha256, source=fetched.source or BY_HAND)
    if file.sha256 is None:
        add_pin(store.lock, file.name, known, guard=store.downloads / ".pins.lock")
    return path, known


def require(expected: Expected, fetched: FetchedFile, path: Path) -> None:
    """Check what is known of a file.

    Raises:
        DataError: it is another one.
    """
    problem = expected.problem(fetched)
    if problem is not None:
        raise DataError(f"{path} {problem}{expected.remedy}")


def _at_hand(file: FileSource, store: FileStore) -> Path | None:
    """The file as somebody already has it, if there is one."""
    given = () if store.given is None else (store.given / file.name,)
    return next((path for path in (*given, *file.paths) if path.is_file()), None)


def _downloaded(
    file: FileSource, store: FileStore, owner: str, expected: Expected, check: Callable[[Path], None], limits: Limits
) -> FetchedFile:
    path = store.downloads / file.name
    try:
        if not file.addresses and not path.is_file():
            reasons = "; ".join(f"{missing} is not a file" for missing in file.paths)
            raise DataError(f"{file.name} of {owner}: no source gives it ({reasons})")
        with ProgressBar(file.name, unit="B") as bar:
            request = DownloadRequest(
                path=path, expected=expected, check=check, on_progress=bar.to, on_message=bar.say, limits=limits
            )
            fetched = download(file.addresses, request)
    except (DataError, ServiceError) as error:
        raise type(error)(f"{error}; or take a file that you have: set {store.variable} to its folder") from None
    if fetched.source is None and expected.sha256 is None:
        check(path)
    return fetched


def _trust(_: Path) -> None:
    pass
