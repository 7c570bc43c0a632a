"""shard: turn archives into Parquet shards of pairs, with an index and a summary."""

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from banet.data.archives.open import open_archive
from banet.data.archives.safety import summary
from banet.data.data_checks import DataChecks, checks_file, read_checks, write_checks
from banet.data.images.codec import converted_note
from banet.data.manifest import MANIFESTS, Benchmark, read_benchmark
from banet.data.sharding.build import ShardPlan, make_shard
from banet.data.sharding.judgement import REMEDIES, Measured, judge
from banet.data.sharding.writer import ShardWriter, WrittenShard
from banet.data.shards.pixels import Storage
from banet.data.shards.reader import Summary
from banet.errors import DataError
from banet.files import whole_folder, writing_to
from banet.progress import ProgressBar
from pipelines.stages.entrypoint import params, run_command

PARALLEL_BYTES = 256 * 2**20  # of images; fewer are finished before Ray has started


def shard(
    benchmark: Benchmark,
    raw: Path,
    out: Path,
    storage: Storage = "compact",
    *,
    parallel: bool | None = None,
    reports: Path | None = None,
) -> Summary:
    """Write the shards of the archives in `raw` into the folder `out`, which is replaced, whole or not at all.

    The same archives and storage give the same bytes, however many processes write them. `parallel` uses Ray on all
    cores of this node, by default if there is enough to do. The folder `reports` gets the table of the checks, even if
    one of them is an error.

    Raises:
        DataError: damaged archives or images, incomplete pairs, or a check that is an error, such as counts that differ
            from the manifest's; all bad members of an archive in one line.
        ResourceError: the disk is full or cannot be used.
    """
    measured: list[Measured] = []
    with writing_to(out.parent), whole_folder(out) as partial:
        writer = ShardWriter(partial, benchmark.variants, storage)
        numbers: Counter[str] = Counter()
        for name in benchmark.archive_names:
            with open_archive(raw / name) as archive:
                pairs, convert = archive.pairs(benchmark), benchmark.convert
                plan = ShardPlan(archive=archive, pairs=pairs, writer=writer, numbers=numbers, convert=convert)
                wanted = sum(archive.sizes().values()) >= PARALLEL_BYTES if parallel is None else parallel
                for made in _made(plan, measured, parallel=wanted):
                    writer.add(made)
        result = writer.finish(benchmark.name)
        checks = judge(
            benchmark.counts, writer.rows, result.duplicates, measured, benchmark.variants[0], benchmark.accept
        )
        table = DataChecks(benchmark=benchmark.name, data_digest=result.digest, checks=checks)
        if reports is not None:
            write_checks(checks_file(reports, benchmark.name), table)
        _require_no_error(table, reports)
    return result


def _made(plan: ShardPlan, measured: list[Measured], *, parallel: bool) -> Iterator[WrittenShard]:
    """Yield the shards of an archive in order; raise at the end if a member was bad."""
    if parallel:
        from banet.cluster.ray_session import map_here  # importing Ray takes seconds

        results = map_here(make_shard, plan.jobs())
    else:
        results = map(make_shard, plan.jobs())
    refused: list[str] = []
    converted: Counter[str] = Counter()
    done = 0
    with ProgressBar(plan.archive.path.name) as bar:
        for result in results:
            plan.unread += result.unread
            refused += result.refused
            converted += result.converted
            measured += result.measured
            done += result.shard.file.rows
            bar.to(done, len(plan.pairs))
            yield result.shard
        if note := converted_note(converted):
            bar.say(note)
    if problems := plan.unread + refused:  # refusals already name their remedy
        remedy = f": {plan.archive.remedy}" if plan.unread else ""
        raise DataError(f"{plan.archive.path}: {summary(problems)}{remedy}")


def _require_no_error(table: DataChecks, reports: Path | None) -> None:
    errors = [check for check in table.checks if check.severity == "error"]
    where = f"; all checks: {checks_file(reports, table.benchmark)}" if reports is not None else ""
    if counts := [problem for check in errors if check.name == "counts" for problem in check.found.split("; ")]:
        problems = f"{summary(counts)}: the archive is wrong or incomplete"
        raise DataError(f"benchmark {table.benchmark}: {problems}{where}")
    for check in errors:
        raise DataError(
            f"benchmark {table.benchmark}: {check.name} of {check.split} is {check.value:g} ({check.found}), and "
            f"{check.limits} is ok: {REMEDIES[check.name]}, or write `accept: [{check.name}]` in the manifest{where}"
        )


def warnings(table: DataChecks) -> list[str]:
    """Return a line for each check that is a warning, except of duplicates: `warning` names those."""
    return [
        f"warning: {table.benchmark}: {check.name} of {check.split} is {check.value:g} ({check.found}), and "
        f"{check.limits} is ok: {REMEDIES[check.name]}"
        for check in table.checks
        if check.severity == "warning" and check.name != "duplicates"
    ]


def warning(found: Summary) -> str | None:
    """Name images that are in two splits, if any: scores on training images mean little."""
    if not found.duplicates:
        return None
    groups = summary([" = ".join(group) for group in found.duplicates])
    return f"warning: {found.benchmark} holds the same images in two splits: {groups}"


def main(benchmark: str, raw: Path, out: Path, reports: Path) -> None:
    """Write the shards of a benchmark."""
    found = shard(read_benchmark(MANIFESTS, benchmark), raw, out, params().shards.storage, reports=reports)
    table = read_checks(reports, benchmark)
    for line in filter(None, [warning(found), *(warnings(table) if table else [])]):
        print(line, file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    run_command(main)
