"""Downloads, from a real HTTP server on loopback that fails in every way that servers fail."""

import hashlib
import io
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

from banet.data import links
from banet.data.download import download
from banet.data.pins import Pin, add_pin, read_pins
from banet.data.transfer import Expected, Found, Limits, Order, Progress
from banet.errors import BanetError, ConfigError, DataError, ResourceError, ServiceError

ROOT = Path(__file__).parents[3]
QUICK = Limits(connect_seconds=5, read_seconds=5, window_seconds=0.3, slowest=5000, progress_bytes=1, first_wait=0.001)
PAGE = b"<!DOCTYPE html><html><body>Sorry, the file cannot be downloaded now.</body></html>"


@dataclass
class Answer:
    """How one request is answered; what is not given is as it should be."""

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    cut: int | None = None  # bytes after which the connection closes
    piece: int = 65536  # bytes at once
    pause: float = 0.0  # seconds between two pieces
    hold_at: int = -1  # bytes after which the server says nothing,
    hold: threading.Event = field(default_factory=threading.Event)  # until this is set
    more: int = 0  # bytes by which Content-Length is too large


@dataclass
class Site:
    """One address of the server: a file, and how the next requests are answered."""

    content: bytes
    answers: list[Answer] = field(default_factory=list)  # the last one stays
    ranges: bool = True
    if_range: bool = True
    marks: dict[str, str] = field(default_factory=lambda: {"ETag": '"one"'})
    asked: list[str | None] = field(default_factory=list)  # Range of each request
    sent: list[int] = field(default_factory=list)  # bytes of each answer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        site: Site = self.server.sites[urlsplit(self.path).path]  # type: ignore[attr-defined]
        answer = (site.answers.pop(0) if len(site.answers) > 1 else site.answers[0]) if site.answers else Answer()
        wanted = self.headers.get("Range")
        site.asked.append(wanted)
        site.sent.append(0)
        headers, body, status = dict(site.marks), site.content, 200
        fresh = not site.if_range or self.headers.get("If-Range") in (None, *site.marks.values())
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

    def _send(self, site: Site, number: int, body: bytes, answer: Answer) -> None:
        try:
            for start in range(0, len(body), answer.piece):
                piece = body[start : start + answer.piece]
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


ZIP = archive(300_000)
DIGEST = hashlib.sha256(ZIP).hexdigest()


@dataclass
class Fetching:
    """A download into a folder of its own, and what was said of it."""

    folder: Path
    lines: list[str] = field(default_factory=list)
    progress: list[Progress] = field(default_factory=list)

    @property
    def path(self) -> Path:
        return self.folder / "a.zip"

    def __call__(self, *sources: str, limits: Limits = QUICK, **expected: Any) -> Found:  # noqa: ANN401
        order = Order(
            path=self.path,
            expected=Expected(**expected),
            check=require_zip,
            report=self.progress.append,
            say=self.lines.append,
            limits=limits,
        )
        return download(sources, order)

    def gets(self, *sources: str, content: bytes = ZIP, **options: Any) -> Found:  # noqa: ANN401
        found = self(*sources, **options)
        assert self.path.read_bytes() == content
        assert found.bytes == len(content)
        assert found.sha256 == hashlib.sha256(content).hexdigest()
        assert sorted(file.name for file in self.folder.iterdir()) == [".a.zip.lock", "a.zip"]
        return found

    def fails(self, *sources: str, error: type[BanetError] = DataError, **options: Any) -> str:  # noqa: ANN401
        with pytest.raises(error) as caught:
            self(*sources, **options)
        assert type(caught.value) is error
        assert not self.path.exists()
        assert "\n" not in str(caught.value)
        return str(caught.value)

    @property
    def half(self) -> Path:
        return next(file for file in self.folder.iterdir() if re.fullmatch(r"\.[0-9a-f]{8}\.a\.zip", file.name))


@pytest.fixture
def fetching(tmp_path: Path) -> Fetching:
    return Fetching(tmp_path / "downloads")


def test_a_file_comes_whole_with_its_progress(server: Server, fetching: Fetching) -> None:
    url, site = server.add("a.zip", ZIP)
    assert fetching.gets(url, bytes=len(ZIP), sha256=DIGEST).source == url
    assert fetching.progress[-1].done == fetching.progress[-1].total == len(ZIP)
    assert fetching.progress[-1].seconds_left == 0
    assert all(step.rate > 0 for step in fetching.progress)
    assert fetching.gets(url).source is None  # it is there
    assert len(site.asked) == 1


