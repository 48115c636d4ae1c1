"""Read how an engine is to be started: the arguments that `vram.capacity` and `vram.plan` share."""

from __future__ import annotations

from core import catalog
from core.checks import number, one_of
from core.engines import llama_cpp, sglang, vllm
from core.engines.deployment import Engine
from core.plan.fleet import GpuChoice, choice_of_gb, choice_of_gpu
from vram.models import name_or_number

ENGINES: dict[str, Engine] = {engine.name: engine for engine in (vllm.ENGINE, sglang.ENGINE, llama_cpp.ENGINE)}
NOTE = "memory only: this is not a latency promise"


def engine_of(name: str) -> Engine:
    """Return the inference engine of that name."""
    return ENGINES[one_of("engine", name, tuple(ENGINES))]


def gpu_of(name: str | float) -> GpuChoice:
    """Return the catalog's GPU of that name, or any GPU with that many GB.

    Raises:
        PlannerError: there is no such GPU, or the memory is out of range.
    """
    value = name_or_number(name)
    if isinstance(value, float):
        return choice_of_gb(number("gpu_memory_gb", value))
    return choice_of_gpu(catalog.gpu(name))
