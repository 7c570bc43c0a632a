"""Archives read member by member, never unpacked."""

import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from banet.data.benchmark import Benchmark
from banet.errors import DataError
from banet.image import Image

SHARP = "sharp"
LARGEST_MEMBER = 256 * 2**20  # bytes of one image, unpacked; a larger one is not an image of a benchmark
NAMED_MEMBERS = 5  # how many bad members an error names; it counts the rest


@dataclass(frozen=True, slots=True, kw_only=True)
class PairMembers:
    """Where the images of one pair lie in an archive."""

    split: str
    sequence: str
    frame: str
    members: dict[str, str]  # kind of image (`sharp`, a variant): member of the archive

    @property
    def key(self) -> str:
        """Name of the pair, unique in its benchmark: sequence/frame."""
        return f"{self.sequence}/{self.frame}"


@dataclass(frozen=True, slots=True)
class Archive:
    """An open ZIP of a benchmark, used as a context manager."""

    path: Path
    file: zipfile.ZipFile = field(repr=False)

    @classmethod
    def open(cls, path: Path) -> "Archive":
        """Open a ZIP.

        Raises:
            DataError: it is missing, not a ZIP, or has been cut short.
        """
        try:
            return cls(path, zipfile.ZipFile(path))
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror}): run the fetch stage") from None
        except zipfile.BadZipFile:
            raise DataError(f"{path} is not a whole ZIP archive: delete it and run the fetch stage again") from None

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def require_whole(self) -> None:
        """Read every member once and verify its checksum.

        Raises:
            DataError: names the damaged members.
        """
        problems = []
        for info in self.file.infolist():
            try:
                self.read(info.filename)
            except DataError as error:
                problems.append(str(error).removeprefix(f"{self.path}: "))
        if problems:
            raise DataError(f"{self.path}: {summary(problems)}")

    def read(self, member: str) -> bytes:
        """Read one member, its checksum verified.

        Raises:
            DataError: the member is damaged, encrypted, or too large to be an image.
        """
        size = self.file.getinfo(member).file_size
        if size > LARGEST_MEMBER:
            raise DataError(f"{self.path}: {member} unpacks to {size} bytes, no image of a benchmark does")
        try:
            return self.file.read(member)
        except (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, OSError) as error:
            raise DataError(f"{self.path}: {member} cannot be read ({error}): fetch the archive again") from None

    def pairs(self, benchmark: Benchmark) -> Iterator[PairMembers]:
        """Find the pairs by name, in the order of split, sequence and frame.

        Raises:
            DataError: names that point outside the archive, no pairs, or halves of pairs missing, all in one line.
        """
        kinds = (SHARP, *benchmark.variants)
        found: dict[tuple[str, str, str], dict[str, str]] = defaultdict(dict)
        for info in self.file.infolist():
            name = PurePosixPath(info.filename)
            if name.is_absolute() or ".." in name.parts or "\\" in info.filename:
                raise DataError(f"{self.path}: the name {info.filename!r} points outside: the archive is not trusted")
            if len(name.parts) >= 4 and name.suffix.lower() == ".png" and name.parts[-2] in kinds:
                split, sequence, kind = name.parts[-4:-1]
                found[split, sequence, name.stem][kind] = info.filename
        if not found:
            raise DataError(f"{self.path} holds no pairs of the layout {benchmark.layout}: is it {benchmark.title}?")
        missing = ((at, kind) for at, has in sorted(found.items()) for kind in kinds if kind not in has)
        halves = [f"{'/'.join(at)} lacks {kind}" for at, kind in missing]
        if halves:
            raise DataError(f"{self.path}: {summary(halves)}: fetch the archive again")
        for (split, sequence, frame), members in sorted(found.items()):
            yield PairMembers(split=split, sequence=sequence, frame=frame, members=members)


def summary(problems: list[str]) -> str:
    """Name the first problems and count the rest."""
    more = len(problems) - NAMED_MEMBERS
    return "; ".join(problems[:NAMED_MEMBERS]) + (f"; and {more} more" if more > 0 else "")


def require_equal_sizes(images: dict[str, Image], where: str) -> None:
    """Check that the images of a pair have one size.

    Raises:
        DataError: names the pair and the sizes.
    """
    sizes = {kind: f"{image.shape[0]}x{image.shape[1]}" for kind, image in images.items()}
    if len(set(sizes.values())) > 1:
        raise DataError(f"{where}: the images of a pair differ in size: {sizes}")
