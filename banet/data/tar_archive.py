"""A benchmark in a tar or tar.gz: no member can be reached but through all before it."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

from banet.data.archive_base import Archive
from banet.data.layouts import SHARP, PairMembers
from banet.data.members import (
    LARGEST_LIST,
    LARGEST_MEMBER,
    UNTRUSTED,
    BadMemberError,
    HostileArchiveError,
    Member,
    as_text,
    empty,
    is_ignored,
    shown,
    too_large,
)
from banet.data.tar import TarStream, read_members, require_header
from banet.errors import DataError

LARGEST_WAIT = 2**30  # bytes of images that wait for the rest of their pairs


class TarArchive(Archive):
    """A tar or tar.gz; every pass reads it from its start."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._members: list[Member] | None = None
        self._texts: dict[str, bytes] = {}
        with path.open("rb") as file:
            require_header(TarStream(file))

    def close(self) -> None:
        """Do nothing: every pass closes the file that it opened."""

    def members(self) -> list[Member]:
        """List the files, in one pass whose result is kept."""
        if self._members is None:
            self.require_whole()
        return self._members or []

    def read(self, member: str) -> bytes:
        """Read one member, in a pass up to it."""
        pair = PairMembers(split="", sequence="", frame="", members={SHARP: member})
        return next(self.read_pairs([pair]))[1][SHARP]

    def text(self, member: str) -> str:
        """Read a list file, kept from the pass that listed the members."""
        self.members()
        return as_text(self.path, member, self._texts.get(member))

    def require_whole(self) -> None:
        """Read every byte once and verify the checksum of a gzip file; a plain tar has none for its contents."""
        members: list[Member] = []
        texts: dict[str, bytes] = {}
        problems: list[str] = []
        for member, content in self._pass(_is_list, problems):
            members.append(member)
            if content is not None:
                texts[member.name] = content
        self._require_trust(members)
        self._require_none(problems)
        self._members, self._texts = members, texts

    def read_pairs(
        self, pairs: list[PairMembers], problems: list[str] | None = None
    ) -> Iterator[tuple[PairMembers, dict[str, bytes]]]:
        """Yield pairs with the bytes of their images, each as soon as it is complete."""
        uses: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for i, pair in enumerate(pairs):
            for kind, name in pair.members.items():
                uses[name].append((i, kind))
        waiting: dict[int, dict[str, bytes]] = defaultdict(dict)
        found: list[str] = []
        lost: set[int] = set()  # pairs that will not be complete
        held = 0
        for member, content in self._pass(lambda member: member.name in uses and _is_readable(member), found):
            for i, kind in uses.pop(member.name, ()):
                if not content:
                    found.append(_why_unread(member))
                    lost.add(i)
                    held -= _bytes(waiting.pop(i, {}))
                elif i not in lost:
                    waiting[i][kind] = content
                    held += len(content)
                if i in waiting and len(waiting[i]) == len(pairs[i].members):
                    held -= _bytes(waiting[i])
                    yield pairs[i], waiting.pop(i)
            if held > LARGEST_WAIT:
                raise DataError(
                    f"{self.path}: the images of its pairs lie over {LARGEST_WAIT} bytes apart: make a ZIP of it"
                )
        self._report(found + [f"{shown(name)} is missing" for name in uses], problems)

    def _pass(self, keep: Callable[[Member], bool], problems: list[str]) -> Iterator[tuple[Member, bytes | None]]:
        """Yield the files, with the content of those to keep; where the tar breaks off, `problems` gets why."""
        at = "its start"

        def note(member: Member) -> bool:
            nonlocal at
            at = shown(member.name)
            return keep(member)

        try:
            with self.path.open("rb") as file:
                yield from read_members(TarStream(file), note)
        except HostileArchiveError as error:
            raise DataError(f"{self.path}: it is {error} at {at}: {UNTRUSTED}") from None
        except BadMemberError as error:
            problems.append(f"it is {error} at {at}")
        except OSError as error:
            problems.append(f"it cannot be read ({error.strerror or error}) at {at}")


def _is_list(member: Member) -> bool:
    return member.name.endswith(".txt") and member.size <= LARGEST_LIST and not is_ignored(member.name)


def _is_readable(member: Member) -> bool:
    return member.size <= LARGEST_MEMBER and not member.fault


def _why_unread(member: Member) -> str:
    if member.fault:
        return f"{shown(member.name)} is {member.fault}"
    return too_large(member.name, member.size) if member.size else empty(member.name)


def _bytes(contents: dict[str, bytes]) -> int:
    return sum(map(len, contents.values()))
