"""From what a cell or a command line says to what is served: the reckoning, and the format of the weights."""

from __future__ import annotations

from core import catalog
from core.model.precision import Precision
from core.model.spec import ModelSpec
from core.model.weights import weights_bytes
from core.plan.estimate import DEFAULT_OVERHEAD_FRACTION
from core.plan.fleet import Service

# What vLLM and SGLang make of the bare names: --quantization fp8 has a scale per tensor (vLLM
# model_executor/layers/quantization/fp8.py); 8- and 4-bit integers come as compressed-tensors' W8A8 and W4A16.
_SERVED_AS = {"fp8": "fp8_tensor", "int8": "w8a8", "int4": "w4a16"}
_ABOUT_AS_MUCH = 0.15  # formats of one width differ by their scales and by what they leave in 16 bits


def served_precision(model: ModelSpec, precision: Precision | None) -> Precision | None:
    """The format in which an engine holds the weights of `model` if asked for `precision`; None as shipped.

    A model that is shipped in about as many bytes is served as it is.
    """
    if precision is None or precision.name not in _SERVED_AS or model.stated_parameters is not None:
        return precision
    if model.quantization is not None:
        shipped, asked = weights_bytes(model), weights_bytes(model, precision)
        if abs(shipped / asked - 1) < _ABOUT_AS_MUCH:
            return None
    return catalog.precision("precision", _SERVED_AS[precision.name])


def service_of(
    model: ModelSpec, precision: Precision | None, kv_precision: Precision, overhead: float | None
) -> Service:
    """What is to be served, and by which reckoning: the rule if `overhead` is given, else the budget of vLLM.

    An engine's budget follows from shapes that a model told by its size alone does not have: that one goes by the rule,
    with the article's 10 %.
    """
    if overhead is None and model.vocab_size is None:
        overhead = DEFAULT_OVERHEAD_FRACTION
    if overhead is None:
        precision = served_precision(model, precision)
    return Service(model=model, precision=precision, kv_precision=kv_precision, overhead=overhead)
