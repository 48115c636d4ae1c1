"""Describe families with multi-head latent attention: DeepSeek V2 to V4 and models built like them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from core.errors import quoted
from core.model.feed_forward import Mlp
from core.model.mixers import COMPRESSOR, CompressedAttention, Indexer, LatentAttention, Mixer
from core.model.tensors import ATTENTION, BY_COLUMNS, BY_ROWS, WHOLE, Tensor, linear, vector
from core.readers.architectures.decoder import Family, attention, dense_layers, layer_count
from core.readers.architectures.llama_like import LLAMA
from core.readers.architectures.moe import HasExperts, ReadMlps, after_dense, in_every_layer, moe_mlps, shared_experts
from core.readers.architectures.rotary import rotary_values
from core.readers.fields import COPY_IT, Fields

# vLLM model_executor/models/deepseek_v2.py, DeepseekV32IndexerCache: 8-bit values, a 32-bit scale for every 128.
_VALUES_PER_INDEX_SCALE, _INDEX_SCALE_BYTES = 128, 4


def latent_attention(fields: Fields) -> LatentAttention:
    """Return the latent attention that DeepSeek's fields describe."""
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
    """Return the indexer of DeepSeek sparse attention.

    Source: transformers models/deepseek_v32/modeling_deepseek_v32.py, DeepseekV32Indexer.
    """
    heads, size = fields.size("index_n_heads"), fields.size("index_head_dim")
    hidden, query = fields.size("hidden_size"), fields.optional("q_lora_rank") or fields.size("hidden_size")
    fields.ignore("index_topk")
    return Indexer(
        index_head_dim=size,
        bytes_per_token=index_key_bytes(size),
        tensors=(
            *linear("self_attn.indexer.wq_b", ATTENTION, heads * size, query, WHOLE),
            *linear("self_attn.indexer.wk", ATTENTION, size, hidden, WHOLE),
            vector("self_attn.indexer.k_norm", size),
            vector("self_attn.indexer.k_norm.bias", size),
            *linear("self_attn.indexer.weights_proj", ATTENTION, heads, hidden, WHOLE),
        ),
    )


