"""Whatever happens to a training, it ends with the weights of one that nothing has happened to.

`make chaos` runs all of it; `make test-all` the two faults that a user meets most.
"""

import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from tests.chaos.victim import CHECKPOINT_EVERY, MOMENTS, STEPS, EndedBefore, Victim

MOST_RUNS = 4  # of one training
KILLS = 20
SMALL = 2**16  # bytes that a file may have on a full disk

Weights = dict[str, torch.Tensor]

pytestmark = [
    pytest.mark.distributed,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy"),  # MLflow's own queries
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # of processes that were killed
]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    victim = Victim(tmp_path_factory.mktemp("undisturbed"))
    victim.start()
    status, printed = victim.ended()
    assert status == 0, printed
    assert victim.repeated() == 0
    return victim.weights()


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Victim]:
    made = Victim(tmp_path)
    yield made
    made.end()


def worker(victim: Victim) -> psutil.Process:
    victim.until(lambda: len(victim.named("RayTrainWorker")) == 2)
    return victim.named("RayTrainWorker")[-1]


def driver(victim: Victim) -> psutil.Process:
    assert victim.process is not None
    return psutil.Process(victim.process.pid)


def raylet(victim: Victim) -> psutil.Process:
    victim.until(lambda: victim.named("raylet/raylet"))
    return victim.named("raylet/raylet")[0]


def fill_the_disk(victim: Victim) -> None:
    """As far as its workers see: no file may grow further."""
    worker(victim)
    for process in victim.named("RayTrainWorker"):
        process.rlimit(psutil.RLIMIT_FSIZE, (SMALL, resource.RLIM_INFINITY))


FAULTS: dict[str, Callable[[Victim], None]] = {
    "SIGKILL to a worker": lambda victim: worker(victim).send_signal(signal.SIGKILL),
    "SIGTERM to a worker": lambda victim: worker(victim).send_signal(signal.SIGTERM),
    "SIGSTOP to a worker": lambda victim: worker(victim).send_signal(signal.SIGSTOP),
    "SIGKILL to the driver": lambda victim: driver(victim).send_signal(signal.SIGKILL),
    "SIGTERM to the driver": lambda victim: driver(victim).send_signal(signal.SIGTERM),
    "SIGINT to the driver": lambda victim: driver(victim).send_signal(signal.SIGINT),
    "SIGKILL to the raylet": lambda victim: raylet(victim).send_signal(signal.SIGKILL),
    "full disk": fill_the_disk,
}
IN_ORDER = {"SIGTERM to a worker", "SIGTERM to the driver", "SIGINT to the driver"}  # nothing is repeated


def suffer(victim: Victim, fault: str, moment: str, seed: int, expected: Weights) -> str:
    """Run to the end with one fault, check what holds afterwards, and return what was printed."""
    printed = ""
    for attempt in range(MOST_RUNS):
        victim.start()
        if attempt == 0:
            victim.moment(moment, np.random.default_rng(seed))
            FAULTS[fault](victim)
        status, told = victim.ended()
        printed += told
        assert victim.left_after() == []
        if status == 0:
            break
        # one line that says how to go on, but for what ends without a word
        assert status == -signal.SIGKILL or "again" in told.strip().splitlines()[-1], told
    assert status == 0, printed
    weights = victim.weights()
    assert all(torch.equal(weights[name], tensor) for name, tensor in expected.items())
    assert victim.repeated() <= (0 if fault in IN_ORDER else CHECKPOINT_EVERY)
    return printed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "moment"), [("SIGTERM to the driver", "middle"), ("SIGKILL to a worker", "validation")]
)
def test_the_faults_that_users_meet_most(victim: Victim, undisturbed: Weights, fault: str, moment: str) -> None:
    printed = suffer(victim, fault, moment, 0, undisturbed)
    assert "Traceback" not in printed


@pytest.mark.chaos
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_at_every_moment(victim: Victim, undisturbed: Weights, fault: str, moment: str) -> None:
    suffer(victim, fault, moment, MOMENTS.index(moment), undisturbed)


@pytest.mark.chaos
def test_twenty_kills_at_random_moments(tmp_path: Path, undisturbed: Weights) -> None:
    rng, kills, number = np.random.default_rng(0), {"worker": 0, "driver": 0}, 0
    while sum(kills.values()) < KILLS:
        number += 1
        victim, before = Victim(tmp_path / str(number)), sum(kills.values())
        status = -1
        while status != 0:
            victim.start()
            with suppress(EndedBefore):
                while victim.process is not None and victim.process.poll() is None:
                    whom = str(rng.choice(["worker", "driver"]))
                    victim.moment(str(rng.choice(MOMENTS)), rng)
                    FAULTS[f"SIGKILL to {'a' if whom == 'worker' else 'the'} {whom}"](victim)
                    kills[whom] += 1
                    if whom == "driver":
                        break
            status, _ = victim.ended()
            assert victim.left_after() == []
        killed = sum(kills.values()) - before
        weights = victim.weights()
        assert all(torch.equal(weights[name], tensor) for name, tensor in undisturbed.items())
        assert victim.repeated() <= killed * CHECKPOINT_EVERY
        print(f"training {number}: equal weights after {killed} kills")  # for who waits
    assert kills["driver"] >= 6


@pytest.mark.chaos
def test_a_run_of_two_then_one_then_two_workers_sees_the_same_samples(victim: Victim, undisturbed: Weights) -> None:
    """Sums over two workers and over one are rounded differently: equal to rounding, not to the bit."""
    for workers, until in ((2, STEPS // 3), (1, 2 * STEPS // 3), (2, STEPS)):
        Victim(victim.folder, cluster={"workers": workers})
        victim.start()
        if until < STEPS:
            victim.until(lambda until=until: victim.step >= until)  # type: ignore[misc]
            driver(victim).send_signal(signal.SIGTERM)
        status, printed = victim.ended()
        assert status == (0 if until == STEPS else 128 + signal.SIGTERM), printed
    weights = victim.weights()
    assert victim.repeated() == 0
    assert all(torch.allclose(weights[name], tensor, atol=1e-5) for name, tensor in undisturbed.items())


@pytest.mark.chaos
def test_a_run_that_loses_its_workers_again_and_again_says_so_and_can_go_on(
    victim: Victim, undisturbed: Weights
) -> None:
    victim.start()
    victim.until(lambda: victim.step > CHECKPOINT_EVERY)
    killed: set[int] = set()
    with suppress(EndedBefore):
        while True:
            victim.until(lambda: {process.pid for process in victim.named("RayTrainWorker")} - killed)
            for process in victim.named("RayTrainWorker"):
                killed.add(process.pid)
                with suppress(psutil.NoSuchProcess):
                    process.kill()
    status, printed = victim.ended()
    assert status == 1, printed
    (said,) = [line for line in printed.splitlines() if line.startswith("error:")]
    assert "worker" in said, printed
    assert "run the same command again" in said, printed
    assert "Traceback" not in printed
    assert victim.left_after() == []
    victim.start()
    status, printed = victim.ended()
    assert status == 0, printed
    weights = victim.weights()
    assert all(torch.equal(weights[name], tensor) for name, tensor in undisturbed.items())
