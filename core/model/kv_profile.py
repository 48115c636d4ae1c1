"""Describe what one sequence caches as a few numbers: per token, per window, and fixed.

values(context) = values_per_token × context  +  Σ windowed values × min(context, window)  +  fixed_values
bytes(context)  = values(context) in the cache's precision  +  fixed_bytes  +  index_bytes_per_token × context
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from core.model.precision import Precision


@dataclass(frozen=True, kw_only=True)
class KvProfile:
    """The KV cache of one sequence.

    Attributes:
        values_per_token: values cached for every token of the context.
        windowed: (window in tokens, values per token) of layers that cache at most their window.
        fixed_values: values cached at any context length (an encoder's output for an image or for speech).
        fixed_bytes: bytes cached at any context length, in a precision other than the cache's (recurrent states).
        index_bytes_per_token: bytes cached for every token, in a precision other than the cache's (the index keys of
            sparse attention).
    """

    values_per_token: int = 0
    windowed: tuple[tuple[int, int], ...] = ()
    fixed_values: int = 0
    fixed_bytes: int = 0
    index_bytes_per_token: int = 0

    def values(self, context: int) -> int:
        """Return the values that one sequence of `context` tokens caches in the cache's precision."""
        values = self.values_per_token * context + self.fixed_values
        for window, windowed in self.windowed:
            values += windowed * min(context, window)
        return values

    def bytes_of_sequences(self, users: int, context: int, precision: Precision) -> int:
        """Return the KV cache bytes of `users` sequences of `context` tokens each."""
        values = self.values(context) if self.windowed else self.values_per_token * context + self.fixed_values
        in_precision = users * values * precision.block_bytes
        if precision.block_values > 1:
            in_precision = -(-in_precision // precision.block_values)
        others = self.fixed_bytes + self.index_bytes_per_token * context
        return in_precision + users * others if others else in_precision

    def is_proportional(self, context: int, precision: Precision) -> bool:
        """Return whether twice the sequences take exactly twice the bytes, because no byte is rounded up."""
        return self.values(context) * precision.block_bytes % precision.block_values == 0

    def bytes_per_token(self, precision: Precision) -> int:
        """Return the bytes that each further token adds once all windows are full."""
        return precision.bytes_of(self.values_per_token) + self.index_bytes_per_token

    def fixed_bytes_per_sequence(self, precision: Precision) -> int:
        """Return the bytes of one sequence that do not depend on its length."""
        return precision.bytes_of(self.fixed_values) + self.fixed_bytes

    def __add__(self, other: KvProfile) -> KvProfile:
        windowed: Counter[int] = Counter()
        for window, values in self.windowed + other.windowed:
            windowed[window] += values
        return KvProfile(
            values_per_token=self.values_per_token + other.values_per_token,
            windowed=tuple(sorted(windowed.items())),
            fixed_values=self.fixed_values + other.fixed_values,
            fixed_bytes=self.fixed_bytes + other.fixed_bytes,
            index_bytes_per_token=self.index_bytes_per_token + other.index_bytes_per_token,
        )

    def __mul__(self, count: int) -> KvProfile:
        return KvProfile(
            values_per_token=self.values_per_token * count,
            windowed=tuple((window, values * count) for window, values in self.windowed),
            fixed_values=self.fixed_values * count,
            fixed_bytes=self.fixed_bytes * count,
            index_bytes_per_token=self.index_bytes_per_token * count,
        )
