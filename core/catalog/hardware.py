"""A GPU, and how much memory one of them has for a model."""

from __future__ import annotations

from dataclasses import dataclass

from core.units import GB, MIB


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One row of gpus.csv: one GPU as an engine sees it, but for boards of two dies, whose title says so.

    What no source shows is None, or "" for text.

    Attributes:
        name: the name to write in a cell.
        aliases: other names, the driver's among them; it is found under each with and without the maker's name.
        title: the name in full.
        maker, architecture: who made it, and what the maker calls its design.
        compute_capability: CUDA compute capability ("9.0"), or AMD's LLVM target ("gfx942").
        sm_count: streaming multiprocessors (NVIDIA) or compute units (AMD).
        form_factor: how it is mounted: "PCIe", "SXM5", "OAM" ...
        label_gb: the memory that the vendor prints.
        memory_mib: the memory that the driver reports (nvidia-smi, amd-smi, hl-smi), with ECC as the vendor ships it.
        memory_type: "HBM3", "GDDR7" ...
        bandwidth_gb_per_s: peak memory bandwidth, 10⁹ bytes a second.
        tdp_w: the highest power that the vendor states, or the driver's limit for it.
        gpus_per_node: how many of them the usual server holds.
        interconnect, interconnect_gb_per_s: how it reaches its neighbours in the node, and how fast one GPU sends and
            receives together, as NVIDIA prints NVLink.
        source, memory_source: where the figures, and where the driver's memory was seen.
        as_of: when.
    """

    name: str
    aliases: tuple[str, ...]
    title: str
    maker: str
    architecture: str
    compute_capability: str
    sm_count: int | None
    form_factor: str
    label_gb: int
    memory_mib: int | None
    memory_type: str
    bandwidth_gb_per_s: float | None
    tdp_w: int | None
    gpus_per_node: int | None
    interconnect: str
    interconnect_gb_per_s: float | None
    source: str
    memory_source: str
    as_of: str

    @property
    def memory_is_label(self) -> bool:
        """Whether no source shows what the driver reports, so that the vendor's label has to do."""
        return self.memory_mib is None

    @property
    def memory_bytes(self) -> int:
        """What the driver reports or, failing that, the label taken for 10⁹ bytes a GB, rather too little."""
        return self.label_gb * GB if self.memory_mib is None else self.memory_mib * MIB


# NVIDIA's CUDA documentation (compute capability 8.9 and later); AMD's instruction sets (gfx942, gfx950, gfx12).
_FP8_ARCHITECTURES = frozenset({"Ada Lovelace", "Hopper", "Blackwell", "Blackwell Ultra", "CDNA3", "CDNA4", "RDNA4"})


def computes_in_fp8(gpu: Gpu) -> bool:
    """Whether its matrix units compute in 8-bit floats, as those of every current generation do (Intel: Gaudi 2 on)."""
    return gpu.architecture in _FP8_ARCHITECTURES or "Gaudi" in gpu.title
