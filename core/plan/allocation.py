"""How many tokens of each sequence the cache holds room for."""

from __future__ import annotations

from core.checks import one_of
from core.engines.blocks import BLOCK_TOKENS

RESERVED, PAGED = "reserved", "paged"
ALLOCATIONS = (RESERVED, PAGED)


def allocation_named(value: object) -> str:
    """One of `ALLOCATIONS`, whatever its case.

    Raises:
        WrongTypeError: not text.
        UnknownNameError: neither of them.
    """
    return one_of("allocation", value, ALLOCATIONS)


def in_blocks(tokens: int) -> int:
    """`tokens` rounded up to whole blocks, as PagedAttention allocates them (Kwon et al. 2023, arXiv:2309.06180)."""
    return -(-tokens // BLOCK_TOKENS) * BLOCK_TOKENS


def kept_tokens(context: int, allocation: str, average_tokens: int | None, *, blocks: bool) -> int:
    """Tokens that each sequence is given room for.

    Args:
        context: the longest that a sequence may become.
        allocation: `RESERVED`, room for the whole context from the start (the article's assumption); or `PAGED`, for
            the tokens in use.
        average_tokens: tokens in use of a sequence on average, at most the context; asked with `PAGED` alone.
        blocks: whether the engine allocates whole blocks even where it reserves.
    """
    if allocation == RESERVED:
        return in_blocks(context) if blocks else context
    return in_blocks(min(context, average_tokens or context))
