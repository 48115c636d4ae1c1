"""The weight tensors of a model: their shapes, what they are for, and how tensor parallelism divides them.

Everything that depends on weights follows from this list: the parameter count, the bytes in a format that leaves some
tensors in 16 bits, and what one GPU of several holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

# What a tensor is for. Formats that quantize tell tensors apart by these groups.
EMBEDDING = "embedding"
HEAD = "head"
ATTENTION = "attention"  # projections of whatever mixes tokens
MLP = "mlp"  # dense feed-forward projections, shared experts included
EXPERT = "expert"  # routed experts
ROUTER = "router"
VECTOR = "vector"  # norms, biases, convolutions and other small tensors
VISION = "vision"  # towers for images or sound, and the projector behind them
GROUPS = (EMBEDDING, HEAD, ATTENTION, MLP, EXPERT, ROUTER, VECTOR, VISION)

# How tensor parallelism divides a tensor (Shoeybi et al. 2019, Megatron-LM, arXiv:1909.08053).
BY_ROWS = "rows"  # output features: the first of a pair of projections
BY_COLUMNS = "columns"  # input features: the second of the pair
WHOLE = "whole"  # every rank holds it
BY_KV_HEADS = "kv_heads"  # output features, but never less than one KV head a rank
BY_VOCABULARY = "vocabulary"  # rows, after padding


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """One weight tensor, or `copies` of the same shape (one per expert).

    Attributes:
        name: module path inside its layer as checkpoints have it ("self_attn.q_proj"), by which formats exclude it.
        group: what it is for, one of `GROUPS`.
        rows, columns: output and input features; a vector is one column.
        copies: how many there are in the layer.
        active: how many of them one token goes through.
        split: how tensor parallelism divides it.
        kv_heads: heads among its rows where it is split by KV heads.
        fused: engines store tensors of one layer with the same word here as one ("qkv"); "" if it stands alone.
        bytes_per_value: its storage where that is not the model's own (32-bit router biases); None otherwise.
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
        """The part of it that one of `tp` tensor-parallel ranks holds; the largest part where it does not divide."""
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
    """KV heads that one of `tp` ranks holds: an equal share, and one where there are more ranks than heads.

    Source: vLLM config/model.py, get_num_kv_heads; model_executor/layers/linear.py, QKVParallelLinear.
    """
    return max(1, -(-kv_heads // tp))


# vLLM model_executor/layers/vocab_parallel_embedding.py, DEFAULT_VOCAB_PADDING_SIZE.
VOCABULARY_PADDING = 64


def padded_vocabulary(rows: int) -> int:
    """Rows of the embedding as engines store it."""
    return -(-rows // VOCABULARY_PADDING) * VOCABULARY_PADDING


def vector(name: str, size: int, split: str = WHOLE, **others: Any) -> Tensor:
    """A norm, a bias, or another small tensor of `size` values."""
    return Tensor(name=name, group=VECTOR, rows=size, split=split, **others)


def linear(
    name: str, group: str, rows: int, columns: int, split: str, *, bias: bool = False, **others: Any
) -> tuple[Tensor, ...]:
    """A projection from `columns` to `rows` features, and its bias if it has one."""
    weight = Tensor(name=name, group=group, rows=rows, columns=columns, split=split, **others)
    if not bias:
        return (weight,)
    kept = WHOLE if split == BY_COLUMNS else split  # the bias of a row-parallel projection is added once, by each rank
    return weight, replace(weight, name=f"{name}.bias", group=VECTOR, columns=1, split=kept, fused="")


def renamed(tensors: Iterable[Tensor], prefix: str) -> Iterator[Tensor]:
    """`tensors` under another module."""
    return (replace(tensor, name=prefix + tensor.name) for tensor in tensors)
