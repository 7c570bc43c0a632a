"""A real `banet serve` on loopback, one for all tests: pictures, limits, and a champion that moves."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import PIL.ImageCms
import pyarrow.parquet as pq
import pytest
import torch

from banet.data.images.codec import decode_picture, encode_jpeg, encode_png
from banet.data.served.picture_features import picture_features
from banet.inference import restore
from banet.model.network import BANet
from banet.model.network_config import BANetConfig
from banet.model.weights import load_weights, save_weights
from banet.tracking.registry import promote, register
from banet.tracking.store import Store, connect

pytest.importorskip("ray.serve", reason="the extra `serve` is not installed", exc_type=ImportError)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.server,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]  # SQLAlchemy's, of MLflow

STARTED_WITHIN = 400.0  # seconds; 20 on an idle machine
IMAGE = np.random.default_rng(0).integers(0, 256, (40, 33, 3), dtype=np.uint8)


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    content: bytes


class Service(NamedTuple):
    address: str
    store: Store
    folders: list[Path]  # weights of versions 1 and 2
    process: subprocess.Popen[bytes]

    def ask(self, content: bytes | None = None, path: str = "/") -> Reply:
        """POST the content, or GET."""
        request = urllib.request.Request(f"{self.address}{path}", content)
        try:
            with urllib.request.urlopen(request, timeout=STARTED_WITHIN) as answer:
                return Reply(answer.status, dict(answer.headers), answer.read())
        except urllib.error.HTTPError as error:
            return Reply(error.code, dict(error.headers), error.read())


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    here = tmp_path_factory.mktemp("service")
    store = connect(f"sqlite:///{here}/mlflow.db")
    folders = [here / "1", here / "2"]
    for seed, folder in enumerate(folders):
        torch.manual_seed(seed)
        save_weights(BANet(BANetConfig(stem_channels=2, channels=4, modules=1, fusion_channels=2)), folder)
    promote(store, register(store, folders[0], name="banet-served", run_id=""), reason="the first")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "banet.cli", "serve", "models:/banet-served@champion", "--port", str(port)]
    command += ["--max-requests", "4", "--max-mib", "1", "--max-megapixels", "1", "--look-every", "0.5"]
    command += ["--watch", "watched/served"]
    environment = os.environ | {"RAY_ADDRESS": "local", "MLFLOW_TRACKING_URI": store.uri, "OMP_NUM_THREADS": "1"}
    with (here / "log").open("w") as log:
        process = subprocess.Popen(command, env=environment, cwd=here, stdout=log, stderr=log)
    try:
        end = time.monotonic() + STARTED_WITHIN
        while " restores with " not in (here / "log").read_text():
            assert process.poll() is None, (here / "log").read_text()
            assert time.monotonic() < end, (here / "log").read_text()
            time.sleep(0.5)
        yield Service(f"http://127.0.0.1:{port}", store, folders, process)
    finally:
        process.terminate()
        assert process.wait(STARTED_WITHIN) == 128 + signal.SIGTERM


def bomb() -> bytes:
    """A header that claims 40,000 x 40,000 pixels."""
    png = encode_png(IMAGE)
    header = b"IHDR" + (40000).to_bytes(4) * 2 + png[24:29]
    return png[:12] + header + zlib.crc32(header).to_bytes(4) + png[33:]


def test_a_picture_comes_back_in_its_format_with_its_profile(service: Service) -> None:
    profile = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
    model = load_weights(service.folders[0])
    reply = service.ask(encode_png(IMAGE, profile=profile))
    assert (reply.status, reply.headers["content-type"]) == (200, "image/png")
    picture = decode_picture(reply.content, "the answer")
    assert np.array_equal(picture.pixels, restore(model, IMAGE))
    assert picture.profile == profile
    assert reply.headers["x-model"] == "models:/banet-served/1"
    reply = service.ask(encode_jpeg(IMAGE))
    assert (reply.status, reply.headers["content-type"]) == (200, "image/jpeg")
    assert decode_picture(reply.content, "the answer").pixels.shape == IMAGE.shape


@pytest.mark.parametrize(
    ("content", "status", "reason"),
    [
        (b"GIF89a no picture", 415, b"no PNG or JPEG"),
        (encode_png(IMAGE)[:-300], 400, b"damaged"),
        (encode_png(IMAGE[:7]), 400, b"smaller than 8x8"),
        (bomb(), 413, b"megapixels"),
        (encode_png(IMAGE) + bytes(2**20), 413, b"longer than 1048576 bytes"),
    ],
)
def test_what_is_not_taken_has_a_status_and_a_reason(
    content: bytes, status: int, reason: bytes, service: Service
) -> None:
    reply = service.ask(content)
    assert reply.status == status, reply
    assert reason in reply.content
    assert json.loads(service.ask(path="/health").content)["waiting"] == 0


def test_other_addresses_and_methods_are_refused(service: Service) -> None:
    assert service.ask(path="/elsewhere").status == 404
    assert service.ask(b"", path="/health").status == 405


def test_more_than_are_allowed_are_told_to_come_again_and_counted(service: Service) -> None:
    content = encode_png(np.random.default_rng(1).integers(0, 256, (400, 500, 3), dtype=np.uint8))
    replies: list[Reply] = []
    threads = [threading.Thread(target=lambda: replies.append(service.ask(content))) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    statuses = [reply.status for reply in replies]
    assert set(statuses) == {200, 503}
    assert all(reply.headers["retry-after"] == "1" for reply in replies if reply.status == 503)
    metrics = service.ask(path="/metrics").content.decode()
    assert f'banet_requests_total{{status="503"}} {float(statuses.count(503))}' in metrics
    assert "banet_waiting 0.0" in metrics


def test_a_champion_that_moves_is_taken_over_without_a_lost_request(service: Service) -> None:
    expected = [restore(load_weights(folder), IMAGE) for folder in service.folders]
    promote(service.store, register(service.store, service.folders[1], name="banet-served", run_id=""), reason="better")
    seen: list[str] = []
    end = time.monotonic() + STARTED_WITHIN
    while not seen or seen[-1] != "models:/banet-served/2":
        reply = service.ask(encode_png(IMAGE))
        assert reply.status == 200
        seen.append(reply.headers["x-model"])
        version = int(seen[-1].rpartition("/")[2])
        assert np.array_equal(decode_picture(reply.content, "the answer").pixels, expected[version - 1])
        assert time.monotonic() < end
    assert json.loads(service.ask(path="/health").content)["model"] == seen[-1]


def test_a_service_that_has_ended_leaves_a_row_of_every_picture(service: Service) -> None:
    """The last test: it ends the service."""
    assert service.ask(encode_png(IMAGE)).status == 200
    metrics = service.ask(path="/metrics").content.decode()
    restored = next(line for line in metrics.splitlines() if line.startswith('banet_requests_total{status="200"}'))
    service.process.terminate()
    service.process.wait(STARTED_WITHIN)
    rows = pq.read_table(service.folders[0].parent / "watched/served").to_pylist()
    statuses = Counter(row["status"] for row in rows)
    assert statuses[200] >= float(restored.split()[1])  # some answers may have come too late for their requests
    assert (statuses[400], statuses[413]) == (2, 1)  # of what the front has let pass
    assert {row["model"] for row in rows} == {"models:/banet-served/1", "models:/banet-served/2"}
    seen, (last,) = picture_features(IMAGE), [row for row in rows if row["time"] == max(row["time"] for row in rows)]
    assert (last["width"], last["height"], last["noise"]) == (seen.width, seen.height, seen.noise)
    assert {row["width"] for row in rows if row["status"] != 200} == {None}
