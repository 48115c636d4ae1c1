"""Read how an engine is to be started: the arguments that `vram.capacity` and `vram.plan` share."""

from __future__ import annotations

from typing import TypedDict

from core import catalog
from core.checks import number, one_of, whole
from core.engines import llama_cpp, sglang, vllm
from core.engines.deployment import Engine, Version, parse_version
from core.model.precision import Precision
from core.model.spec import ModelSpec
from core.plan.fleet import GpuChoice, choice_of_gb, choice_of_gpu
from core.plan.serving import served_precision
from vram.models import kv_precision_of, name_or_number

ENGINES: dict[str, Engine] = {engine.name: engine for engine in (vllm.ENGINE, sglang.ENGINE, llama_cpp.ENGINE)}
NOTE = "memory only: this is not a latency promise"


class EngineSettings(TypedDict):
    """An engine's version and settings as `core` takes them; None is the engine's default."""

    version: Version
    memory_utilization: float | None
    max_batched_tokens: int | None
    max_sequences: int | None


def engine_of(name: str) -> Engine:
    """Return the inference engine of that name."""
    return ENGINES[one_of("engine", name, tuple(ENGINES))]


def settings_of(
    engine: Engine,
    version: str | None,
    memory_utilization: float | None,
    max_batched_tokens: float | None,
    max_sequences: float | None,
) -> EngineSettings:
    """Return the checked settings of `engine`; None leaves one at the engine's default.

    Raises:
        PlannerError: a setting is of the wrong type or out of range, or the version is not understood.
    """

    def checked(field: str, value: float | None) -> int | None:
        return None if value is None else whole(field, value)

    utilization = None if memory_utilization is None else number("memory_utilization", memory_utilization)
    return EngineSettings(
        version=parse_version(version or engine.default_version),
        memory_utilization=utilization,
        max_batched_tokens=checked("max_batched_tokens", max_batched_tokens),
        max_sequences=checked("max_sequences", max_sequences),
    )


def weights_precision_of(value: str | float | None) -> Precision | None:
    """Return a precision of the weights from its name or its bytes per parameter; None as shipped."""
    return None if value is None else catalog.precision("precision", name_or_number(value))


def precisions_of(
    spec: ModelSpec, precision: str | float | None, kv_precision: str | float | None
) -> tuple[Precision | None, Precision]:
    """Return how an engine holds the weights, and the cached values, if it is asked for these precisions.

    Without `kv_precision` the cache has the precision of the activations: 32 bits for a model that runs in 32.
    """
    weights = served_precision(spec, weights_precision_of(precision))
    return weights, cache_precision_of(spec, weights, kv_precision)


def cache_precision_of(spec: ModelSpec, weights: Precision | None, value: str | float | None) -> Precision:
    """Return the precision of the cached values for weights in `weights`; see `precisions_of`."""
    if value is None:
        wide = spec.bytes_per_value if weights is None else weights.bytes_per_value
        value = "fp32" if wide == 4 else "fp16"
    return kv_precision_of(value)


def gpu_of(name: str | float) -> GpuChoice:
    """Return the catalog's GPU of that name, or any GPU with that many GB.

    Raises:
        PlannerError: there is no such GPU, or the memory is out of range.
    """
    value = name_or_number(name)
    if isinstance(value, float):
        return choice_of_gb(number("gpu_memory_gb", value))
    return choice_of_gpu(catalog.gpu(name))
