"""Where Ray ends on the node, what waits for it is told at once."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from banet.cluster.node_end import SIGNAL, needs_this_node

pytestmark = pytest.mark.distributed

ROOT = Path(__file__).parents[3]

KILLED = """
import time
import psutil, ray
from banet.cluster.node_end import needs_this_node
from banet.cluster.ray_session import start_ray
from banet.errors import ServiceError

@ray.remote(num_cpus=0)
def sleep() -> None:
    time.sleep(600)

start_ray()
ref = sleep.remote()
(raylet,) = (each for each in psutil.Process().children() if "raylet/raylet" in " ".join(each.cmdline()))
killed = time.monotonic()
try:
    with needs_this_node():
        raylet.kill()
        ray.get(ref)
except ServiceError as error:
    assert time.monotonic() - killed < 8, "Ray itself takes 12 s"
    print(error)
"""


def test_a_killed_raylet_is_said_before_ray_says_it_or_ends_this_process(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"}
    command = [sys.executable, "-c", KILLED]
    ran = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert ran.stdout.splitlines()[-1:] == [
        "Ray has ended on this node, as if it had been killed (is memory short?)"
    ], ran


@pytest.mark.usefixtures("ray_session")
def test_a_node_that_lives_disturbs_nothing_and_signals_are_as_before() -> None:
    before = signal.getsignal(SIGNAL)
    with needs_this_node():
        assert signal.getsignal(SIGNAL) is not before
        time.sleep(1.2)
    assert signal.getsignal(SIGNAL) is before
    with pytest.raises(KeyboardInterrupt), needs_this_node():  # somebody else's
        raise KeyboardInterrupt


@pytest.mark.usefixtures("ray_session")
def test_other_threads_are_left_alone() -> None:
    before, found = signal.getsignal(SIGNAL), []

    def look() -> None:
        with needs_this_node():
            found.append(signal.getsignal(SIGNAL))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [before]
