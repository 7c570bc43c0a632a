"""Several nodes on this machine: a run outlives one that is lost, and leaves one that is taken away in order."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pytest
import torch

from tests.chaos.conftest import HEAD_CPUS, NODE_CPUS
from tests.chaos.victim import CHECKPOINT_EVERY, MOMENTS, ROOT, Victim

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

MACHINES = {"banet-head": "10.213.7.2", "banet-other": "10.213.7.3"}
LOOK = """
import ray, sys
from banet.cluster.ray_session import start_ray
start_ray()
sys.exit(len(ray.nodes()) != int(sys.argv[1]))
"""
BRIDGE, INTERFACE, PORT = "banet-bridge", "eth0", 6397
# One worker a node: the head has room for one. Some are stopped for longer than other tests let a worker be silent.
CLUSTER = {"workers": {"min": 1, "max": 2}, "cpus_per_worker": 1.6, "timeout_s": 60}

pytestmark = [
    pytest.mark.distributed,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture
def machines() -> Iterator[None]:
    """Two machines as far as a network can tell: namespaces with addresses of their own, joined by a bridge."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("making network namespaces needs root and iproute2")
    ip("link", "add", BRIDGE, "type", "bridge")
    ip("link", "set", BRIDGE, "up")
    for name, address in MACHINES.items():
        ip("netns", "add", name)
        ip("link", "add", f"to-{name}", "type", "veth", "peer", "name", INTERFACE, "netns", name)
        ip("link", "set", f"to-{name}", "master", BRIDGE, "up")
        ip("-n", name, "addr", "add", f"{address}/24", "dev", INTERFACE)
        ip("-n", name, "link", "set", INTERFACE, "up")
        ip("-n", name, "link", "set", "lo", "up")
    (head, head_address), (other, other_address) = MACHINES.items()
    environment = os.environ | {"GLOO_SOCKET_IFNAME": INTERFACE, "RAY_USAGE_STATS_ENABLED": "0"}
    environment |= {"RAY_AUTH_MODE": "token"}  # without it, the second node does not send what the first asks for
    subprocess.run([sys.executable, "-m", "ray.scripts.scripts", "get-auth-token", "--generate"], check=True)
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="banet-", ignore_cleanup_errors=True) as short:  # for sockets
        ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block"]
        first = [*ray, "--head", "--include-dashboard=false", f"--port={PORT}", f"--temp-dir={short}"]
        first += [f"--node-ip-address={head_address}", f"--num-cpus={HEAD_CPUS}"]
        second = [*ray, f"--address={head_address}:{PORT}"]
        second += [f"--node-ip-address={other_address}", f"--num-cpus={NODE_CPUS}"]
        started = []
        try:
            for name, command, nodes in ((head, first, 1), (other, second, 2)):
                within = ["ip", "netns", "exec", name]
                started.append(subprocess.Popen([*within, *command], env=environment, stdout=subprocess.DEVNULL))
                looking = environment | {"RAY_ADDRESS": f"{head_address}:{PORT}", "PYTHONPATH": str(ROOT)}
                look = ["ip", "netns", "exec", head, sys.executable, "-c", LOOK, str(nodes)]
                while subprocess.run(look, env=looking, check=False).returncode:
                    assert started[-1].poll() is None
            yield
        finally:
            for process in reversed(started):
                for each in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
                    with suppress(psutil.NoSuchProcess):
                        each.kill()
                process.wait()
            for name in MACHINES:
                ip("netns", "del", name)
            ip("link", "del", BRIDGE)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


@pytest.fixture
def victim(tmp_path: Path, nodes: "Cluster") -> Iterator[Victim]:
    made = Victim(tmp_path, cluster=CLUSTER, environment={"RAY_ADDRESS": nodes.address})
    yield made
    made.end()


@pytest.fixture(scope="module")
def of_one_worker(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """The weights that one worker trains, undisturbed."""
    folder = tmp_path_factory.mktemp("one")
    victim = Victim(folder, cluster={"workers": 1}, environment={"RAY_ADDRESS": "local"})
    victim.start()
    status, printed = victim.ended()
    assert status == 0, printed
    return victim.weights()


def actors(name: str) -> list[psutil.Process]:
    """Those of a class, which are no processes of the victim: the cluster has started them."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if " ".join(process.cmdline()).startswith(f"ray::{name}"):
                found.append(process)
    return found


@contextmanager
def stopped(processes: list[psutil.Process]) -> Iterator[None]:
    for process in processes:
        process.suspend()
    yield
    for process in processes:
        process.resume()


def close(weights: dict[str, torch.Tensor], others: dict[str, torch.Tensor]) -> bool:
    """Equal but for how sums over another number of workers are rounded."""
    return all(torch.allclose(weights[name], other, atol=1e-5) for name, other in others.items())


@pytest.mark.chaos
def test_a_run_goes_on_with_the_workers_that_are_left_when_a_node_is_lost(
    victim: Victim,
    nodes: "Cluster",
    of_one_worker: dict[str, torch.Tensor],
) -> None:
    victim.start()
    victim.until(lambda: victim.step >= CHECKPOINT_EVERY + 5)
    nodes.remove_node(*nodes.worker_nodes, allow_graceful=False)
    status, printed = victim.ended()
    assert status == 0, printed
    assert "workers were lost" in printed
    assert victim.repeated() <= CHECKPOINT_EVERY
    assert close(victim.weights(), of_one_worker)


@pytest.mark.chaos
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_leaves_in_order_when_a_node_is_taken_away_and_goes_on_elsewhere(
    victim: Victim,
    nodes: "Cluster",
    of_one_worker: dict[str, torch.Tensor],
    moment: str,
) -> None:
    victim.start()
    if moment != "start-up":
        victim.moment("first step", np.random.default_rng(0))
        with stopped(actors("RayTrainWorker")):  # or they are done before Ray looks for such nodes
            victim.until(lambda: actors("PreemptionWatcher"))
    if moment != "first step":
        victim.moment(moment, np.random.default_rng(MOMENTS.index(moment)))
    (node,) = nodes.worker_nodes
    drain = [sys.executable, "-m", "ray.scripts.scripts", "drain-node", "--address", nodes.address]
    drain += ["--node-id", node.node_id, "--reason", "DRAIN_NODE_REASON_PREEMPTION"]
    drain += ["--reason-message", "spot", "--deadline-remaining-seconds", "30"]
    with stopped(actors("RayTrainWorker")):  # the command takes as long to start as the training takes to end
        subprocess.run(drain, check=True, capture_output=True)
    status, printed = victim.ended()
    if moment != "start-up" or status:  # before it has a worker there, a run does not need the node
        assert status == 1, printed
        assert "a node is being taken away" in printed.splitlines()[-1]
        assert "is kept: run the same command again to go on" in printed.splitlines()[-1]
        victim.start()
        status, printed = victim.ended()
    assert status == 0, printed
    assert victim.repeated() == 0
    assert close(victim.weights(), of_one_worker)


@pytest.mark.chaos
@pytest.mark.usefixtures("machines")
def test_two_machines_with_addresses_of_their_own_train_together(
    tmp_path: Path, of_one_worker: dict[str, torch.Tensor]
) -> None:
    address = f"{MACHINES['banet-head']}:{PORT}"
    victim = Victim(
        tmp_path / "two",
        cluster=CLUSTER | {"workers": 2},
        environment={"RAY_ADDRESS": address, "GLOO_SOCKET_IFNAME": INTERFACE},
        within=["ip", "netns", "exec", "banet-head"],
    )
    victim.start()
    status, printed = victim.ended()
    assert status == 0, printed
    assert close(victim.weights(), of_one_worker)
