"""Name what other sheets look up on Speed, by the number of its row."""

from __future__ import annotations

from core.plan.speed_terms import PACE

# What runs: 1 a speed is computed, 0 too little is known of the model, -1 no kernel, -2 a rate of the GPU is missing.
RUNS, NO_FIGURES, NO_KERNEL, NO_RATE = 1, 0, -1, -2

# Columns of Speed with a workbook-level name.
NAMED = (
    "runs", "expert_bytes", "untouched", "touch_rate", "bandwidth_bytes_per_s", "link_latency_s", "output_tokens", "prompt_tokens",
    "sequence_s", "dense_bytes", "cache_bytes", *(term.name for term in PACE), "longest_token_s",
)  # fmt: skip


def at_pace(name: str, row: str) -> str:
    """Return the figure of Speed in row `row`, or the defined name of an input that all rows share."""
    return f"INDEX({name},{row})" if name in NAMED else name
