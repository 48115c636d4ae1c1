"""Compute the memory that an inference engine allocates for the weights, which is more than their bytes.

vLLM logs "model weights take … GiB": the memory that PyTorch's allocator has allocated after loading. That is the
stored tensors, some fused into one, each rounded up by the allocator; the table of rotary angles; and the padding that
kernels need.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from core.engines.parallelism import Split, bytes_by_stage, outer_on_rank, sizes_by_layer, tensors_on_rank
from core.model.precision import Precision
from core.model.spec import ModelSpec
from core.model.tensors import EXPERT, Tensor
from core.model.weights import storage_groups, stored_value_and_scale_bytes, tensor_precision
from core.units import MIB

# PyTorch c10/cuda/CUDACachingAllocator.cpp: kMinBlockSize, kMinLargeAlloc, kRoundLarge, kSmallSize.
_MIN_BLOCK_BYTES = 512
_MIN_LARGE_ALLOCATION_BYTES = 10 * MIB
_ROUND_LARGE_BYTES = 2 * MIB
_MIN_SPLIT_BYTES = 1 * MIB

# vLLM model_executor/layers/fused_moe/oracle/mxfp4.py, mxfp4_round_up_hidden_size_and_intermediate_size: Marlin, for
# MXFP4 on tensor cores without 4-bit floats, and TensorRT-LLM's kernels.
_MXFP4_INTERMEDIATE_STEP, _MXFP4_HIDDEN_STEP = 128, 256

# The projection that unfolds latents into keys and values.
_UNFOLDING, _ABSORBED_BYTES = "self_attn.kv_b_proj", 2


def allocated_bytes(size_bytes: int) -> int:
    """Return the bytes that PyTorch's CUDA allocator allocates for a tensor.

    A large tensor gets a separate segment, a multiple of 2 MiB; a rest of more than 1 MiB is split off for other use.
    """
    rounded = _round_up(size_bytes, _MIN_BLOCK_BYTES)
    if rounded <= _MIN_LARGE_ALLOCATION_BYTES:
        return rounded
    segment = _round_up(rounded, _ROUND_LARGE_BYTES)
    return rounded if segment - rounded > _MIN_SPLIT_BYTES else segment


def loaded_weights_bytes(model: ModelSpec, precision: Precision | None = None, *, tp: int = 1, pp: int = 1) -> int:
    """Return the bytes that the engine has allocated on the fullest GPU after loading the weights.

    Args:
        precision: precision of the weights; None: as the checkpoint stores them.

    Raises:
        UnsupportedModelError: the model's tensors cannot be listed.
    """
    return max(loaded_weights_by_stage(model, precision, tp, pp))


@lru_cache(maxsize=2048)
def loaded_weights_by_stage(
    model: ModelSpec,
    precision: Precision | None,
    tp: int,
    pp: Split,
    expert_parallel: bool = False,
    attention_groups: int = 1,
) -> tuple[int, ...]:
    """Return the bytes allocated for the weights on one GPU of each pipeline stage.

    Args:
        attention_groups: groups of the `tp` GPUs that each have everything but the experts (vLLM
            docs/serving/expert_parallel_deployment.md).
    """
    ranks = tp // attention_groups

    def outside(stage: int) -> int:
        # One call per tensor: tensors outside the layers are not fused.
        return rotary_cache_bytes(model) + sum(
            _allocated_for((tensor,), model, None, precision) * times
            for tensor, times in outer_on_rank(model, ranks, pp, stage)
        )

    return bytes_by_stage(model, pp, _layer_bytes(model, precision, tp, ranks, expert_parallel), outside)


@lru_cache(maxsize=256)
def _layer_bytes(
    model: ModelSpec, precision: Precision | None, tp: int, ranks: int, expert_parallel: bool
) -> tuple[int, ...]:
    def size(tensors: tuple[Tensor, ...], layer: int) -> int:
        given = _with_value_slot(tensors)
        experts = tuple(tensor for tensor in given if tensor.group == EXPERT)
        others = tuple(tensor for tensor in given if tensor.group != EXPERT)
        on_rank = (*tensors_on_rank(others, ranks), *tensors_on_rank(experts, tp, expert_parallel))
        return _allocated_for(on_rank, model, layer, precision) + _absorbed_bytes(on_rank)

    return sizes_by_layer(storage_groups(model, precision), size)


def _with_value_slot(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return the tensors of a layer with a value projection where keys serve as values: vLLM loads the keys twice.

    Source: model_executor/models/gemma4.py, Gemma4Attention (QKVParallelLinear also for such layers).
    """
    keys = {tensor.name: tensor for tensor in tensors}.get("self_attn.k_proj")
    if keys is None or keys.fused != "qkv" or any(tensor.name == "self_attn.v_proj" for tensor in tensors):
        return tensors
    return (*tensors, replace(keys, name="self_attn.v_proj"))


def _absorbed_bytes(tensors: Sequence[Tensor]) -> int:
    """Return the bytes of what latent attention multiplies latents with: its projection again, in 16 bits.

    Source: vLLM model_executor/layers/attention/mla_attention.py, process_weights_after_loading (W_UK_T and W_UV).
    """
    return sum(allocated_bytes(tensor.parameters * _ABSORBED_BYTES) for tensor in tensors if tensor.name == _UNFOLDING)


def rotary_cache_bytes(model: ModelSpec) -> int:
    """Return the bytes of the rotary table (vLLM model_executor/layers/rotary_embedding/base.py)."""
    return model.rotary_values * model.bytes_per_value


def _allocated_for(tensors: Sequence[Tensor], model: ModelSpec, layer: int | None, precision: Precision | None) -> int:
    """Return the bytes allocated for the tensors of one layer, fused where the engine fuses them."""
    values: defaultdict[object, int] = defaultdict(int)
    scales: defaultdict[object, int] = defaultdict(int)
    for number, tensor in enumerate(tensors):
        padded = _padded_for_kernel(tensor, tensor_precision(tensor, model, layer, precision))
        stored_tensor = padded.fused or number
        value_bytes, scale_bytes = stored_value_and_scale_bytes(padded, model, layer, precision)
        values[stored_tensor] += value_bytes
        scales[stored_tensor] += scale_bytes
    return sum(map(allocated_bytes, values.values())) + sum(map(allocated_bytes, scales.values()))


def _padded_for_kernel(tensor: Tensor, precision: Precision | None) -> Tensor:
    if tensor.group != EXPERT or precision is None or not precision.name.startswith("mxfp4"):
        return tensor
    inner, outer = _MXFP4_INTERMEDIATE_STEP, _MXFP4_HIDDEN_STEP
    if tensor.name.endswith("down_proj"):
        inner, outer = outer, inner
    return replace(tensor, rows=_round_up(tensor.rows, inner), columns=_round_up(tensor.columns, outer))


def _round_up(value: int, step: int) -> int:
    return -(-value // step) * step
