"""A precision as engines serve it: "int4" means a format with scales that leaves embeddings and norms in 16 bits."""

from __future__ import annotations

from core import catalog
from core.model_spec import ModelSpec
from core.precision import Precision
from core.weights import weights_bytes

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
