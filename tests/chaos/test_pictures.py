"""A folder of pictures over two nodes: whatever is lost in the middle, its outputs are those made here."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from banet.data.images.codec import write_image
from banet.model.network import BANet
from banet.model.network_config import BANetConfig
from banet.model.weights import save_weights
from banet.restoring.input_files import RECORD
from tests.chaos.victim import ROOT

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

PICTURES, LOST_AFTER = 24, 4
WITHIN_S = 300.0

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.distributed,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures, one that is none, and a network."""
    rng = np.random.default_rng(0)
    for number in range(PICTURES):
        image = rng.integers(0, 256, (240, 240, 3), dtype=np.uint8)
        write_image(tmp_path / f"in/{number % 3}/{number}.png", image)
    (tmp_path / "in/bad.png").write_bytes(b"no image")
    torch.manual_seed(0)
    save_weights(BANet(BANetConfig(stem_channels=16, channels=32, modules=2, fusion_channels=16)), tmp_path / "model")
    return tmp_path


def deblur(folder: Path, out: str, address: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {"RAY_ADDRESS": address, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "banet.cli", "deblur", "in", out, "--model", "model"]
    with (folder / f"{out}.txt").open("w") as printed:  # a pipe that nobody reads would stop what writes to it
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=printed, stderr=subprocess.STDOUT)


def outputs(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*.png"))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def lose_the_driver(process: subprocess.Popen[bytes], nodes: "Cluster") -> None:
    process.send_signal(signal.SIGKILL)


def lose_a_node(process: subprocess.Popen[bytes], nodes: "Cluster") -> None:
    nodes.remove_node(*nodes.worker_nodes, allow_graceful=False)


@pytest.mark.parametrize("lose", [lose_the_driver, lose_a_node])
def test_what_is_lost_in_the_middle_costs_no_picture(
    folder: Path, nodes: "Cluster", lose: Callable[[subprocess.Popen[bytes], "Cluster"], None]
) -> None:
    record, end = folder / "out" / RECORD, time.monotonic() + WITHIN_S
    process = deblur(folder, "out", nodes.address)
    while not record.exists() or len(record.read_text().splitlines()) < LOST_AFTER:
        assert process.poll() is None, (folder / "out.txt").read_text()
        assert time.monotonic() < end
        time.sleep(0.05)
    lose(process, nodes)
    status = process.wait(WITHIN_S)
    before = outputs(folder / "out")
    done = len(record.read_text().splitlines())
    if lose is lose_the_driver:
        assert (status, done < PICTURES) == (-signal.SIGKILL, True)
        process = deblur(folder, "out", nodes.address)
        status = process.wait(WITHIN_S)
    printed = (folder / "out.txt").read_text()
    assert status == 1, printed  # because of the one that is no picture
    assert "error: 1 of 25 pictures could not be restored" in printed.splitlines()[-1]
    assert lose is lose_a_node or f"{done} were done before" in printed, printed
    assert deblur(folder, "here", "local").wait(WITHIN_S) == 1
    after = outputs(folder / "out")
    assert len(after) == PICTURES
    assert after == outputs(folder / "here")
    assert all(after[name] == content for name, content in before.items())
    assert sorted(record.read_text().splitlines()) == sorted((folder / "here" / RECORD).read_text().splitlines())
