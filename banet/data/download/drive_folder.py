"""What a shared folder of Google Drive holds, by the page that sites embed: names, ids and resource keys.

gdown reads the same page, but for whole folders only, and it drops resource keys, without which Drive does not give
what was shared before 2021, from all addresses.
"""

import re
from dataclasses import dataclass
from html.parser import HTMLParser
from urllib.parse import parse_qs, urlencode, urlsplit

SITE = "https://drive.google.com"
CONTENT = "https://drive.usercontent.google.com/download"
_PATH = re.compile(r"/(?P<kind>file/d|drive/folders)/(?P<id>[-\w]{10,})")


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveEntry:
    """A file or folder on Google Drive."""

    id: str
    key: str | None = None  # resource key
    name: str = ""
    is_folder: bool = False

    @property
    def url(self) -> str:
        """The address of the file, or of the page that lists the folder."""
        key = {"resourcekey": self.key} if self.key else {}
        if self.is_folder:
            return f"{SITE}/embeddedfolderview?{urlencode({'id': self.id} | key)}"
        if key:  # where Drive's own pages lead to, past its question whether to download a large file
            return f"{CONTENT}?{urlencode({'id': self.id, 'export': 'download', 'confirm': 't'} | key)}"
        return f"{SITE}/uc?id={self.id}"  # gdown knows it, its questions and its refusals


def listed(page: str) -> list[DriveEntry]:
    """The files and folders that a folder's page links to, in its order; Google's own documents are left out."""
    links = _Links()
    links.feed(page)
    entries = []
    for address, text in links.found:
        place = _PATH.match(urlsplit(address).path)
        if place is not None and address.startswith(SITE):
            (key,) = parse_qs(urlsplit(address).query).get("resourcekey", [None])[:1]
            name = " ".join(text.split())
            entries.append(DriveEntry(id=place["id"], key=key, name=name, is_folder=place["kind"] != "file/d"))
    return entries


class _Links(HTMLParser):
    """Collects links as address and text."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self._inside = True
            self.found.append((dict(attrs).get("href") or "", ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            address, text = self.found.pop()
            self.found.append((address, text + data))
