"""Describe weight tensors: their shapes, their purpose, and how tensor parallelism divides them.

The parameter count, the bytes in a format that leaves some tensors in 16 bits, and the weights on one of several GPUs
are all computed from these tensors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

# The purposes of tensors. Formats quantize some of these groups and leave the others in 16 bits.
EMBEDDING = "embedding"
HEAD = "head"
ATTENTION = "attention"  # projections of the part that mixes tokens
MLP = "mlp"  # dense feed-forward projections, shared experts included
EXPERT = "expert"  # routed experts
ROUTER = "router"
VECTOR = "vector"  # norms, biases, convolutions and other small tensors
VISION = "vision"  # towers for images or sound, and their projector
GROUPS = (EMBEDDING, HEAD, ATTENTION, MLP, EXPERT, ROUTER, VECTOR, VISION)

ADAPTABLE = (ATTENTION, MLP, EXPERT)  # the groups whose matrices LoRA adapts if all are asked for

# How tensor parallelism divides a tensor (Shoeybi et al. 2019, Megatron-LM, arXiv:1909.08053).
BY_ROWS = "rows"  # output features: the first of a pair of projections
BY_COLUMNS = "columns"  # input features: the second of the pair
WHOLE = "whole"  # every rank holds it
BY_KV_HEADS = "kv_heads"  # output features, but at least one KV head per rank
BY_VOCABULARY = "vocabulary"  # rows, after padding


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """One weight tensor, or `copies` of the same shape (one per expert).

    Attributes:
        name: module path inside its layer, as in checkpoints ("self_attn.q_proj"); formats exclude modules by it.
        group: its purpose, one of `GROUPS`.
        rows, columns: output and input features; a vector has one column.
        copies: the number of copies in the layer.
        active: the number of copies that process one token.
        split: how tensor parallelism divides it.
        kv_heads: the number of heads in its rows if it is split by KV heads.
        fused: engines store the tensors of a layer with the same word here as one tensor ("qkv"); "" if not fused.
        bytes_per_value: bytes of its values if they differ from the model's (32-bit router biases); None otherwise.
    """

    name: str
    group: str
    rows: int
    columns: int = 1
    copies: int = 1
    active: int = 1
    split: str = WHOLE
    kv_heads: int = 0
    fused: str = ""
    bytes_per_value: int | None = None

    @property
    def parameters(self) -> int:
        return self.rows * self.columns * self.copies

    @property
    def active_parameters(self) -> int:
        return self.rows * self.columns * self.active

    def on_rank(self, tp: int) -> Tensor:
        """Return the part on one of `tp` tensor-parallel ranks; the largest part if they are not equal."""
        if tp == 1 or self.split == WHOLE:
            return self
        if self.split == BY_COLUMNS:
            return replace(self, columns=-(-self.columns // tp))
        if self.split == BY_KV_HEADS:
            return replace(self, rows=self.rows // self.kv_heads * heads_on_rank(self.kv_heads, tp))
        if self.split == BY_VOCABULARY:
            return replace(self, rows=-(-padded_vocabulary(self.rows) // tp))
        return replace(self, rows=-(-self.rows // tp))


def heads_on_rank(kv_heads: int, tp: int) -> int:
    """Return the KV heads on one of `tp` ranks: an equal share, or one if there are more ranks than heads.

    Source: vLLM config/model.py, get_num_kv_heads; model_executor/layers/linear.py, QKVParallelLinear.
    """
    return max(1, -(-kv_heads // tp))


# vLLM model_executor/layers/vocab_parallel_embedding.py, DEFAULT_VOCAB_PADDING_SIZE.
VOCABULARY_PADDING = 64


def padded_vocabulary(rows: int) -> int:
    """Return the rows of the embedding after an engine's padding."""
    return -(-rows // VOCABULARY_PADDING) * VOCABULARY_PADDING


def vector(name: str, size: int, split: str = WHOLE, **others: Any) -> Tensor:
    """Return a norm, a bias, or another small tensor of `size` values."""
    return Tensor(name=name, group=VECTOR, rows=size, split=split, **others)


def linear(
    name: str, group: str, rows: int, columns: int, split: str, *, bias: bool = False, **others: Any
) -> tuple[Tensor, ...]:
    """Return a projection from `columns` to `rows` features, and its bias if it has one."""
    weight = Tensor(name=name, group=group, rows=rows, columns=columns, split=split, **others)
    if not bias:
        return (weight,)
    # Ranks add up the outputs of a projection split by columns; the bias is added once, but every rank stores it.
    bias_split = WHOLE if split == BY_COLUMNS else split
    return weight, replace(weight, name=f"{name}.bias", group=VECTOR, columns=1, split=bias_split, fused="")


def adapter_matrices(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Return LoRA's two matrices for one from n to m features: from n to `rank`, and from `rank` to m.

    Source: LoRA, arXiv:2106.09685, section 4.1.
    """
    return replace(matrix, rows=rank), replace(matrix, columns=rank)


def with_prefix(tensors: Iterable[Tensor], prefix: str) -> Iterator[Tensor]:
    """Yield `tensors` with `prefix` in front of their names."""
    return (replace(tensor, name=prefix + tensor.name) for tensor in tensors)
