"""Bytes of a model's weights."""

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
    """Bytes of the weights of `model` in `precision`; None is as its checkpoint stores them.

    A nominal precision ("int4") takes the same for every parameter. A real format ("awq") leaves embeddings, norms and
    whatever else it cannot hold in 16 bits, and has scales.

    Raises:
        UnsupportedModelError: the parameters can neither be counted nor are they stated.
    """
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
    """Bytes of one tensor, the one of `layer` (None: outside the layers), in `precision` or as shipped."""
    return sum(stored_parts(tensor, model, layer, precision))


def stored_parts(tensor: Tensor, model: ModelSpec, layer: int | None, precision: Precision | None) -> tuple[int, int]:
    """The same as two parts: bytes of the values, and of scales that are kept in a tensor of their own."""
    found = tensor_precision(tensor, model, layer, precision)
    if found is not None:
        return found.parts_of_tensor(tensor)
    unquantized = model.bytes_per_value if precision is None else _SIXTEEN_BIT_BYTES
    return tensor.parameters * (tensor.bytes_per_value or unquantized), 0


def tensor_precision(
    tensor: Tensor, model: ModelSpec, layer: int | None, precision: Precision | None
) -> Precision | None:
    """The format of one tensor; None where it stays as it was trained."""
    if precision is None:
        if model.quantization is None:
            return None
        return model.quantization.precision_of(tensor, layer)
    if precision.mix:
        from core.model.gguf_mix import gguf_precision  # its tables are read for such a mix alone

        return gguf_precision(precision, tensor, model, layer)
    return precision if tensor.group in precision.groups else None


@lru_cache(maxsize=2048)
def storage_groups(model: ModelSpec, precision: Precision | None) -> tuple[LayerGroup, ...]:
    """The layers of `model`, those together whose tensors are the same and stored alike, in `precision` or as shipped.

    Raises:
        UnsupportedModelError: the model's tensors cannot be listed.
    """
    quantization = model.quantization
    if precision is not None and precision.mix:
        from core.model.gguf_mix import positions

        of_each = positions(precision, model)
        return _split_by_format(model, lambda tensors, layer: of_each[layer])
    if precision is None and quantization is not None and quantization.varies_by_layer:
        return _split_by_format(
            model, lambda tensors, layer: tuple(quantization.precision_of(t, layer) for t in tensors)
        )
    return layer_groups(model)


def _split_by_format(
    model: ModelSpec, format_key: Callable[[tuple[Tensor, ...], int], Hashable]
) -> tuple[LayerGroup, ...]:
    """The layers that are made alike, parted by the `format_key` in which those tensors of that layer are stored."""
    parts = []
    for tensors, numbers in layer_groups(model):
        alike: dict[Hashable, list[int]] = {}
        for number in numbers:
            alike.setdefault(format_key(tensors, number), []).append(number)
        parts += [LayerGroup(tensors, tuple(same)) for same in alike.values()]
    return tuple(parts)
