"""What every archive of a benchmark offers, whatever packs it."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from banet.data.archives.layouts import PairFiles, find_pairs
from banet.data.archives.safety import (
    FETCH_AGAIN,
    LITTER_SAID,
    UNTRUSTED,
    BadMemberError,
    Member,
    as_text,
    is_ignored,
    summary,
    untrusted,
)
from banet.data.manifest import Benchmark
from banet.errors import DataError
from banet.progress import say


class Archive(ABC):
    """An open archive of a benchmark, used as a context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def remedy(self) -> str:
        """What to do about members that cannot be read."""
        return FETCH_AGAIN

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Close the file."""

    @abstractmethod
    def members(self) -> list[Member]:
        """List the files in the archive, folders left out.

        Raises:
            DataError: a tar that is damaged or cut short; it is read to its end for this, once.
        """

    def sizes(self) -> dict[str, int]:
        """Bytes of every member, unpacked, by its name; raises as `members` does."""
        return {member.name: member.size for member in self.members()}

    @abstractmethod
    def read(self, member: str) -> bytes:
        """Read one member whole; in a tar this costs a pass over everything before it.

        Raises:
            DataError: the member is missing, damaged, password-protected, empty, or too large to be an image.
        """

    @abstractmethod
    def text(self, member: str) -> str:
        """Read a list file.

        Raises:
            DataError: it cannot be read, is not text or is too large.
        """

    @abstractmethod
    def read_pairs(
        self, pairs: list[PairFiles], problems: list[str] | None = None
    ) -> Iterator[tuple[PairFiles, dict[str, bytes]]]:
        """Yield pairs with the bytes of their images by kind.

        A ZIP gives them in the order asked for, each member's checksum verified; several processes may read parts of
        one ZIP. A tar is read once from start to end, and yields a pair as soon as all its images have come: in the
        order of the tar, the same on every run. Images that wait for the rest of their pair are held in memory:
        RealBlur's for one scene at most, about 40 MB; over 1 GiB is an error.

        Args:
            pairs: of this archive, all or some.
            problems: gets what could not be read, for a caller that adds its own; then nothing is raised.

        Raises:
            DataError: after the last good pair; names what could not be read, all in one line.
        """

    @abstractmethod
    def require_whole(self) -> None:
        """Read every byte once and verify every checksum, in little memory.

        Raises:
            DataError: the archive is not trusted, damaged or cut short; names the bad members, all in one line.
        """

    def pairs(self, benchmark: Benchmark) -> list[PairFiles]:
        """Find the pairs by name or list, in the order of split, sequence and frame.

        Raises:
            DataError: the archive is not trusted or belongs to another benchmark; images are missing, found twice or
                password-protected: all in one line.
        """
        members = self.members()
        self._require_trust(members)
        if litter := sum(is_ignored(member.name) for member in members):
            say(f"{self.path}: {litter} members are passed over: {LITTER_SAID}")
        pairs, problems = find_pairs(benchmark, [member.name for member in members], self.text)
        if all(len(pair.members) <= len(benchmark.variants) for pair in pairs):  # none is complete
            why = f" ({summary(problems)})" if problems else ""
            raise DataError(
                f"{self.path} holds no pairs of the layout {benchmark.layout}{why}: is it {benchmark.title}?"
            )
        images = [name for pair in pairs for name in pair.members.values()]
        self._require_none(problems + self._locked(images))
        return pairs

    def _locked(self, names: list[str]) -> list[str]:
        """Name the members that a password or an unknown packing keeps from being read."""
        return []

    def _require_trust(self, members: list[Member]) -> None:
        if problems := untrusted(members, self.path.stat().st_size):
            raise DataError(f"{self.path}: {summary(problems)}: {UNTRUSTED}")

    def _report(self, found: list[str], problems: list[str] | None) -> None:
        if problems is None:
            self._require_none(found)
        else:
            problems += found

    def _require_none(self, problems: list[str]) -> None:
        """Raise what is wrong as one line."""
        if problems:
            raise DataError(f"{self.path}: {summary(problems)}: {self.remedy}")


class RandomArchive(Archive):
    """An archive whose members are read in any order, parts of it also by several processes at once."""

    @abstractmethod
    def _content(self, name: str) -> bytes:
        """Read one member, verified, or raise BadMemberError."""

    def read(self, member: str) -> bytes:
        """Read one member, verified."""
        try:
            return self._content(member)
        except BadMemberError as error:
            raise DataError(f"{self.path}: {error}: {self.remedy}") from None

    def text(self, member: str) -> str:
        """Read a list file, verified."""
        return as_text(self.path, member, self.read(member))

    def read_pairs(
        self, pairs: list[PairFiles], problems: list[str] | None = None
    ) -> Iterator[tuple[PairFiles, dict[str, bytes]]]:
        """Yield pairs in order with the bytes of their images, verified."""
        found: list[str] = []
        for pair in pairs:
            contents = {}
            for kind, name in pair.members.items():
                try:
                    contents[kind] = self._content(name)
                except BadMemberError as error:
                    found.append(str(error))
            if len(contents) == len(pair.members):
                yield pair, contents
        self._report(found, problems)
