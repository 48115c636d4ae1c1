"""Compute the bytes of a model's weights."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import lru_cache

from core.model.parameters import LayerGroup, count_parameters, counted_outer_tensors, layer_groups
from core.model.precision import Precision
from core.model.spec import ModelSpec
from core.model.tensors import Tensor

_SIXTEEN_BIT_BYTES = 2


@lru_cache(maxsize=2048)
def weights_bytes(model: ModelSpec, precision: Precision | None = None) -> int:
    """Return the bytes of the weights of `model` in `precision` (None: as the checkpoint stores them).

    A nominal precision ("int4") takes the same bytes for every parameter. A real format ("awq") has scales, and leaves
    embeddings, norms and other tensors that it does not quantize in 16 bits.

    Raises:
        UnsupportedModelError: the parameters are not stated and cannot be counted.
    """
    precision = _named_format(model, precision)
    if model.stated_parameters is not None:
        if precision is None:
            return model.stated_parameters * model.bytes_per_value
        return precision.bytes_of(model.stated_parameters)
    if precision is not None and precision.is_nominal:
        return precision.bytes_of(count_parameters(model).total)
    in_layers = sum(
        sum(stored_bytes(tensor, model, numbers[0], precision) for tensor in tensors) * len(numbers)
        for tensors, numbers in storage_groups(model, precision)
    )
    outside = counted_outer_tensors(model)
    return in_layers + sum(stored_bytes(tensor, model, None, precision) * times for tensor, times in outside)


def stored_bytes(tensor: Tensor, model: ModelSpec, layer: int | None, precision: Precision | None) -> int:
    """Return the bytes of one tensor of `layer` (None: outside the layers) in `precision` (None: as shipped)."""
    return sum(stored_value_and_scale_bytes(tensor, model, layer, precision))


def stored_value_and_scale_bytes(
    tensor: Tensor, model: ModelSpec, layer: int | None, precision: Precision | None
) -> tuple[int, int]:
    """Return the two parts of `stored_bytes`: those of the values, and those of separately stored scales."""
    precision = _named_format(model, precision)
    found = tensor_precision(tensor, model, layer, precision)
    if found is not None:
        return found.value_and_scale_bytes(tensor)
    unquantized = model.bytes_per_value if precision is None else _SIXTEEN_BIT_BYTES
    return tensor.parameters * (tensor.bytes_per_value or unquantized), 0


def tensor_precision(
    tensor: Tensor, model: ModelSpec, layer: int | None, precision: Precision | None
) -> Precision | None:
    """Return the format of one tensor; None if it is not quantized."""
    precision = _named_format(model, precision)
    if precision is None:
        if model.quantization is None:
            return None
        return model.quantization.precision_of(tensor, layer)
    if precision.mix:
        from core.model.gguf_mix import gguf_precision  # imported only when needed: its tables take time to build

        return gguf_precision(precision, tensor, model, layer)
    return precision if tensor.group in precision.groups else None


def _named_format(model: ModelSpec, precision: Precision | None) -> Precision | None:
    """Return `precision`, or for "as shipped" the format that the name of a copy states."""
    shipped = model.quantization
    return shipped.named if precision is None and shipped is not None else precision


@lru_cache(maxsize=2048)
def storage_groups(model: ModelSpec, precision: Precision | None) -> tuple[LayerGroup, ...]:
    """Group layers that have the same tensors in the same storage format (`None`: as shipped).

    Raises:
        UnsupportedModelError: the model's tensors cannot be listed.
    """
    precision, quantization = _named_format(model, precision), model.quantization
    if precision is not None and precision.mix:
        from core.model.gguf_mix import layer_keys

        keys = layer_keys(precision, model)
        return _split_by_format(model, lambda tensors, layer: keys[layer])
    if precision is None and quantization is not None and quantization.varies_by_layer:
        return _split_by_format(
            model, lambda tensors, layer: tuple(quantization.precision_of(t, layer) for t in tensors)
        )
    return layer_groups(model)


def _split_by_format(
    model: ModelSpec, format_key: Callable[[tuple[Tensor, ...], int], Hashable]
) -> tuple[LayerGroup, ...]:
    """Split each group of identical layers wherever `format_key(tensors, layer)` differs."""
    groups = []
    for tensors, numbers in layer_groups(model):
        by_key: dict[Hashable, list[int]] = {}
        for number in numbers:
            by_key.setdefault(format_key(tensors, number), []).append(number)
        groups += [LayerGroup(tensors, tuple(same_format)) for same_format in by_key.values()]
    return tuple(groups)
