"""What an inference engine holds for the weights beyond their own bytes.

vLLM logs "model weights take … GiB": what PyTorch's allocator has handed out after loading. That is the stored
tensors, several of them merged into one, each rounded by the allocator; the table of rotary angles; and padding that
kernels want.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from core.engines.parallelism import by_stage, outer_on_rank, sizes_by_layer, tensors_on_rank
from core.model.precision import Precision
from core.model.spec import ModelSpec
from core.model.tensors import EXPERT, Tensor
from core.model.weights import storage_groups, stored_parts, tensor_precision
from core.units import MIB

# PyTorch c10/cuda/CUDACachingAllocator.cpp: kMinBlockSize, kMinLargeAlloc, kRoundLarge, kSmallSize.
_MIN_BLOCK_BYTES = 512
_MIN_LARGE_ALLOCATION_BYTES = 10 * MIB
_ROUND_LARGE_BYTES = 2 * MIB
_LEAST_SPLIT_BYTES = 1 * MIB

# vLLM model_executor/layers/fused_moe/oracle/mxfp4.py, mxfp4_round_up_hidden_size_and_intermediate_size: Marlin, which
# serves MXFP4 where tensor cores know no 4-bit floats, and TensorRT-LLM's kernels.
_MXFP4_INTERMEDIATE_STEP, _MXFP4_HIDDEN_STEP = 128, 256


def allocated_bytes(size_bytes: int) -> int:
    """What PyTorch's CUDA allocator hands out for a tensor.

    A large one gets a segment of its own, a multiple of 2 MiB; what is left of it is split off only if more than 1 MiB.
    """
    rounded = _round_up(size_bytes, _MIN_BLOCK_BYTES)
    if rounded <= _MIN_LARGE_ALLOCATION_BYTES:
        return rounded
    segment = _round_up(rounded, _ROUND_LARGE_BYTES)
    return rounded if segment - rounded > _LEAST_SPLIT_BYTES else segment


def loaded_weights_bytes(model: ModelSpec, precision: Precision | None = None, *, tp: int = 1, pp: int = 1) -> int:
    """Bytes that the engine has allocated on the fullest GPU after loading the weights.

    Args:
        precision: of the weights; None as the checkpoint stores them.

    Raises:
        UnsupportedModelError: the model's tensors cannot be listed.
    """
    return max(loaded_weights_by_stage(model, precision, tp, pp))


@lru_cache(maxsize=2048)
def loaded_weights_by_stage(
    model: ModelSpec, precision: Precision | None, tp: int, pp: int, whole_experts: bool = False
) -> tuple[int, ...]:
    """The same for a GPU of each pipeline stage."""

    def outside(stage: int) -> int:
        # Each stands alone, so that nothing here is stored as one with another.
        alone = (((tensor,), times) for tensor, times in outer_on_rank(model, tp, pp, stage))
        return rotary_cache_bytes(model) + sum(
            _allocated_for(tensors, model, None, precision) * times for tensors, times in alone
        )

    return by_stage(model, pp, _layers_bytes(model, precision, tp, whole_experts), outside)


@lru_cache(maxsize=256)
def _layers_bytes(model: ModelSpec, precision: Precision | None, tp: int, whole_experts: bool) -> tuple[int, ...]:
    def size(tensors: tuple[Tensor, ...], layer: int) -> int:
        return _allocated_for(tensors_on_rank(tensors, tp, whole_experts), model, layer, precision)

    return sizes_by_layer(storage_groups(model, precision), size)


def rotary_cache_bytes(model: ModelSpec) -> int:
    """The table of rotary angles, in the model's precision (vLLM model_executor/layers/rotary_embedding/base.py)."""
    return model.rotary_values * model.bytes_per_value


def _allocated_for(tensors: Sequence[Tensor], model: ModelSpec, layer: int | None, precision: Precision | None) -> int:
    """What is allocated for the tensors of one layer; those that are fused are stored as one."""
    values: defaultdict[object, int] = defaultdict(int)
    scales: defaultdict[object, int] = defaultdict(int)
    for number, tensor in enumerate(tensors):
        padded = _padded(tensor, tensor_precision(tensor, model, layer, precision))
        stored_as_one = padded.fused or number
        value_bytes, scale_bytes = stored_parts(padded, model, layer, precision)
        values[stored_as_one] += value_bytes
        scales[stored_as_one] += scale_bytes
    return sum(map(allocated_bytes, values.values())) + sum(map(allocated_bytes, scales.values()))


def _padded(tensor: Tensor, precision: Precision | None) -> Tensor:
    if tensor.group != EXPERT or precision is None or not precision.name.startswith("mxfp4"):
        return tensor
    inner, outer = _MXFP4_INTERMEDIATE_STEP, _MXFP4_HIDDEN_STEP
    if tensor.name.endswith("down_proj"):
        inner, outer = outer, inner
    return replace(tensor, rows=_round_up(tensor.rows, inner), columns=_round_up(tensor.columns, outer))


def _round_up(value: int, step: int) -> int:
    return -(-value // step) * step
