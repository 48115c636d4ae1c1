"""Place replicas in nodes: which replicas are possible, and how many nodes they need."""

from __future__ import annotations

from core.plan.memory import PLACE
from core.plan.money import ORDER
from core.plan.terms import Terms

MAX_NODES_PER_REPLICA = 4
NODES = Terms(ORDER["replicas_per_node"], ORDER["nodes"])


def node_takes(tp: int, pp: int, gpus_per_node: int, *, on_board: bool = True, is_slice: bool = False) -> bool:
    """Return whether a replica of `tp` × `pp` GPUs can be placed in nodes of `gpus_per_node` GPUs.

    A replica within a node divides its board evenly; cards can be any number. In a larger replica each stage takes a
    whole node.

    Args:
        on_board: whether the GPUs are sold in full nodes only, not as cards.
        is_slice: whether they are MIG slices, of which a replica has one.
    """
    given = {
        "tp": tp, "pp": pp, "gpus_per_replica": tp * pp, "gpus_per_node": gpus_per_node, "on_board": int(on_board),
        "most_nodes_per_replica": 1 if is_slice else MAX_NODES_PER_REPLICA,
    }  # fmt: skip
    return bool(PLACE.compute(given)["node_takes"])


def nodes_for(replicas: int, gpus_per_replica: int, gpus_per_node: int) -> int:
    """Return the nodes for `replicas`: a replica larger than a node takes whole nodes; smaller ones share a node."""
    given = {"replicas": replicas, "gpus_per_replica": gpus_per_replica, "gpus_per_node": gpus_per_node}
    return NODES.compute(given | {"with_spares": replicas * gpus_per_replica})["nodes"]  # type: ignore[return-value]
