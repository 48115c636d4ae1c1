"""The one entry: a model and a workload in, the memory they need out, as ordered line items."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

from core.checks import number
from core.kv_cache import KvProfile, kv_profile
from core.model_spec import ModelSpec
from core.overhead import DEFAULT_OVERHEAD_FRACTION, rule_overhead_bytes
from core.parameters import ParameterCount, count_parameters
from core.precision import Precision
from core.weights import weights_bytes


@dataclass(frozen=True)
class LineItem:
    """One line of an estimate: `key` is "weights", "kv_cache" or "overhead"."""

    key: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """What of a model its memory follows from: counted once, asked often."""

    parameters: ParameterCount
    kv: KvProfile


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The memory that a model needs to serve a workload.

    Attributes:
        model: the model.
        parameters: its parameters.
        kv_bytes_per_token: bytes by which one long sequence grows with each token.
        line_items: what adds up to the total, in the order in which to show it.
    """

    model: ModelSpec
    parameters: int
    kv_bytes_per_token: int
    line_items: tuple[LineItem, ...]

    @cached_property
    def _size_by_key(self) -> dict[str, int]:
        return {item.key: item.size_bytes for item in self.line_items}

    @property
    def weights_bytes(self) -> int:
        return self._size_by_key["weights"]

    @property
    def kv_bytes(self) -> int:
        return self._size_by_key["kv_cache"]

    @property
    def overhead_bytes(self) -> int:
        return self._size_by_key["overhead"]

    @property
    def total_bytes(self) -> int:
        return sum(item.size_bytes for item in self.line_items)


@lru_cache(maxsize=512)
def footprint(model: ModelSpec) -> Footprint:
    """The parameters and the KV profile of `model`.

    Raises:
        UnsupportedModelError: the parameters can neither be counted nor are they stated.
    """
    return Footprint(parameters=count_parameters(model), kv=kv_profile(model))


def estimate(
    model: ModelSpec,
    *,
    context: float,
    users: float = 1,
    precision: Precision | None = None,
    kv_precision: Precision,
    overhead: float = DEFAULT_OVERHEAD_FRACTION,
) -> Estimate:
    """The memory to serve `users` concurrent sequences of `context` tokens each, every token reserved.

    Args:
        model: what is served.
        context: tokens per sequence.
        users: concurrent sequences.
        precision: of the weights; None as the model's checkpoint stores them.
        kv_precision: of the cached values.
        overhead: fraction of weights and KV cache.

    Raises:
        PlannerError: an input is of the wrong type or out of range, or the model's parameters cannot be counted.
    """
    context = int(number("context", context))
    users = int(number("users", users))
    overhead = number("overhead", overhead)
    needs = footprint(model)
    model_bytes = weights_bytes(model, precision)
    kv_bytes = needs.kv.bytes_of_sequences(users, context, kv_precision)
    return Estimate(
        model=model,
        parameters=needs.parameters.total,
        kv_bytes_per_token=needs.kv.bytes_per_token(kv_precision),
        line_items=(
            LineItem("weights", model_bytes),
            LineItem("kv_cache", kv_bytes),
            LineItem("overhead", rule_overhead_bytes(model_bytes, kv_bytes, overhead)),
        ),
    )
