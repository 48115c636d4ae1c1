"""Compute the tokens for which the KV cache reserves memory per sequence."""

from __future__ import annotations

from core.checks import one_of
from core.engines.blocks import BLOCK_TOKENS

RESERVED, PAGED = "reserved", "paged"
ALLOCATIONS = (RESERVED, PAGED)


def allocation_named(value: object) -> str:
    """Return the allocation that `value` names, in any case: one of `ALLOCATIONS`.

    Raises:
        WrongTypeError: `value` is not text.
        UnknownNameError: `value` is not an allocation.
    """
    return one_of("allocation", value, ALLOCATIONS)


def rounded_up_to_blocks(tokens: int) -> int:
    """Round `tokens` up to whole blocks, as PagedAttention allocates them (Kwon et al. 2023, arXiv:2309.06180)."""
    return -(-tokens // BLOCK_TOKENS) * BLOCK_TOKENS


def allocated_tokens(context: int, average_tokens: int | None) -> int:
    """Return the tokens for which each sequence has memory.

    Args:
        context: the longest sequence in tokens.
        average_tokens: the average tokens in use per sequence (`PAGED`), in whole blocks and at most the context; None:
            memory for the whole context from the start (`RESERVED`, the article's assumption).
    """
    return context if average_tokens is None else rounded_up_to_blocks(min(context, average_tokens))
