"""Downloads, from a real HTTP server on loopback that fails in every way that servers fail."""

import hashlib
import io
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from banet.data.download.mirrors import DownloadRequest, Expected, FetchedFile, download
from banet.data.download.sources import Limits
from banet.errors import BanetError, DataError, ResourceError, ServiceError

ROOT = Path(__file__).parents[4]
QUICK = Limits(connect_seconds=5, read_seconds=5, retries=0)
CHUNK = 512 * 1024  # bytes that gdown writes at once
PAGE = b"<!DOCTYPE html><html><body>Sorry, the file cannot be downloaded now.</body></html>"


@dataclass
class Answer:
    """How one request is answered; what is not given is as it should be."""

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    cut: int | None = None  # bytes after which the connection closes
    pause: float = 0.0  # seconds between two pieces
    hold_at: int = -1  # bytes after which the server says nothing,
    hold: threading.Event = field(default_factory=threading.Event)  # until this is set
    more: int = 0  # bytes by which Content-Length is too large
    then: "Callable[[Site], None]" = lambda _: None  # before the connection closes


@dataclass
class Site:
    """One address of the server: a file, and how the next requests are answered."""

    content: bytes
    answers: list[Answer] = field(default_factory=list)  # the last one stays
    ranges: bool = True
    marks: dict[str, str] = field(default_factory=lambda: {"ETag": '"one"'})
    asked: list[str | None] = field(default_factory=list)  # Range of each request
    tokens: list[str | None] = field(default_factory=list)  # Authorization of each request
    sent: list[int] = field(default_factory=list)  # bytes of each answer
    queries: list[str] = field(default_factory=list)  # of each request


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        site: Site = self.server.sites[urlsplit(self.path).path]  # type: ignore[attr-defined]
        answer = (site.answers.pop(0) if len(site.answers) > 1 else site.answers[0]) if site.answers else Answer()
        wanted = self.headers.get("Range")
        site.asked.append(wanted)
        site.tokens.append(self.headers.get("Authorization"))
        site.sent.append(0)
        site.queries.append(urlsplit(self.path).query)
        headers, body, status = {"Content-Type": "application/zip"} | site.marks, site.content, 200
        fresh = self.headers.get("If-Range") in (None, *site.marks.values())
        if wanted and site.ranges and fresh and answer.body is None:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
            body, status = body[start:], 206
            if not body:
                headers["Content-Range"], status = f"bytes */{len(site.content)}", 416
        body = body if answer.body is None else answer.body
        if answer.status is not None and answer.body is None:
            body = b""
        headers |= {"Content-Length": str(len(body) + answer.more), "Connection": "close"} | answer.headers
        self.send_response(answer.status or status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.close_connection = True
        if self.command == "GET":
            self._send(site, len(site.sent) - 1, body[: answer.cut], answer)
        answer.then(site)

    def _send(self, site: Site, number: int, body: bytes, answer: Answer) -> None:
        try:
            for start in range(0, len(body), PIECE):
                piece = body[start : start + PIECE]
                self.wfile.write(piece)
                site.sent[number] += len(piece)
                if site.sent[number] == answer.hold_at:
                    answer.hold.wait(60)
                time.sleep(answer.pause)
        except OSError:
            pass  # the client went away

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.sites: dict[str, Site] = {}

    def add(self, name: str, content: bytes, *answers: Answer, **options: Any) -> tuple[str, Site]:  # noqa: ANN401
        self.sites[f"/{name}"] = Site(content, list(answers), **options)
        return f"http://127.0.0.1:{self.server_port}/{name}", self.sites[f"/{name}"]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def archive(size: int, seed: int = 0) -> bytes:
    """A ZIP of about `size` bytes."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr(zipfile.ZipInfo("a.bin"), random.Random(seed).randbytes(size))
    return content.getvalue()


def require_zip(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as file:
            bad = file.testzip()
    except zipfile.BadZipFile:
        bad = "all"
    if bad:
        raise DataError(f"{path}: {bad} is damaged")


PIECE = CHUNK // 8  # bytes that the server sends at once
ZIP = archive(6 * CHUNK)
OTHER = archive(6 * CHUNK, seed=1)  # of the same size
DIGEST, OTHER_DIGEST = (hashlib.sha256(content).hexdigest() for content in (ZIP, OTHER))
CUT = 3 * CHUNK + 1000  # more than a mebibyte, and not at the end of a chunk
HALF = 3 * CHUNK  # what is kept of it


@dataclass
class Fetching:
    """A download into a folder of its own, and what was said of it."""

    folder: Path
    messages: list[str] = field(default_factory=list)
    progress: list[tuple[int, int | None]] = field(default_factory=list)

    @property
    def path(self) -> Path:
        return self.folder / "a.zip"

    def __call__(self, *sources: str, limits: Limits = QUICK, **expected: Any) -> FetchedFile:  # noqa: ANN401
        request = DownloadRequest(
            path=self.path,
            expected=Expected(**expected),
            check=require_zip,
            on_progress=lambda done, total: self.progress.append((done, total)),
            on_message=self.messages.append,
            limits=limits,
        )
        return download(sources, request)

    def gets(self, *sources: str, content: bytes = ZIP, **options: Any) -> FetchedFile:  # noqa: ANN401
        file = self(*sources, **options)
        assert self.path.read_bytes() == content
        assert file.bytes == len(content)
        assert file.sha256 == hashlib.sha256(content).hexdigest()
        assert sorted(file.name for file in self.folder.iterdir()) == [".a.zip.lock", "a.zip"]
        return file

    def fails(self, *sources: str, error: type[BanetError] = DataError, **options: Any) -> str:  # noqa: ANN401
        with pytest.raises(error) as caught:
            self(*sources, **options)
        assert type(caught.value) is error
        assert not self.path.exists()
        assert "\n" not in str(caught.value)
        return str(caught.value)

    @property
    def halves(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        return [file for file in self.folder.iterdir() if re.match(r"\.[0-9a-f]{8}\.a\.zip", file.name)]

    def arrived(self) -> int:
        return sum(file.stat().st_size for file in self.halves)


@pytest.fixture
def fetching(tmp_path: Path) -> Fetching:
    return Fetching(tmp_path / "downloads")


def half_of(content: bytes, server: Server, fetching: Fetching, **options: Any) -> tuple[str, Site]:  # noqa: ANN401
    """Leave the half of a file, as a process does that ends early; the server is well again afterwards."""
    url, site = server.add("a.zip", content, Answer(), Answer(cut=CUT), Answer(status=503), **options)
    assert "status 503" in fetching.fails(url, error=ServiceError)
    (half,) = fetching.halves
    assert half.read_bytes() == content[:HALF]
    for left in (site.answers, site.asked, site.sent, fetching.messages):
        left.clear()
    return url, site


def test_a_file_comes_whole_with_its_progress(server: Server, fetching: Fetching) -> None:
    url, site = server.add("a.zip", ZIP)
    assert fetching.gets(url, bytes=len(ZIP), sha256=DIGEST).source == url
    assert fetching.progress[0] == (CHUNK, len(ZIP))
    assert fetching.progress[-1] == (len(ZIP), len(ZIP))
    asked = len(site.asked)
    assert fetching.gets(url).source is None  # it is there
    assert len(site.asked) == asked


@pytest.mark.parametrize("retries", [0, 1])
@pytest.mark.parametrize("marks", [{"ETag": '"one"'}, {"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}])
def test_a_cut_is_resumed(server: Server, fetching: Fetching, marks: dict[str, str], retries: int) -> None:
    url, site = server.add("a.zip", ZIP, Answer(), Answer(cut=CUT), Answer(pause=0.01), marks=marks)
    fetching.gets(url, limits=replace(QUICK, retries=retries))
    assert site.asked[-1] == f"bytes={HALF}-"
    assert site.sent[-1] == len(ZIP) - HALF


def test_cuts_without_progress_are_given_up(server: Server, fetching: Fetching) -> None:
    url, site = server.add("a.zip", ZIP, Answer(), Answer(cut=1000))
    assert "the connection failed (ChunkedEncodingError)" in fetching.fails(url, error=ServiceError)
    assert len(site.asked) == 2


def test_a_content_length_too_large_is_given_up(server: Server, fetching: Fetching) -> None:
    url, site = server.add("a.zip", ZIP, Answer(more=500))
    fetching.fails(url, error=ServiceError)
    assert len(site.asked) < 20


@pytest.mark.parametrize("known", [{}, {"sha256": OTHER_DIGEST}])
@pytest.mark.parametrize("marks", [{"ETag": '"two"'}, {"ETag": '"one"'}, {}])
def test_a_file_that_changed_is_not_glued_to_its_old_half(
    server: Server, fetching: Fetching, marks: dict[str, str], known: dict[str, str]
) -> None:
    url, site = half_of(ZIP, server, fetching, marks=marks and {"ETag": '"one"'})
    site.content, site.marks = OTHER, marks
    fetching.gets(url, content=OTHER, **known)
    changed = marks == {"ETag": '"two"'}
    assert (f"bytes={HALF}-" in site.asked) != changed  # where the server names the version, the half is not used
    assert any("trying again" in line for line in fetching.messages) != changed


def test_a_file_that_changes_in_the_middle_is_not_glued(server: Server, fetching: Fetching) -> None:
    def change(site: Site) -> None:
        site.content, site.marks = OTHER, {"ETag": '"two"'}

    url, _ = server.add("a.zip", ZIP, Answer(), Answer(cut=CUT, then=change), Answer())
    said = fetching.fails(url, error=ServiceError, limits=replace(QUICK, retries=1))
    assert "did not honor the requested byte range" in said
    fetching.gets(url, content=OTHER)


def test_a_half_that_the_disk_lost_is_fetched_anew(server: Server, fetching: Fetching) -> None:
    url, _ = half_of(ZIP, server, fetching)
    fetching.halves[0].write_bytes(ZIP[:CHUNK] + bytes(HALF - CHUNK))
    fetching.gets(url, sha256=DIGEST)
    assert any(f"not {DIGEST}; trying again" in line for line in fetching.messages)


def test_a_half_is_of_no_use_where_the_server_has_no_ranges(server: Server, fetching: Fetching) -> None:
    url, site = half_of(ZIP, server, fetching)
    site.ranges = False
    fetching.gets(url)
    assert site.asked == [None, None, f"bytes={HALF}-", None, None]


def test_a_whole_file_that_was_not_yet_verified_is_not_fetched_again(server: Server, fetching: Fetching) -> None:
    url, site = half_of(ZIP, server, fetching)
    (half,) = fetching.halves
    whole = half.with_name(half.name.partition(".zip")[0] + ".zip")
    half.replace(whole)
    whole.write_bytes(ZIP)
    fetching.gets(url)
    assert not any(site.asked)
    assert not any(done for done, _ in fetching.progress if done > HALF)


def test_a_mirror_follows_that_fails_and_its_half_is_not_shared(server: Server, fetching: Fetching) -> None:
    cut, _ = half_of(ZIP, server, fetching)
    server.sites["/a.zip"].answers = [Answer(status=404)]
    good, site = server.add("good.zip", ZIP)
    third, untouched = server.add("third.zip", ZIP)
    assert fetching.gets(cut, good, third).source == good
    assert not any(site.asked)
    assert untouched.asked == []
    assert f"{cut}: status 404" in fetching.messages


def test_every_failed_source_is_named_in_order_and_a_servers_failure_decides(
    server: Server, fetching: Fetching
) -> None:
    missing, _ = server.add("missing.zip", ZIP, Answer(status=404))
    page, _ = server.add("page.zip", ZIP, Answer(body=PAGE))
    down, _ = server.add("down.zip", ZIP, Answer(status=502))
    said = fetching.fails(missing, page)
    assert said.index(f"{missing}: status 404; {page}: ") > said.index("a.zip")
    assert f"{down}: status 502" in fetching.fails(missing, down, page, error=ServiceError)


LIES = {
    "a web page": (Answer(body=b"Sorry.", headers={"Content-Type": "text/html; charset=utf-8"}), "a web page"),
    "a page in disguise": (Answer(body=PAGE, headers={"Content-Type": "application/zip"}), "a web page"),
    "another format": (Answer(body=b"\x1f\x8b\x08" + bytes(300)), r"is no \.zip file"),
    "nothing": (Answer(body=b""), r"is no \.zip file"),
    "damage": (Answer(body=ZIP[:1000] + bytes(9) + ZIP[1009:]), r"\(http[^ ]*: a\.zip: a\.bin is damaged"),
}
SEEN_BY_DIGEST = {
    "other bytes": (Answer(body=OTHER), f"has the SHA-256 {OTHER_DIGEST}, not {DIGEST}"),
    "a smaller file": (Answer(body=archive(100)), f"has {len(archive(100))} bytes, not {len(ZIP)}"),
    "a Content-Length too small": (
        Answer(headers={"Content-Length": "1000"}, cut=1000),
        f"has 1000 bytes, not {len(ZIP)}",
    ),
}
REFUSALS = {
    "missing": (Answer(status=404), "status 404"),
    "forbidden": (Answer(status=403), "status 403"),
}


@pytest.mark.parametrize("lie", LIES | SEEN_BY_DIGEST | REFUSALS)
def test_lies_are_named_and_the_next_mirror_is_tried(server: Server, fetching: Fetching, lie: str) -> None:
    answer, message = (LIES | SEEN_BY_DIGEST | REFUSALS)[lie]
    known: dict[str, Any] = {"bytes": len(ZIP), "sha256": DIGEST} if lie in SEEN_BY_DIGEST else {}
    bad, site = server.add("bad.zip", ZIP, answer)
    good, _ = server.add("good.zip", ZIP)
    said = fetching.fails(bad, **known, remedy=": ask somebody")
    assert re.search(message, said)
    assert said.endswith(": ask somebody") == (lie not in REFUSALS)  # where it gave other bytes
    assert fetching.halves == []
    assert fetching.gets(bad, good, **known).source == good
    assert len(site.asked) <= 4  # asking again would not help


def test_a_file_of_another_kind_is_brought_as_it_is(server: Server, fetching: Fetching) -> None:
    weights = b"<" + bytes(1000)
    url, _ = server.add("weights.safetensors", weights)
    request = DownloadRequest(path=fetching.folder / "w.safetensors", limits=QUICK)
    assert download([url], request).sha256 == hashlib.sha256(weights).hexdigest()
    assert request.path.read_bytes() == weights


def test_chunks_without_a_length_come_too(server: Server, fetching: Fetching) -> None:
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(ZIP), ZIP)
    url, _ = server.add("a.zip", ZIP, Answer(body=chunked, headers={"Transfer-Encoding": "chunked"}))
    fetching.gets(url)
    assert fetching.progress[-1] == (len(ZIP), None)
    fetching.path.unlink()
    assert f"has {CHUNK} bytes, not 1000" in fetching.fails(url, bytes=1000)


def test_a_busy_server_is_asked_again_when_it_says(server: Server, fetching: Fetching) -> None:
    busy = Answer(status=503, headers={"Retry-After": "1"})
    url, _ = server.add("a.zip", ZIP, busy, Answer())
    start = time.monotonic()
    fetching.gets(url, limits=replace(QUICK, retries=1))
    assert time.monotonic() - start >= 1


@pytest.mark.parametrize("value", ["3600", "Fri, 01 Jan 2100 00:00:00 GMT"])
def test_a_server_that_asks_for_an_hour_is_left(server: Server, fetching: Fetching, value: str) -> None:
    busy, site = server.add("busy.zip", ZIP, Answer(status=429, headers={"Retry-After": value}))
    limits = replace(QUICK, retries=1, longest_wait=0)
    assert "status 429" in fetching.fails(busy, error=ServiceError, limits=limits)
    assert len(site.asked) == 2


@pytest.mark.slow
def test_a_trickle_is_left_for_the_next_mirror(server: Server, fetching: Fetching) -> None:
    slow, site = server.add("slow.zip", ZIP, Answer(pause=0.25))
    good, _ = server.add("good.zip", ZIP)
    limits = replace(QUICK, chunk_seconds=1.5)
    assert "is too slow" in fetching.fails(slow, error=ServiceError, limits=limits)
    assert fetching.arrived() == CHUNK  # kept
    assert fetching.gets(slow, good, limits=limits).source == good
    assert site.asked == [None, None, None, None, f"bytes={CHUNK}-"]


@pytest.mark.slow
def test_silence_does_not_hang(server: Server, fetching: Fetching) -> None:
    silent = Answer(hold_at=CHUNK)
    url, site = server.add("a.zip", ZIP, Answer(), silent)
    start = time.monotonic()
    said = fetching.fails(url, error=ServiceError, limits=replace(QUICK, read_seconds=3))
    silent.hold.set()
    assert "the connection failed" in said
    assert time.monotonic() - start < 20
    assert fetching.arrived() == CHUNK
    site.answers = []
    fetching.gets(url)
    assert site.asked[-1] == f"bytes={CHUNK}-"


def test_no_server_is_a_failure_of_the_server(server: Server, fetching: Fetching) -> None:
    server.server_close()
    said = fetching.fails(f"http://127.0.0.1:{server.server_port}/a.zip", error=ServiceError)
    assert "the connection failed (ConnectionError)" in said


def test_a_file_that_is_there_but_not_the_one_expected_is_replaced(server: Server, fetching: Fetching) -> None:
    url, _ = server.add("a.zip", ZIP)
    fetching.folder.mkdir()
    fetching.path.write_bytes(OTHER)
    fetching.gets(url, sha256=DIGEST)
    assert OTHER_DIGEST in fetching.messages[0]
    assert "fetched anew" in fetching.messages[0]


SCRIPT = """
import resource, sys
from pathlib import Path
from banet.data.download.mirrors import DownloadRequest, download
from banet.errors import BanetError
url, path, limit = sys.argv[1:]
if int(limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
try:
    download([url], DownloadRequest(path=Path(path)))
except BanetError as error:
    print(type(error).__name__, error)
"""


@pytest.fixture
def other_process(fetching: Fetching) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    running: list[subprocess.Popen[str]] = []

    def start(url: str, limit: int = 0) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", SCRIPT, url, str(fetching.path), str(limit)]
        running.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_killed_process_is_continued_where_it_stopped(
    server: Server, fetching: Fetching, other_process: Callable[..., "subprocess.Popen[str]"]
) -> None:
    silent = Answer(hold_at=HALF)
    url, site = server.add("a.zip", ZIP, Answer(), silent, Answer(pause=0.05))
    process = other_process(url)
    wait_for(lambda: fetching.arrived() == HALF)
    process.send_signal(signal.SIGKILL)
    process.wait()
    silent.hold.set()
    assert not fetching.path.exists()
    fetching.gets(url)
    assert site.asked == [None, None, None, None, f"bytes={HALF}-"]
    assert site.sent[-1] == len(ZIP) - HALF
    assert sum(site.sent[2:4]) < CHUNK  # of the two answers whose headers alone are read


def test_two_processes_at_once_fetch_once(
    server: Server, fetching: Fetching, other_process: Callable[..., "subprocess.Popen[str]"]
) -> None:
    slow = Answer(hold_at=HALF)
    url, site = server.add("a.zip", ZIP, Answer(), slow)
    process = other_process(url)
    wait_for(lambda: fetching.arrived() == HALF)

    def release() -> None:
        wait_for(lambda: bool(fetching.messages))
        slow.hold.set()

    threading.Thread(target=release).start()
    assert fetching.gets(url).source is None
    assert fetching.messages == ["another process fetches a.zip: waiting for it"]
    assert process.wait() == 0
    assert site.asked == [None, None]


def test_a_full_disk_is_one_line_and_the_half_is_continued(
    server: Server, fetching: Fetching, other_process: Callable[..., "subprocess.Popen[str]"]
) -> None:
    url, site = server.add("a.zip", ZIP)
    said, _ = other_process(url, HALF).communicate()
    assert said.startswith(f"ResourceError the disk of {fetching.folder} is full: make room and run again")
    assert said.count("\n") == 1
    assert fetching.halves[0].read_bytes() == ZIP[:HALF]
    assert not fetching.path.exists()
    fetching.gets(url)
    assert site.asked[-1] == f"bytes={HALF}-"


def test_a_folder_that_cannot_be_made_is_one_line(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = Fetching(tmp_path / "file/downloads").fails("http://127.0.0.1:1/a.zip", error=ResourceError)
    assert str(tmp_path / "file") in said


def test_importing_the_room_takes_no_http_library_along() -> None:
    code = (
        "import sys, banet.data.download.mirrors, banet.data.download.lockfile\n"
        "print(sys.modules.keys() & {'gdown', 'huggingface_hub', 'requests', 'torch'})"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"


@pytest.fixture
def drive(server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """Google Drive's hosts are this server's."""
    own, send = f"http://127.0.0.1:{server.server_port}", requests.Session.send

    def send_to_loopback(session: requests.Session, request: requests.PreparedRequest, **options: Any) -> Any:  # noqa: ANN401
        assert request.url is not None
        request.url = re.sub(r"https://drive\.(usercontent\.)?google\.com", own, request.url)
        return send(session, request, **options)

    monkeypatch.setattr(requests.Session, "send", send_to_loopback)
    return "gdrive:1234567890"


FROM_DRIVE = {"ETag": '"one"', "Content-Disposition": 'attachment; filename="x.zip"'}


def drive_page(server: Server, content: bytes, *answers: Answer) -> Site:
    """A file that Google Drive shows its page for, since it is too large to be scanned for viruses."""
    file, site = server.add("download", content, *answers, marks=FROM_DRIVE)
    page = (
        f'<html><form id="download-form" action="{file}" method="get"><input type="hidden" name="id" value="F">'
        '<input type="hidden" name="confirm" value="t"><input type="hidden" name="uuid" value="u"></form></html>'
    )
    server.add("uc", b"", Answer(body=page.encode(), headers={"Content-Type": "text/html"}), marks={})
    return site


def test_google_drives_page_leads_to_the_file_and_its_half_is_continued(
    server: Server, fetching: Fetching, drive: str
) -> None:
    site = drive_page(server, ZIP, Answer(cut=CUT), Answer(status=503))
    assert "status 503" in fetching.fails(drive, error=ServiceError)
    assert fetching.arrived() == HALF
    site.answers = []
    assert fetching.gets(drive).source == drive
    assert site.asked[-1] == f"bytes={HALF}-"


def test_google_drives_file_that_changed_is_not_glued_to_its_old_half(
    server: Server, fetching: Fetching, drive: str
) -> None:
    site = drive_page(server, ZIP, Answer(cut=CUT), Answer(status=503))
    fetching.fails(drive, error=ServiceError)
    site.answers, site.content, site.marks = [], OTHER, FROM_DRIVE | {"ETag": '"two"'}
    fetching.gets(drive, content=OTHER)
    assert any("a.bin is damaged; trying again" in line for line in fetching.messages)


def test_google_drives_quota_is_said(server: Server, fetching: Fetching, drive: str) -> None:
    page = (
        b'<html><p class="uc-error-subcaption">Too many users have viewed this <b>file</b> recently. Later.</p></html>'
    )
    server.add("uc", b"", Answer(body=page, headers={"Content-Type": "text/html"}), marks={})
    said = fetching.fails(drive, error=ServiceError)
    assert f"{drive}: Google Drive" in said
    assert "(Too many users have viewed this file recently)" in said


def folder_page(*entries: str) -> Answer:
    """The page of a folder on Google Drive: names that end in / are folders, `name?key` has a resource key."""
    links = []
    for i, entry in enumerate(entries):
        name, _, key = entry.partition("?")
        kind = "drive/folders/" if name.endswith("/") else "file/d/"
        end = "" if name.endswith("/") else "/view"
        query = f"?usp=drive_web&amp;resourcekey={key}" if key else ""
        href = f"https://drive.google.com/{kind}{i}234567890{end}{query}"
        title = f'<div class="flip-entry-title">{name.removesuffix("/")}</div>'
        links.append(f'<div class="flip-entry"><a href="{href}" target="_blank"><img src="x">{title}</a></div>')
    body = f"<html><head><title>T</title></head><body>{''.join(links)}</body></html>"
    return Answer(body=body.encode(), headers={"Content-Type": "text/html; charset=utf-8"})


IN_FOLDER = "gdrive-folder:0987654321?resourcekey=0-top"


@pytest.mark.parametrize("key", ["", "?0-file"])
def test_a_file_in_a_drive_folder_is_found_by_its_name_and_resumed(
    server: Server, fetching: Fetching, drive: str, key: str
) -> None:
    _, folder = server.add("embeddedfolderview", b"", folder_page("b.zip", f"a.zip{key}", "more/"), marks={})
    site = drive_page(server, ZIP, *[Answer()] * bool(key), Answer(cut=CUT), Answer(status=503))
    fetching.fails(f"{IN_FOLDER}/a.zip", error=ServiceError)
    site.answers = []
    assert fetching.gets(f"{IN_FOLDER}/a.zip").source == f"{IN_FOLDER}/a.zip"
    assert site.asked[-1] == f"bytes={HALF}-"
    assert set(folder.queries) == {"id=0987654321&resourcekey=0-top"}
    if key:  # with its key, the file itself is asked for, past Drive's page
        assert set(site.queries) == {"id=1234567890&export=download&confirm=t&resourcekey=0-file"}


def test_a_page_in_place_of_a_file_with_a_key_is_said(server: Server, fetching: Fetching, drive: str) -> None:
    server.add("embeddedfolderview", b"", folder_page("a.zip?0-file"), marks={})
    server.add("download", b"", Answer(body=PAGE, headers={"Content-Type": "text/html"}), marks={})
    assert "gives a web page in place of the file" in fetching.fails(f"{IN_FOLDER}/a.zip")


@pytest.mark.parametrize("name", ["[Bb]*/a.z*", "a.zip", "weights/a.zip"])
def test_a_drive_folders_own_folders_are_searched_and_patterns_work(
    server: Server, fetching: Fetching, drive: str, name: str
) -> None:
    pages = [folder_page("readme.txt", "weights/?0-sub"), folder_page("a.zip")]
    if name.startswith("["):
        pages.insert(0, folder_page("a.txt", "Beta/"))
        pages.pop(1)
    _, folder = server.add("embeddedfolderview", b"", *pages, marks={})
    drive_page(server, ZIP)
    fetching.gets(f"gdrive-folder:0987654321/{name}")
    assert folder.queries[0] == "id=0987654321"
    assert folder.queries[1] == "id=1234567890" + ("" if name.startswith("[") else "&resourcekey=0-sub")


@pytest.mark.parametrize(
    ("pages", "message"),
    [
        ([folder_page("b.zip", "in/"), folder_page("c.zip")], "the folder has no such file: there is b.zip, in/c.zip"),
        ([folder_page("a.zip", "x.pth", "a.zip")], "2 files there have such a name: a.zip, a.zip"),
        ([folder_page()], "Google Drive shows no files there: the folder is empty, not shared, or needs ?resourcekey"),
        ([Answer(body=PAGE, headers={"Content-Type": "text/html"})], "Google Drive shows no files there"),
        ([folder_page(*(f"{i:02}.zip" for i in range(25)))], "18.zip, 19.zip and 5 more"),
        ([Answer(status=404)], "status 404"),
    ],
)
def test_what_a_drive_folder_lacks_is_said(
    server: Server, fetching: Fetching, drive: str, pages: list[Answer], message: str
) -> None:
    server.add("embeddedfolderview", b"", *pages, marks={})
    assert message in fetching.fails(f"{IN_FOLDER}/a.zip")


def test_a_drive_that_is_busy_or_out_of_reach_is_a_services_failure(
    server: Server, fetching: Fetching, drive: str
) -> None:
    server.add("embeddedfolderview", b"", Answer(status=429), marks={})
    assert "status 429" in fetching.fails(f"{IN_FOLDER}/a.zip", error=ServiceError)
    server.server_close()
    assert "the connection failed (ConnectionError)" in fetching.fails(f"{IN_FOLDER}/a.zip", error=ServiceError)


def test_folders_that_hold_each_other_are_not_read_forever(server: Server, fetching: Fetching, drive: str) -> None:
    _, folder = server.add("embeddedfolderview", b"", folder_page("b.zip", "in/", "out/"), marks={})
    assert "the folder has no such file" in fetching.fails(f"{IN_FOLDER}/a.zip")
    assert 20 < len(folder.queries) <= 50


@pytest.fixture(params=["secret", None])
def hub(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """Hugging Face's address, on loopback; with a user's token, and without."""
    from huggingface_hub import constants

    endpoint = f"http://127.0.0.1:{server.server_port}"
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    if request.param:
        monkeypatch.setenv("HF_TOKEN", request.param)
    return "datasets/snah/GOPRO_Large/resolve/main/GOPRO_Large.zip"


HUB_SOURCE = "hf:datasets/snah/GOPRO_Large/GOPRO_Large.zip"


def redirect(server: Server, digest: str) -> Answer:
    headers = {"Location": f"http://localhost:{server.server_port}/cdn", "X-Linked-Etag": f'"{digest}"'}
    return Answer(status=302, headers=headers | {"X-Linked-Size": str(len(ZIP)), "X-Repo-Commit": "0" * 40})


def test_hugging_faces_file_is_resumed_and_held_against_its_digest(
    server: Server, fetching: Fetching, hub: str
) -> None:
    _, site = server.add(hub, b"", redirect(server, DIGEST))
    _, cdn = server.add("cdn", ZIP, Answer(cut=CUT), Answer(status=503))
    assert "status 503" in fetching.fails(HUB_SOURCE, error=ServiceError)
    cdn.answers = []
    assert fetching.gets(HUB_SOURCE).source == HUB_SOURCE
    assert cdn.asked[-1] == f"bytes={HALF}-"
    assert site.tokens[0] == ("Bearer secret" if "HF_TOKEN" in os.environ else None)
    assert not any(cdn.tokens)
    fetching.path.unlink()
    cdn.content, cdn.marks = OTHER, {"ETag": '"two"'}
    assert f"not {DIGEST}" in fetching.fails(HUB_SOURCE)


def test_hugging_faces_digest_is_compared_before_the_first_byte(server: Server, fetching: Fetching, hub: str) -> None:
    server.add(hub, b"", redirect(server, "1" * 64))
    _, cdn = server.add("cdn", ZIP)
    assert f"has the SHA-256 {'1' * 64}, not {DIGEST}" in fetching.fails(HUB_SOURCE, sha256=DIGEST)
    assert cdn.asked == []


def test_hugging_faces_refusals_are_one_line(server: Server, fetching: Fetching, hub: str) -> None:
    server.add(hub, b"", Answer(status=404))
    assert "Hugging Face answers with status 404" in fetching.fails(HUB_SOURCE)
    server.server_close()
    assert "Hugging Face does not answer" in fetching.fails(HUB_SOURCE, error=ServiceError)
