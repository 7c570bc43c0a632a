"""fetch: a benchmark's archives, whole and verified, never unpacked."""

import shutil
from hashlib import file_digest
from pathlib import Path

from banet.data.archive import Archive
from banet.data.benchmark import MANIFESTS, ArchiveSource, Benchmark, read_benchmark
from banet.data.mini import write_archive
from banet.errors import ConfigError, DataError
from banet.files import whole_file
from pipelines.stages.face import run_command, stage_parser

SYNTHESIS = "synthesis:"


def fetch(benchmark: Benchmark, out: Path) -> None:
    """Bring every archive of the benchmark into the folder `out`; nothing carries its final name before it is verified.

    Raises:
        ConfigError: the manifest names a source that cannot be used.
        DataError: no source gives the archive, or it is not what the manifest says.
    """
    for archive in benchmark.archives:
        with whole_file(out / archive.name) as partial:
            _bring(benchmark, archive, partial)
            _verify(benchmark, archive, partial)


def _bring(benchmark: Benchmark, archive: ArchiveSource, path: Path) -> None:
    problems = []
    for source in archive.sources:
        if source == SYNTHESIS:
            if benchmark.synthesis is None:
                raise ConfigError(f"benchmark {benchmark.name}: the source {SYNTHESIS!r} needs a section synthesis")
            write_archive(benchmark.synthesis, path, root=benchmark.name)
            return
        if Path(source).is_file():
            shutil.copyfile(source, path)
            return
        problems.append(f"{source} is not a file")
    raise DataError(f"{archive.name} of the benchmark {benchmark.name}: no source gives it ({'; '.join(problems)})")


def _verify(benchmark: Benchmark, archive: ArchiveSource, path: Path) -> None:
    if archive.sha256 is not None:
        with path.open("rb") as stream:
            found = file_digest(stream, "sha256").hexdigest()
        if found != archive.sha256:
            raise DataError(
                f"{archive.name} of the benchmark {benchmark.name} has the SHA-256 {found}, not {archive.sha256}: "
                "the source holds another file"
            )
    with Archive.open(path) as opened:
        opened.require_whole()


def main() -> None:
    """Read the arguments and fetch."""
    parser = stage_parser(__doc__)
    parser.add_argument("--benchmark", required=True, help="a manifest's name, e.g. mini")
    parser.add_argument("--out", type=Path, required=True, help="folder for the archives")
    arguments = parser.parse_args()
    fetch(read_benchmark(MANIFESTS, arguments.benchmark), arguments.out)


if __name__ == "__main__":
    run_command(main)
