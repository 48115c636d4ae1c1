"""Families of decoders with mixtures of experts and plain attention."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from core.model.parameters import mlp_tensors
from core.model.spec import (
    FULL_WIDTH,
    NO_NORM,
    PER_HEAD,
    FullAttention,
    Indexer,
    Mixer,
    Mlp,
    MoeMlp,
    SharedCacheAttention,
)
from core.model.tensors import ATTENTION, BY_ROWS, WHOLE, Tensor, linear, vector
from core.readers.architectures.decoder import (
    Family,
    attention,
    attention_layers,
    dense_mlp,
    layer_count,
    layer_windows,
    windowed,
)
from core.readers.architectures.llama_like import LLAMA, first_of_four
from core.readers.fields import Fields

Placement = Callable[[Fields, int], bool]
Blocks = Callable[[Fields, Family], Sequence[Mlp | None]]

_PLAIN = replace(LLAMA, qkv_bias=False, output_bias=False, mlp_bias=False)


def _source(module: str) -> str:
    return f"transformers models/{module}/modeling_{module}.py"


def everywhere(fields: Fields, layer: int) -> bool:
    """Experts in every layer."""
    return True


def after_first(fields: Fields, layer: int) -> bool:
    """Dense blocks first, then experts (DeepSeek): `first_k_dense_replace`, `moe_layer_freq`, or `mlp_layer_types`."""
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


def by_step(fields: Fields, layer: int) -> bool:
    """Experts in every so manieth layer (Qwen): `decoder_sparse_step`, but for `mlp_only_layers`."""
    kinds = fields.per_layer("mlp_layer_types", layer_count(fields))
    if kinds is not None:
        return kinds[layer] == "sparse"
    dense = fields.listed("mlp_only_layers") or []
    step = fields.size("decoder_sparse_step", 1, least=0)
    return layer not in dense and step > 0 and (layer + 1) % step == 0


def mixture(
    placement: Placement,
    *,
    experts: str = "num_experts",
    width: str = "moe_intermediate_size",
    shared: Callable[[Fields], int] = lambda fields: 0,
    dense: str = "intermediate_size",
    **facts: Any,
) -> Blocks:
    """The feed-forward blocks of a family: experts in the layers that `placement` names, dense blocks in the others.

    Args:
        experts, width, dense: the fields that say how many experts there are, how wide each is, and a dense block.
        shared: the width of all shared experts together.
        facts: further attributes of `MoeMlp`.
    """

    def blocks(fields: Fields, family: Family) -> list[Mlp | None]:
        layers = layer_count(fields)
        if not fields.optional(experts):
            return [dense_mlp(fields, family, dense)] * layers
        sparse = MoeMlp(
            num_experts=fields.size(experts),
            num_experts_per_tok=fields.size("num_experts_per_tok"),
            moe_intermediate_size=fields.size(width),
            shared_intermediate_size=shared(fields),
            gated=family.gated,
            **facts,
        )
        block = dense_mlp(fields, family, dense)
        return [sparse if placement(fields, layer) else block for layer in range(layers)]

    return blocks


def shared_experts(count: str = "n_shared_experts", width: str = "moe_intermediate_size") -> Callable[[Fields], int]:
    """So many shared experts, each as wide as a routed one."""
    return lambda fields: (fields.optional(count) or 0) * fields.size(width)


def shared_width(field: str) -> Callable[[Fields], int]:
    """One shared expert of the width that `field` gives."""
    return lambda fields: fields.optional(field) or 0


# Laguna: each layer may have its own number of query heads, and gates what they put out.
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
        windowed(replace(base, num_attention_heads=heads), window)
        for heads, window in zip(_laguna_heads(fields), layer_windows(fields, family))
    ]


def _laguna_gate(fields: Fields, layer: int) -> tuple[Tensor, ...]:
    """One gate for each query head, or for each of its outputs."""
    gating = fields.raw("gating")
    heads = _laguna_heads(fields)[layer]
    width = heads if gating in (None, True, "per-head") else heads * fields.size("head_dim")
    return linear("self_attn.g_proj", ATTENTION, width, fields.size("hidden_size"), BY_ROWS)


def _width_gate(fields: Fields, layer: int) -> tuple[Tensor, ...]:
    """A gate for every output of attention."""
    width = fields.size("num_attention_heads") * fields.size("head_dim")
    return linear("self_attn.gate_proj", ATTENTION, width, fields.size("hidden_size"), BY_ROWS)


_deepseek_experts = mixture(
    after_first, experts="n_routed_experts", shared=shared_experts(), correction_bias=True
)  # fmt: skip
_qwen_experts = mixture(by_step)


# Llama 4: chunked attention but in every fourth layer, experts in every layer or every second one.
def _llama4_attention(fields: Fields, family: Family) -> list[Mixer]:
    layers = layer_count(fields)
    fields.ignore("use_qk_norm", "attn_temperature_tuning", "floor_scale")
    if fields.has("layer_types"):
        fields.ignore("no_rope_layers", "no_rope_layer_interval")
        return attention_layers(fields, family)
    base = attention(fields, family)
    rotary = fields.listed("no_rope_layers")  # 1 where there are rotary positions, which is where attention is local
    interval = fields.size("no_rope_layer_interval", 4)
    local = rotary or [int((layer + 1) % interval != 0) for layer in range(layers)]
    if len(local) != layers:
        raise fields.error("no_rope_layers", f"it has {len(local)} entries for {layers} layers", "Give one a layer.")
    chunk = fields.optional("attention_chunk_size")
    return [windowed(base, chunk if is_local else None) for is_local in local]


def _llama4_experts(fields: Fields, family: Family) -> Sequence[Mlp | None]:
    step = fields.size("interleave_moe_layer_step", 1)
    listed = fields.listed("moe_layers")
    blocks = mixture(
        lambda fields, layer: layer in listed if listed is not None else (layer + 1) % step == 0,
        experts="num_local_experts", width="intermediate_size", dense="intermediate_size_mlp",
        shared=shared_width("intermediate_size"),
    )  # fmt: skip
    return blocks(fields, family)


# MiMo-V2: sliding layers have heads of their own; values are smaller than keys.
def _mimo_v2_attention(fields: Fields, family: Family) -> list[Mixer]:
    layers = layer_count(fields)
    pattern = fields.per_layer("hybrid_layer_pattern", layers)
    if pattern is None and not fields.has("layer_types"):
        raise fields.error(
            "hybrid_layer_pattern", "it is missing", "Give 1 for each sliding layer and 0 for the others."
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
    own = attention(fields, family, "swa_")
    local = replace(
        own,
        sinks=local_sinks,
        v_head_dim=fields.optional("swa_v_head_dim") or full.v_head_dim,
        # Twice as many where they are not given (transformers models/mimo_v2_flash/modeling_mimo_v2_flash.py).
        num_key_value_heads=fields.optional("swa_num_key_value_heads") or 2 * full.num_key_value_heads,
    )
    return [full if window is None else windowed(local, window) for window in windows]


# MiniMax-M3: an indexer picks blocks of tokens in the layers that `sparse_attention_freq` names.
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


# ERNIE 4.5 VL: a second set of experts for what is seen, each set with a router of its own.
def _pair(fields: Fields, name: str) -> tuple[int, int]:
    value = fields.raw(name)
    text, seen = value if isinstance(value, list) and len(value) == 2 else (value, value)
    if not isinstance(text, (int, float)) or not isinstance(seen, (int, float)):
        raise fields.error(
            name, f"{value!r} is not a number for text and one for vision", "Write it as in config.json."
        )
    return int(text), int(seen)


def _ernie_vl_experts(fields: Fields, family: Family) -> list[Mlp | None]:
    layers = layer_count(fields)
    text_width = _pair(fields, "moe_intermediate_size")[0]
    experts = MoeMlp(
        num_experts=_pair(fields, "moe_num_experts")[0], num_experts_per_tok=fields.size("moe_k"),
        moe_intermediate_size=text_width,
        shared_intermediate_size=fields.size("moe_num_shared_experts", least=0) * text_width,
        correction_bias=True,
    )  # fmt: skip
    dense = dense_mlp(fields, family)
    return [experts if _ernie_is_sparse(fields, layer) else dense for layer in range(layers)]


def _ernie_is_sparse(fields: Fields, layer: int) -> bool:
    kinds = fields.per_layer("mlp_layer_types", layer_count(fields))
    if kinds is not None:
        return kinds[layer] == "sparse"
    return layer >= min(_pair(fields, "moe_layer_start_index")) if fields.has("moe_layer_start_index") else layer > 0


def _ernie_vl_vision_experts(fields: Fields, layer: int) -> tuple[Tensor, ...]:
    if not _ernie_is_sparse(fields, layer):
        return ()
    experts = MoeMlp(
        num_experts=_pair(fields, "moe_num_experts")[1], num_experts_per_tok=fields.size("moe_k"),
        moe_intermediate_size=_pair(fields, "moe_intermediate_size")[1], correction_bias=True,
    )  # fmt: skip
    return mlp_tensors(experts, fields.size("hidden_size"))


# Step 3.5 and 3.7: sliding layers with more heads, listed in `attention_other_setting`.
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
    return [full if window is None else windowed(local, window) for window in layer_windows(fields, family)]


def _step3_gate(fields: Fields, layer: int) -> tuple[Tensor, ...]:
    """A gate for each query head, of which sliding layers have a number of their own."""
    if not fields.flag("use_head_wise_attn_gate", True):
        return ()
    heads, other = fields.size("num_attention_heads"), fields.inside("attention_other_setting")
    kinds = fields.per_layer("layer_types", layer_count(fields))
    if kinds and kinds[layer] == "sliding_attention":
        heads = other.size("num_attention_heads", heads)
    return linear("self_attn.g_proj", ATTENTION, heads, fields.size("hidden_size"), BY_ROWS)


def _step3_is_sparse(fields: Fields, layer: int) -> bool:
    listed = fields.raw("moe_layers_enum")
    if isinstance(listed, str):
        return str(layer) in [number.strip() for number in listed.split(",")]
    return layer in listed if isinstance(listed, list) else after_first(fields, layer)


# DBRX: the parts of a layer described in objects of their own.
def _dbrx_attention(fields: Fields, family: Family) -> list[Mixer]:
    heads = fields.size("num_attention_heads")
    base = FullAttention(
        num_attention_heads=heads,
        num_key_value_heads=fields.inside("attn_config").size("kv_n_heads", heads),
        head_dim=fields.size("hidden_size") // heads,
    )
    return [base] * layer_count(fields)


def _dbrx_experts(fields: Fields, family: Family) -> list[Mlp | None]:
    part = fields.inside("ffn_config")
    experts = MoeMlp(
        num_experts=part.size("moe_num_experts"), num_experts_per_tok=part.size("moe_top_k"),
        moe_intermediate_size=part.size("ffn_hidden_size"),
    )  # fmt: skip
    return [experts] * layer_count(fields)


# Hunyuan-Large: groups of layers share the keys and values of the first (cross-layer attention, arXiv:2405.12981).
def _hunyuan_attention(fields: Fields, family: Family) -> list[Mixer]:
    own, layers = attention(fields, family), layer_count(fields)
    factor = fields.size("cla_share_factor", 1) if fields.flag("use_cla") else 1
    fields.ignore("cla_share_factor")
    return [own if layer % factor == 0 else SharedCacheAttention(**vars(own)) for layer in range(layers)]


def _hunyuan_shared(fields: Fields) -> int:
    if not fields.flag("use_mixed_mlp_moe"):
        fields.ignore("num_shared_expert")
        return 0
    return fields.size("num_shared_expert", least=0) * fields.size("intermediate_size")


def _without_biases(blocks: Blocks) -> Blocks:
    """Experts of families whose `use_bias` would give biases to shared experts, which no published model has."""

    def checked(fields: Fields, family: Family) -> Sequence[Mlp | None]:
        if fields.flag("use_bias"):
            raise fields.error("use_bias", "biases of experts are not understood here", "State the total as params_b.")
        return blocks(fields, family)

    return checked


# Ling and Ring: an expert bias from their second generation on, which also has norms of queries and keys.
def _bailing_experts(fields: Fields, family: Family) -> Sequence[Mlp | None]:
    shared = shared_experts("num_shared_experts")
    return mixture(after_first, shared=shared, correction_bias=fields.flag("moe_router_enable_expert_bias"))(
        fields, family
    )


def _bailing_bias(fields: Fields) -> bool:
    return fields.flag("use_bias") or fields.flag("use_qkv_bias")


def _nothing(fields: Fields) -> int:
    return 0


FAMILIES: dict[str, Family] = {
    "mixtral": replace(
        _PLAIN, source=_source("mixtral"), window_pattern=1,
        mlps=mixture(everywhere, experts="num_local_experts", width="intermediate_size"),
    ),
    "qwen2_moe": replace(
        _PLAIN, source=_source("qwen2_moe"), qkv_bias="qkv_bias", window_pattern=1, window_flag="use_sliding_window",
        mlps=mixture(by_step, shared=shared_width("shared_expert_intermediate_size"), shared_gate=True),
    ),
    "qwen3_moe": replace(
        LLAMA, source=_source("qwen3_moe"), mlp_bias=False, qk_norm=PER_HEAD, window_pattern=1,
        window_flag="use_sliding_window", mlps=_qwen_experts, ignored=("use_qk_norm",),
    ),
    "gpt_oss": replace(
        LLAMA, source=_source("gpt_oss"), mlp_bias=False, sinks=True, window_pattern=2,
        ignored=("experts_per_token", "initial_context_length"),
        mlps=mixture(everywhere, experts="num_local_experts", width="intermediate_size", expert_bias=True,
                     router_bias=True),
    ),
    "olmoe": replace(
        LLAMA, source=_source("olmoe"), mlp_bias=False, qk_norm=FULL_WIDTH,
        mlps=mixture(everywhere, width="intermediate_size"),
    ),
    "flex_olmo": replace(
        LLAMA, source=_source("flex_olmo"), mlp_bias=False, qk_norm=FULL_WIDTH,
        mlps=mixture(everywhere, width="intermediate_size"),
    ),
    "phimoe": replace(
        LLAMA, source=_source("phimoe"), mlp_bias=False, norm_bias=True, head_bias="lm_head_bias", window_pattern=1,
        mlps=mixture(everywhere, experts="num_local_experts", width="intermediate_size"),
    ),
    "granitemoe": replace(
        LLAMA, source=_source("granitemoe"), mlp_bias=False,
        mlps=mixture(everywhere, experts="num_local_experts", width="intermediate_size"),
    ),
    "granitemoeshared": replace(
        LLAMA, source=_source("granitemoeshared"), mlp_bias=False,
        mlps=mixture(everywhere, experts="num_local_experts", width="intermediate_size",
                     shared=shared_width("shared_intermediate_size")),
    ),
    "granitemoe_swa": replace(
        LLAMA, source=_source("granitemoe_swa"), mlp_bias=False, sinks=True, mixers=first_of_four,
        defaults={"sliding_window": 128},
        mlps=mixture(everywhere, experts="num_local_experts", width="intermediate_size",
                     shared=shared_width("shared_intermediate_size")),
    ),
    "cohere2_moe": replace(
        LLAMA, source=_source("cohere2_moe"), mlp_bias=False, norms=1, window_pattern=4, tied=True,
        ignored=("prefix_dense_sliding_window_pattern",),
        mlps=mixture(after_first, width="intermediate_size", dense="prefix_dense_intermediate_size",
                     shared=shared_experts("num_shared_experts", "intermediate_size")),
    ),
    "bailing_moe": replace(
        _PLAIN, source="vLLM model_executor/models/bailing_moe.py", qkv_bias=_bailing_bias, output_bias="use_bias",
        mlp_bias="use_bias", qk_norm=lambda fields: PER_HEAD if fields.flag("use_qk_norm") else NO_NORM,
        ignored=("moe_shared_expert_intermediate_size",), mlps=_without_biases(_bailing_experts),
    ),
    "glm4_moe": replace(
        LLAMA, source=_source("glm4_moe"), output_bias=False, mlp_bias=False,
        qk_norm=lambda fields: PER_HEAD if fields.flag("use_qk_norm") else NO_NORM, mlps=_deepseek_experts,
    ),
    "dots1": replace(
        LLAMA, source=_source("dots1"), mlp_bias=False, qk_norm=PER_HEAD, window_pattern=1, mlps=_deepseek_experts,
    ),
    "deepseek": replace(
        LLAMA, source="deepseek-ai modeling_deepseek.py", mlp_bias=False,
        mlps=mixture(after_first, experts="n_routed_experts", shared=shared_experts()),
    ),
    "solar_open": replace(
        LLAMA, source=_source("solar_open"), output_bias=False, mlp_bias=False, mlps=_deepseek_experts,
        qk_norm=lambda fields: PER_HEAD if fields.flag("use_qk_norm") else NO_NORM,
    ),
    "ernie4_5_moe": replace(
        LLAMA, source=_source("ernie4_5_moe"), qkv_bias="use_bias", output_bias="use_bias", mlp_bias="use_bias",
        mlps=_without_biases(mixture(
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
        LLAMA, source=_source("hunyuan_v1_moe"), mlp_bias=False,
        qk_norm=lambda fields: PER_HEAD if fields.flag("use_qk_norm", True) else NO_NORM,
        ignored=("num_shared_expert", "moe_intermediate_size"),
        mlps=mixture(everywhere, width="intermediate_size", shared=shared_width("intermediate_size")),
    ),
    "minimax_m2": replace(
        _PLAIN, source=_source("minimax_m2"),
        qk_norm=lambda fields: FULL_WIDTH if fields.flag("use_qk_norm", True) else NO_NORM,
        ignored=("shared_intermediate_size", "attn_type_list", "qk_norm_type", "use_routing_bias"),
        mlps=mixture(everywhere, experts="num_local_experts", width="intermediate_size", correction_bias=True),
    ),
    "minimax_m3_vl_text": replace(
        _PLAIN, source=_source("minimax_m3_vl"), mixers=_minimax_m3_attention, qk_norm=PER_HEAD,
        ignored=("use_qk_norm", "qk_norm_type", "attention_output_gate", "use_routing_bias", "num_mtp_modules",
                 "n_shared_experts", "moe_intermediate_size"),
        mlps=mixture(after_first, experts="num_local_experts", width="intermediate_size",
                     dense="dense_intermediate_size", shared=shared_width("shared_intermediate_size"),
                     correction_bias=True),
    ),
    "ernie4_5_vl_moe_text": replace(
        LLAMA, source=_source("ernie4_5_vl_moe"), qkv_bias="use_bias", output_bias="use_bias", mlp_bias="use_bias",
        mlps=_without_biases(_ernie_vl_experts), layer_extra=_ernie_vl_vision_experts,
    ),
    "llama4_text": replace(
        LLAMA, source=_source("llama4"), mlp_bias=False, mixers=_llama4_attention, mlps=_llama4_experts,
    ),
    "afmoe": replace(
        LLAMA, source=_source("afmoe"), mlp_bias=False, norms=4, qk_norm=PER_HEAD, window_pattern=4,
        ignored=("global_attn_every_n_layers",), layer_extra=_width_gate,
        mlps=mixture(
            lambda fields, layer: layer >= fields.size("num_dense_layers", 1, least=0),
            shared=shared_experts("num_shared_experts"), correction_bias=True,
        ),
    ),
    "exaone_moe": replace(
        LLAMA, source=_source("exaone_moe"), mlp_bias=False, qk_norm=PER_HEAD, window_pattern=4,
        mlps=mixture(after_first, shared=shared_experts("num_shared_experts"), correction_bias=True),
    ),
    "hy_v3": replace(
        LLAMA, source=_source("hy_v3"), mlp_bias=False, qk_norm=PER_HEAD, defaults={"first_k_dense_replace": 1},
        mlps=mixture(after_first, shared=shared_experts("num_shared_experts"), correction_bias=True),
    ),
    "laguna": replace(
        LLAMA, source=_source("laguna"), mlp_bias=False, qk_norm=PER_HEAD,
        mixers=_laguna_attention, layer_extra=_laguna_gate, defaults={"first_k_dense_replace": 1},
        mlps=mixture(after_first, shared=shared_width("shared_expert_intermediate_size"), correction_bias=True),
    ),
    "mellum": replace(
        LLAMA, source=_source("mellum"), mlp_bias=False, qk_norm=PER_HEAD,
        mlps=_qwen_experts,
    ),
    "grok-1": replace(
        _PLAIN, source="hpcai-tech modeling_grok1.py; vLLM model_executor/models/grok1.py", norms=4,
        mlps=mixture(everywhere, width="intermediate_size"),
    ),
    "dbrx": replace(
        _PLAIN, source=_source("dbrx"), mixers=_dbrx_attention, mlps=_dbrx_experts, norms=2, rotary=_nothing,
        ignored=("num_key_value_heads",),
        aliases={"hidden_size": "d_model", "num_hidden_layers": "n_layers", "num_attention_heads": "n_heads",
                 "max_position_embeddings": "max_seq_len"},
    ),
    "hunyuan": replace(
        LLAMA, source="vLLM model_executor/models/hunyuan_v1.py", mlp_bias=False, mixers=_hunyuan_attention,
        qk_norm=lambda fields: PER_HEAD if fields.flag("use_qk_norm") else NO_NORM,
        mlps=mixture(everywhere, width="intermediate_size", shared=_hunyuan_shared),
    ),
    "mimo_v2_flash": replace(
        LLAMA, source=_source("mimo_v2_flash"), output_bias=False, mlp_bias=False, mixers=_mimo_v2_attention,
        window_pattern=1,
        mlps=mixture(after_first, experts="n_routed_experts", shared=shared_experts(), correction_bias=True),
    ),
    "step3p5": replace(
        _PLAIN, source=_source("step3p7"), mixers=_step3_attention, layer_extra=_step3_gate, window_pattern=1,
        ignored=("use_moe_router_bias", "n_shared_experts"), defaults={"first_k_dense_replace": 3},
        mlps=mixture(_step3_is_sparse, experts="n_routed_experts", shared=shared_width("share_expert_dim"),
                     correction_bias=True),
    ),
}  # fmt: skip
FAMILIES["step3p7_text"] = FAMILIES["step3p5"]
FAMILIES["minimax_m3"] = FAMILIES["minimax_m3_vl_text"]