def index_key_bytes(size: int) -> int:
    """Return the bytes of one index key of `size` values in the engine's cache."""
    return size + -(-size // _VALUES_PER_INDEX_SCALE) * _INDEX_SCALE_BYTES


def _latent_layers(fields: Fields, family: Family) -> list[Mixer]:
    return [latent_attention(fields)] * layer_count(fields)


def _sparse_latent_layers(fields: Fields, family: Family) -> list[Mixer]:
    """Return latent attention for every layer, with an indexer unless the layer uses another's (`indexer_types`)."""
    base, layers = latent_attention(fields), layer_count(fields)
    kinds = fields.per_layer("indexer_types", layers) or _indexer_kinds(fields, layers)
    fields.ignore("index_topk_freq", "index_topk_pattern", "index_skip_topk_offset", "layer_types")
    with_indexer = replace(base, indexer=indexer(fields))
    return [with_indexer if kind == "full" else base for kind in kinds]


_INDEXER_KINDS = {"F": "full", "S": "shared", "full": "full", "shared": "shared"}


def _indexer_kinds(fields: Fields, layers: int) -> list[object]:
    """Return each layer's kind: "full" has an indexer, "shared" uses another layer's.

    Source: transformers models/glm_moe_dsa/configuration_glm_moe_dsa.py, __post_init__.
    """
    pattern = fields.raw("index_topk_pattern")
    if isinstance(pattern, (str, list)) and pattern:
        kinds = [_INDEXER_KINDS.get(str(kind)) for kind in pattern]
        if None in kinds or len(kinds) < layers:
            problem = f"{quoted(pattern)} does not have F or S for each of {layers} layers"
            raise fields.error("index_topk_pattern", problem, "Write F for a layer with an indexer, S for the others.")
        return list(kinds[:layers])
    step = fields.optional("index_topk_freq") or 1
    offset = fields.optional("index_skip_topk_offset") or 2
    return ["full" if max(layer - offset + 1, 0) % step == 0 else "shared" for layer in range(layers)]


# DeepSeek-V4: compressed attention, and hyper-connections between the layers (transformers models/deepseek_v4).
_V4_RATIOS = {"compressed_sparse_attention": 4, "heavily_compressed_attention": 128, "sliding_attention": 0}
_V4_MLPS = {"hash_moe": True, "moe": False}  # kind → whether the layer looks its experts up in a table of tokens
_OVERLAPPING_RATIO = 4  # at this ratio vectors overlap (projections are twice as wide), and an indexer picks them


def _v4_ratios(fields: Fields) -> list[int]:
    layers = layer_count(fields)
    kinds, ratios = fields.per_layer("layer_types", layers), fields.per_layer("compress_ratios", layers)
    if ratios is not None:
        fields.ignore("layer_types", "compress_rates")
        return list(fields.sizes("compress_ratios"))[:layers]
    if kinds is None:
        raise fields.error("compress_ratios", "it is missing", COPY_IT)
    unknown = [kind for kind in kinds if kind not in _V4_RATIOS]
    if unknown:
        raise fields.error("layer_types", f"{unknown[0]!r} is not supported", f"Write one of {', '.join(_V4_RATIOS)}.")
    rates = fields.inside("compress_rates")
    ratio_of = {kind: rates.size(kind, ratio) if ratio else 0 for kind, ratio in _V4_RATIOS.items()}
    return [ratio_of[str(kind)] for kind in kinds]


def _v4_attention(fields: Fields, family: Family) -> list[Mixer]:
    return [_v4_layer(fields, ratio) for ratio in _v4_ratios(fields)]


def _v4_layer(fields: Fields, ratio: int) -> CompressedAttention:
    hidden, heads, size = fields.size("hidden_size"), fields.size("num_attention_heads"), fields.size("head_dim")
    query, groups = fields.size("q_lora_rank"), fields.size("o_groups")
    output = groups * fields.size("o_lora_rank")
    fields.ignore("num_key_value_heads", "qk_rope_head_dim", "index_topk")
    tensors = [
        vector("self_attn.sinks", heads, BY_ROWS),
        *linear("self_attn.q_a_proj", ATTENTION, query, hidden, WHOLE),
        vector("self_attn.q_a_norm", query),
        *linear("self_attn.q_b_proj", ATTENTION, heads * size, query, BY_ROWS),
        *linear("self_attn.kv_proj", ATTENTION, size, hidden, WHOLE),
        vector("self_attn.kv_norm", size),
        *linear("self_attn.o_a_proj", ATTENTION, output, heads * size // groups, BY_ROWS),
        *linear("self_attn.o_b_proj", ATTENTION, hidden, output, BY_COLUMNS),
    ]
    index_size, index_bytes = fields.size("index_head_dim"), 0
    if ratio:
        tensors += _compressor(COMPRESSOR, hidden, size, ratio)
    if ratio == _OVERLAPPING_RATIO:
        index_heads = fields.size("index_n_heads")
        tensors += [
            *_compressor(f"{COMPRESSOR}.indexer", hidden, index_size, ratio),
            *linear(f"{COMPRESSOR}.indexer.q_b_proj", ATTENTION, index_heads * index_size, query, WHOLE),
            *linear(f"{COMPRESSOR}.indexer.weights_proj", ATTENTION, index_heads, hidden, WHOLE),
        ]
        index_bytes = index_key_bytes(index_size)
    return CompressedAttention(
        num_attention_heads=heads, head_dim=size, sliding_window=fields.size("sliding_window"), compress_ratio=ratio,
        index_bytes=index_bytes, index_head_dim=index_size if index_bytes else 0,
        residual_streams=fields.size("hc_mult"), tensors=tuple(tensors),
    )  # fmt: skip


def _compressor(name: str, hidden: int, size: int, ratio: int) -> tuple[Tensor, ...]:
    wide = size * (2 if ratio == _OVERLAPPING_RATIO else 1)
    return (
        *linear(f"{name}.kv_proj", ATTENTION, wide, hidden, WHOLE),
        *linear(f"{name}.gate_proj", ATTENTION, wide, hidden, WHOLE),
        vector(f"{name}.position_bias", ratio * wide),
        vector(f"{name}.kv_norm", size),
    )


def _hyper_connections(fields: Fields, layer: int) -> tuple[Tensor, ...]:
    """Return the maps of the residual streams onto each other, one at attention and one at the feed-forward block."""
    streams = fields.size("hc_mult")
    width, maps = streams * fields.size("hidden_size"), (2 + streams) * streams
    return 2 * (vector("hc.fn", maps * width), vector("hc.base", maps), vector("hc.scale", 3))


def _hyper_connections_head(fields: Fields) -> tuple[Tensor, ...]:
    streams = fields.size("hc_mult")
    return (
        vector("hc_head.hc_fn", streams * streams * fields.size("hidden_size")),
        vector("hc_head.hc_base", streams),
        vector("hc_head.hc_scale", 1),
    )


def _v4_mlps(fields: Fields, family: Family) -> list[Mlp | None]:
    """Return experts for every layer; the first layers look them up in a table and have no correction bias."""
    layers, kinds = layer_count(fields), fields.per_layer("mlp_layer_types", layer_count(fields))
    if kinds is None:
        hashed = fields.size("num_hash_layers", 3, least=0)
        kinds = ["hash_moe" if layer < hashed else "moe" for layer in range(layers)]
    unknown = [kind for kind in kinds if kind not in _V4_MLPS]
    if unknown:
        raise fields.error("mlp_layer_types", f"{unknown[0]!r} is not supported", f"Write {' or '.join(_V4_MLPS)}.")
    fields.ignore("num_hash_layers")
    from_table, routed = (
        read_mlps(fields, family)
        for read_mlps in (_experts(in_every_layer, correction_bias=False), _experts(in_every_layer))
    )
    return [from_table[layer] if _V4_MLPS[str(kind)] else routed[layer] for layer, kind in enumerate(kinds)]


def _rotary_part(fields: Fields) -> int:
    return rotary_values(fields, fields.size("qk_rope_head_dim"))


def _v4_rotary(fields: Fields) -> int:
    """Return the values of the tables of layers that compress and of others, counted double because they have 32 bits.

    Source: vLLM models/deepseek_v4/common/rope.py, rotary_embedding/deepseek_scaling_rope.py
    (DeepseekV4ScalingRotaryEmbedding).
    """
    tables = len({ratio > 1 for ratio in _v4_ratios(fields)})
    return 2 * tables * _rotary_part(fields)


def _experts(has_experts: HasExperts, *, correction_bias: bool = True) -> ReadMlps:
    return moe_mlps(has_experts, experts="n_routed_experts", shared=shared_experts(), correction_bias=correction_bias)


def deepseek_mlps(*, correction_bias: bool = True) -> ReadMlps:
    """Return a function for `Family.mlps`: dense blocks in the first layers, routed and shared experts in the rest."""
    return _experts(after_dense, correction_bias=correction_bias)


_DEEPSEEK = replace(
    LLAMA, source="transformers models/deepseek_v3/modeling_deepseek_v3.py", mlp_bias=False, mixers=_latent_layers,
    mlps=deepseek_mlps(), rotary=_rotary_part, ignored=("ep_size", "num_nextn_predict_layers"),
)  # fmt: skip


def _v2_mlps(fields: Fields, family: Family) -> Sequence[Mlp | None]:
    """Return the experts of DeepSeek V2 and early Kimi models: a correction bias only if `topk_method` is noaux_tc."""
    return deepseek_mlps(correction_bias=fields.text("topk_method") == "noaux_tc")(fields, family)


def _norm_after_experts(fields: Fields, layer: int) -> tuple[Tensor, ...]:
    """Return A.X K1's norm after the experts (transformers models/axk1, AXK1MoE)."""
    return (vector("mlp.post_mlp_layernorm", fields.size("hidden_size")),) if after_dense(fields, layer) else ()


_LATENT_FIELDS = ("kv_lora_rank", "q_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")


def _v2_layers(fields: Fields, family: Family) -> list[Mixer]:
    """Return latent attention, or with `use_mla` false (DeepSeek-OCR, arXiv:2510.18234) that of Llama."""
    if fields.flag("use_mla", True):
        return _latent_layers(fields, family)
    fields.ignore(*_LATENT_FIELDS, "num_key_value_heads", "head_dim", "attention_bias")
    given = {name: value for name, value in fields.values.items() if name not in _LATENT_FIELDS}
    plain = Fields({**given, "head_dim": None}, "llama", path=fields.path, nested=fields.nested)
    return [attention(plain, family)] * layer_count(fields)


def _v2_rotary(fields: Fields) -> int:
    return _rotary_part(fields) if fields.flag("use_mla", True) else rotary_values(fields)


FAMILIES: dict[str, Family] = {
    "deepseek_v2": replace(
        _DEEPSEEK, source="transformers models/deepseek_v2/modeling_deepseek_v2.py", mlps=_v2_mlps, mixers=_v2_layers,
        rotary=_v2_rotary,
    ),
    "deepseek_v3": _DEEPSEEK,
    "kimi_k2": replace(_DEEPSEEK, source="vLLM model_executor/models/deepseek_v2.py"),
    "deepseek_v32": replace(
        _DEEPSEEK, source="transformers models/deepseek_v32/modeling_deepseek_v32.py", mixers=_sparse_latent_layers
    ),
    "deepseek_v4": replace(
        _DEEPSEEK, source="transformers models/deepseek_v4/modeling_deepseek_v4.py", mixers=_v4_attention,
        rotary=_v4_rotary, mlps=_v4_mlps, layer_extra=_hyper_connections, extra=_hyper_connections_head,
    ),
    "glm_moe_dsa": replace(
        _DEEPSEEK, source="transformers models/glm_moe_dsa/modeling_glm_moe_dsa.py", mixers=_sparse_latent_layers
    ),
    "glm4_moe_lite": replace(
        _DEEPSEEK, source="transformers models/glm4_moe_lite/modeling_glm4_moe_lite.py",
        defaults={"first_k_dense_replace": 1},
    ),
    "mistral4": replace(
        _DEEPSEEK, source="transformers models/mistral4/modeling_mistral4.py", mlps=deepseek_mlps(correction_bias=False)
    ),
    "axk1": replace(
        _DEEPSEEK, source="transformers models/axk1/modeling_axk1.py", layer_extra=_norm_after_experts,
        defaults={"first_k_dense_replace": 1},
    ),
    "youtu": replace(
        _DEEPSEEK, source="transformers models/youtu/modeling_youtu.py", mlps=dense_layers, mlp_bias="mlp_bias"
    ),
    "minicpm3": replace(
        _DEEPSEEK, source="transformers models/minicpm3/modeling_minicpm3.py", mlps=dense_layers,
    ),
}  # fmt: skip
