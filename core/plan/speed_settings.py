"""Adapt the inputs of the speed's terms to an engine's settings: divided caches and drafted tokens.

The terms of `speed_terms` know none of these settings; a planner's sheets have the engine's defaults for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.engines.parallelism import tensor_parallel_obstacle
from core.engines.served import with_draft_layers
from core.errors import UnsupportedModelError
from core.plan.fleet import Service
from core.plan.speed_figures import WeightRow, attention_figures, attention_row, served_format, weight_row

# The lower end of what DeepSeek-V3's own layer reaches for the token after the next one: 85 to 90 % (DeepSeek-AI 2024,
# arXiv:2412.19437, section 5.4.3).
ACCEPTANCE = 0.85

# Figures of a step that are divided by the tokens that it yields, so that the terms stay those of one token.
_OF_A_STEP = (
    "dense_read_s", "dense_token_s", "experts_read_s", "expert_token_s", "cache_token_s", "attention_compute_s",
    "attention_token_s", "kernels_s", "latency_s", "link_token_s", "link_latency_s", "sequence_s", "dense_bytes",
    "expert_bytes", "cache_bytes",
)  # fmt: skip


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


def tokens_per_step(drafted: int, acceptance: float) -> float:
    """Return the tokens that a step yields on average: those accepted in a row, and one of the model itself.

    Source: Leviathan et al. 2023, Fast Inference from Transformers via Speculative Decoding (arXiv:2211.17192), eq. 1.
    """
    return sum(acceptance**number for number in range(drafted + 1))


def acceptance_note(service: Service) -> tuple[str, ...]:
    """Return what is assumed of drafted tokens; empty if nothing is."""
    if not service.settings.mtp_tokens or service.settings.acceptance is not None:
        return ()
    return (f"acceptance: {ACCEPTANCE} is assumed for each drafted token, as DeepSeek-V3 measured for its own layer",)


@dataclass(frozen=True)
class _Drafter:
    """What drafting one token takes, as shares of what a step of the model takes, and its kernels."""

    dense_bytes: float
    dense_flops: float
    expert_bytes: float
    expert_flops: float
    cache: float
    all_reduces: float
    kernels: float


def with_drafts(figures: dict[str, Any], service: Service, tp: int) -> dict[str, Any]:
    """Return the inputs and the terms `PACE` per token where a step drafts tokens and verifies all of them at once.

    A step reads the weights once for all its tokens, computes each of them, and drafts one after the other. Experts are
    selected by each token, so a step touches more of them.

    Args:
        tp: tensor parallel size.
    """
    drafted = service.settings.mtp_tokens or 0
    if not drafted:
        return figures
    drafter, verified = _drafter(service, tp), drafted + 1
    kernels_s = figures["kernels_s"] + drafted * drafter.kernels * figures["kernel_s"]
    reading = figures["cache_token_s"] * (1 + drafted * drafter.cache)
    computing = figures["attention_compute_s"] * verified
    step = {
        **figures,
        "dense_read_s": figures["dense_read_s"] * (1 + drafted * drafter.dense_bytes),
        "dense_bytes": figures["dense_bytes"] * (1 + drafted * drafter.dense_bytes),
        "dense_token_s": figures["dense_token_s"] * (verified + drafted * drafter.dense_flops),
        "experts_read_s": figures["experts_read_s"] * (1 + drafted * drafter.expert_bytes),
        "expert_bytes": figures["expert_bytes"] * (1 + drafted * drafter.expert_bytes),
        "expert_token_s": figures["expert_token_s"] * (verified + drafted * drafter.expert_flops),
        "untouched": figures["untouched"] ** verified,
        "touch_rate": figures["touch_rate"] * verified,
        "cache_token_s": reading,
        "attention_compute_s": computing,
        "attention_token_s": max(reading, computing),
        "kernels_s": kernels_s,
        "latency_s": figures["latency_s"] * (1 + drafted * drafter.all_reduces),
        "link_token_s": figures["link_token_s"] * verified,
    }
    acceptance = service.settings.acceptance
    tokens = tokens_per_step(drafted, ACCEPTANCE if acceptance is None else acceptance)
    return step | {name: step[name] / tokens for name in _OF_A_STEP}


def _drafter(service: Service, tp: int) -> _Drafter:
    model, row = service.model, weight_row(service.model, service.precision, tp)
    main = _figures(row)
    if service.draft is None:
        whole = _figures(weight_row(with_draft_layers(model, 1), service.precision, tp))
        own = {name: whole[name] - main[name] for name in main}
        head_flops = main["dense_flops"] - row.kept_prompt_flops - row.quantized_prompt_flops
        own["dense_flops"] += head_flops
        own["dense_bytes"] += head_flops  # 2 bytes and 2 operations a parameter
        cache = 1 / model.num_hidden_layers
    else:
        draft, ranks = service.draft, 1 if tensor_parallel_obstacle(service.draft, tp) else tp
        own = _figures(weight_row(draft, served_format(draft, None), ranks))
        cache = _share(attention_row(draft, ranks).full_values, attention_row(model, tp).full_values)
    shares = {name: _share(own[name], main[name]) for name in main if name != "kernels"}
    return _Drafter(cache=cache, kernels=own["kernels"], **shares)


def _figures(row: WeightRow) -> dict[str, float]:
    """Return the figures of a model that `_Drafter` has of the one that drafts."""
    return {
        "dense_bytes": row.kept_bytes + row.quantized_bytes,
        "dense_flops": row.kept_flops + row.quantized_flops,
        "expert_bytes": row.expert_bytes,
        "expert_flops": row.expert_flops,
        "all_reduces": row.all_reduces,
        "kernels": row.plain_kernels,
    }


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0
