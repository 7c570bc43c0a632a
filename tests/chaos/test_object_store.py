"""Shards in an object store that stops to answer in the middle of a training."""

import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.chaos.victim import CHECKPOINT_EVERY, MOMENTS, Victim
from tests.object_store import KEYS, s3_server

pytestmark = [
    pytest.mark.distributed,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy"),  # MLflow's own queries
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


class Gate(ThreadingHTTPServer):
    """Passes requests on to a server, or answers 503."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), Passing)
        self.behind, self.closed = port, threading.Event()


class Passing(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Gate

    def pass_on(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        while self.headers.get("Transfer-Encoding") == "chunked" and (size := int(self.rfile.readline(), 16)) >= 0:
            content += self.rfile.read(size)
            self.rfile.readline()
            if not size:
                break
        if self.server.closed.is_set():
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        connection = http.client.HTTPConnection("127.0.0.1", self.server.behind)
        passed = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
        connection.request(self.command, self.path, content, passed)
        answer = connection.getresponse()
        body = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in {"transfer-encoding", "connection", "content-length", "server", "date"}:
                self.send_header(name, value)
        self.send_header("Content-Length", answer.getheader("Content-Length") or str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        connection.close()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = pass_on  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Say nothing."""


HOP = {"expect", "transfer-encoding"}  # headers of one connection


@pytest.fixture
def gate() -> Iterator[Gate]:
    """A gate in front of a real S3 server with a bucket."""
    with s3_server("shards") as address:
        made = Gate(int(address.rpartition(":")[2]))
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()
        made.server_close()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """The weights that are trained from a disk."""
    victim = Victim(tmp_path_factory.mktemp("near"), cluster={"workers": 1})
    victim.start()
    status, printed = victim.ended()
    assert status == 0, printed
    return victim.weights()


@pytest.mark.chaos
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_ends_with_one_line_and_goes_on_when_the_store_is_back(
    gate: Gate, tmp_path: Path, undisturbed: dict[str, torch.Tensor], moment: str
) -> None:
    host = f"127.0.0.1:{gate.server_address[1]}"
    place = f"s3://shards/here?endpoint_override={host}&scheme=http"
    victim = Victim(tmp_path / "far", cluster={"workers": 1, "shards": place}, environment=KEYS)
    try:
        victim.start()
        victim.moment(moment, np.random.default_rng(MOMENTS.index(moment)))
        gate.closed.set()  # the second phase has a stream of its own, which starts with this
        status, printed = victim.ended()
        assert status == 1, printed
        assert "the object store of s3://shards/here" in printed.splitlines()[-1], printed
        assert victim.left_after() == []
        gate.closed.clear()
        victim.start()
        status, printed = victim.ended()
        assert status == 0, printed
        assert victim.repeated() <= CHECKPOINT_EVERY
        weights = victim.weights()
        assert all(torch.equal(weights[name], tensor) for name, tensor in undisturbed.items())
    finally:
        victim.end()
