"""One source to a hidden file beside the final one; what has arrived stays there for the next attempt.

`gdown` transfers the bytes of every kind of source, because it resumes. `huggingface_hub` only gives address, size and
digest of a file: its own download starts again after a kill.
"""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from banet.data.download.drive_folder import DriveEntry, listed
from banet.data.manifest import DRIVE_FOLDER, IN_DRIVE_FOLDER
from banet.data.names import DRIVE, HUB, WEB, chosen
from banet.progress import OnProgress

if TYPE_CHECKING:
    from requests import Response  # type: ignore[import-untyped,unused-ignore]

WEB_PAGE = "gives a web page in place of the file"
HEADERS = {"User-Agent": "Mozilla/5.0 (compatible; banet)", "Accept-Encoding": "identity"}
BUSY = (408, 429, 500, 502, 503, 504)  # a server's answers that may be others in a moment
FOLDERS = 50  # pages of a Drive folder and its subfolders that are read in search of one file
NAMES = 20  # of what a folder holds, in one line


class SourceError(Exception):
    """One source does not give the file; the text continues `SOURCE: …`."""

    def __init__(self, problem: str, *, service: bool = False, cut: bool = False, unusable: bool = False) -> None:
        super().__init__(problem)
        self.service = service  # a server failed: nothing that the user typed is wrong
        self.cut = cut  # the transfer ended early and can be resumed
        self.unusable = unusable  # what has arrived cannot become the file


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How patient a download is."""

    connect_seconds: float = 20.0
    read_seconds: float = 60.0  # without a single byte
    chunk_seconds: float = 120.0  # for half a megabyte; a slower source is left for the next one
    retries: int = 5  # after failures without a mebibyte of progress between them
    longest_wait: int = 60  # seconds that a busy server can ask for


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """The address behind a source, and what its site says of the file."""

    url: str
    version: str = ""  # changes when the file does; where it is empty, a digest or a check must show that it did
    bytes: int | None = None
    sha256: str | None = None


def resolve(source: str, limits: Limits) -> Link:
    """Find the address behind a source, and the version of the file there.

    Args:
        source: `https://…`, `http://…`, `gdrive:FILE_ID`, `gdrive-folder:FOLDER_ID?resourcekey=KEY/NAME` or
            `hf:datasets/OWNER/NAME/FILE`.
        limits: how patient to be.

    Raises:
        SourceError: the site does not give the file.
    """
    if source.startswith(DRIVE):
        return Link(url=DriveEntry(id=source.removeprefix(DRIVE)).url)
    if source.startswith(DRIVE_FOLDER):
        return _in_drive_folder(source, limits)
    return _hugging_face(source.removeprefix(HUB), limits) if source.startswith(HUB) else _web(source, limits)


def _hugging_face(path: str, limits: Limits) -> Link:
    from huggingface_hub import get_hf_file_metadata, get_token, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError

    owner, name, file = path.split("/", 2)
    url = hf_hub_url(f"{owner}/{name}", file, repo_type="dataset")
    try:
        found = get_hf_file_metadata(url, timeout=limits.connect_seconds, retry_on_errors=limits.retries > 0)
    except HfHubHTTPError as error:
        status = error.response.status_code
        raise SourceError(f"Hugging Face answers with status {status}", service=status in BUSY) from None
    except Exception as error:  # the library's own network errors change with its HTTP client
        raise SourceError(f"Hugging Face does not answer ({type(error).__name__})", service=True) from None
    etag = found.etag or ""
    digest = etag if re.fullmatch("[0-9a-f]{64}", etag) else None  # else a git hash: a small file
    # With a token, the signed address that it opened; without one the Hub's own, which does not expire.
    return Link(url=found.location if get_token() else url, version=etag, bytes=found.size, sha256=digest)


def _in_drive_folder(source: str, limits: Limits) -> Link:
    """Find a file by its name or its path, in the folder itself before the folders inside."""
    place = IN_DRIVE_FOLDER.fullmatch(source)
    if place is None:
        raise SourceError(f"is no address: write {DRIVE_FOLDER}FOLDER_ID?resourcekey=KEY/NAME")
    level, seen, pages = [("", DriveEntry(id=place["id"], key=place["key"], is_folder=True))], list[str](), 0
    while level and pages < FOLDERS:
        inside = [each for path, folder in level[: FOLDERS - pages] for each in _entries(path, folder, limits)]
        pages += len(level)
        files = [(path, entry) for path, entry in inside if not entry.is_folder]
        names = [path if "/" in place["name"] else entry.name for path, entry in files]
        wanted = chosen(place["name"], names)
        found = [file for file, name in zip(files, names, strict=True) if name in wanted]
        if len(found) == 1:
            file = found[0][1]
            return _web(file.url, limits) if file.key else Link(url=file.url, version=file.id)
        if found:
            raise SourceError(f"{len(found)} files there have such a name: {_few([path for path, _ in found])}")
        seen += [path for path, _ in files]
        level = [(f"{path}/", entry) for path, entry in inside if entry.is_folder]
    if not seen:
        raise SourceError("Google Drive shows no files there: the folder is empty, not shared, or needs ?resourcekey=…")
    raise SourceError(f"the folder has no such file: there is {_few(seen)}")


def _entries(path: str, folder: DriveEntry, limits: Limits) -> list[tuple[str, DriveEntry]]:
    with _answer(folder.url, limits) as response:
        return [(path + entry.name, entry) for entry in listed(response.text)]


def _few(names: list[str]) -> str:
    more = f" and {len(names) - NAMES} more" if len(names) > NAMES else ""
    return ", ".join(names[:NAMES]) + more


def _web(url: str, limits: Limits) -> Link:
    """Read the headers alone: gdown does not keep the file's version from one process to the next."""
    # Not HEAD, which some servers refuse; the body is not read.
    with _answer(url, limits) as response:
        headers = response.headers
    if "html" in headers.get("Content-Type", ""):
        raise SourceError(WEB_PAGE, unusable=True)
    return Link(url=url, version=" ".join(headers.get(key, "") for key in ("ETag", "Last-Modified", "Content-Length")))


