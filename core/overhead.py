"""Memory that is neither weights nor KV cache."""

from __future__ import annotations

DEFAULT_OVERHEAD_FRACTION = 0.1  # the article's rule: "about 10 %" of weights and KV cache


def rule_overhead_bytes(weights_bytes: int, kv_bytes: int, fraction: float) -> int:
    """The article's rule: a fraction of weights and KV cache, rounded to a whole byte."""
    return round((weights_bytes + kv_bytes) * fraction)
