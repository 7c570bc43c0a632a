"""Other methods' scores, kept for the report in `data/methods/BENCHMARK/NAME/`.

The folder holds `method.json`, the table of scores as Parquet and CSV, and `samples/KEY.png`: the test images that the
report shows, as restored by the method.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from banet.data.archives.safety import is_ignored
from banet.data.images.codec import read_image, write_image
from banet.data.images.image_files import as_on_disk
from banet.data.names import nfc
from banet.errors import BanetError, ConfigError, DataError
from banet.files import whole_folder, write_atomically, writing_to
from banet.parsing import parse
from banet.scoring.scores import ImageScores
from banet.scoring.table import read_table, write_table

METHODS = Path("data/methods")  # in a checkout
ABOUT, SAMPLES = "method.json", "samples"
TABLES = ("scores.parquet", "scores.csv")
LONGEST_NAME = 64  # characters
LONGEST_FOLDER = 200  # bytes of a name in UTF-8: file systems allow 255, and an unfinished folder has a longer name


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A method's scores on a benchmark's test images."""

    name: str
    benchmark: str
    data_digest: str  # of the shards whose sharp images it was scored against
    rows: tuple[ImageScores, ...]  # in the order of the keys
    folder: Path

    def sample(self, key: str) -> Path | None:
        """Return the PNG of one restored image, by its key; None if it was not kept."""
        path = as_on_disk(self.folder / SAMPLES / f"{key}.png")
        return path if path.is_file() else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _About:
    name: str
    benchmark: str
    data_digest: str
    images: int


def require_name(name: str) -> None:
    """Check that a method's name can be the name of a folder.

    Raises:
        ConfigError: it is empty, hidden, too long, or has characters unsuitable for a folder.
    """
    fault = None
    if not name.strip():
        fault = "is empty"
    elif not name.isprintable() or "/" in name or "\\" in name:
        fault = "has a character unsuitable for a folder"
    elif name.startswith(".") or name != name.strip():
        fault = "begins with a dot, or begins or ends with a space"
    elif len(name) > LONGEST_NAME or len(name.encode()) > LONGEST_FOLDER:
        fault = f"is longer than {LONGEST_NAME} characters"
    if fault:
        raise ConfigError(f"--method {name!r} {fault}: it becomes the name of a folder, e.g. MIMO-UNet+")


def write_method(
    root: Path,
    *,
    name: str,
    benchmark: str,
    data_digest: str,
    rows: Sequence[ImageScores],
    samples: Mapping[str, Path],
) -> Path:
    """Write a method's folder below `root`, replacing an earlier one; return it.

    `rows` are those of all test images; `samples` are image files by key, which are copied as PNG.

    Raises:
        ConfigError: a name that cannot be a folder's.
        DataError: a sample that cannot be read.
        ResourceError: the disk is full, or cannot be used.
    """
    require_name(name)
    name = nfc(name)
    about = _About(name=name, benchmark=benchmark, data_digest=data_digest, images=len(rows))
    folder = as_on_disk(root / benchmark / name)
    with writing_to(folder.parent), whole_folder(folder) as partial:
        write_atomically(partial / ABOUT, json.dumps(asdict(about), indent=2, ensure_ascii=False) + "\n")
        for table in TABLES:
            write_table(partial / table, rows)
        for key, path in samples.items():
            write_image(partial / SAMPLES / f"{key}.png", read_image(path))
    return folder


def read_methods(root: Path, benchmark: str) -> tuple[Method, ...]:
    """Read all methods that were scored on a benchmark, sorted by name.

    Raises:
        DataError: a damaged folder.
    """
    above = root / benchmark
    if not above.is_dir():
        return ()
    folders = sorted(path for path in above.iterdir() if path.is_dir() and not is_ignored(path.name))
    return tuple(_read_method(folder, benchmark) for folder in folders)


def _read_method(folder: Path, benchmark: str) -> Method:
    try:
        about = parse(_About, json.loads((folder / ABOUT).read_text(encoding="utf-8")), where=ABOUT)
        rows = tuple(read_table(folder / TABLES[0]))
        if (nfc(about.name), about.benchmark, about.images) != (nfc(folder.name), benchmark, len(rows)):
            raise DataError(f"{ABOUT} describes {about.images} images of {about.benchmark} by {about.name!r}")
    except (OSError, ValueError, BanetError) as error:
        reason = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else " ".join(str(error).split())
        raise DataError(
            f"{folder} is damaged ({reason}): score it again: banet score --restored FOLDER --benchmark {benchmark} "
            f"--method '{folder.name}', or remove the folder"
        ) from None
    return Method(name=about.name, benchmark=benchmark, data_digest=about.data_digest, rows=rows, folder=folder)
