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
from banet.cluster.node_end import needs_this_node, while_this_node_lives
from banet.cluster.ray_session import map_here, start_ray
from banet.errors import ServiceError

def kill_raylet() -> None:
    global killed
    (raylet,) = (each for each in psutil.Process().children() if "raylet/raylet" in " ".join(each.cmdline()))
    killed = time.monotonic()
    raylet.kill()

@ray.remote(num_cpus=0)
def sleep() -> None:
    time.sleep(600)

def wait() -> None:
    with needs_this_node():
        kill_raylet()
        ray.get(sleep.remote())

def wait_for_the_next() -> None:
    for number in while_this_node_lives(ray.get(sleep.remote()) if number else number for number in range(2)):
        kill_raylet()

def work_meanwhile() -> None:
    for number in while_this_node_lives(range(2)):
        assert number == 0
        kill_raylet()
        end = time.monotonic() + 3
        while time.monotonic() < end:  # nothing of it is cut off
            pass
        print("done with", number)

def first_at_once(number: int) -> int:
    time.sleep(600 if number else 0)
    return number

def map_over_cores() -> None:
    for _ in map_here(first_at_once, range(100)):
        kill_raylet()

start_ray()
try:
    NAME()
except ServiceError as error:
    assert time.monotonic() - killed < 8, "Ray itself takes 12 s"
    print(error)
"""


@pytest.mark.parametrize(
    "name",
    [
        "wait",
        *(pytest.param(f, marks=pytest.mark.slow) for f in ("wait_for_the_next", "work_meanwhile", "map_over_cores")),
    ],
)
def test_a_killed_raylet_is_said_before_ray_says_it_or_ends_this_process(name: str, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"}
    command = [sys.executable, "-c", KILLED.replace("NAME", name)]
    ran = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert ran.stdout.splitlines()[-1:] == [
        "Ray has ended on this node, as if it had been killed (is memory short?)"
    ], ran
    assert ("done with 0" in ran.stdout) == (name == "work_meanwhile")


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
