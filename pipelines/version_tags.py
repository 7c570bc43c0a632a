"""What a registered version is traced by beside its run: archives, and the stages before it."""

import json
from collections.abc import Sequence
from pathlib import Path

from banet.data.download.lockfile import read_pins
from banet.data.manifest import ARCHIVES_LOCK, MANIFESTS, read_benchmark
from banet.errors import ConfigError
from banet.lineage.trace import ARCHIVES, STAGES
from banet.parsing import read_yaml
from banet.tracking.store import main_checkout

LOCK = Path("dvc.lock")


def version_tags(benchmark: str) -> dict[str, str]:
    """Tag a version with the archives of its training benchmark and the digests of the stages before it, as JSON.

    Both are read as they are now: `archives.lock` and `dvc.lock` are no dependency of a stage. No tag where there is
    nothing to read.
    """
    found = {ARCHIVES: _archives(benchmark), STAGES: _stages((f"fetch@{benchmark}", f"shard@{benchmark}", "train"))}
    return {tag: json.dumps(values) for tag, values in found.items() if values}


def _archives(benchmark: str) -> dict[str, dict[str, object]]:
    if not (MANIFESTS / f"{benchmark}.yaml").is_file():
        return {}
    pins = read_pins(main_checkout(Path.cwd()) / ARCHIVES_LOCK)
    return {
        archive.name: {"sha256": pin.sha256, "bytes": pin.bytes, "source": pin.source}
        if (pin := pins.get(archive.name))
        else {"sha256": archive.sha256, "source": archive.sources[0]}
        for archive in read_benchmark(MANIFESTS, benchmark).archives
    }


def _stages(names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the digest of each output of some stages, by its path, from `dvc.lock`."""
    try:
        locked = read_yaml(LOCK)
    except ConfigError:  # without DVC there is none
        return {}
    stages = locked.get("stages", {}) if isinstance(locked, dict) else {}
    return {name: {out["path"]: out["md5"] for out in stages[name]["outs"]} for name in names if name in stages}