@contextmanager
def _answer(url: str, limits: Limits) -> Iterator["Response"]:
    """Yield the answer of a site, its body not yet read."""
    import requests
    from urllib3 import Retry

    again = Retry(limits.retries, backoff_factor=0.5, status_forcelist=BUSY, retry_after_max=limits.longest_wait)
    again.raise_on_status = False  # the last answer says more
    timeout = limits.connect_seconds, limits.read_seconds
    try:
        with requests.Session() as session:
            for scheme in WEB:
                session.mount(scheme, requests.adapters.HTTPAdapter(max_retries=again))
            with session.get(url, headers=HEADERS, stream=True, timeout=timeout) as response:
                response.raise_for_status()
                yield response
    except requests.RequestException as error:
        raise _failure(error) from None


def transfer(link: Link, path: Path, *, size: int | None, limits: Limits, on_progress: OnProgress) -> None:
    """Bring what is missing of a file to `path`.

    Args:
        link: as `resolve` gives it.
        path: appears when the last byte has arrived; until then the bytes are beside it, under a longer name.
        size: of the file in bytes, where known.
        limits: how patient to be.
        on_progress: is told how many bytes have arrived, and of how many.

    Raises:
        SourceError: the server fails, is too slow, or gives a file of another size.
        OSError: the disk is full, or cannot be written.
    """
    import gdown
    import requests

    last = time.monotonic()

    def watch(done: int, total: int | None) -> None:
        nonlocal last
        before, last = last, time.monotonic()
        if size is not None and (done > size or total not in (None, size)):
            raise SourceError(f"has {total or done} bytes, not {size}", unusable=True)
        if last - before > limits.chunk_seconds:
            raise SourceError(f"is too slow: half a megabyte took {last - before:.0f} s", service=True)
        on_progress(done, total)

    try:
        gdown.download(
            link.url,
            str(path),
            quiet=True,
            use_cookies=False,
            resume=True,
            progress=watch,
            timeout=(limits.connect_seconds, limits.read_seconds),
            retries=limits.retries,
        )
    except (gdown.DownloadError, requests.RequestException) as error:
        raise _failure(error) from None


def _failure(error: BaseException) -> SourceError:
    """Say in a few words why an exchange failed."""
    import gdown
    import requests

    if isinstance(error, gdown.FileURLRetrievalError):  # as a rule its daily quota; the context is the page's own words
        return SourceError(f"Google Drive does not give it now ({_first_sentence(error.__context__)})", service=True)
    if isinstance(error, gdown.DownloadError):
        if not isinstance(error.__cause__, requests.RequestException):  # the rest of the file was refused
            return SourceError(_first_sentence(error), service=True, cut=True, unusable=True)
        error = error.__cause__
    if isinstance(error, requests.HTTPError) and error.response is not None:
        status = error.response.status_code
        return SourceError(f"status {status}", service=status in BUSY)
    return SourceError(f"the connection failed ({type(error).__name__})", service=True, cut=True)


def _first_sentence(error: object) -> str:
    text = " ".join(re.sub("<[^>]*>", " ", str(error)).split())
    return re.split(r"[.;] ", text)[0].removesuffix(".")
