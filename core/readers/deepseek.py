"""Families with multi-head latent attention: DeepSeek V2 and V3 and what is built like them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from core.model_spec import Indexer, LatentAttention, Mixer, Mlp
from core.readers.decoder import Family, dense_layers, layer_count
from core.readers.fields import Fields
from core.readers.llama_like import LLAMA
from core.readers.moe import after_first, mixture, shared_experts
from core.readers.rotary import rotary_values
from core.tensors import ATTENTION, WHOLE, linear, vector

# vLLM model_executor/models/deepseek_v2.py, DeepseekV32IndexerCache: 8-bit values, a 32-bit scale for every 128.
_VALUES_PER_INDEX_SCALE, _INDEX_SCALE_BYTES = 128, 4


def latent_attention(fields: Fields) -> LatentAttention:
    """Latent attention as DeepSeek's fields describe it."""
    fields.ignore("num_key_value_heads", "head_dim", "qk_head_dim")
    return LatentAttention(
        num_attention_heads=fields.size("num_attention_heads"),
        kv_lora_rank=fields.size("kv_lora_rank"),
        qk_rope_head_dim=fields.size("qk_rope_head_dim"),
        qk_nope_head_dim=fields.size("qk_nope_head_dim"),
        v_head_dim=fields.size("v_head_dim", fields.size("hidden_size") // fields.size("num_attention_heads")),
        q_lora_rank=fields.optional("q_lora_rank"),
        projection_bias=fields.flag("attention_bias"),
    )


def indexer(fields: Fields) -> Indexer:
    """The indexer of DeepSeek sparse attention.

    Source: transformers models/deepseek_v32/modeling_deepseek_v32.py, DeepseekV32Indexer.
    """
    heads, size = fields.size("index_n_heads"), fields.size("index_head_dim")
    hidden, query = fields.size("hidden_size"), fields.optional("q_lora_rank") or fields.size("hidden_size")
    fields.ignore("index_topk")
    return Indexer(
        index_head_dim=size,
        bytes_per_token=size + -(-size // _VALUES_PER_INDEX_SCALE) * _INDEX_SCALE_BYTES,
        tensors=(
            *linear("self_attn.indexer.wq_b", ATTENTION, heads * size, query, WHOLE),
            *linear("self_attn.indexer.wk", ATTENTION, size, hidden, WHOLE),
            vector("self_attn.indexer.k_norm", size),
            vector("self_attn.indexer.k_norm.bias", size),
            *linear("self_attn.indexer.weights_proj", ATTENTION, heads, hidden, WHOLE),
        ),
    )


def _latent_layers(fields: Fields, family: Family) -> list[Mixer]:
    return [latent_attention(fields)] * layer_count(fields)


def _sparse_latent_layers(fields: Fields, family: Family) -> list[Mixer]:
    """Latent attention with an indexer, in every layer unless `indexer_types` says which share another's."""
    base, layers = latent_attention(fields), layer_count(fields)
    kinds = fields.per_layer("indexer_types", layers)
    if kinds is None:
        kinds = _indexer_kinds(fields, layers)
    fields.ignore("index_topk_freq", "index_topk_pattern", "index_skip_topk_offset", "layer_types")
    own = replace(base, indexer=indexer(fields))
    return [own if kind == "full" else base for kind in kinds]


def _indexer_kinds(fields: Fields, layers: int) -> list[str]:
    """transformers models/glm_moe_dsa/configuration_glm_moe_dsa.py, __post_init__."""
    pattern = fields.raw("index_topk_pattern")
    if pattern:
        return [{"F": "full", "S": "shared"}.get(str(kind), "full") for kind in pattern]  # type: ignore[union-attr]
    step = fields.optional("index_topk_freq") or 1
    offset = fields.optional("index_skip_topk_offset") or 2
    return ["full" if max(layer - offset + 1, 0) % step == 0 else "shared" for layer in range(layers)]


def _rope_only(fields: Fields) -> int:
    return rotary_values(fields, fields.size("qk_rope_head_dim"))


def experts(correction_bias: bool = True) -> Callable:
    """DeepSeek's experts: dense blocks first, shared experts beside the routed ones."""
    return mixture(
        after_first, experts="n_routed_experts", shared=shared_experts(), correction_bias=correction_bias
    )


_DEEPSEEK = replace(
    LLAMA, source="transformers models/deepseek_v3/modeling_deepseek_v3.py", mlp_bias=False, mixers=_latent_layers,
    mlps=experts(), rotary=_rope_only, ignored=("ep_size", "num_nextn_predict_layers"),
)  # fmt: skip


def _v2_experts(fields: Fields, family: Family) -> list[Mlp | None]:
    """DeepSeek V2 and Kimi's first models: a correction bias only with `topk_method` noaux_tc."""
    return experts(fields.text("topk_method") == "noaux_tc")(fields, family)


FAMILIES: dict[str, Family] = {
    "deepseek_v2": replace(_DEEPSEEK, source="transformers models/deepseek_v2/modeling_deepseek_v2.py", mlps=_v2_experts),
    "deepseek_v3": _DEEPSEEK,
    "kimi_k2": replace(_DEEPSEEK, source="vLLM model_executor/models/deepseek_v2.py"),
    "deepseek_v32": replace(
        _DEEPSEEK, source="transformers models/deepseek_v32/modeling_deepseek_v32.py", mixers=_sparse_latent_layers
    ),
    "glm_moe_dsa": replace(
        _DEEPSEEK, source="transformers models/glm_moe_dsa/modeling_glm_moe_dsa.py", mixers=_sparse_latent_layers
    ),
    "glm4_moe_lite": replace(
        _DEEPSEEK, source="transformers models/glm4_moe_lite/modeling_glm4_moe_lite.py",
        defaults={"first_k_dense_replace": 1},
    ),
    "mistral4": replace(
        _DEEPSEEK, source="transformers models/mistral4/modeling_mistral4.py", mlps=experts(correction_bias=False)
    ),
    "youtu": replace(_DEEPSEEK, source="transformers models/youtu/modeling_youtu.py", mlps=dense_layers, mlp_bias="mlp_bias"),
    "minicpm3": replace(
        _DEEPSEEK, source="transformers models/minicpm3/modeling_minicpm3.py", mlps=dense_layers,
    ),
}  # fmt: skip
