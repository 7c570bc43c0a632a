"""fetch: a benchmark's archives, whole and verified, never unpacked; of custom data, a list of files or an archive."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from banet.data.archives.open import open_archive
from banet.data.download.mirrors import Expected, FetchedFile
from banet.data.download.pinned import DOWNLOADS, FileStore, bring, require
from banet.data.download.sources import Limits
from banet.data.manifest import ARCHIVES_LOCK, MANIFESTS, SYNTHESIS, ArchiveSource, Benchmark, read_benchmark
from banet.data.pairs.mini import write_archive
from banet.data.pairs.prepare import write_custom
from banet.errors import ConfigError
from banet.files import whole_file, writing_to
from banet.progress import ProgressBar
from banet.tracking.store import main_checkout
from pipelines.stages.entrypoint import run_command

ARCHIVES = "BANET_ARCHIVES"  # environment: a folder of archives that somebody already has


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveStore(FileStore):
    """Where archives are kept between runs: DVC removes a stage's outputs before it runs the stage again."""

    downloads: Path = DOWNLOADS
    lock: Path = ARCHIVES_LOCK  # neither dependency nor output of the stage
    variable: str = ARCHIVES
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
    with writing_to(out):
        if benchmark.is_custom:
            _gather(benchmark, out / benchmark.archive_names[0], store.root)
        for archive in benchmark.archives:
            if SYNTHESIS in archive.sources:
                _make(benchmark, archive, out / archive.name)
            else:
                owner = f"the benchmark {benchmark.name}"
                found, _ = bring(archive, store, owner=owner, check=_require_whole, limits=limits)
                _link(found, out / archive.name)


def _gather(benchmark: Benchmark, path: Path, root: Path) -> None:
    with ProgressBar(path.name) as bar:
        write_custom(benchmark, path, root=root, on_progress=bar.to)


def _make(benchmark: Benchmark, archive: ArchiveSource, path: Path) -> None:
    if benchmark.synthesis is None:
        raise ConfigError(f"benchmark {benchmark.name}: the source {SYNTHESIS!r} needs a section synthesis")
    with whole_file(path) as partial:
        write_archive(benchmark.synthesis, partial, root=benchmark.name)
        if archive.sha256 is not None:
            require(Expected(sha256=archive.sha256), FetchedFile.read(partial, SYNTHESIS), path)
        _require_whole(partial)


def _require_whole(path: Path) -> None:
    with open_archive(path) as opened:
        opened.require_whole()


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
    known = Path(given) if given else None
    store = ArchiveStore(downloads=root / DOWNLOADS, lock=root / ARCHIVES_LOCK, given=known, root=root)
    fetch(read_benchmark(MANIFESTS, benchmark), out, store)


if __name__ == "__main__":
    run_command(main, kept="what was downloaded is kept")
