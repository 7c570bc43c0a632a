"""Several nodes on this machine: a run outlives one that is lost, and leaves one that is taken away in order."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from tests.chaos.victim import CHECKPOINT_EVERY, Victim

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

HEAD_CPUS, NODE_CPUS = 3, 2
CLUSTER = {"workers": {"min": 1, "max": 2}, "cpus_per_worker": 1.6}  # one worker a node; the head has room for one

pytestmark = [
    pytest.mark.distributed,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture
def nodes() -> Iterator["Cluster"]:
    """A cluster of a head and one more node."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, connect=False, head_node_args={"num_cpus": HEAD_CPUS})
    cluster.add_node(num_cpus=NODE_CPUS)
    yield cluster
    cluster.shutdown()


@pytest.fixture
def victim(tmp_path: Path, nodes: "Cluster") -> Iterator[Victim]:
    made = Victim(tmp_path, cluster=CLUSTER, environment={"RAY_ADDRESS": nodes.address})
    yield made
    made.end()


def of_one_worker(folder: Path) -> dict[str, torch.Tensor]:
    victim = Victim(folder, cluster={"workers": 1})
    victim.start()
    status, printed = victim.ended()
    assert status == 0, printed
    return victim.weights()


def close(weights: dict[str, torch.Tensor], others: dict[str, torch.Tensor]) -> bool:
    """Equal but for how sums over another number of workers are rounded."""
    return all(torch.allclose(weights[name], other, atol=1e-5) for name, other in others.items())


@pytest.mark.chaos
def test_a_run_goes_on_with_the_workers_that_are_left_when_a_node_is_lost(
    victim: Victim,
    nodes: "Cluster",
    tmp_path: Path,
) -> None:
    victim.start()
    victim.until(lambda: victim.step >= CHECKPOINT_EVERY + 5)
    nodes.remove_node(*nodes.worker_nodes, allow_graceful=False)
    status, printed = victim.ended()
    assert status == 0, printed
    assert "workers were lost" in printed
    assert victim.repeated() <= CHECKPOINT_EVERY
    assert close(victim.weights(), of_one_worker(tmp_path / "one"))


@pytest.mark.chaos
def test_a_run_leaves_in_order_when_a_node_is_taken_away_and_goes_on_elsewhere(
    victim: Victim,
    nodes: "Cluster",
    tmp_path: Path,
) -> None:
    victim.start()
    victim.until(lambda: victim.step >= 5)
    (node,) = nodes.worker_nodes
    drain = [sys.executable, "-m", "ray.scripts.scripts", "drain-node", "--address", nodes.address]
    drain += ["--node-id", node.node_id, "--reason", "DRAIN_NODE_REASON_PREEMPTION"]
    drain += ["--reason-message", "spot", "--deadline-remaining-seconds", "30"]
    subprocess.run(drain, check=True, capture_output=True)
    status, printed = victim.ended()
    assert status == 1, printed
    assert "a node is being taken away" in printed.splitlines()[-1]
    assert "is kept: run the same command again to go on" in printed.splitlines()[-1]
    victim.start()
    status, printed = victim.ended()
    assert status == 0, printed
    assert victim.repeated() == 0
    assert close(victim.weights(), of_one_worker(tmp_path / "one"))
