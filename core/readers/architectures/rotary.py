"""Compute the size of the tables of rotary angles, which engines store in addition to the weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeGuard

from core.readers.fields import Fields

# vLLM model_executor/layers/rotary_embedding/mrope.py: images and video need more positions than text.
_MROPE_POSITIONS_FACTOR = 4


def rotary_values(fields: Fields, head_dim: int | None = None) -> int:
    """Return the number of values: a cosine and a sine for each pair of rotated dimensions, at every position.

    Source: vLLM model_executor/layers/rotary_embedding/__init__.py (get_rope) and the modules that it calls.

    Args:
        head_dim: rotated dimensions per head; None to compute them from the usual fields.
    """
    top = scaling(fields)
    if any(isinstance(value, Mapping) for value in top.values()):  # one set of parameters per kind of layer
        return sum(rotary_table(fields, value, head_dim) for value in top.values() if isinstance(value, Mapping))
    return rotary_table(fields, top, head_dim)


def scaling(fields: Fields) -> Mapping[str, object]:
    """Return the parameters of the rotary embedding, from either field that may hold them."""
    return {**(fields.part("rope_scaling") or {}), **(fields.part("rope_parameters") or {})}


def rotary_table(fields: Fields, rope: Mapping[str, object], head_dim: int | None = None) -> int:
    """Return the values of the table of one set of parameters; `head_dim` as in `rotary_values`."""
    longest = fields.optional("max_position_embeddings")
    if longest is None:
        return 0
    return _rotated(fields, rope, head_dim) * _positions(longest, rope)


def _rotated(fields: Fields, rope: Mapping[str, object], head_dim: int | None) -> int:
    if head_dim is not None:
        return head_dim
    whole = fields.optional("head_dim") or fields.size("hidden_size") // max(1, fields.size("num_attention_heads", 1))
    partial = rope.get("partial_rotary_factor") or fields.raw("partial_rotary_factor") or fields.raw("rotary_pct") or 1
    return int(whole * partial) if _is_number(partial) else whole


def _positions(longest: int, rope: Mapping[str, object]) -> int:
    kind, factor = rope.get("rope_type") or rope.get("type"), rope.get("factor")
    original = rope.get("original_max_position_embeddings")
    factor = factor if _is_number(factor) else 1
    original = original if _is_number(original) else longest
    if kind in ("yarn", "deepseek_yarn"):
        return int(original * factor)
    if kind in ("linear", "dynamic"):
        return int(longest * factor)
    if kind == "longrope":  # a table for short sequences and one for long ones
        return int(longest + original)
    return longest * _MROPE_POSITIONS_FACTOR if "mrope_section" in rope else longest


def _is_number(value: object) -> TypeGuard[float]:
    """Return whether `value` is a finite number. Others are ignored: the table is too small to refuse a model for."""
    return isinstance(value, (int, float)) and math.isfinite(value)
