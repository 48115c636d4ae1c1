"""Find what connects the GPUs of a tensor-parallel group: a board's fabric, PCIe, or the network between nodes."""

from __future__ import annotations

from dataclasses import dataclass

from core.catalog.hardware import Gpu

# Links in bytes per second one way. PCIe 4.0 x16 where the catalog states no link: the slowest of current servers.
_PCIE_BYTES_PER_S = 32e9
# Between nodes: one 400 Gb/s port per GPU of an HGX or OAM board (NVIDIA DGX H100 user guide), 200 Gb/s of others
# (NVIDIA DGX Spark user guide, ConnectX-7).
_NODE_BYTES_PER_S, _SMALL_NODE_BYTES_PER_S = 50e9, 25e9
_FABRICS = ("NVLink", "Infinity Fabric", "Unified Bus", "Ethernet")  # between the GPUs of a node; Gaudi's is Ethernet
_RACK_LINK, _RACK_GPUS = "domain of 72", 72
GPUS_PER_NODE = 8  # of boards (NVIDIA HGX, AMD Instinct platforms); used if the GPU's row has no number
_GPUS_PER_BRIDGE = 2

FABRIC, PCIE, NODES = "fabric", "pcie", "nodes"


@dataclass(frozen=True)
class Link:
    """What connects the GPUs of a tensor-parallel group: its kind, and bytes per second one way."""

    kind: str
    bytes_per_s: float


def link_of(gpu: Gpu, gpus: int) -> Link:
    """Return the link of a group of `gpus`: the fabric of a board, PCIe, or the network between nodes."""
    per_node = _RACK_GPUS if _RACK_LINK in gpu.interconnect else gpu.gpus_per_node or GPUS_PER_NODE
    stated = gpu.link_gb_per_s_one_way
    is_fabric = any(name in gpu.interconnect for name in _FABRICS)
    if gpus > per_node:
        slowest = _NODE_BYTES_PER_S if is_fabric and "bridge" not in gpu.interconnect else _SMALL_NODE_BYTES_PER_S
        return Link(NODES, slowest)
    if is_fabric and not ("bridge" in gpu.interconnect and gpus > _GPUS_PER_BRIDGE):
        return Link(FABRIC, stated * 1e9 if stated else 2 * _NODE_BYTES_PER_S)
    return Link(PCIE, _PCIE_BYTES_PER_S if is_fabric or stated is None else stated * 1e9)
