"""Choose how a model's memory is computed, and the format in which an engine holds its weights."""

from __future__ import annotations

from typing import Any

from core import catalog
from core.checks import one_of
from core.engines import vllm
from core.model.precision import Precision
from core.model.spec import ModelSpec
from core.model.weights import weights_bytes
from core.plan import defaults
from core.plan.estimate import DEFAULT_OVERHEAD_FRACTION
from core.plan.fleet import Service

RULE, VLLM = "rule", vllm.ENGINE.name
ENGINES = (RULE, VLLM)  # of a scenario: a fraction on top of weights and cache, or the budget of vLLM's defaults

# How vLLM and SGLang serve these precisions: --quantization fp8 has a scale per tensor (vLLM
# model_executor/layers/quantization/fp8.py); 8- and 4-bit integers are compressed-tensors' W8A8 and W4A16.
_SERVED_AS = {"fp8": "fp8_tensor", "int8": "w8a8", "int4": "w4a16"}
_SIZE_TOLERANCE = 0.15  # formats of one width differ by their scales and by the tensors that they leave in 16 bits


def served_precision(model: ModelSpec, precision: Precision | None) -> Precision | None:
    """Return the format in which an engine holds the weights for a requested `precision`; None: as shipped.

    A model whose checkpoint has about the same size is served as shipped.
    """
    if precision is None or precision.name not in _SERVED_AS or model.stated_parameters is not None:
        return precision
    if model.quantization is not None:
        shipped, requested = weights_bytes(model), weights_bytes(model, precision)
        if abs(shipped / requested - 1) < _SIZE_TOLERANCE:
            return None
    return catalog.precision("precision", _SERVED_AS[precision.name])


def needs_rule(model: ModelSpec) -> bool:
    """Return whether only the size of a model is known, so that it has no shapes for an engine's budget."""
    return model.vocab_size is None


def default_engine(model: ModelSpec) -> str:
    """Return the engine for `model` if none is named: the rule if only its size is known, else vLLM.

    A model of which only the size is known has no shapes, which an engine's budget needs.
    """
    return RULE if needs_rule(model) else defaults.ENGINE


def engine_named(value: object) -> str:
    """Return the engine that `value` names, in any case: one of `ENGINES`.

    Raises:
        WrongTypeError: `value` is not text.
        UnknownNameError: `value` is not one of `ENGINES`.
    """
    return one_of("engine", value, ENGINES)


def service_of(
    model: ModelSpec, precision: Precision | None, kv_precision: Precision | None, overhead: float | None,
    **settings: Any,
) -> Service:  # fmt: skip
    """Return a service by the rule if `overhead` is given, else by an engine's budget.

    A model of which only the size is known is planned by the rule with the article's 10 %.

    Args:
        kv_precision: of the KV cache, as requested; None: as the checkpoint states.
        settings: the engine and its settings, as in `Service`; vLLM with its defaults if omitted.
    """
    if overhead is None and needs_rule(model):
        overhead = DEFAULT_OVERHEAD_FRACTION
    if overhead is None:
        precision = served_precision(model, precision)
    kept = catalog.cache_precision(model, kv_precision)
    return Service(model=model, precision=precision, kv_precision=kept, overhead=overhead, **settings)
