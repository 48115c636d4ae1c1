"""Read how an engine is to be started: the arguments that `vram.capacity` and `vram.plan` share."""

from __future__ import annotations

from core.checks import one_of
from core.engines import llama_cpp, sglang, vllm
from core.engines.deployment import Engine
from core.plan.speed import TENSORRT_LLM_ENGINE

ENGINES: dict[str, Engine] = {
    engine.name: engine for engine in (vllm.ENGINE, sglang.ENGINE, llama_cpp.ENGINE, TENSORRT_LLM_ENGINE)
}
NOTE = "memory only: this is not a latency promise"


def engine_of(name: str) -> Engine:
    """Return the inference engine of that name."""
    return ENGINES[one_of("engine", name, tuple(ENGINES))]
