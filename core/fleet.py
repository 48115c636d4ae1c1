"""How many GPUs."""

from __future__ import annotations

from core.units import GB


def gpus_by_division(total_bytes: int, gpu_memory_gb: float) -> int:
    """The article's count: the total divided by one GPU's memory, rounded up. Says nothing of what can be deployed."""
    return -(-total_bytes // round(gpu_memory_gb * GB))
