"""Bytes of a model's weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from core.model_spec import ModelSpec
from core.parameters import count_parameters, layer_tensors, outer_tensors
from core.precision import Precision
from core.tensors import Tensor

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
    return sum(
        stored_bytes(tensor, model, layer, precision) * times for tensor, layer, times in _stored(model, precision)
    )


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
        from core.gguf_mix import gguf_precision  # its tables are read for such a mix alone

        return gguf_precision(precision, tensor, model, layer)
    return precision if tensor.group in precision.groups else None


def tells_layers_apart(model: ModelSpec, precision: Precision | None) -> bool:
    """Whether layers of the same shape may be stored differently, in `precision` or as shipped."""
    if precision is None:
        return model.quantization is not None and model.quantization.tells_layers_apart
    return bool(precision.mix)


def _stored(model: ModelSpec, precision: Precision | None) -> Iterator[tuple[Tensor, int | None, int]]:
    """Tensors with their layer, and for how many layers they stand: all of a run that are stored alike."""
    layer = 0
    for run in model.layers:
        tensors = layer_tensors(run, model.hidden_size)
        for first, count in _stored_alike(model, precision, range(layer, layer + run.count)):
            for tensor in tensors:
                yield tensor, first, count
        layer += run.count
    for tensor in outer_tensors(model):
        yield tensor, None, 1


def _stored_alike(model: ModelSpec, precision: Precision | None, layers: range) -> Iterable[tuple[int, int]]:
    """One of the `layers` of one shape for each way in which they are stored, and how many are stored so."""
    if not tells_layers_apart(model, precision):
        return [(layers[0], len(layers))]
    if precision is None:
        return [(layer, 1) for layer in layers]
    from core.gguf_mix import position

    alike: dict[object, list[int]] = {}
    for layer in layers:
        alike.setdefault(position(precision, model, layer), []).append(layer)
    return [(same[0], len(same)) for same in alike.values()]
