"""A real server on loopback, asked as a browser would, and as other web pages would."""

import http.client
import json
import re
import socket
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest

from banet.data.images.codec import decode, write_image
from banet.errors import ConfigError
from banet.study.record import open_record, read_study
from banet.study.server import BODY_BYTES, Questions, StudyServer
from banet.study.trials import read_photographs

Folders = Callable[[int], Path]
BRIGHT = 250  # first red of method a's images


class Client:
    """What the page's script does."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.page = self.get("").decode()
        self.state = json.loads(re.findall(r'id="state"[^>]*>(.*?)</script>', self.page)[0])

    def get(self, path: str) -> bytes:
        with urlopen(self.url + path, timeout=10) as answer:
            return bytes(answer.read())

    def post(self, path: str, values: object, **headers: str) -> dict[str, Any]:
        sent = {"X-Study-Token": self.state["token"]} | {key.replace("_", "-"): value for key, value in headers.items()}
        request = Request(self.url + path, json.dumps(values).encode(), sent)
        with urlopen(request, timeout=10) as answer:
            return dict(json.load(answer))

    def status(self, path: str, values: object = None, **headers: str) -> int:
        """The status of a request that is refused."""
        with pytest.raises(HTTPError) as caught:
            self.get(path) if values is None else self.post(path, values, **headers)
        with caught.value as error:
            error.read()
            return int(error.code)


@contextmanager
def serving(root: Path, *, blurred: bool = True) -> Iterator[Client]:
    shown = read_photographs(root / "a", root / "b", root / "blurred" if blurred else None)
    count = len(shown.photographs)
    with (
        open_record(
            root / "out.jsonl", a="SECRET-A", b="SECRET-B", images=count, digest=shown.digest, seed=None
        ) as record,
        StudyServer(Questions(shown.photographs, record)) as server,
    ):
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield Client(server.url)
        finally:
            server.shutdown()
            thread.join()


def test_choices_are_recorded_with_what_was_on_which_side(folders: Folders) -> None:
    root = folders(6)
    with serving(root) as client:
        assert client.state["total"] == 6
        place = client.post("begin", {})
        assert place == {"participant": 1, "done": 0, "total": 6}
        wanted = []
        for trial in range(6):
            left, right = (decode(client.get(f"image/1/{trial}/{side}"), side) for side in ("left", "right"))
            third = decode(client.get(f"image/1/{trial}/blurred"), "blurred")
            assert left[0, 0, 2] == right[0, 0, 2] == third[0, 0, 2]  # the same photograph
            assert tuple(third[1, 1]) == (0, 200, 0)
            chosen = ("left", "right", "none")[trial % 3]
            bright = "left" if left[0, 0, 0] == BRIGHT else "right"
            wanted.append("none" if chosen == "none" else "a" if chosen == bright else "b")
            assert client.post("choice", {"participant": 1, "trial": trial, "choice": chosen})["done"] == trial + 1
            last = read_study(root / "out.jsonl").choices[-1]
            assert (last.participant, last.trial, last.image) == (1, trial, f"scene{left[0, 0, 2]}")
            assert (last.left == "a") == (bright == "left")
            assert last.time.endswith("+00:00")
        assert [choice.preferred for choice in read_study(root / "out.jsonl").choices] == wanted
        assert client.post("begin", {})["participant"] == 2


def test_the_page_names_no_method_and_no_file(folders: Folders) -> None:
    with serving(folders(2)) as client:
        client.post("begin", {})
        told = [client.page.encode(), *(client.get(f"image/1/0/{side}") for side in ("left", "right"))]
        for content in told:
            for secret in (b"SECRET", b"scene", b".png", b"out.jsonl"):
                assert secret not in content
        assert "{{" not in client.page
        assert not re.search(r"https?://", client.page)  # it needs nothing from elsewhere


def test_a_study_goes_on_where_it_stopped(folders: Folders) -> None:
    root = folders(3)
    with serving(root) as client:
        client.post("begin", {})
        before = [client.get(f"image/1/{trial}/left") for trial in range(3)]
        client.post("choice", {"participant": 1, "trial": 0, "choice": "left"})
        client.post("begin", {})  # looks, and goes
        old = client.state["token"]
    with serving(root) as client:
        assert client.state["unfinished"] == [{"participant": 1, "done": 1, "total": 3}]
        assert client.status("choice", {"participant": 1, "trial": 1, "choice": "left"}, X_Study_Token=old) == 403
        assert client.post("place", {"participant": 1})["done"] == 1
        assert [client.get(f"image/1/{trial}/left") for trial in range(3)] == before
        for trial in (1, 2):
            client.post("choice", {"participant": 1, "trial": trial, "choice": "none"})
    with serving(root) as client:
        assert client.state["unfinished"] == []
        assert client.post("begin", {})["participant"] == 2
    assert len(read_study(root / "out.jsonl").choices) == 3


def test_a_choice_counts_once_and_in_order(folders: Folders) -> None:
    root = folders(3)
    with serving(root) as client:
        client.post("begin", {})
        first = {"participant": 1, "trial": 0, "choice": "left"}
        client.post("choice", first)
        assert client.status("choice", first) == 409
        assert client.status("choice", {**first, "trial": 2}) == 409
        assert client.status("choice", {**first, "trial": 3}) == 404
    assert len(read_study(root / "out.jsonl").choices) == 1


def test_many_at_once_lose_nothing(folders: Folders) -> None:
    root = folders(5)
    with serving(root, blurred=False) as client:

        def take_part() -> None:
            person = client.post("begin", {})["participant"]
            for trial in range(5):
                client.post("choice", {"participant": person, "trial": trial, "choice": "right"})

        threads = [threading.Thread(target=take_part) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    study = read_study(root / "out.jsonl")
    assert sorted((one.participant, one.trial) for one in study.choices) == [
        (p, t) for p in range(1, 7) for t in range(5)
    ]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X_Study_Token": ""}, 403),
        ({"X_Study_Token": "ü"}, 403),
        ({"Origin": "http://example.org"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Host": "example.org"}, 400),
        ({"Host": "example.org:80"}, 400),
        ({"Host": "127.0.0.1.example.org:80"}, 400),
        ({"Host": "[::1]:80"}, 400),  # nothing listens there
        ({"Host": ""}, 400),
    ],
)
@pytest.mark.parametrize("path", ["begin", "choice"])
def test_other_pages_cannot_post(folders: Folders, path: str, headers: dict[str, str], status: int) -> None:
    root = folders(1)
    with serving(root) as client:
        client.post("begin", {})
        values = {"participant": 1, "trial": 0, "choice": "left"}
        assert client.status(path, values, **headers) == status
        host = client.url.split("/")[2]
        assert client.post("choice", values, Origin=f"http://{host}")["done"] == 1
        assert client.post("begin", {})["participant"] == 2  # the refused request began nothing
    assert len(read_study(root / "out.jsonl").choices) == 1


@pytest.mark.parametrize("path", ["/", "/image/1/0/left"])
def test_another_hosts_name_reads_nothing_and_localhost_does(folders: Folders, path: str) -> None:
    with serving(folders(1)) as client:
        client.post("begin", {})
        for host, status in (("localhost:99", 200), ("localhost", 200), ("evil.example:99", 400), ("", 400)):
            connection = http.client.HTTPConnection(client.url.split("/")[2], timeout=10)
            connection.request("GET", path, headers={"Host": host})
            answer = connection.getresponse()
            content = answer.read()
            connection.close()
            assert answer.status == status
            assert (answer.headers["Content-Type"] == "application/json") == (status == 400)
            assert (client.state["token"].encode() in content) == (status == 200 and path == "/")


@pytest.mark.parametrize(
    "path",
    [
        "out.jsonl",
        "image/1/0/a",
        "image/1/0/left/x",
        "image/1/1/left",
        "image/1/-1/left",
        "image/1/0.0/left",
        pytest.param("image/1/" + "9" * 5000 + "/left", id="5000 digits"),
        "%2e%2e/out.jsonl",
        "page.html",
        "static/page.html",
        "image/2/0/left",
        "image/0/0/left",
        "image/1/0/..%2f..%2fout.jsonl",
        "../out.jsonl",
        "image/1/0/__class__",
        "image/1/99999999999999999999/left",
        "image/1/²/left".replace("²", "%C2%B2"),
    ],
)
def test_a_client_gets_no_files_by_name(folders: Folders, path: str) -> None:
    with serving(folders(1), blurred=False) as client:
        client.post("begin", {})
        assert client.status(path) == 404
        assert client.status("image/1/0/blurred") == 404  # not asked for with --input


@pytest.mark.parametrize(
    ("path", "values", "status"),
    [
        ("choice", {"participant": 1, "trial": 0, "choice": "a"}, 400),
        ("choice", {"participant": 1, "trial": True, "choice": "left"}, 400),
        ("choice", {"participant": 1, "trial": 0.0, "choice": "left"}, 400),
        ("choice", {"participant": "1", "trial": 0, "choice": "left"}, 400),
        ("choice", {"participant": 7, "trial": 0, "choice": "left"}, 404),
        ("choice", {"participant": 1, "trial": -1, "choice": "left"}, 404),
        ("choice", {"participant": 1, "trial": 0, "choice": ["left"]}, 400),
        ("choice", {"participant": 1, "trial": 0, "choice": "left", "image": "../x"}, 400),
        ("choice", [1], 400),
        ("choice", "x" * BODY_BYTES, 413),
        ("nothing", {}, 404),
        ("image/1/0/left", {}, 405),
        ("place", {}, 400),
        ("place", {"participant": 0}, 404),
        ("choice", None, 405),
        ("begin", None, 405),
    ],
)
def test_requests_that_make_no_sense_are_refused(folders: Folders, path: str, values: object, status: int) -> None:
    root = folders(1)
    with serving(root) as client:
        client.post("begin", {})
        assert client.status(path, values) == status
    assert read_study(root / "out.jsonl").choices == ()


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * BODY_BYTES])
def test_a_body_that_is_not_json_is_refused(folders: Folders, body: bytes) -> None:
    with serving(folders(1)) as client:
        connection = http.client.HTTPConnection(client.url.split("/")[2], timeout=10)
        connection.request("POST", "/choice", body, {"X-Study-Token": client.state["token"]})
        answer = connection.getresponse()
        assert json.load(answer)["error"]
        assert answer.status == 400
        connection.close()


def test_a_body_without_a_length_is_bounded_too(folders: Folders) -> None:
    with serving(folders(1)) as client:
        connection = http.client.HTTPConnection(client.url.split("/")[2], timeout=10)
        parts = iter([b"{" + b" " * BODY_BYTES, b"}"])
        connection.request("POST", "/choice", parts, {"X-Study-Token": client.state["token"]}, encode_chunked=True)
        assert connection.getresponse().status in {400, 413}  # cut off, which is not JSON, or refused at once
        connection.close()


def test_it_listens_on_loopback_alone(folders: Folders) -> None:
    with serving(folders(1)) as client:
        assert client.url.startswith("http://127.0.0.1:")
        port = int(client.url.rstrip("/").rpartition(":")[2])
        with pytest.raises(OSError):  # refused or unreachable; a server on all addresses would answer
            socket.create_connection(("127.0.0.2", port), timeout=2)


@pytest.mark.parametrize("path", ["/", "/image/1/0/left", "/nothing", "/begin"])
def test_every_answer_says_what_is_safe_to_load(folders: Folders, path: str) -> None:
    with serving(folders(1)) as client:
        client.post("begin", {})
        nonces = []
        for _ in range(2):
            connection = http.client.HTTPConnection(client.url.split("/")[2], timeout=10)
            connection.request("GET", path)
            answer = connection.getresponse()
            content = answer.read()
            connection.close()
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            nonces += re.findall(r"script-src 'nonce-([^']+)'", policy)
            if path == "/":
                assert content.count(f'nonce="{nonces[-1]}"'.encode()) == 3
            assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Referrer-Policy"] == "no-referrer"
            assert answer.headers["Cache-Control"] == "no-store"
            assert "Access-Control-Allow-Origin" not in answer.headers
        assert len(set(nonces)) == 2


def test_images_tell_nothing_but_their_pixels(folders: Folders) -> None:
    """One method's file is a BMP, the other's a PNG with a comment; the pixels are the same, and so are the answers."""
    root = folders(1)
    image = np.arange(12 * 16 * 3, dtype=np.uint8).reshape(12, 16, 3)
    write_image(root / "a" / "scene0.bmp", image)
    (root / "a" / "scene0.png").unlink()
    write_image(root / "b" / "scene0.png", image)
    png = (root / "b" / "scene0.png").read_bytes()
    text = b"tEXtSoftware\0method b"
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    (root / "b" / "scene0.png").write_bytes(png[:33] + chunk + png[33:])  # after the header
    with serving(root) as client:
        client.post("begin", {})
        left, right = (client.get(f"image/1/0/{side}") for side in ("left", "right"))
    assert left == right
    assert np.array_equal(decode(left, "left"), image)


def test_nothing_is_printed(
    folders: Folders, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with serving(folders(1)) as client:
        client.post("begin", {})
        client.get("image/1/0/left")
        client.status("nothing")
        client.status("choice", [1])
        client.status("choice", "x" * BODY_BYTES)
        host, port = client.url.split("/")[2].split(":")
        for sent in (
            b"no request at all\r\n\r\n",
            b"POST /begin HTTP/1.1\r\nContent-Length: 9\r\n\r\n{",
            b"GET / HTTP",
        ):
            with socket.create_connection((host, int(port)), timeout=10) as connection:
                connection.sendall(sent)  # and goes away
        client.get("")
    assert capfd.readouterr() == ("", "")
    assert caplog.messages == []


def test_a_port_that_is_taken_is_one_line(folders: Folders, capfd: pytest.CaptureFixture[str]) -> None:
    root = folders(1)
    with serving(root) as client:
        port = int(client.url.rstrip("/").rpartition(":")[2])
        shown = read_photographs(root / "a", root / "b", None)
        opened = open_record(root / "2.jsonl", a="a", b="b", images=1, digest="d", seed=1)
        with opened as record, pytest.raises(ConfigError, match=rf"port {port} .*in use.* --port") as caught:
            StudyServer(Questions(shown.photographs, record), port)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_full_disk_is_told_and_the_choice_can_be_made_again(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    root = folders(1)
    with serving(root) as client:
        client.post("begin", {})
        values = {"participant": 1, "trial": 0, "choice": "left"}
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", lambda descriptor, content: 0)
            assert client.status("choice", values) == 500
        assert client.post("choice", values)["done"] == 1
    assert len(read_study(root / "out.jsonl").choices) == 1
