"""What several tests of faults share: a cluster of two nodes on this machine."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

HEAD_CPUS, NODE_CPUS = 3, 2


@pytest.fixture
def nodes() -> Iterator["Cluster"]:
    """A cluster of a head and one more node."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, connect=False, head_node_args={"num_cpus": HEAD_CPUS})
    cluster.add_node(num_cpus=NODE_CPUS)
    yield cluster
    cluster.shutdown()
