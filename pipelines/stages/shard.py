"""shard: archives into Parquet shards of pairs, with a summary."""

from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatchcase
from itertools import groupby
from pathlib import Path

from banet.data.archive import SHARP, Archive, PairMembers, open_archive, require_equal_sizes, summary
from banet.data.benchmark import MANIFESTS, Benchmark, read_benchmark
from banet.data.codec import decode
from banet.data.pixels import Storage
from banet.data.shards import Pair, ShardWriter, Summary
from banet.errors import DataError
from banet.files import whole_folder
from banet.metrics import psnr
from pipelines.stages.face import params, run_command, stage_parser


def shard(benchmark: Benchmark, raw: Path, out: Path, storage: Storage = "compact") -> Summary:
    """Write the shards of a benchmark into the folder `out`, which appears whole or not at all.

    Args:
        benchmark: its manifest.
        raw: folder of its archives.
        out: gets the shards and `summary.json`; what it held before is replaced.
        storage: of the pixels.

    Raises:
        DataError: damaged archives or images, halves of pairs, counts that are not the manifest's; all bad members of
            an archive in one line.
    """
    with whole_folder(out) as partial:
        writer = ShardWriter(partial, benchmark.variants, storage)
        for source in benchmark.archives:
            with open_archive(raw / source.name) as archive:
                for split, group in groupby(archive.pairs(benchmark), key=lambda pair: pair.split):
                    writer.write(split, _decoded(archive, list(group), benchmark))
        result = writer.finish(benchmark.name)
        _require_counts(benchmark, result)
    return result


def _decoded(
    archive: Archive, members: list[PairMembers], benchmark: Benchmark
) -> Iterator[tuple[Pair, dict[str, float]]]:
    problems: list[str] = []
    for pair, contents in archive.read_pairs(members, problems):
        try:
            images = {kind: decode(content, pair.members[kind]) for kind, content in contents.items()}
            require_equal_sizes(images, pair.key)
        except DataError as error:
            problems.append(str(error))
            continue
        scores = {variant: psnr(images[variant], images[SHARP]) for variant in benchmark.variants}
        yield Pair(key=pair.key, split=pair.split, sequence=pair.sequence, images=images), scores
    if problems:
        raise DataError(f"{archive.path}: {summary(problems)}")


def _require_counts(benchmark: Benchmark, found: Summary) -> None:
    problems = []
    for split, expected in benchmark.counts.items():
        sequences = Counter(found.counts.get(split, {}))
        for pattern, count in expected.items():
            there = sum(pairs for sequence, pairs in sequences.items() if fnmatchcase(sequence, pattern))
            if there != count:
                problems.append(f"{split}/{pattern} has {there} pairs, not {count}")
    if problems:
        raise DataError(f"benchmark {benchmark.name}: {summary(problems)}: a wrong or partial archive")


def main() -> None:
    """Read the arguments and write the shards."""
    parser = stage_parser(__doc__)
    parser.add_argument("--benchmark", required=True, help="a manifest's name, e.g. mini")
    parser.add_argument("--raw", type=Path, required=True, help="folder of the archives")
    parser.add_argument("--out", type=Path, required=True, help="folder for the shards")
    arguments = parser.parse_args()
    benchmark = read_benchmark(MANIFESTS, arguments.benchmark)
    shard(benchmark, arguments.raw, arguments.out, params().shards.storage)


if __name__ == "__main__":
    run_command(main)
