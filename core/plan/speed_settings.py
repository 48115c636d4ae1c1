"""Return the inputs of the speed's terms that depend on an engine's settings: divided caches and drafted tokens."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from core.engines.deployment import EngineSettings
from core.engines.served import DEFAULT_ACCEPTANCE, acceptance_of
from core.errors import UnsupportedModelError
from core.plan.fleet import Service
from core.plan.speed_figures import NO_DRAFTS, attention_figures, draft_model_row, own_draft_row
from core.plan.speed_terms import DRAFTS


def check_speed_settings(service: Service) -> None:
    """Raise an error if layers or experts are computed by the CPU.

    Raises:
        UnsupportedModelError: they are.
    """
    for name in ("gpu_layers", "cpu_expert_layers"):
        if getattr(service.settings, name):
            raise UnsupportedModelError(
                name, "the speed of layers in CPU memory is not modelled", "Leave it out, or ask for memory alone."
            )


def prompt_and_attention(service: Service, tp: int, mean_context: int, prompt_tokens: int) -> Mapping[str, float]:
    """Return the inputs and terms `ATTENTION` by name, with a cache that ranks divide.

    Args:
        tp: the ranks that divide the attention of a sequence.
        mean_context, prompt_tokens: tokens of a sequence while it is answered, and of the whole prompt.
    """
    shared = service.settings.shared_tokens or 0
    found = attention_figures(service.model, service.kv_precision, tp, mean_context, prompt_tokens, shared)
    ranks = service.settings.context_parallel or 1
    if ranks > 1:
        found = {**found, **{name: found[name] / ranks for name in ("cache_bytes", "attention_flops")}}
    return found


def drafts_of(settings: EngineSettings) -> dict[str, float]:
    """Return the inputs and the terms `DRAFTS` by name."""
    return _drafts(settings.mtp_tokens or 0, acceptance_of(settings))


@lru_cache(maxsize=256)
def _drafts(mtp_tokens: int, acceptance: float) -> dict[str, float]:
    given: dict[str, Any] = {"mtp_tokens": mtp_tokens, "acceptance": acceptance}
    return given | DRAFTS.compute(given)


def drafting(service: Service, tp: int, groups: int) -> dict[str, float]:
    """Return what the terms need of drafted tokens by name: `drafts_of`, and a `DraftRow`.

    Args:
        tp, groups: tensor parallel size, and groups of ranks with their own sequences.
    """
    if not service.settings.mtp_tokens:
        row = NO_DRAFTS
    elif service.draft is None:
        row = own_draft_row(service.model, service.precision, tp, groups)
    else:
        row = draft_model_row(service.draft, service.model, tp // groups)
    return drafts_of(service.settings) | vars(row)


def drafts_warnings(service: Service, context: int) -> tuple[str, ...]:
    """Return what is doubtful about a speed with drafted tokens; empty without them.

    Beyond a draft model's longest context vLLM drafts nothing (config/speculative.py,
    _maybe_override_draft_max_model_len).

    Args:
        context: the tokens of a prompt and its answer.
    """
    if not service.settings.mtp_tokens:
        return ()
    accepted = f"{acceptance_of(service.settings):.4g} of the drafted tokens being accepted"
    usual = f"mtp_tokens: the speed counts on {accepted}; it was not compared with measurements"
    draft = service.draft
    longest = draft.max_position_embeddings if draft else None
    if draft is None or longest is None or context <= longest:
        return (usual,)
    beyond = f"{context:,} tokens are beyond the longest that {draft.name} drafts for, {longest:,}"
    return usual, f"draft_model: {beyond}; the speed counts on drafts all the same"


def acceptance_note(service: Service) -> tuple[str, ...]:
    """Return what is assumed of drafted tokens; empty if nothing is."""
    if not service.settings.mtp_tokens or service.settings.acceptance is not None:
        return ()
    assumed = f"{DEFAULT_ACCEPTANCE} is assumed for each drafted token"
    return (f"acceptance: {assumed}, as DeepSeek-V3 measured for its own layer",)
