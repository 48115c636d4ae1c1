"""Say what is doubtful about a workload or a format that can be computed: usable, but perhaps not what is meant.

Every interface shows the same sentences: `warnings` in JSON and in the API, lines of the command line, and the text
after "OK, but" of `VRAM_CHECK`. Those about engines and GPUs are in `core.plan.engine_warnings`, because
`vram estimate` starts without them.
"""

from __future__ import annotations

from collections.abc import Iterable

from core.model.precision import Precision
from core.model.spec import ModelSpec

_WIDEST_SERVED_BYTES = 2  # engines run models in 16 bits or fewer (vLLM config/model.py, dtype "auto")


def context_warning(model: ModelSpec, context: int) -> str:
    """Return the warning that a context is beyond what the model supports; "" if it is not."""
    longest = model.max_position_embeddings
    if longest is None or context <= longest:
        return ""
    return (
        f"context: {context:,} tokens are beyond the longest that {model.name} supports, {longest:,}; engines refuse "
        f"more unless a setting allows it"
    )


def precision_warning(field: str, precision: Precision | None) -> str:
    """Return the warning that a number of bytes may be meant as bits; "" for names and for usual numbers."""
    if precision is None or precision.bytes_per_value <= _WIDEST_SERVED_BYTES or not precision.is_number:
        return ""
    return (
        f"{field}: {precision.name} is taken as bytes per value, more than the 2 of 16 bits; for 4 bits write 0.5 or "
        f'"int4", for 32 bits "fp32"'
    )


def workload_warnings(
    model: ModelSpec, context: int, precision: Precision | None, kv_precision: Precision
) -> tuple[str, ...]:
    """Return the warnings about a workload.

    Args:
        precision: of the weights, as requested; None: as shipped.
    """
    return without_blanks(
        [
            *model.notes,
            context_warning(model, context),
            precision_warning("precision", precision),
            precision_warning("kv_precision", kv_precision),
        ]
    )


def without_blanks(warnings: Iterable[str]) -> tuple[str, ...]:
    """Return the warnings that are not blank, each once."""
    return tuple(dict.fromkeys(filter(None, warnings)))
