"""fetch: a benchmark's archives, whole and verified, never unpacked; of custom data, a list of files or an archive."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from banet.data.archives.open import open_archive
from banet.data.download.lockfile import Pin, add_pin, read_pins, remedy
from banet.data.download.mirrors import DownloadRequest, Expected, FetchedFile, download
from banet.data.download.sources import Limits
from banet.data.manifest import MANIFESTS, SYNTHESIS, ArchiveSource, Benchmark, read_benchmark
from banet.data.pairs.mini import write_archive
from banet.data.pairs.prepare import write_custom
from banet.errors import ConfigError, DataError, ServiceError
from banet.files import whole_file, writing_to
from banet.progress import ProgressBar
from banet.tracking.store import main_checkout
from pipelines.stages.entrypoint import run_command

DOWNLOADS = Path("data/downloads")
LOCK = MANIFESTS / "archives.lock"
ARCHIVES = "BANET_ARCHIVES"  # environment: a folder of archives that somebody already has
BY_HAND = "a file given by hand"  # what the lock file says of such an archive: its path is nobody else's


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveStore:
    """Where archives are kept between runs: DVC removes a stage's outputs before it runs the stage again."""

    downloads: Path = DOWNLOADS  # shared by all benchmarks and workspaces
    lock: Path = LOCK  # digests as first fetched; neither dependency nor output of the stage
    given: Path | None = None  # a folder of archives that somebody already has
    root: Path = Path()  # where relative paths to custom data start


def fetch(benchmark: Benchmark, out: Path, store: ArchiveStore = ArchiveStore(), limits: Limits = Limits()) -> None:  # noqa: B008
    """Bring every archive of the benchmark into the folder `out`; nothing carries its final name before it is verified.

    Custom data become a list of their files, or an archive (`banet.data.pairs.prepare`).

    Raises:
        ConfigError: `store.given` is not a folder, or the lock file is damaged.
        DataError: no source gives the archive, or it is not what the manifest or the lock file says; or what is wrong
            with custom data.
        ServiceError: the same, because of a server.
        ResourceError: a disk is full.
    """
    if store.given is not None and not store.given.is_dir():
        raise ConfigError(f"{store.given} is not a folder: it should hold archives that you already have ({ARCHIVES})")
    with writing_to(out):
        if benchmark.is_custom:
            _gather(benchmark, out / benchmark.archive_names[0], store.root)
        for archive in benchmark.archives:
            if SYNTHESIS in archive.sources:
                _make(benchmark, archive, out / archive.name)
            else:
                _bring(benchmark, archive, out / archive.name, store, limits)


def _gather(benchmark: Benchmark, path: Path, root: Path) -> None:
    with ProgressBar(path.name) as bar:
        write_custom(benchmark, path, root=root, on_progress=bar.to)


def _make(benchmark: Benchmark, archive: ArchiveSource, path: Path) -> None:
    if benchmark.synthesis is None:
        raise ConfigError(f"benchmark {benchmark.name}: the source {SYNTHESIS!r} needs a section synthesis")
    with whole_file(path) as partial:
        write_archive(benchmark.synthesis, partial, root=benchmark.name)
        if archive.sha256 is not None:
            _require(Expected(sha256=archive.sha256), FetchedFile.read(partial, SYNTHESIS), path)
        _require_whole(partial)


def _bring(benchmark: Benchmark, archive: ArchiveSource, path: Path, store: ArchiveStore, limits: Limits) -> None:
    pin = None if archive.sha256 is not None else read_pins(store.lock).get(archive.name)
    expected = Expected(
        bytes=archive.bytes if pin is None else pin.bytes,
        sha256=archive.sha256 if pin is None else pin.sha256,
        remedy="" if pin is None else remedy(store.lock, archive.name),
    )
    # What is pinned was read to its end before; the same bytes need no second look.
    check = _require_whole if pin is None else _trust
    found = _at_hand(archive, store)
    if found is not None:
        file = FetchedFile.read(found, BY_HAND)
        _require(expected, file, found)
        check(found)
    else:
        found = store.downloads / archive.name
        file = _downloaded(benchmark, archive, found, expected, check, limits)
    if archive.sha256 is None:
        known = Pin(bytes=file.bytes, sha256=file.sha256, source=file.source or str(DOWNLOADS))
        add_pin(store.lock, archive.name, known, guard=store.downloads / ".pins.lock")
    _link(found, path)


def _at_hand(archive: ArchiveSource, store: ArchiveStore) -> Path | None:
    """The archive as a file that somebody already has, if there is one."""
    given = () if store.given is None else (store.given / archive.name,)
    return next((path for path in (*given, *archive.paths) if path.is_file()), None)


def _downloaded(
    benchmark: Benchmark,
    archive: ArchiveSource,
    path: Path,
    expected: Expected,
    check: Callable[[Path], None],
    limits: Limits,
) -> FetchedFile:
    try:
        if not archive.addresses and not path.is_file():
            reasons = "; ".join(f"{missing} is not a file" for missing in archive.paths)
            raise DataError(f"{archive.name} of the benchmark {benchmark.name}: no source gives it ({reasons})")
        with ProgressBar(archive.name, unit="B") as bar:
            request = DownloadRequest(
                path=path, expected=expected, check=check, on_progress=bar.to, on_message=bar.say, limits=limits
            )
            file = download(archive.addresses, request)
    except (DataError, ServiceError) as error:
        raise type(error)(f"{error}; or take a file that you have: set {ARCHIVES} to its folder") from None
    if file.source is None and expected.sha256 is None:
        check(path)
    return file


def _require(expected: Expected, file: FetchedFile, path: Path) -> None:
    problem = expected.problem(file)
    if problem is not None:
        raise DataError(f"{path} {problem}{expected.remedy}")


def _require_whole(path: Path) -> None:
    with open_archive(path) as opened:
        opened.require_whole()


def _trust(_: Path) -> None:
    pass


def _link(source: Path, path: Path) -> None:
    """Give a file a second name; a copy where that cannot be, as on another disk."""
    with whole_file(path) as partial:
        partial.unlink(missing_ok=True)
        try:
            os.link(source.resolve(), partial)
        except OSError:
            shutil.copyfile(source, partial)


def main(benchmark: str, out: Path) -> None:
    """Fetch the archives of a benchmark."""
    root, given = main_checkout(Path.cwd()), os.environ.get(ARCHIVES)
    store = ArchiveStore(downloads=root / DOWNLOADS, lock=root / LOCK, given=Path(given) if given else None, root=root)
    fetch(read_benchmark(MANIFESTS, benchmark), out, store)


if __name__ == "__main__":
    run_command(main, kept="what was downloaded is kept")