@pytest.mark.parametrize("marks", [{"ETag": '"one"'}, {"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}])
def test_random_cuts_cost_no_byte_twice(server: Server, fetching: Fetching, marks: dict[str, str]) -> None:
    chance = random.Random(0)
    cuts = [Answer(cut=chance.randrange(1, 30_000)) for _ in range(15)]
    url, site = server.add("a.zip", ZIP, *cuts, Answer(), marks=marks)
    fetching.gets(url)
    assert len(site.asked) == 16
    assert sum(site.sent) == len(ZIP)
    assert "again in 0 s" in fetching.lines[0]


def test_without_a_mark_of_the_version_nothing_is_glued_unless_the_digest_is_known(
    server: Server, fetching: Fetching
) -> None:
    url, site = server.add("a.zip", ZIP, Answer(cut=100_000), Answer(), marks={"ETag": 'W/"weak"'})
    fetching.gets(url)
    assert site.asked == [None, None]
    fetching.path.unlink()
    url, site = server.add("b.zip", ZIP, Answer(cut=100_000), Answer(), marks={})
    fetching.gets(url, sha256=DIGEST)
    assert site.asked == [None, "bytes=100000-"]


def test_a_server_without_ranges_begins_again(server: Server, fetching: Fetching) -> None:
    url, site = server.add("a.zip", ZIP, Answer(cut=200_000), Answer(cut=100_000), Answer(), ranges=False)
    fetching.gets(url)
    assert site.asked == [None, "bytes=200000-", "bytes=100000-"]
    assert site.sent == [200_000, 100_000, len(ZIP)]


def test_cuts_without_progress_are_given_up(server: Server, fetching: Fetching) -> None:
    url, site = server.add("a.zip", ZIP, Answer(cut=1000), ranges=False)
    said = fetching.fails(url, error=ServiceError)
    assert "the connection broke" in said
    assert len(site.asked) == QUICK.attempts


@pytest.mark.parametrize("if_range", [True, False])
def test_a_file_that_changed_is_not_glued_to_its_old_half(server: Server, fetching: Fetching, if_range: bool) -> None:
    url, site = server.add("a.zip", ZIP, Answer(cut=100_000), if_range=if_range)
    fetching.fails(url, error=ServiceError, limits=Limits(attempts=1))
    assert fetching.half.read_bytes() == ZIP[:100_000]
    site.content, site.marks, site.answers = archive(300_000, seed=1), {"ETag": '"two"'}, []
    fetching.gets(url, content=site.content)
    assert site.asked == [None, "bytes=100000-"] + ([] if if_range else [None])
    assert any("is not the one that was begun" in line for line in fetching.lines) != if_range


def test_a_half_that_the_disk_lost_is_fetched_anew(server: Server, fetching: Fetching) -> None:
    url, site = server.add("a.zip", ZIP, Answer(cut=100_000), Answer())
    fetching.fails(url, error=ServiceError, limits=Limits(attempts=1))
    fetching.half.write_bytes(ZIP[:50_000] + bytes(50_000))
    fetching.gets(url, sha256=DIGEST)
    assert site.asked == [None, "bytes=100000-", None]


@pytest.mark.parametrize("record", ["", "[]", "{}", '{"validator": 3'])
def test_a_half_without_a_readable_record_is_not_used(server: Server, fetching: Fetching, record: str) -> None:
    url, site = server.add("a.zip", ZIP, Answer(cut=100_000), Answer())
    fetching.fails(url, error=ServiceError, limits=Limits(attempts=1))
    fetching.half.with_name(f"{fetching.half.name}.json").write_text(record)
    fetching.gets(url)
    assert site.asked == [None, None]


def test_a_mirror_follows_that_fails_and_its_half_is_not_shared(server: Server, fetching: Fetching) -> None:
    cut, _ = server.add("cut.zip", ZIP, Answer(cut=100_000), Answer(status=404))
    good, site = server.add("good.zip", ZIP)
    assert fetching.gets(cut, good).source == good
    assert site.asked == [None]
    assert any(line == f"{cut}: status 404" for line in fetching.lines)


OTHER = archive(300_000, seed=1)
LIES = {
    "a web page": (Answer(body=b"Sorry.", headers={"Content-Type": "text/html; charset=utf-8"}), "a web page"),
    "a page in disguise": (Answer(body=PAGE, headers={"Content-Type": "application/zip"}), "a web page"),
    "another format": (Answer(body=b"\x1f\x8b\x08" + bytes(300)), r"is no \.zip file"),
    "other bytes": (Answer(body=OTHER), f"has the SHA-256 {hashlib.sha256(OTHER).hexdigest()}, not {DIGEST}"),
    "a smaller file": (Answer(body=archive(100)), f"has {len(archive(100))} bytes, not {len(ZIP)}"),
    "a Content-Length too small": (
        Answer(headers={"Content-Length": "1000"}, cut=1000),
        f"has 1000 bytes, not {len(ZIP)}",
    ),
    "missing": (Answer(status=404), "status 404"),
    "forbidden": (Answer(status=403), "status 403"),
}


@pytest.mark.parametrize("lie", LIES)
def test_lies_are_named_and_the_next_mirror_is_tried(server: Server, fetching: Fetching, lie: str) -> None:
    answer, message = LIES[lie]
    bad, site = server.add("bad.zip", ZIP, answer)
    good, _ = server.add("good.zip", ZIP)
    said = fetching.fails(bad, bytes=len(ZIP), sha256=DIGEST, remedy=": ask somebody")
    assert re.search(message, said)
    assert said.endswith(": ask somebody") == (" not " in message or " no " in message)  # where it gave other bytes
    assert fetching.gets(bad, good, bytes=len(ZIP), sha256=DIGEST).source == good
    assert len(site.asked) == 2  # once each time: asking again would not help


def test_a_damaged_archive_is_no_archive_where_no_digest_is_known(server: Server, fetching: Fetching) -> None:
    damaged = ZIP[:1000] + b"x" + ZIP[1001:]
    bad, _ = server.add("bad.zip", damaged)
    assert "a.zip: a.bin is damaged" in fetching.fails(bad)
    good, _ = server.add("good.zip", ZIP)
    assert fetching.gets(bad, good).source == good


def test_a_content_length_too_large_ends(server: Server, fetching: Fetching) -> None:
    url, site = server.add("a.zip", ZIP, Answer(more=500))
    fetching.fails(url, error=ServiceError)
    assert len(site.asked) <= 2 * QUICK.attempts


def test_chunks_without_a_length_come_too(server: Server, fetching: Fetching) -> None:
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(ZIP), ZIP)
    headers = {"Transfer-Encoding": "chunked"}
    url, _ = server.add("a.zip", ZIP, Answer(body=chunked, headers=headers))
    fetching.gets(url)
    assert fetching.progress[-1].total is None
    fetching.path.unlink()
    assert "bytes or more, not 1000" in fetching.fails(url, bytes=1000)


def test_what_a_busy_server_asks_for_is_honoured(server: Server, fetching: Fetching) -> None:
    busy = Answer(status=503, headers={"Retry-After": "1"})
    url, site = server.add("a.zip", ZIP, busy, Answer(status=500), Answer())
    start = time.monotonic()
    fetching.gets(url)
    assert 1 <= time.monotonic() - start < 20
    assert len(site.asked) == 3
    assert fetching.lines[0].endswith("status 503; again in 1 s")


@pytest.mark.parametrize("value", ["3600", "Fri, 01 Jan 2100 00:00:00 GMT"])
def test_a_server_that_asks_for_an_hour_is_left(server: Server, fetching: Fetching, value: str) -> None:
    busy, site = server.add("busy.zip", ZIP, Answer(status=429, headers={"Retry-After": value}))
    good, _ = server.add("good.zip", ZIP)
    assert re.search("status 429, and asks to wait [0-9]{4,} s", fetching.fails(busy, error=ServiceError))
    assert fetching.gets(busy, good).source == good
    assert len(site.asked) == 2


def test_a_trickle_is_left_for_the_next_mirror(server: Server, fetching: Fetching) -> None:
    slow, site = server.add("slow.zip", ZIP, Answer(piece=100, pause=0.05))
    good, _ = server.add("good.zip", ZIP)
    assert re.search(r"is too slow, [0-9.]+ kB/s", fetching.fails(slow, error=ServiceError))
    assert 0 < fetching.half.stat().st_size < 20_000
    assert fetching.gets(slow, good).source == good
    assert len(site.asked) == 2


def test_silence_is_not_waited_for(server: Server, fetching: Fetching) -> None:
    url, site = server.add("a.zip", ZIP, Answer(piece=100_000, pause=1.5), Answer())
    fetching.gets(url, limits=replace(QUICK, read_seconds=0.5))
    assert site.asked == [None, "bytes=100000-"]
    assert "nothing came for 0.5 s; again" in fetching.lines[0]


def test_no_server_is_a_failure_of_the_server(server: Server, fetching: Fetching) -> None:
    server.server_close()
    said = fetching.fails(f"http://127.0.0.1:{server.server_port}/a.zip", error=ServiceError)
    assert "no connection (ConnectionError)" in said


def test_a_file_that_is_there_but_not_the_one_expected_is_replaced(server: Server, fetching: Fetching) -> None:
    url, _ = server.add("a.zip", ZIP)
    fetching.folder.mkdir()
    fetching.path.write_bytes(OTHER)
    fetching.gets(url, sha256=DIGEST)
    assert "it is fetched anew" in fetching.lines[0]


SCRIPT = """
import resource, sys
from pathlib import Path
from banet.data.download import download
from banet.data.transfer import Expected, Order
from banet.errors import BanetError
url, path, limit = sys.argv[1:]
if int(limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
try:
    download([url], Order(path=Path(path), expected=Expected(), check=lambda _: None))
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


def on_disk(fetching: Fetching) -> int:
    return sum(file.stat().st_size for file in fetching.folder.glob(".*.a.zip")) if fetching.folder.is_dir() else 0


def test_a_killed_process_is_continued_where_it_stopped(
    server: Server, fetching: Fetching, other_process: Callable[..., "subprocess.Popen[str]"]
) -> None:
    silent = Answer(piece=10_000, hold_at=200_000)
    url, site = server.add("a.zip", ZIP, silent, Answer())
    process = other_process(url)
    wait_for(lambda: on_disk(fetching) == 200_000)
    process.send_signal(signal.SIGKILL)
    process.wait()
    silent.hold.set()
    assert not fetching.path.exists()
    fetching.gets(url)
    assert site.asked == [None, "bytes=200000-"]
    assert site.sent[1] == len(ZIP) - 200_000


def test_two_processes_at_once_fetch_once(
    server: Server, fetching: Fetching, other_process: Callable[..., "subprocess.Popen[str]"]
) -> None:
    slow = Answer(piece=10_000, hold_at=200_000)
    url, site = server.add("a.zip", ZIP, slow)
    process = other_process(url)
    wait_for(lambda: on_disk(fetching) == 200_000)
    threading.Thread(target=lambda: (wait_for(lambda: bool(fetching.lines)), slow.hold.set())).start()
    assert fetching.gets(url).source is None
    assert fetching.lines == ["another process fetches a.zip: waiting for it"]
    assert process.wait() == 0
    assert site.sent == [len(ZIP)]


def test_a_full_disk_is_one_line_and_the_half_is_continued(
    server: Server, fetching: Fetching, other_process: Callable[..., "subprocess.Popen[str]"]
) -> None:
    url, site = server.add("a.zip", ZIP)
    said, _ = other_process(url, 100_000).communicate()
    assert said.startswith(f"ResourceError the disk of {fetching.folder} is full: make room and run again")
    assert said.count("\n") == 1
    assert fetching.half.read_bytes() == ZIP[:100_000]
    assert not fetching.path.exists()
    fetching.gets(url)
    assert site.asked == [None, "bytes=100000-"]


def test_a_disk_that_is_too_small_is_named_before_the_first_byte(
    server: Server, fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, _ = server.add("a.zip", ZIP, Answer(headers={"Content-Length": str(10**18)}, cut=1000))
    said = fetching.fails(url, error=ResourceError)
    assert re.search(r"a\.zip needs 1,000,000,000,000 MB more, and the disk of .* has [0-9,]+ MB left: make room", said)
    assert fetching.half.stat().st_size == 0


def test_a_folder_that_cannot_be_made_is_one_line(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = Fetching(tmp_path / "file/downloads").fails("http://127.0.0.1:1/a.zip", error=ResourceError)
    assert str(tmp_path / "file") in said


def test_google_drives_page_leads_to_the_file(
    server: Server, fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, site = server.add("download", ZIP, Answer(cut=100_000), Answer())
    page = (
        f'<html><form id="download-form" action="{file}" method="get"><input type="hidden" name="id" value="F">'
        '<input type="hidden" name="confirm" value="t"><input type="hidden" name="uuid" value="u"></form></html>'
    )
    url, _ = server.add("uc", b"", Answer(body=page.encode(), headers={"Content-Type": "text/html"}))
    monkeypatch.setattr(links, "GOOGLE_DRIVE", url.removesuffix("/uc"))
    assert fetching.gets("gdrive:1234567890").source == "gdrive:1234567890"
    assert site.asked == [None, "bytes=100000-"]


def test_google_drives_quota_is_said(server: Server, fetching: Fetching, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (
        b'<html><p class="uc-error-subcaption">Too many users have viewed this <b>file</b> recently. Later.</p></html>'
    )
    url, _ = server.add("uc", b"", Answer(body=page))
    monkeypatch.setattr(links, "GOOGLE_DRIVE", url.removesuffix("/uc"))
    said = fetching.fails("gdrive:1234567890", error=ServiceError)
    assert (
        "gdrive:1234567890: Google Drive does not give it now (Too many users have viewed this file recently)" in said
    )


@pytest.fixture
def hub(server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """Hugging Face's address, on loopback."""
    from huggingface_hub import constants

    endpoint = f"http://127.0.0.1:{server.server_port}"
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setenv("HF_TOKEN", "secret")
    return "datasets/snah/GOPRO_Large/resolve/main/GOPRO_Large.zip"


def redirect(server: Server, digest: str) -> Answer:
    headers = {"Location": f"http://localhost:{server.server_port}/cdn", "X-Linked-Etag": f'"{digest}"'}
    return Answer(status=302, headers=headers | {"X-Linked-Size": str(len(ZIP)), "X-Repo-Commit": "0" * 40})


def test_hugging_faces_digest_is_held_against_the_file(server: Server, fetching: Fetching, hub: str) -> None:
    server.add(hub, b"", redirect(server, DIGEST))
    _, cdn = server.add("cdn", ZIP, Answer(cut=100_000), Answer())
    source = "hf:datasets/snah/GOPRO_Large/GOPRO_Large.zip"
    assert fetching.gets(source).source == source
    assert cdn.asked == [None, "bytes=100000-"]
    fetching.path.unlink()
    cdn.content = archive(300_000, seed=1)
    cdn.marks = {"ETag": '"two"'}
    assert f"not {DIGEST}" in fetching.fails(source)


def test_hugging_faces_digest_is_compared_before_the_first_byte(server: Server, fetching: Fetching, hub: str) -> None:
    server.add(hub, b"", redirect(server, "1" * 64))
    _, cdn = server.add("cdn", ZIP)
    said = fetching.fails("hf:datasets/snah/GOPRO_Large/GOPRO_Large.zip", sha256=DIGEST)
    assert f"has the SHA-256 {'1' * 64}, not {DIGEST}" in said
    assert cdn.asked == []


def test_hugging_faces_refusals_are_one_line(server: Server, fetching: Fetching, hub: str) -> None:
    server.add(hub, b"", Answer(status=404))
    assert "Hugging Face answers with status 404" in fetching.fails("hf:datasets/snah/GOPRO_Large/GOPRO_Large.zip")
    server.server_close()
    said = fetching.fails("hf:datasets/snah/GOPRO_Large/GOPRO_Large.zip", error=ServiceError)
    assert "Hugging Face does not answer" in said


def test_pins_are_kept_and_do_not_move(tmp_path: Path) -> None:
    lock, guard = tmp_path / "archives.lock", tmp_path / "downloads/.pins.lock"
    assert read_pins(lock) == {}
    pins = {
        name: Pin(bytes=3, sha256=digit * 64, source="gdrive:x") for name, digit in (("b.zip", "b"), ("a.zip", "a"))
    }
    for name, pin in pins.items():
        add_pin(lock, name, pin, guard=guard)
    text = lock.read_text()
    assert read_pins(lock) == pins
    add_pin(lock, "a.zip", Pin(bytes=3, sha256="a" * 64, source="elsewhere"), guard=guard)
    assert lock.read_text() == text
    with pytest.raises(DataError, match=f"a.zip has the SHA-256 {'c' * 64}, not {'a' * 64}, which .* delete the entry"):
        add_pin(lock, "a.zip", Pin(bytes=3, sha256="c" * 64, source="x"), guard=guard)


@pytest.mark.parametrize(
    ("text", "message"),
    [("[1]", "must map archives"), ("a.zip: 3", "a.zip must be a mapping"), ("a.zip: {bytes: 1}", "is missing")],
)
def test_a_damaged_lock_file_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "archives.lock").write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        read_pins(tmp_path / "archives.lock")
    assert "\n" not in str(caught.value)
