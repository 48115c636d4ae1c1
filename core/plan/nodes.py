"""Place replicas in nodes: which replicas are possible, and how many nodes they need."""

from __future__ import annotations

from core.plan.memory import PLACE
from core.plan.money import ORDER
from core.plan.terms import Terms

MAX_NODES_PER_REPLICA = 4
NODES = Terms(ORDER["replicas_per_node"], ORDER["nodes"])


def node_takes(tp: int, pp: int, gpus_per_node: int) -> bool:
    """Return whether a replica of `tp` × `pp` GPUs can be placed in nodes of `gpus_per_node` GPUs.

    A replica either divides a node evenly, or each of its stages takes a whole node.
    """
    given = {"tp": tp, "pp": pp, "gpus_per_replica": tp * pp, "gpus_per_node": gpus_per_node}
    return bool(PLACE.compute(given | {"most_nodes_per_replica": MAX_NODES_PER_REPLICA})["node_takes"])


def nodes_for(replicas: int, gpus_per_replica: int, gpus_per_node: int) -> int:
    """Return the nodes for `replicas`: a replica larger than a node takes whole nodes; smaller ones share a node."""
    given = {"replicas": replicas, "gpus_per_replica": gpus_per_replica, "gpus_per_node": gpus_per_node}
    return NODES.compute(given | {"with_spares": replicas * gpus_per_replica})["nodes"]  # type: ignore[return-value]
