"""Describe families of decoders with mixtures of experts and ordinary attention."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from core.model.feed_forward import Mlp, MoeMlp
from core.model.mixers import FULL_WIDTH, PER_HEAD, FullAttention, Indexer, Mixer, SharedCacheAttention
from core.model.tensors import ATTENTION, BY_ROWS, WHOLE, Tensor, linear, vector
from core.readers.architectures.decoder import (
    Family,
    attention,
    attention_layers,
    dense_mlp,
    hf_source,
    layer_count,
    layer_windows,
    no_rotary,
    with_window,
)
from core.readers.architectures.llama_like import LLAMA, NO_BIAS, full_attention_every_fourth, qk_norm_if
from core.readers.fields import COPY_IT, Fields

HasExperts = Callable[[Fields, int], bool]  # whether the layer with this number, from 0, has experts
ReadMlps = Callable[[Fields, Family], Sequence[Mlp | None]]  # see `Family.mlps`


def in_every_layer(fields: Fields, layer: int) -> bool:
    """Return True: every layer has experts."""
    return True


def after_dense(fields: Fields, layer: int) -> bool:
    """Return whether a layer has experts where the first layers are dense (DeepSeek).

    The fields are `first_k_dense_replace` and `moe_layer_freq`, or `mlp_layer_types`.
    """
    kinds = fields.per_layer("mlp_layer_types", layer_count(fields))
    if kinds is not None:
        fields.ignore("first_k_dense_replace", "moe_layer_freq")
        return kinds[layer] == "sparse"
    frequency = fields.raw("moe_layer_freq")
    if isinstance(frequency, list):
        fields.ignore("first_k_dense_replace")
        return bool((fields.per_layer("moe_layer_freq", layer_count(fields)) or [])[layer])
    first = fields.size("first_k_dense_replace", 0, least=0)
    return layer >= first and layer % (fields.optional("moe_layer_freq") or 1) == 0


def every_step(fields: Fields, layer: int) -> bool:
    """Return whether a layer has experts: every `decoder_sparse_step`-th one, except `mlp_only_layers` (Qwen)."""
    kinds = fields.per_layer("mlp_layer_types", layer_count(fields))
    if kinds is not None:
        return kinds[layer] == "sparse"
    dense = fields.listed("mlp_only_layers") or []
    step = fields.size("decoder_sparse_step", 1, least=0)
    return layer not in dense and step > 0 and (layer + 1) % step == 0


def moe_mlps(
    has_experts: HasExperts,
    *,
    experts: str = "num_experts",
    width: str = "moe_intermediate_size",
    shared: Callable[[Fields], int] = lambda fields: 0,
    dense: str = "intermediate_size",
    **others: Any,
) -> ReadMlps:
    """Return a function for `Family.mlps`: experts where `has_experts` is true, dense blocks in the other layers.

    Args:
        experts, width, dense: the fields with the number of experts, the width of one, and that of a dense block.
        shared: returns the width of all shared experts together.
        others: further attributes of `MoeMlp`.
    """

    def mlps(fields: Fields, family: Family) -> list[Mlp | None]:
        layers = layer_count(fields)
        if not fields.optional(experts):
            return [dense_mlp(fields, family, dense)] * layers
        sparse = MoeMlp(
            num_experts=fields.size(experts),
            num_experts_per_tok=fields.size("num_experts_per_tok"),
            moe_intermediate_size=fields.size(width),
            shared_intermediate_size=shared(fields),
            gated=family.gated,
            **others,
        )
        block = dense_mlp(fields, family, dense)
        return [sparse if has_experts(fields, layer) else block for layer in range(layers)]

    return mlps


def shared_experts(count: str = "n_shared_experts", width: str = "moe_intermediate_size") -> Callable[[Fields], int]:
    """Return a function for `moe_mlps`: `count` shared experts, each as wide as a routed one."""
    return lambda fields: (fields.optional(count) or 0) * fields.size(width)


def shared_width(field: str) -> Callable[[Fields], int]:
    """Return a function for `moe_mlps`: one shared expert whose width is in `field`."""
    return lambda fields: fields.optional(field) or 0


# Laguna: each layer may have its own number of query heads; a gate scales their output.
def _laguna_heads(fields: Fields) -> list[int]:
    layers = layer_count(fields)
    listed = fields.per_layer("num_attention_heads_per_layer", layers)
    if listed is None:
        return [fields.size("num_attention_heads")] * layers
    fields.ignore("num_attention_heads")
    return list(fields.sizes("num_attention_heads_per_layer"))[:layers]


def _laguna_attention(fields: Fields, family: Family) -> list[Mixer]:
    base = attention(fields, family)
    return [
        with_window(replace(base, num_attention_heads=heads), window)
        for heads, window in zip(_laguna_heads(fields), layer_windows(fields, family))
    ]


def _laguna_gate(fields: Fields, layer: int) -> tuple[Tensor, ...]:
    """Return a gate for each query head, or for each of its output values."""
    gating = fields.raw("gating")
    heads = _laguna_heads(fields)[layer]
    width = heads if gating in (None, True, "per-head") else heads * fields.size("head_dim")
    return linear("self_attn.g_proj", ATTENTION, width, fields.size("hidden_size"), BY_ROWS)


def _output_gate(fields: Fields, layer: int) -> tuple[Tensor, ...]:
    """Return a gate for each output value of attention."""
    width = fields.size("num_attention_heads") * fields.size("head_dim")
    return linear("self_attn.gate_proj", ATTENTION, width, fields.size("hidden_size"), BY_ROWS)


_deepseek_mlps = moe_mlps(after_dense, experts="n_routed_experts", shared=shared_experts(), correction_bias=True)
_qwen_mlps = moe_mlps(every_step)


# Llama 4: full attention in every fourth layer, else chunked attention; experts in every layer or every second.
def _llama4_attention(fields: Fields, family: Family) -> list[Mixer]:
    layers = layer_count(fields)
    fields.ignore("use_qk_norm", "attn_temperature_tuning", "floor_scale")
    if fields.has("layer_types"):
        fields.ignore("no_rope_layers", "no_rope_layer_interval")
        return attention_layers(fields, family)
    base = attention(fields, family)
    rotary = fields.listed("no_rope_layers")  # despite its name 1 for layers with rotary positions, which are local
    interval = fields.size("no_rope_layer_interval", 4)
    local = rotary or [int((layer + 1) % interval != 0) for layer in range(layers)]
    if len(local) != layers:
        raise fields.error("no_rope_layers", f"it has {len(local)} entries for {layers} layers", "Write one per layer.")
    chunk = fields.optional("attention_chunk_size")
    return [with_window(base, chunk if is_local else None) for is_local in local]


def _llama4_mlps(fields: Fields, family: Family) -> Sequence[Mlp | None]:
    step = fields.size("interleave_moe_layer_step", 1)
    listed = fields.listed("moe_layers")
    mlps = moe_mlps(
        lambda fields, layer: layer in listed if listed is not None else (layer + 1) % step == 0,
        experts="num_local_experts", width="intermediate_size", dense="intermediate_size_mlp",
        shared=shared_width("intermediate_size"),
    )  # fmt: skip
    return mlps(fields, family)


# MiMo-V2: layers with a window have their own number and size of heads; values are smaller than keys.
def _mimo_v2_attention(fields: Fields, family: Family) -> list[Mixer]:
    layers = layer_count(fields)
    pattern = fields.per_layer("hybrid_layer_pattern", layers)
    if pattern is None and not fields.has("layer_types"):
        raise fields.error(
            "hybrid_layer_pattern", "it is missing", "Write 1 for each layer with a window and 0 for the others."
        )
    windows = (
        [fields.size("sliding_window") if local else None for local in pattern]
        if pattern
        else layer_windows(fields, family)
    )
    full_sinks, local_sinks = (
        fields.flag("add_full_attention_sink_bias"),
        fields.flag("add_swa_attention_sink_bias", True),
    )
    fields.ignore("sliding_window_size", "attention_chunk_size")
    full = replace(attention(fields, family), sinks=full_sinks, v_head_dim=fields.optional("v_head_dim"))
    local = replace(
        attention(fields, family, "swa_"),
        sinks=local_sinks,
        v_head_dim=fields.optional("swa_v_head_dim") or full.v_head_dim,
        # By default twice those of full attention (transformers models/mimo_v2_flash/modeling_mimo_v2_flash.py).
        num_key_value_heads=fields.optional("swa_num_key_value_heads") or 2 * full.num_key_value_heads,
    )
    return [full if window is None else with_window(local, window) for window in windows]


# MiniMax-M3: an indexer picks blocks of tokens in the layers that `sparse_attention_freq` marks.
_INDEX_KEY_BYTES = 2  # vLLM models/minimax_m3/common/indexer.py: index keys in the model's 16 bits


def _minimax_m3_attention(fields: Fields, family: Family) -> list[Mixer]:
    layers, hidden = layer_count(fields), fields.size("hidden_size")
    settings = fields.inside("sparse_attention_config")
    base = attention(fields, family)
    kinds = fields.per_layer("layer_types", layers)
    sparse = (
        [kind == "minimax_m3_sparse" for kind in kinds]
        if kinds
        else settings.per_layer("sparse_attention_freq", layers)
    )
    if not sparse or not settings.flag("use_sparse_attention", True):
        return [base] * layers
    heads = settings.optional("sparse_num_index_heads") or fields.size("index_n_heads")
    size = settings.optional("sparse_index_dim") or fields.size("index_head_dim")
    indexer = Indexer(
        index_head_dim=size,
        bytes_per_token=size * _INDEX_KEY_BYTES,
        tensors=(
            *linear("self_attn.indexer.q_proj", ATTENTION, heads * size, hidden, WHOLE),
            *linear("self_attn.indexer.k_proj", ATTENTION, size, hidden, WHOLE),
            vector("self_attn.indexer.q_norm", size),
            vector("self_attn.indexer.k_norm", size),
        ),
    )
    return [replace(base, indexer=indexer) if is_sparse else base for is_sparse in sparse]


# ERNIE 4.5 VL: one set of experts for text and one for images, each with its own router.
def _text_vision(fields: Fields, name: str) -> tuple[int, int]:
    value = fields.raw(name)
    text, vision = value if isinstance(value, list) and len(value) == 2 else (value, value)
    if not isinstance(text, (int, float)) or not isinstance(vision, (int, float)):
        raise fields.error(name, f"{value!r} is not a number for text and one for vision", COPY_IT)
    return int(text), int(vision)


def _ernie_vl_mlps(fields: Fields, family: Family) -> list[Mlp | None]:
    layers = layer_count(fields)
    text_width = _text_vision(fields, "moe_intermediate_size")[0]
    experts = MoeMlp(
        num_experts=_text_vision(fields, "moe_num_experts")[0], num_experts_per_tok=fields.size("moe_k"),
        moe_intermediate_size=text_width,
        shared_intermediate_size=fields.size("moe_num_shared_experts", least=0) * text_width,
        correction_bias=True,
    )  # fmt: skip
    dense = dense_mlp(fields, family)
    return [experts if _ernie_has_experts(fields, layer) else dense for layer in range(layers)]


def _ernie_has_experts(fields: Fields, layer: int) -> bool:
    kinds = fields.per_layer("mlp_layer_types", layer_count(fields))
    if kinds is not None:
        return kinds[layer] == "sparse"
    first = min(_text_vision(fields, "moe_layer_start_index")) if fields.has("moe_layer_start_index") else 1
    return layer >= first


def _ernie_vl_vision_experts(fields: Fields, layer: int) -> tuple[Tensor, ...]:
    if not _ernie_has_experts(fields, layer):
        return ()
    experts = MoeMlp(
        num_experts=_text_vision(fields, "moe_num_experts")[1], num_experts_per_tok=fields.size("moe_k"),
        moe_intermediate_size=_text_vision(fields, "moe_intermediate_size")[1], correction_bias=True,
    )  # fmt: skip
    return experts.weight_tensors(fields.size("hidden_size"))


# Step 3.5 and 3.7: layers with a window have their own number and size of heads (`attention_other_setting`).
def _step3_attention(fields: Fields, family: Family) -> list[Mixer]:
    full = FullAttention(
        num_attention_heads=fields.size("num_attention_heads"),
        num_key_value_heads=fields.optional("num_attention_groups") or fields.size("num_key_value_heads"),
        head_dim=fields.size("head_dim"),
        qk_norm=PER_HEAD,
    )
    other = fields.inside("attention_other_setting")
    local = replace(
        full,
        num_attention_heads=other.size("num_attention_heads", full.num_attention_heads),
        num_key_value_heads=other.size("num_attention_groups", full.num_key_value_heads),
        head_dim=other.size("head_dim", full.head_dim),
    )
    fields.ignore("num_key_value_heads")
    return [full if window is None else with_window(local, window) for window in layer_windows(fields, family)]


def _step3_gate(fields: Fields, layer: int) -> tuple[Tensor, ...]:
    """Return a gate for each query head; layers with a window have another number of heads."""
    if not fields.flag("use_head_wise_attn_gate", True):
        return ()
    heads, other = fields.size("num_attention_heads"), fields.inside("attention_other_setting")
    kinds = fields.per_layer("layer_types", layer_count(fields))
    if kinds and kinds[layer] == "sliding_attention":
        heads = other.size("num_attention_heads", heads)
    return linear("self_attn.g_proj", ATTENTION, heads, fields.size("hidden_size"), BY_ROWS)


def _step3_has_experts(fields: Fields, layer: int) -> bool:
    listed = fields.raw("moe_layers_enum")
    if isinstance(listed, str):
        return str(layer) in [number.strip() for number in listed.split(",")]
    return layer in listed if isinstance(listed, list) else after_dense(fields, layer)


# DBRX: nested objects describe the parts of a layer.
def _dbrx_attention(fields: Fields, family: Family) -> list[Mixer]:
    heads = fields.size("num_attention_heads")
    base = FullAttention(
        num_attention_heads=heads,
        num_key_value_heads=fields.inside("attn_config").size("kv_n_heads", heads),
        head_dim=fields.size("hidden_size") // heads,
    )
    return [base] * layer_count(fields)


def _dbrx_mlps(fields: Fields, family: Family) -> list[Mlp | None]:
    part = fields.inside("ffn_config")
    experts = MoeMlp(
        num_experts=part.size("moe_num_experts"), num_experts_per_tok=part.size("moe_top_k"),
        moe_intermediate_size=part.size("ffn_hidden_size"),
    )  # fmt: skip
    return [experts] * layer_count(fields)


# Hunyuan-Large: a group of layers shares the keys and values of its first (cross-layer attention, arXiv:2405.12981).
def _hunyuan_attention(fields: Fields, family: Family) -> list[Mixer]:
    base, layers = attention(fields, family), layer_count(fields)
    factor = fields.size("cla_share_factor", 1) if fields.flag("use_cla") else 1
    fields.ignore("cla_share_factor")
    return [base if layer % factor == 0 else SharedCacheAttention(**vars(base)) for layer in range(layers)]


def _hunyuan_shared_width(fields: Fields) -> int:
    if not fields.flag("use_mixed_mlp_moe"):
        fields.ignore("num_shared_expert")
        return 0
    return fields.size("num_shared_expert", least=0) * fields.size("intermediate_size")


def _refuse_biases(mlps: ReadMlps) -> ReadMlps:
    """Refuse `use_bias`: it would give the shared experts biases, which no published model has."""

    def checked_mlps(fields: Fields, family: Family) -> Sequence[Mlp | None]:
        if fields.flag("use_bias"):
            raise fields.error("use_bias", "biases of experts are not supported", "Set it to false.")
        return mlps(fields, family)

    return checked_mlps


# Ling and Ring: since the second generation with a correction bias of the router, and norms of queries and keys.
def _bailing_mlps(fields: Fields, family: Family) -> Sequence[Mlp | None]:
    shared = shared_experts("num_shared_experts")
    return moe_mlps(after_dense, shared=shared, correction_bias=fields.flag("moe_router_enable_expert_bias"))(
        fields, family
    )


def _bailing_qkv_bias(fields: Fields) -> bool:
    return fields.flag("use_bias") or fields.flag("use_qkv_bias")


FAMILIES: dict[str, Family] = {
    "mixtral": replace(
        NO_BIAS, source=hf_source("mixtral"), window_pattern=1,
        mlps=moe_mlps(in_every_layer, experts="num_local_experts", width="intermediate_size"),
    ),
    "qwen2_moe": replace(
        NO_BIAS, source=hf_source("qwen2_moe"), qkv_bias="qkv_bias", window_pattern=1, window_flag="use_sliding_window",
        mlps=moe_mlps(every_step, shared=shared_width("shared_expert_intermediate_size"), shared_gate=True),
    ),
    "qwen3_moe": replace(
        LLAMA, source=hf_source("qwen3_moe"), mlp_bias=False, qk_norm=PER_HEAD, window_pattern=1,
        window_flag="use_sliding_window", mlps=_qwen_mlps, ignored=("use_qk_norm",),
    ),
    "gpt_oss": replace(
        LLAMA, source=hf_source("gpt_oss"), mlp_bias=False, sinks=True, window_pattern=2,
        ignored=("experts_per_token", "initial_context_length"),
        mlps=moe_mlps(in_every_layer, experts="num_local_experts", width="intermediate_size", expert_bias=True,
                     router_bias=True),
    ),
    "olmoe": replace(
        LLAMA, source=hf_source("olmoe"), mlp_bias=False, qk_norm=FULL_WIDTH,
        mlps=moe_mlps(in_every_layer, width="intermediate_size"),
    ),
    "flex_olmo": replace(
        LLAMA, source=hf_source("flex_olmo"), mlp_bias=False, qk_norm=FULL_WIDTH,
        mlps=moe_mlps(in_every_layer, width="intermediate_size"),
    ),
    "phimoe": replace(
        LLAMA, source=hf_source("phimoe"), mlp_bias=False, norm_bias=True, head_bias="lm_head_bias", window_pattern=1,
        mlps=moe_mlps(in_every_layer, experts="num_local_experts", width="intermediate_size"),
    ),
    "granitemoe": replace(
        LLAMA, source=hf_source("granitemoe"), mlp_bias=False,
        mlps=moe_mlps(in_every_layer, experts="num_local_experts", width="intermediate_size"),
    ),
    "granitemoeshared": replace(
        LLAMA, source=hf_source("granitemoeshared"), mlp_bias=False,
        mlps=moe_mlps(in_every_layer, experts="num_local_experts", width="intermediate_size",
                     shared=shared_width("shared_intermediate_size")),
    ),
    "granitemoe_swa": replace(
        LLAMA, source=hf_source("granitemoe_swa"), mlp_bias=False, sinks=True, mixers=full_attention_every_fourth,
        defaults={"sliding_window": 128},
        mlps=moe_mlps(in_every_layer, experts="num_local_experts", width="intermediate_size",
                     shared=shared_width("shared_intermediate_size")),
    ),
    "cohere2_moe": replace(
        LLAMA, source=hf_source("cohere2_moe"), mlp_bias=False, norms=1, window_pattern=4, tied=True,
        ignored=("prefix_dense_sliding_window_pattern",),
        mlps=moe_mlps(after_dense, width="intermediate_size", dense="prefix_dense_intermediate_size",
                     shared=shared_experts("num_shared_experts", "intermediate_size")),
    ),
    "bailing_moe": replace(
        NO_BIAS, source="vLLM model_executor/models/bailing_moe.py", qkv_bias=_bailing_qkv_bias, output_bias="use_bias",
        mlp_bias="use_bias", qk_norm=qk_norm_if("use_qk_norm"),
        ignored=("moe_shared_expert_intermediate_size",), mlps=_refuse_biases(_bailing_mlps),
    ),
    "glm4_moe": replace(
        LLAMA, source=hf_source("glm4_moe"), output_bias=False, mlp_bias=False,
        qk_norm=qk_norm_if("use_qk_norm"), mlps=_deepseek_mlps,
    ),
    "dots1": replace(
        LLAMA, source=hf_source("dots1"), mlp_bias=False, qk_norm=PER_HEAD, window_pattern=1, mlps=_deepseek_mlps,
    ),
    "deepseek": replace(
        LLAMA, source="deepseek-ai modeling_deepseek.py", mlp_bias=False,
        mlps=moe_mlps(after_dense, experts="n_routed_experts", shared=shared_experts()),
    ),
    "solar_open": replace(
        LLAMA, source=hf_source("solar_open"), output_bias=False, mlp_bias=False, mlps=_deepseek_mlps,
        qk_norm=qk_norm_if("use_qk_norm"),
    ),
    "ernie4_5_moe": replace(
        LLAMA, source=hf_source("ernie4_5_moe"), qkv_bias="use_bias", output_bias="use_bias", mlp_bias="use_bias",
        mlps=_refuse_biases(moe_mlps(
            lambda fields, layer: (
                fields.size("moe_layer_start_index", least=0) <= layer
                <= (layer_count(fields) - 1 if fields.raw("moe_layer_end_index") in (-1, None)
                    else fields.size("moe_layer_end_index", least=0))
                and (layer + 1) % fields.size("moe_layer_interval", 1) == 0
            ),
            experts="moe_num_experts", shared=shared_experts("moe_num_shared_experts"), correction_bias=True,
        )),
    ),
    "hunyuan_v1_moe": replace(
        LLAMA, source=hf_source("hunyuan_v1_moe"), mlp_bias=False,
        qk_norm=qk_norm_if("use_qk_norm", default=True),
        ignored=("num_shared_expert", "moe_intermediate_size"),
        mlps=moe_mlps(in_every_layer, width="intermediate_size", shared=shared_width("intermediate_size")),
    ),
    "minimax_m2": replace(
        NO_BIAS, source=hf_source("minimax_m2"),
        qk_norm=qk_norm_if("use_qk_norm", FULL_WIDTH, default=True),
        ignored=("shared_intermediate_size", "attn_type_list", "qk_norm_type", "use_routing_bias"),
        mlps=moe_mlps(in_every_layer, experts="num_local_experts", width="intermediate_size", correction_bias=True),
    ),
    "minimax_m3_vl_text": replace(
        NO_BIAS, source=hf_source("minimax_m3_vl"), mixers=_minimax_m3_attention, qk_norm=PER_HEAD,
        ignored=("use_qk_norm", "qk_norm_type", "attention_output_gate", "use_routing_bias", "num_mtp_modules",
                 "n_shared_experts", "moe_intermediate_size"),
        mlps=moe_mlps(after_dense, experts="num_local_experts", width="intermediate_size",
                     dense="dense_intermediate_size", shared=shared_width("shared_intermediate_size"),
                     correction_bias=True),
    ),
    "ernie4_5_vl_moe_text": replace(
        LLAMA, source=hf_source("ernie4_5_vl_moe"), qkv_bias="use_bias", output_bias="use_bias", mlp_bias="use_bias",
        mlps=_refuse_biases(_ernie_vl_mlps), layer_extra=_ernie_vl_vision_experts,
    ),
    "llama4_text": replace(
        LLAMA, source=hf_source("llama4"), mlp_bias=False, mixers=_llama4_attention, mlps=_llama4_mlps,
    ),
    "afmoe": replace(
        LLAMA, source=hf_source("afmoe"), mlp_bias=False, norms=4, qk_norm=PER_HEAD, window_pattern=4,
        ignored=("global_attn_every_n_layers",), layer_extra=_output_gate,
        mlps=moe_mlps(
            lambda fields, layer: layer >= fields.size("num_dense_layers", 1, least=0),
            shared=shared_experts("num_shared_experts"), correction_bias=True,
        ),
    ),
    "exaone_moe": replace(
        LLAMA, source=hf_source("exaone_moe"), mlp_bias=False, qk_norm=PER_HEAD, window_pattern=4,
        mlps=moe_mlps(after_dense, shared=shared_experts("num_shared_experts"), correction_bias=True),
    ),
    "hy_v3": replace(
        LLAMA, source=hf_source("hy_v3"), mlp_bias=False, qk_norm=PER_HEAD, defaults={"first_k_dense_replace": 1},
        mlps=moe_mlps(after_dense, shared=shared_experts("num_shared_experts"), correction_bias=True),
    ),
    "laguna": replace(
        LLAMA, source=hf_source("laguna"), mlp_bias=False, qk_norm=PER_HEAD,
        mixers=_laguna_attention, layer_extra=_laguna_gate, defaults={"first_k_dense_replace": 1},
        mlps=moe_mlps(after_dense, shared=shared_width("shared_expert_intermediate_size"), correction_bias=True),
    ),
    "mellum": replace(
        LLAMA, source=hf_source("mellum"), mlp_bias=False, qk_norm=PER_HEAD,
        mlps=_qwen_mlps,
    ),
    "grok-1": replace(
        NO_BIAS, source="hpcai-tech modeling_grok1.py; vLLM model_executor/models/grok1.py", norms=4,
        mlps=moe_mlps(in_every_layer, width="intermediate_size"),
    ),
    "dbrx": replace(
        NO_BIAS, source=hf_source("dbrx"), mixers=_dbrx_attention, mlps=_dbrx_mlps, norms=2, rotary=no_rotary,
        ignored=("num_key_value_heads",),
        aliases={"hidden_size": "d_model", "num_hidden_layers": "n_layers", "num_attention_heads": "n_heads",
                 "max_position_embeddings": "max_seq_len"},
    ),
    "hunyuan": replace(
        LLAMA, source="vLLM model_executor/models/hunyuan_v1.py", mlp_bias=False, mixers=_hunyuan_attention,
        qk_norm=qk_norm_if("use_qk_norm"),
        mlps=moe_mlps(in_every_layer, width="intermediate_size", shared=_hunyuan_shared_width),
    ),
    "mimo_v2_flash": replace(
        LLAMA, source=hf_source("mimo_v2_flash"), output_bias=False, mlp_bias=False, mixers=_mimo_v2_attention,
        window_pattern=1,
        mlps=moe_mlps(after_dense, experts="n_routed_experts", shared=shared_experts(), correction_bias=True),
    ),
    "step3p5": replace(
        NO_BIAS, source=hf_source("step3p7"), mixers=_step3_attention, layer_extra=_step3_gate, window_pattern=1,
        ignored=("use_moe_router_bias", "n_shared_experts"), defaults={"first_k_dense_replace": 3},
        mlps=moe_mlps(_step3_has_experts, experts="n_routed_experts", shared=shared_width("share_expert_dim"),
                     correction_bias=True),
    ),
}  # fmt: skip
FAMILIES["step3p7_text"] = FAMILIES["step3p5"]
FAMILIES["minimax_m3"] = FAMILIES["minimax_m3_vl_text"]
