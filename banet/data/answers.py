"""What servers answer in place of a file."""

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING

from banet.data.links import SourceError
from banet.data.partial import Partial

if TYPE_CHECKING:
    import requests

FIRST_BYTES = {".zip": (b"PK\x03\x04", b"PK\x05\x06"), ".gz": (b"\x1f\x8b\x08",)}  # by the ending of the final name
WEB_PAGE = "gives a web page in place of the archive"


def require_archive(response: "requests.Response") -> None:
    """Refuse an answer that cannot be the file.

    Raises:
        SourceError: says why, and whether to ask again.
    """
    status = response.status_code
    if status == 416:
        return  # the partial file begins again
    if status in (429, 503):
        raise SourceError(f"status {status}", retry=True, service=True, after=_retry_after(response.headers))
    if status >= 500 or status == 408:
        raise SourceError(f"status {status}", retry=True, service=True)
    if status not in (200, 206):
        raise SourceError(f"status {status}")
    if "html" in response.headers.get("Content-Type", ""):
        raise SourceError(WEB_PAGE)


def require_first_bytes(partial: Partial, path: Path) -> None:
    """Refuse, and forget, what does not begin as the file `path` must by its ending.

    Raises:
        SourceError: it is something else.
    """
    starts = FIRST_BYTES.get(path.suffix)
    length = max(map(len, starts)) if starts else 0
    if starts and len(partial.head) >= length and not partial.head.startswith(starts):
        page = partial.head.lstrip().startswith(b"<")
        partial.discard()
        raise SourceError(WEB_PAGE) if page else SourceError(f"is no {path.suffix} file", wrong=True)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks us to wait, given as seconds or as a date."""
    value = headers.get("Retry-After", "").strip()
    if re.fullmatch("[0-9]+", value):
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def reason(error: Exception, *, connect_seconds: float, read_seconds: float) -> str:
    """Say in a few words why an exchange failed."""
    import requests
    import urllib3

    if isinstance(error, requests.ConnectTimeout):
        return f"no connection within {connect_seconds:g} s"
    if isinstance(error, requests.Timeout | urllib3.exceptions.ReadTimeoutError):
        return f"nothing came for {read_seconds:g} s"
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted"
    if isinstance(error, urllib3.exceptions.HTTPError):
        return "the connection broke"
    return f"no connection ({type(error).__name__})"
