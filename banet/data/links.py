"""Where the bytes of a source are: an address as it stands, a file of Google Drive or of a data set on Hugging Face.

The libraries find the address behind a link (Google's confirmation pages, Hugging Face's tokens and digests); the bytes
themselves come one way for all, `banet.data.download`, so that resuming and verifying do not depend on the link.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import requests

WEB = ("https://", "http://")
DRIVE = "gdrive:"  # gdrive:FILE_ID
HUB = "hf:datasets/"  # hf:datasets/OWNER/NAME/FILE
GOOGLE_DRIVE = "https://drive.google.com"
LARGEST_PAGE = 2**20  # bytes of a confirmation page that are read


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """An address that gives the bytes, and what its site says of them without sending them."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    bytes: int | None = None
    sha256: str | None = None


class SourceError(Exception):
    """One source does not give the file; the text continues `SOURCE: …`."""

    def __init__(
        self,
        problem: str,
        *,
        retry: bool = False,
        service: bool = False,
        wrong: bool = False,
        after: float | None = None,
    ) -> None:
        super().__init__(problem)
        self.retry = retry  # the same source may do better in a moment
        self.service = service  # a server failed: nothing that the user typed is wrong
        self.wrong = wrong  # it gives other bytes than those expected
        self.after = after  # seconds that the server asks us to wait


def resolve(source: str, session: "requests.Session", timeout: tuple[float, float]) -> Link:
    """Find the address behind a source.

    Args:
        source: `https://…`, `http://…`, `gdrive:FILE_ID` or `hf:datasets/OWNER/NAME/FILE`.
        session: keeps the cookies that the address may need.
        timeout: seconds to connect, and between two answers.

    Raises:
        SourceError: the site does not name the file.
    """
    if source.startswith(DRIVE):
        return _google_drive(source.removeprefix(DRIVE), session, timeout)
    if source.startswith(HUB):
        return _hugging_face(source.removeprefix(HUB))
    return Link(url=source)


def _google_drive(file_id: str, session: "requests.Session", timeout: tuple[float, float]) -> Link:
    try:
        from gdown.download import get_url_from_gdrive_confirmation
        from gdown.exceptions import FileURLRetrievalError
    except ImportError:
        raise SourceError("needs the package gdown: pip install gdown") from None
    url = f"{GOOGLE_DRIVE}/uc?export=download&id={file_id}"
    with session.get(url, stream=True, timeout=timeout) as response:
        if response.status_code != 200 or "Content-Disposition" in response.headers:
            return Link(url=url)  # a small file comes at once; a refusal is read where all are
        page = response.raw.read(LARGEST_PAGE, decode_content=True).decode(errors="replace")
    try:
        return Link(url=get_url_from_gdrive_confirmation(page))
    except FileURLRetrievalError as error:  # as a rule its daily quota
        raise SourceError(f"Google Drive does not give it now ({_one_line(error)})", service=True) from None


def _hugging_face(path: str) -> Link:
    try:
        from huggingface_hub import get_hf_file_metadata, get_token, hf_hub_url
        from huggingface_hub.errors import HfHubHTTPError
    except ImportError:
        raise SourceError("needs the package huggingface_hub: pip install huggingface_hub") from None
    owner, name, file = path.split("/", 2)
    url = hf_hub_url(f"{owner}/{name}", file, repo_type="dataset")
    try:
        said = get_hf_file_metadata(url)
    except HfHubHTTPError as error:
        status = error.response.status_code
        busy = status == 429 or status >= 500
        raise SourceError(f"Hugging Face answers with status {status}", retry=busy, service=busy) from None
    except Exception as error:  # the library's own network errors change with its HTTP client
        raise SourceError(f"Hugging Face does not answer ({type(error).__name__})", retry=True, service=True) from None
    known = said.etag is not None and re.fullmatch("[0-9a-f]{64}", said.etag)  # else a git hash: a small file
    token = get_token()  # of the user's login, for a data set that asks for one; not sent on to other hosts
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return Link(url=url, headers=headers, bytes=said.size, sha256=said.etag if known else None)


def _one_line(error: Exception) -> str:
    text = " ".join(re.sub("<[^>]*>", " ", str(error)).split())
    return text.partition(". ")[0].removesuffix(".")
