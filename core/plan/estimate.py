"""Estimate the memory that a model and a workload need, as ordered line items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from core.catalog import cache_precision
from core.checks import number, whole
from core.model.counts import model_counts
from core.model.kv_profile import KvProfile
from core.model.precision import Precision
from core.model.spec import ModelSpec
from core.model.weights import weights_bytes

DEFAULT_OVERHEAD_FRACTION = 0.1  # the article's rule: "about 10 %" of weights and KV cache

# Whole numbers up to 2^53 are exact in floats; half of that leaves room for the overhead.
_EXACT_IN_FLOATS = 2**52

# Adding this to a smaller number and subtracting it again rounds the number as round() does, in half the time.
_ROUNDING_OFFSET = 2.0**52


def rule_overhead_bytes(weights_bytes: int, kv_bytes: int, fraction: float) -> int:
    """Return the overhead by the article's rule: a fraction of weights and KV cache, rounded to a whole byte."""
    return round((weights_bytes + kv_bytes) * fraction)


class LineItem(NamedTuple):
    """One line of an estimate: `key` is "weights", "kv_cache" or "overhead"."""

    key: str
    size_bytes: int


class Estimate(NamedTuple):
    """The memory that a model needs to serve a workload.

    Attributes:
        sizing: the figures that do not depend on the workload.
    """

    sizing: Sizing
    kv_precision: Precision
    kv_bytes: int
    overhead_bytes: int

    @property
    def parameters(self) -> int:
        return self.sizing.parameters

    @property
    def kv_bytes_per_token(self) -> int:
        """Return the bytes that one long sequence adds per token."""
        return self.sizing.kv.bytes_per_token(self.kv_precision)

    @property
    def weights_bytes(self) -> int:
        return self.sizing.weights_bytes

    @property
    def line_items(self) -> tuple[LineItem, ...]:
        """Return the parts of the total in the order in which to show them."""
        return (
            LineItem("weights", self.weights_bytes),
            LineItem("kv_cache", self.kv_bytes),
            LineItem("overhead", self.overhead_bytes),
        )

    @property
    def total_bytes(self) -> int:
        return self.weights_bytes + self.kv_bytes + self.overhead_bytes


@dataclass(frozen=True)
class Sizing:
    """A model with its weights in one format: the part of an estimate that does not depend on the workload."""

    model: ModelSpec
    parameters: int
    weights_bytes: int
    kv: KvProfile

    def total_bytes(self, context: int, users: int, kv_precision: Precision, overhead: float) -> int:
        """Return the bytes for `users` sequences of `context` tokens; the arguments are not checked."""
        weights_bytes, kv_bytes = self.weights_bytes, self.kv.bytes_of_sequences(users, context, kv_precision)
        return weights_bytes + kv_bytes + rule_overhead_bytes(weights_bytes, kv_bytes, overhead)

    def totals(
        self, context: int, users: Sequence[int], kv_precision: Precision, overhead: float, unit_bytes: int
    ) -> list[float]:
        """Return `total_bytes` for each number of `users`, in units of `unit_bytes`: the same figures, but faster."""
        weights, one = self.weights_bytes, self.kv.bytes_of_sequences(1, context, kv_precision)
        if not self.kv.is_proportional(context, kv_precision) or weights + one * max(users) > _EXACT_IN_FLOATS:
            return [self.total_bytes(context, number, kv_precision, overhead) / unit_bytes for number in users]
        fixed, per_user, unit, offset = float(weights), float(one), float(unit_bytes), _ROUNDING_OFFSET
        return [
            (needed + ((needed * overhead + offset) - offset)) / unit
            for number in users
            for needed in [fixed + per_user * number]  # of one element, for which Python makes no list
        ]


@lru_cache(maxsize=2048)
def sizing(model: ModelSpec, precision: Precision | None) -> Sizing:
    """Return the figures that `estimate` needs of a model, computed once per model and precision."""
    counts = model_counts(model)
    return Sizing(model, counts.parameters.total, weights_bytes(model, precision), counts.kv)


def estimate(
    model: ModelSpec,
    *,
    context: float,
    users: float = 1,
    precision: Precision | None = None,
    kv_precision: Precision | None = None,
    overhead: float = DEFAULT_OVERHEAD_FRACTION,
) -> Estimate:
    """Estimate the memory to serve `users` concurrent sequences, each with memory for all of its `context` tokens.

    Args:
        model: the model.
        context: tokens per sequence.
        users: concurrent sequences.
        precision: precision of the weights; None: as the checkpoint stores them.
        kv_precision: precision of the KV cache; None: as the checkpoint states, else 16 bits.
        overhead: fraction of weights and KV cache.

    Raises:
        PlannerError: an input is of the wrong type or out of range, or the model's parameters cannot be counted.
    """
    context, users = whole("context", context), whole("users", users)
    overhead = number("overhead", overhead)
    fixed = sizing(model, precision)
    kept = cache_precision(model) if kv_precision is None else kv_precision
    kv_bytes = fixed.kv.bytes_of_sequences(users, context, kept)
    return Estimate(fixed, kept, kv_bytes, rule_overhead_bytes(fixed.weights_bytes, kv_bytes, overhead))
