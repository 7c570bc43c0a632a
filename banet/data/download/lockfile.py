"""The digests of files as they were first fetched, kept in a lock file that is meant to be committed.

`data/benchmarks/archives.lock` has those of archives: it is neither a dependency nor an output of the fetch stage,
which reads and writes it, and DVC does not look at it. `data/weights/weights.lock` has those of `banet pull`.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import yaml
from filelock import FileLock

from banet.errors import ConfigError, DataError
from banet.files import write_atomically
from banet.parsing import parse, read_yaml

HEADER = (
    "# Files as they were first fetched; later fetches must give the same bytes. Commit this file.\n"
    "# To accept a file that its publisher changed, delete its entry and fetch again.\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """What one file is, by its name."""

    bytes: int
    sha256: str
    source: str  # where it came from when it was pinned


def read_pins(path: Path) -> dict[str, Pin]:
    """Read the lock file; one that is missing holds nothing.

    Raises:
        ConfigError: it is damaged.
    """
    if not path.exists():
        return {}
    values = read_yaml(path) or {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must map files to their pins, got {type(values).__name__}: restore it from git")
    return {str(name): parse(Pin, value, where=f"{path}: {name}") for name, value in values.items()}


def add_pin(path: Path, name: str, pin: Pin, *, guard: Path) -> None:
    """Pin a file, safely when several processes do so at once.

    Args:
        path: the lock file.
        name: the file's name.
        pin: what it is.
        guard: a file that only serves as the processes' lock.

    Raises:
        DataError: it is pinned already, with another digest.
    """
    guard.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(guard):
        pins = read_pins(path)
        known = pins.setdefault(name, pin)
        if known.sha256 != pin.sha256:
            raise DataError(f"{name} has the SHA-256 {pin.sha256}, not {known.sha256}{remedy(path, name)}")
        lines = yaml.safe_dump({key: asdict(value) for key, value in sorted(pins.items())}, sort_keys=False)
        if known is pin:
            write_atomically(path, HEADER + lines)


def remedy(path: Path, name: str) -> str:
    """What to do when a file is not the one that was pinned; continues the line that says so."""
    return f", which {path} pins: if its publisher changed the file, delete the entry {name} there and fetch again"
