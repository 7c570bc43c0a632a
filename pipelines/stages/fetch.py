"""fetch: a benchmark's archives, whole and verified, never unpacked; of own data, their listing or an archive."""

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from banet.data.archive import open_archive
from banet.data.benchmark import MANIFESTS, SYNTHESIS, ArchiveSource, Benchmark, read_benchmark
from banet.data.download import download, writing_to
from banet.data.frames import QUIET_DECODER
from banet.data.mini import write_archive
from banet.data.own_data import write_own
from banet.data.partial import sha256_of
from banet.data.pins import Pin, add_pin, read_pins, remedy
from banet.data.transfer import Expected, Found, Limits, Order, Progress
from banet.errors import ConfigError, DataError, ServiceError
from banet.files import whole_file
from banet.progress import StatusLine
from banet.tracking.store import main_checkout
from pipelines.stages.face import run_command, stage_parser

DOWNLOADS = Path("data/downloads")
LOCK = MANIFESTS / "archives.lock"
ARCHIVES = "BANET_ARCHIVES"  # environment: a folder of archives that somebody already has
BY_HAND = "a file given by hand"  # what the lock file says of such an archive: its path is nobody else's


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Where archives are kept between runs: DVC removes a stage's outputs before it runs the stage again."""

    downloads: Path = DOWNLOADS  # shared by all benchmarks and workspaces
    lock: Path = LOCK  # digests as first fetched; neither dependency nor output of the stage
    given: Path | None = None  # a folder of archives that somebody already has
    root: Path = Path()  # where relative paths to own data start


class ProgressLine(StatusLine):
    """A download's progress."""

    def __call__(self, progress: Progress) -> None:
        """Show how far it is, if it is time to."""
        self.show(described(progress))


def described(progress: Progress) -> str:
    """Say how far a download is, how fast, and how long it will take."""
    left = progress.seconds_left
    whole = "" if progress.total is None else f" of {progress.total / 1e6:,.0f}"
    share = "" if not progress.total else f" ({progress.done / progress.total:.0%})"
    time_left = "" if left is None else f", {int(left) // 3600}:{int(left) // 60 % 60:02}:{int(left) % 60:02} left"
    return f"{progress.done / 1e6:,.0f}{whole} MB{share}, {progress.rate / 1e6:.1f} MB/s{time_left}"


def fetch(benchmark: Benchmark, out: Path, store: Store = Store(), limits: Limits = Limits()) -> None:  # noqa: B008
    """Bring every archive of the benchmark into the folder `out`; nothing carries its final name before it is verified.

    Own data become a listing of their files, or an archive (`banet.data.own_data`).

    Raises:
        ConfigError: `store.given` is not a folder, or the lock file is damaged.
        DataError: no source gives the archive, or it is not what the manifest or the lock file says; or what is wrong
            with own data.
        ServiceError: the same, because of a server.
        ResourceError: a disk is full.
    """
    if store.given is not None and not store.given.is_dir():
        raise ConfigError(f"{store.given} is not a folder: it should hold archives that you already have ({ARCHIVES})")
    with writing_to(out):
        if benchmark.is_own:
            _gather(benchmark, out / benchmark.archive_names[0], store.root)
        for archive in benchmark.archives:
            if SYNTHESIS in archive.sources:
                _make(benchmark, archive, out / archive.name)
            else:
                _bring(benchmark, archive, out / archive.name, store, limits)


def _gather(benchmark: Benchmark, path: Path, root: Path) -> None:
    line = StatusLine(path.name, sys.stderr)
    try:
        write_own(benchmark, path, root=root, report=line.count)
    finally:
        line.close()


def _make(benchmark: Benchmark, archive: ArchiveSource, path: Path) -> None:
    if benchmark.synthesis is None:
        raise ConfigError(f"benchmark {benchmark.name}: the source {SYNTHESIS!r} needs a section synthesis")
    with whole_file(path) as partial:
        write_archive(benchmark.synthesis, partial, root=benchmark.name)
        if archive.sha256 is not None:
            _require(Expected(sha256=archive.sha256), _found(partial, SYNTHESIS), path)
        _require_whole(partial)


def _bring(benchmark: Benchmark, archive: ArchiveSource, path: Path, store: Store, limits: Limits) -> None:
    pin = None if archive.sha256 is not None else read_pins(store.lock).get(archive.name)
    expected = Expected(
        bytes=archive.bytes if pin is None else pin.bytes,
        sha256=archive.sha256 if pin is None else pin.sha256,
        remedy="" if pin is None else remedy(store.lock, archive.name),
    )
    # What is pinned was read to its end before; the same bytes need no second look.
    check = _require_whole if pin is None else _trust
    own = _own(archive, store)
    if own is not None:
        found = _found(own, BY_HAND)
        _require(expected, found, own)
        check(own)
    else:
        own = store.downloads / archive.name
        found = _downloaded(benchmark, archive, own, expected, check, limits)
    if archive.sha256 is None:
        known = Pin(bytes=found.bytes, sha256=found.sha256, source=found.source or str(DOWNLOADS))
        add_pin(store.lock, archive.name, known, guard=store.downloads / ".pins.lock")
    _link(own, path)


def _own(archive: ArchiveSource, store: Store) -> Path | None:
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
) -> Found:
    line = ProgressLine(archive.name, sys.stderr)
    try:
        if not archive.addresses and not path.is_file():
            reasons = "; ".join(f"{missing} is not a file" for missing in archive.paths)
            raise DataError(f"{archive.name} of the benchmark {benchmark.name}: no source gives it ({reasons})")
        order = Order(path=path, expected=expected, check=check, report=line, say=line.say, limits=limits)
        found = download(archive.addresses, order)
    except (DataError, ServiceError) as error:
        raise type(error)(f"{error}; or take a file that you have: set {ARCHIVES} to its folder") from None
    finally:
        line.close()
    if found.source is None and expected.sha256 is None:
        check(path)
    return found


def _require(expected: Expected, found: Found, path: Path) -> None:
    problem = expected.problem(found)
    if problem is not None:
        raise DataError(f"{path} {problem}{expected.remedy}")


def _found(path: Path, source: str) -> Found:
    return Found(bytes=path.stat().st_size, sha256=sha256_of(path).hexdigest(), source=source)


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


def main() -> None:
    """Read the arguments and fetch."""
    parser = stage_parser(__doc__)
    parser.add_argument("--benchmark", required=True, help="a manifest's name, e.g. mini")
    parser.add_argument("--out", type=Path, required=True, help="folder for the archives")
    arguments = parser.parse_args()
    os.environ.setdefault(*QUIET_DECODER)
    root, given = main_checkout(Path.cwd()), os.environ.get(ARCHIVES)
    store = Store(downloads=root / DOWNLOADS, lock=root / LOCK, given=Path(given) if given else None, root=root)
    fetch(read_benchmark(MANIFESTS, arguments.benchmark), arguments.out, store)


if __name__ == "__main__":
    run_command(main)
