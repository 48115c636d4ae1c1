"""The class for a GPU's data: memory, bandwidth, power and interconnect."""

from __future__ import annotations

from dataclasses import dataclass

from core.units import GB, MIB

MIG_SLICE = "MIG slice"
# Form factors of processors whose memory is the CPU's too: NVIDIA GB10 and Jetson, AMD's APUs, Apple's.
_SHARING_MEMORY = frozenset({"desktop", "module", "APU", "SoC"})


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One row of gpus.csv: one GPU as an engine sees it; the title says where a row is a board of two dies.

    Fields without a source are None, or "" for text.

    Attributes:
        name: the name to write in a cell.
        aliases: other names, including the driver's; each is accepted with and without the maker's name.
        title: the full name.
        maker, architecture: the manufacturer, and its name for the architecture.
        compute_capability: CUDA compute capability ("9.0"), or AMD's LLVM target ("gfx942").
        sm_count: streaming multiprocessors (NVIDIA) or compute units (AMD).
        form_factor: "PCIe", "SXM5", "OAM" ...; "desktop", "module", "APU" and "SoC" have one memory with the CPU;
            `MIG_SLICE` for a part of a GPU.
        label_gb: the memory on the vendor's label.
        memory_mib: the memory that the driver reports (nvidia-smi, amd-smi, hl-smi), with ECC as the vendor ships it.
        memory_type: "HBM3", "GDDR7" ...
        bandwidth_gb_per_s: peak memory bandwidth, 10⁹ bytes per second.
        tdp_w: the highest power that the vendor states, or else the driver's power limit.
        gpus_per_node: the number of GPUs in a typical server.
        interconnect, interconnect_gb_per_s: the link to the other GPUs of the node, and its bandwidth per GPU, both
            directions added, as NVIDIA states NVLink.
        bf16_tflops, int8_tops, fp8_tflops, fp4_tflops: peak rates of its matrix units without sparsity, 10¹² operations
            per second with 32-bit accumulation (FP16 where BF16 does not exist); None where it has no such units, or
            where no source states the rate.
        compute_source: the source of these rates.
        segment: the vendor's product line: "data centre", "workstation" or "consumer" (NVIDIA GeForce, AMD Radeon RX);
            the licence of GeForce drivers excludes data centres.
        source, memory_source: the sources of the figures and of the memory that the driver reports.
        as_of: the date of the sources.
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
    bf16_tflops: float | None = None
    int8_tops: float | None = None
    fp8_tflops: float | None = None
    fp4_tflops: float | None = None
    compute_source: str = ""
    segment: str = ""

    @property
    def is_slice(self) -> bool:
        """Whether it is a MIG slice, of which a process sees only one (NVIDIA MIG User Guide, "Device Enumeration")."""
        return self.form_factor == MIG_SLICE

    @property
    def shares_memory(self) -> bool:
        """Whether its memory is the CPU's too."""
        return self.form_factor in _SHARING_MEMORY

    @property
    def is_on_board(self) -> bool:
        """Whether it is sold only in full nodes: on a board (HGX, OAM) or in a superchip, not as a PCIe card.

        Source: an HGX board holds four or eight modules, and NVIDIA sells the board (amcompute.com/blog/hgx-dgx-mgx).
        """
        return self.form_factor.startswith(("SXM", "OAM", "superchip"))

    @property
    def cuda_capability(self) -> float | None:
        """Return the CUDA compute capability as a number; None for a GPU of another maker."""
        return float(self.compute_capability) if self.maker == "NVIDIA" and self.compute_capability else None

    @property
    def link_gb_per_s_one_way(self) -> float | None:
        """Return what the GPU can send to the others of its node, 10⁹ bytes per second; None if unknown."""
        return None if self.interconnect_gb_per_s is None else self.interconnect_gb_per_s / 2

    @property
    def memory_is_label(self) -> bool:
        """Whether the memory is the vendor's label because no source shows what the driver reports."""
        return self.memory_mib is None

    @property
    def memory_bytes(self) -> int:
        """Return the memory that the driver reports, or else the label at 10⁹ bytes per GB, a low estimate."""
        return self.label_gb * GB if self.memory_mib is None else self.memory_mib * MIB


# NVIDIA's CUDA documentation (compute capability 8.9 and later); AMD's instruction sets (gfx942, gfx950, gfx12).
_FP8_ARCHITECTURES = frozenset({"Ada Lovelace", "Hopper", "Blackwell", "Blackwell Ultra", "CDNA3", "CDNA4", "RDNA4"})


def computes_in_fp8(gpu: Gpu) -> bool:
    """Return whether the GPU's matrix units compute in FP8: all current generations do (Intel: since Gaudi 2)."""
    return gpu.architecture in _FP8_ARCHITECTURES or "Gaudi" in gpu.title
