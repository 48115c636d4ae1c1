"""The questions to the peers with the right answers: the nine models of tests/golden, and models that vLLM logged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core import catalog
from core.plan.estimate import estimate
from core.readers.hf_config import spec_from_config
from core.units import GIB
from tools import golden_tables
from tools.peers.ask import Case, Sizes

if TYPE_CHECKING:
    from tools.accuracy import Run

CONTEXT, USERS = 32_768, 10

# Some peers read the class and the precision from config.json, which the golden tables leave out.
# Names: transformers, models/auto/modeling_auto.py.
ARCHITECTURES = {
    "deepseek_v2": "DeepseekV2ForCausalLM",
    "deepseek_v3": "DeepseekV3ForCausalLM",
    "gemma2": "Gemma2ForCausalLM",
    "gemma3": "Gemma3ForConditionalGeneration",
    "gpt_oss": "GptOssForCausalLM",
    "granite": "GraniteForCausalLM",
    "llama": "LlamaForCausalLM",
    "mistral3": "Mistral3ForConditionalGeneration",
    "mixtral": "MixtralForCausalLM",
    "phi": "PhiForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "qwen3_next": "Qwen3NextForCausalLM",
}


@dataclass(frozen=True)
class Known:
    """A case, the right sizes, and the sizes computed here."""

    case: Case
    right: Sizes
    ours: Sizes


def nine_models() -> list[Known]:
    """Return the nine models with 32 768 tokens × 10 users; right are the published totals, and the cache by hand."""
    return [_known_of_nine(row) for row in golden_tables.rows("nine_models")]


def _known_of_nine(row: dict[str, str]) -> Known:
    config = golden_tables.config(row)
    quantization = config.get("quantization_config")
    method = quantization.get("quant_method", "bf16") if isinstance(quantization, dict) else "bf16"
    found = estimate(
        spec_from_config(config, name=row["model"]),
        context=CONTEXT, users=USERS, kv_precision=catalog.precision("kv_precision", "fp16"),
    )  # fmt: skip
    sizes = {item.key: item.size_bytes for item in found.line_items}
    return Known(
        Case(row["model"], _as_published(config), method, CONTEXT, USERS),
        Sizes(float(row["weights_gb"]) * 10**9, float(row["kv_gib_10_users"]) * GIB),
        Sizes(sizes["weights"], sizes["kv_cache"]),
    )


def _as_published(config: dict[str, object]) -> dict[str, object]:
    return {"architectures": [ARCHITECTURES[str(config["model_type"])]], "torch_dtype": "bfloat16"} | config


def logged_models(runs: Sequence[Run]) -> list[Known]:
    """Return the models that vLLM logged on one GPU in 16 bits; right are the logged weights and cache per sequence."""
    configs = {row["model"]: golden_tables.config(row) for row in golden_tables.rows("measured_models")}
    known: dict[str, Known] = {}
    for run in runs:
        logged = run.logged
        deployed = run.computed.deployment
        plain = deployed.precision is None and deployed.kv_precision.name == "fp16" and logged["dtype"] != "float32"
        if logged["model"] in known or not plain or (logged["tp"], logged["pp"]) != ("1", "1"):
            continue
        known[logged["model"]] = Known(
            Case(logged["model"], _as_published(configs[logged["model"]]), "bf16", deployed.context, 1),
            Sizes(
                run.figure("weights_gib_per_gpu") * GIB,
                run.figure("kv_available_gib") * GIB / run.figure("max_concurrency"),
            ),
            Sizes(run.budget.weights.expected, run.budget.kv.expected / run.computed.max_concurrency.expected),
        )
    return list(known.values())
