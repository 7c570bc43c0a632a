"""What nodes that are being taken away have is not counted, and a training waits until they are gone."""

import time

import pytest
import ray

from banet.cluster import draining
from banet.cluster.draining import ClusterNodes, settled_nodes

pytestmark = [pytest.mark.distributed, pytest.mark.usefixtures("ray_session")]


def taken_away(monkeypatch: pytest.MonkeyPatch, *, at: float) -> None:
    (node,) = ray.nodes()
    monkeypatch.setattr(draining, "_deadlines", lambda: {node["NodeID"]: at})


def test_every_node_stays_unless_it_is_said() -> None:
    told: list[str] = []
    nodes = settled_nodes(told.append)
    assert (len(nodes.staying), nodes.leaving, nodes.total("CPU"), nodes.total("GPU"), told) == (1, [], 3, 0, [])


def test_a_node_that_goes_at_a_time_that_nobody_knows_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    taken_away(monkeypatch, at=0)
    told: list[str] = []
    nodes = settled_nodes(told.append)
    assert (nodes.staying, len(nodes.leaving), nodes.total("CPU"), told) == ([], 1, 0, [])


def test_a_node_that_goes_soon_is_waited_for_and_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draining, "GONE_AFTER_S", 0.0)
    monkeypatch.setattr(draining, "LOOKS_S", 0.1)
    end = time.time() + 1
    taken_away(monkeypatch, at=end)
    told: list[str] = []
    nodes = settled_nodes(told.append)
    assert time.time() >= end
    assert len(nodes.leaving) == 1
    assert told == ["a node is being taken away: waiting until it is gone, at most 1 s"]


def test_workers_are_counted_node_by_node() -> None:
    nodes = ClusterNodes([{"CPU": 3.0, "GPU": 1.0}, {"CPU": 8.0, "GPU": 4.0}, {"CPU": 8.0}], [{"CPU": 8.0, "GPU": 8.0}])
    assert nodes.room({"CPU": 1.6}) == 1 + 5 + 5
    assert nodes.room({"CPU": 4.0, "GPU": 1.0}) == 2
