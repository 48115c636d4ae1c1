"""Replicas in nodes: which a node takes, and how many nodes so many of them need."""

from __future__ import annotations

MOST_NODES_PER_REPLICA = 4


def node_takes(tp: int, pp: int, gpus_per_node: int) -> bool:
    """Whether nodes of so many GPUs take a replica of `tp` × `pp`.

    Tensor parallelism stays inside a node and divides it; stages share a node evenly, or each has a whole one.
    """
    if gpus_per_node % tp:
        return False
    if tp * pp <= gpus_per_node:
        return gpus_per_node % (tp * pp) == 0
    return tp == gpus_per_node and pp <= MOST_NODES_PER_REPLICA


def nodes_for(replicas: int, gpus_per_replica: int, gpus_per_node: int) -> int:
    """Nodes that so many replicas take; one of more than a node has whole ones."""
    if gpus_per_replica >= gpus_per_node:
        return replicas * -(-gpus_per_replica // gpus_per_node)
    return -(-replicas // (gpus_per_node // gpus_per_replica))
