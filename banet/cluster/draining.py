"""Nodes that are being taken away: Ray counts what they have until they are gone, and starts nothing on them."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import ray
from ray._private.state import state

LOOKS_S = 1.0  # seconds between two looks
GONE_AFTER_S = 10.0  # seconds after its deadline at which a node is gone, or nobody takes it

Resources = dict[str, float]


@dataclass(frozen=True, slots=True)
class ClusterNodes:
    """What each node of the cluster has, by whether it stays."""

    staying: list[Resources]
    leaving: list[Resources]

    def total(self, name: str) -> float:
        """What the nodes that stay have of a resource."""
        return sum(node.get(name, 0.0) for node in self.staying)

    def room(self, each: Resources) -> int:
        """How many workers of this size the nodes that stay hold."""
        rounding = 1e-6  # of amounts: 8 // 1.6 is 4
        fit = [min(node.get(name, 0.0) / amount for name, amount in each.items()) for node in self.staying]
        return sum(int(number + rounding) for number in fit)


def settled_nodes(on_wait: Callable[[str], None]) -> ClusterNodes:
    """Wait until the nodes that are being taken away are gone, or soon after the time at which they should be.

    A training that took what is left at once would go on without the node that replaces one.

    Args:
        on_wait: is told before, if there is something to wait for.
    """
    told = 0.0
    while (leaving := _deadlines()) and (now := time.time()) < (until := max(leaving.values()) + GONE_AFTER_S):
        if until > told:
            on_wait(f"a node is being taken away: waiting until it is gone, at most {until - now:.0f} s")
            told = until
        time.sleep(LOOKS_S)
    nodes = ClusterNodes([], [])
    for node in ray.nodes():
        if node["Alive"]:
            (nodes.leaving if node["NodeID"] in leaving else nodes.staying).append(node["Resources"])
    return nodes


def _deadlines() -> dict[str, float]:
    """When the nodes that are being taken away will be gone, in seconds of `time.time`; 0 if it is not known."""
    deadlines: dict[str, int] = state.get_draining_nodes()
    return {node: milliseconds / 1000 for node, milliseconds in deadlines.items()}
