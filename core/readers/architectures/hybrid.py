"""Describe families with recurrent layers: state spaces, linear attention, short convolutions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from core.model.feed_forward import GatedMlp, Mlp, MoeMlp
from core.model.mixers import (
    FULL_WIDTH,
    PER_HEAD,
    Mixer,
    NoMixer,
    ParallelMixers,
    RecurrentState,
    SharedWeightsAttention,
)
from core.model.tensors import ATTENTION, BY_COLUMNS, BY_ROWS, MLP, ROUTER, WHOLE, Tensor, linear, vector
from core.readers.architectures.decoder import (
    Family,
    attention,
    attention_of_kind,
    dense_mlp,
    hf_source,
    layer_count,
    no_rotary,
    with_window,
)
from core.readers.architectures.deepseek import deepseek_mlps, latent_attention
from core.readers.architectures.llama_like import LLAMA, NO_BIAS
from core.readers.architectures.moe import (
    after_dense,
    every_step,
    in_every_layer,
    moe_mlps,
    shared_experts,
    shared_width,
)
from core.readers.architectures.rotary import rotary_values
from core.readers.fields import Fields

_FLOAT_BYTES = {"float32": 4, "fp32": 4, "float16": 2, "bfloat16": 2, "float": 4}
_SSM_BYTES, _CONV_BYTES = 4, 2


def state_bytes(fields: Fields) -> dict[str, int]:
    """Return the bytes per value of the two states, as arguments of `RecurrentState`.

    The recurrent state has 32 bits, as in the reference implementations, unless config.json names another precision;
    the convolution's has the model's 16 bits (vLLM model_executor/layers/mamba/mamba_utils.py).
    """
    named = fields.text("mamba_ssm_cache_dtype") or fields.text("mamba_ssm_dtype")
    return {"conv_bytes_per_value": _CONV_BYTES, "ssm_bytes_per_value": _FLOAT_BYTES.get(named, _SSM_BYTES)}


def mamba1(fields: Fields, *, inner: int, state: int, rank: int, kernel: int, norms: bool, conv_bias: bool = True,
           bias: bool = False, name: str = "mixer") -> RecurrentState:  # fmt: skip
    """Return a Mamba layer, a selective state space (Gu & Dao 2023, arXiv:2312.00752)."""
    hidden = fields.size("hidden_size")
    return RecurrentState(
        kind="mamba",
        conv_values=inner * (kernel - 1),
        ssm_values=inner * state,
        **state_bytes(fields),
        tensors=(
            *linear(f"{name}.in_proj", ATTENTION, 2 * inner, hidden, BY_ROWS, bias=bias),
            vector(f"{name}.conv1d", inner * kernel, BY_ROWS),
            *_tensors_if(conv_bias, vector(f"{name}.conv1d.bias", inner, BY_ROWS)),
            *linear(f"{name}.x_proj", ATTENTION, rank + 2 * state, inner, BY_COLUMNS),
            *linear(f"{name}.dt_proj", ATTENTION, inner, rank, BY_ROWS, bias=True),
            vector(f"{name}.A_log", inner * state, BY_ROWS),
            vector(f"{name}.D", inner, BY_ROWS),
            *linear(f"{name}.out_proj", ATTENTION, hidden, inner, BY_COLUMNS, bias=bias),
            *_tensors_if(norms, vector(f"{name}.dt_layernorm", rank), vector(f"{name}.b_layernorm", state),
                 vector(f"{name}.c_layernorm", state)),
        ),
    )  # fmt: skip


def mamba2(fields: Fields, *, heads: int, head_dim: int, state: int, groups: int, kernel: int, conv_bias: bool = True,
           bias: bool = False, out_bias: bool | None = None, norm: bool = True,
           name: str = "mixer") -> RecurrentState:  # fmt: skip
    """Return a Mamba-2 layer, a structured state space with scalar decay (Dao & Gu 2024, arXiv:2405.21060)."""
    hidden, inner = fields.size("hidden_size"), heads * head_dim
    shared = 2 * groups * state
    conv = inner + shared
    return RecurrentState(
        kind="mamba2",
        conv_values=conv * (kernel - 1),
        ssm_values=heads * head_dim * state,
        shared_conv_values=shared * (kernel - 1),
        groups=groups,
        **state_bytes(fields),
        tensors=(
            *linear(f"{name}.in_proj", ATTENTION, inner + conv + heads, hidden, BY_ROWS, bias=bias),
            vector(f"{name}.conv1d", conv * kernel, BY_ROWS),
            *_tensors_if(conv_bias, vector(f"{name}.conv1d.bias", conv, BY_ROWS)),
            *(vector(f"{name}.{each}", heads, BY_ROWS) for each in ("dt_bias", "A_log", "D")),
            *_tensors_if(norm, vector(f"{name}.norm", inner, BY_ROWS)),
            *linear(
                f"{name}.out_proj", ATTENTION, hidden, inner, BY_COLUMNS, bias=bias if out_bias is None else out_bias
            ),
        ),
    )


def gated_delta_net(fields: Fields, projections: Sequence[tuple[str, int, str]], *, norm: str = "norm",
                    out: str = "out_proj") -> RecurrentState:  # fmt: skip
    """Return linear attention with the gated delta rule (Yang et al. 2024, arXiv:2412.06464).

    Args:
        projections: name, output features and `Tensor.fused` of each projection of the layer's input.
    """
    key_heads, value_heads = fields.size("linear_num_key_heads"), fields.size("linear_num_value_heads")
    key_dim, value_dim = fields.size("linear_key_head_dim"), fields.size("linear_value_head_dim")
    hidden, kernel = fields.size("hidden_size"), fields.size("linear_conv_kernel_dim")
    keys, values = key_heads * key_dim, value_heads * value_dim
    conv = 2 * keys + values
    return RecurrentState(
        kind="gated_delta_net",
        conv_values=conv * (kernel - 1),
        ssm_values=value_heads * key_dim * value_dim,
        **state_bytes(fields),
        tensors=(
            *(
                tensor
                for name, rows, fused in projections
                for tensor in linear(f"linear_attn.{name}", ATTENTION, rows, hidden, BY_ROWS, fused=fused)
            ),
            vector("linear_attn.conv1d", conv * kernel, BY_ROWS),
            vector("linear_attn.dt_bias", value_heads, BY_ROWS),
            vector("linear_attn.A_log", value_heads, BY_ROWS),
            vector(f"linear_attn.{norm}", value_dim),
            *linear(f"linear_attn.{out}", ATTENTION, hidden, values, BY_COLUMNS),
        ),
    )


def _delta_net_sizes(fields: Fields) -> tuple[int, int, int]:
    heads = fields.size("linear_num_value_heads")
    keys = fields.size("linear_num_key_heads") * fields.size("linear_key_head_dim")
    return keys, heads * fields.size("linear_value_head_dim"), heads


def _qwen3_next_state(fields: Fields) -> RecurrentState:
    keys, values, heads = _delta_net_sizes(fields)
    return gated_delta_net(fields, [("in_proj_qkvz", 2 * keys + 2 * values, ""), ("in_proj_ba", 2 * heads, "")])


def _qwen3_5_state(fields: Fields) -> RecurrentState:
    """Return the layer of Qwen3.5; vLLM stores its four projections as two (model_executor/models/qwen3_5.py)."""
    keys, values, heads = _delta_net_sizes(fields)
    return gated_delta_net(
        fields,
        [
            ("in_proj_qkv", 2 * keys + values, "in_proj_qkvz"),
            ("in_proj_z", values, "in_proj_qkvz"),
            ("in_proj_b", heads, "in_proj_ba"),
            ("in_proj_a", heads, "in_proj_ba"),
        ],
    )


def _olmo_hybrid_state(fields: Fields) -> RecurrentState:
    keys, values, heads = _delta_net_sizes(fields)
    names = [
        ("q_proj", keys, ""),
        ("k_proj", keys, ""),
        ("v_proj", values, ""),
        ("a_proj", heads, ""),
        ("b_proj", heads, ""),
        ("g_proj", values, ""),
    ]
    return gated_delta_net(fields, names, norm="o_norm", out="o_proj")


def _linear_and_full(state: Callable[[Fields], RecurrentState]) -> Callable[[Fields, Family], list[Mixer]]:
    """Return a function for `Family.mixers`: full attention in every n-th layer, linear attention in the others."""

    def layers(fields: Fields, family: Family) -> list[Mixer]:
        count = layer_count(fields)
        kinds = fields.per_layer("layer_types", count)
        interval = fields.size("full_attention_interval", 4)
        if kinds is None:
            kinds = ["full_attention" if (layer + 1) % interval == 0 else "linear_attention" for layer in range(count)]
        full, recurrent = attention(fields, family), state(fields)
        return [recurrent if kind == "linear_attention" else attention_of_kind(fields, full, kind) for kind in kinds]

    return layers


# Mamba and Mamba-2: no other layers.
def _mamba_layers(fields: Fields, family: Family) -> list[Mixer]:
    hidden = fields.size("hidden_size")
    inner = fields.optional("intermediate_size") or fields.optional("d_inner") or fields.size("expand", 2) * hidden
    rank = fields.raw("time_step_rank")
    fields.ignore("expand", "d_inner")
    layer = mamba1(
        fields, inner=inner, state=fields.size("state_size"), kernel=fields.size("conv_kernel"), norms=False,
        rank=fields.size("time_step_rank") if isinstance(rank, (int, float)) else -(-hidden // 16),
        conv_bias=fields.flag("use_conv_bias", True), bias=fields.flag("use_bias"),
    )  # fmt: skip
    return [layer] * layer_count(fields)


def _mamba2_layers(fields: Fields, family: Family) -> list[Mixer]:
    fields.ignore("expand", "intermediate_size")
    layer = mamba2(
        fields, heads=fields.size("num_heads"), head_dim=fields.size("head_dim"), state=fields.size("state_size"),
        groups=fields.size("n_groups"), kernel=fields.size("conv_kernel"), conv_bias=fields.flag("use_conv_bias", True),
        bias=fields.flag("use_bias"),
    )  # fmt: skip
    return [layer] * layer_count(fields)


def _no_mlps(fields: Fields, family: Family) -> list[Mlp | None]:
    return [None] * layer_count(fields)


# Jamba: attention in every eighth layer, Mamba in the others; experts in every second layer.
def _jamba_layers(fields: Fields, family: Family) -> list[Mixer]:
    period, offset = fields.size("attn_layer_period"), fields.size("attn_layer_offset", least=0)
    rank = fields.raw("mamba_dt_rank")
    hidden = fields.size("hidden_size")
    recurrent = mamba1(
        fields, inner=fields.size("mamba_expand") * hidden, state=fields.size("mamba_d_state"),
        rank=-(-hidden // 16) if rank in ("auto", None) else fields.size("mamba_dt_rank"),
        kernel=fields.size("mamba_d_conv"), norms=True, conv_bias=fields.flag("mamba_conv_bias", True),
        bias=fields.flag("mamba_proj_bias"), name="mamba",
    )  # fmt: skip
    full = attention(fields, family)
    return [full if layer % period == offset else recurrent for layer in range(layer_count(fields))]


def _jamba_mlps(fields: Fields, family: Family) -> Sequence[Mlp | None]:
    if fields.size("num_experts", 1) == 1:
        fields.ignore("expert_layer_period", "expert_layer_offset", "num_experts_per_tok")
        return [dense_mlp(fields, family)] * layer_count(fields)
    period, offset = fields.size("expert_layer_period"), fields.size("expert_layer_offset", least=0)
    return moe_mlps(lambda fields, layer: layer % period == offset, width="intermediate_size")(fields, family)


# Bamba, Falcon-H1 and Granite 4: Mamba-2, with attention in the same layers or in some others.
def _mamba2_from(fields: Fields, *, norm: bool = True, out_bias: bool | None = None) -> RecurrentState:
    hidden = fields.size("hidden_size")
    heads = fields.size("mamba_n_heads")
    inner = fields.optional("mamba_d_ssm") or fields.size("mamba_expand", 2) * hidden
    head_dim = fields.raw("mamba_d_head")
    fields.ignore("mamba_expand", "mamba_d_ssm")
    return mamba2(
        fields, heads=heads, head_dim=inner // heads if head_dim in ("auto", None) else fields.size("mamba_d_head"),
        state=fields.size("mamba_d_state"), groups=fields.size("mamba_n_groups"), kernel=fields.size("mamba_d_conv"),
        conv_bias=fields.flag("mamba_conv_bias", True), bias=fields.flag("mamba_proj_bias"), out_bias=out_bias,
        norm=norm, name="mamba",
    )  # fmt: skip


def _bamba_layers(fields: Fields, family: Family) -> list[Mixer]:
    full, recurrent = attention(fields, family), _mamba2_from(fields)
    indices = fields.listed("attn_layer_indices") or []
    return [full if layer in indices else recurrent for layer in range(layer_count(fields))]


def _falcon_h1_layers(fields: Fields, family: Family) -> list[Mixer]:
    recurrent = _mamba2_from(fields, norm=fields.flag("mamba_rms_norm"), out_bias=fields.flag("projectors_bias"))
    both = ParallelMixers(mixers=(recurrent, attention(fields, family)))
    fields.ignore("attn_layer_indices", "mlp_expansion_factor", "mamba_use_mlp")
    return [both] * layer_count(fields)


# Names of kinds of layer in newer releases of transformers (configuration_utils.py, remap_legacy_layer_types).
_LEGACY_KINDS = {"linear_attention": "mamba", "full_attention": "attention"}


def _legacy_kinds(kinds: Sequence[object]) -> list[object]:
    return [_LEGACY_KINDS.get(str(kind), kind) for kind in kinds]


def _granite_hybrid_layers(fields: Fields, family: Family) -> list[Mixer]:
    layers = layer_count(fields)
    kinds = (
        fields.per_layer("layer_types", layers) or fields.per_layer("layers_block_type", layers) or ["mamba"] * layers
    )
    kinds = _legacy_kinds(kinds)
    fields.ignore("layer_types", "layers_block_type")
    full = attention(fields, family)
    recurrent = _mamba2_from(fields) if "mamba" in kinds else None
    return [recurrent if kind == "mamba" and recurrent else attention_of_kind(fields, full, kind) for kind in kinds]


def _granite_hybrid_mlps(fields: Fields, family: Family) -> Sequence[Mlp | None]:
    layers, shared = layer_count(fields), fields.size("shared_intermediate_size")
    if not fields.optional("num_local_experts"):
        fields.ignore("intermediate_size", "num_experts_per_tok")
        return [GatedMlp(intermediate_size=shared)] * layers
    return moe_mlps(in_every_layer, experts="num_local_experts", width="intermediate_size",
                   shared=shared_width("shared_intermediate_size"))(fields, family)  # fmt: skip


# Nemotron-H: a layer is either a mixer or a feed-forward block; one letter stands for each layer.
_NEMOTRON_LETTERS = {"M": "mamba", "*": "attention", "-": "mlp", "E": "moe"}


def _nemotron_kinds(fields: Fields) -> list[object]:
    listed = fields.listed("layers_block_type") or fields.listed("layer_types")
    fields.ignore("layer_types", "hybrid_override_pattern", "layers_block_type")
    if listed:
        return _legacy_kinds(listed)
    pattern = fields.text("hybrid_override_pattern")
    unknown = set(pattern) - set(_NEMOTRON_LETTERS)
    if unknown or not pattern:
        raise fields.error("hybrid_override_pattern", f"{pattern!r} does not have a known letter for each layer",
                           "Write M, *, - and E.")  # fmt: skip
    return [_NEMOTRON_LETTERS[letter] for letter in pattern]


def _nemotron_layers(fields: Fields, family: Family) -> list[Mixer]:
    full = attention(fields, family)
    recurrent = mamba2(
        fields, heads=fields.size("mamba_num_heads"), head_dim=fields.size("mamba_head_dim"),
        state=fields.size("ssm_state_size"), groups=fields.size("n_groups"), kernel=fields.size("conv_kernel"),
        conv_bias=fields.flag("use_conv_bias", True), bias=fields.flag("mamba_proj_bias"),
    )  # fmt: skip
    fields.ignore("expand", "sliding_window", "use_bias", "chunk_size")
    mixers: dict[object, Mixer] = {"mamba": recurrent, "attention": full, "mlp": NoMixer(), "moe": NoMixer()}
    return [mixers[kind] for kind in _check_kinds(fields, _nemotron_kinds(fields), mixers)]


def _nemotron_mlps(fields: Fields, family: Family) -> list[Mlp | None]:
    kinds = _nemotron_kinds(fields)
    blocks: dict[object, Mlp | None] = {"mamba": None, "attention": None, "mlp": dense_mlp(fields, family)}
    if "moe" in kinds:
        blocks["moe"] = MoeMlp(
            num_experts=fields.size("n_routed_experts"),
            num_experts_per_tok=fields.size("num_experts_per_tok"),
            moe_intermediate_size=fields.size("moe_intermediate_size"),
            shared_intermediate_size=fields.size("n_shared_experts", 0, least=0)
            * fields.size("moe_shared_expert_intermediate_size"),
            gated=False,
            correction_bias=True,
            expert_hidden_size=fields.optional("moe_latent_size"),
        )
    else:
        fields.ignore("n_routed_experts", "num_experts_per_tok", "moe_intermediate_size", "n_shared_experts",
                      "moe_shared_expert_intermediate_size", "moe_latent_size")  # fmt: skip
    return [blocks[kind] for kind in kinds]


def _nemotron_latent(fields: Fields, layer: int) -> Sequence[Tensor]:
    """Return the projections into and out of the experts' own width."""
    latent, hidden = fields.optional("moe_latent_size"), fields.size("hidden_size")
    if not latent or _nemotron_kinds(fields)[layer] != "moe":
        return ()
    return (
        *linear("mixer.fc1_latent_proj", MLP, latent, hidden, WHOLE),
        *linear("mixer.fc2_latent_proj", MLP, hidden, latent, WHOLE),
    )


def _check_kinds(fields: Fields, kinds: Sequence[object], known: Collection[object]) -> Sequence[object]:
    for kind in kinds:
        if isinstance(kind, (list, Mapping)) or kind not in known:
            raise fields.error("layers_block_type", f"{kind!r} is not a supported kind of layer",
                               f"Write one of {', '.join(map(str, known))}.")  # fmt: skip
    return kinds


# LFM2: attention in some layers, short convolutions in the others.
def _lfm2_layers(fields: Fields, family: Family) -> list[Mixer]:
    layers, hidden, kernel = layer_count(fields), fields.size("hidden_size"), fields.size("conv_L_cache")
    bias = fields.flag("conv_bias")
    conv = RecurrentState(
        kind="short_conv",
        conv_values=hidden * (kernel - 1),
        ssm_values=0,
        tensors=(
            *linear("conv.in_proj", ATTENTION, 3 * hidden, hidden, BY_ROWS, bias=bias),
            vector("conv.conv", hidden * kernel, BY_ROWS),
            *_tensors_if(bias, vector("conv.conv.bias", hidden, BY_ROWS)),
            *linear("conv.out_proj", ATTENTION, hidden, hidden, BY_COLUMNS, bias=bias),
        ),
    )
    full = attention(fields, family)
    kinds = fields.per_layer("layer_types", layers)
    indices = fields.listed("full_attn_idxs")
    fields.ignore("conv_dim", "conv_dim_out", "block_dim")
    if kinds is None:
        kinds = ["full_attention" if indices is None or layer in indices else "conv" for layer in range(layers)]
    return [conv if kind == "conv" else attention_of_kind(fields, full, kind) for kind in kinds]


def _lfm2_mlps(fields: Fields, family: Family) -> list[Mlp | None]:
    """Return the feed-forward blocks, whose width is adjusted by default (transformers models/lfm2, Lfm2MLP)."""
    width = fields.optional("block_ff_dim") or fields.size("intermediate_size")
    if fields.flag("block_auto_adjust_ff_dim", True):
        width = int(2 * width / 3)
        width = int(fields.fraction("block_ffn_dim_multiplier", 1) * width)
        step = fields.size("block_multiple_of", 256)
        width = step * -(-width // step)
    else:
        fields.ignore("block_ffn_dim_multiplier", "block_multiple_of")
    fields.ignore("intermediate_size")
    return [dense_mlp(_with_values(fields, intermediate_size=width), family)] * layer_count(fields)


def _lfm3_gate(fields: Fields, layer: int) -> Sequence[Tensor]:
    """Return a gate for each query head of an attention layer (transformers models/lfm3, Lfm3Attention)."""
    kinds = fields.per_layer("layer_types", layer_count(fields)) or ()
    if not fields.flag("use_attention_gate", True) or layer >= len(kinds) or kinds[layer] == "conv":
        return ()
    heads, hidden = fields.size("num_attention_heads"), fields.size("hidden_size")
    return linear("self_attn.g_proj", ATTENTION, heads, hidden, BY_ROWS)


def _with_values(fields: Fields, **values: object) -> Fields:
    return Fields({**fields.values, **values}, fields.model_type, path=fields.path, nested=fields.nested)


# MiniMax-Text-01: softmax attention in every eighth layer, lightning attention in the others.
def _minimax_layers(fields: Fields, family: Family) -> list[Mixer]:
    layers, hidden = layer_count(fields), fields.size("hidden_size")
    full = attention(fields, family)
    heads, size = full.num_attention_heads, full.head_dim
    width = heads * size
    lightning = RecurrentState(
        kind="lightning_attention",
        conv_values=0,
        ssm_values=heads * size * size,
        **state_bytes(fields),
        tensors=(
            *linear("self_attn.qkv_proj", ATTENTION, 3 * width, hidden, BY_ROWS),
            *linear("self_attn.output_gate", ATTENTION, width, hidden, BY_ROWS),
            *linear("self_attn.out_proj", ATTENTION, hidden, width, BY_COLUMNS),
            vector("self_attn.norm", width, BY_ROWS),
        ),
    )
    kinds = fields.per_layer("layer_types", layers)
    if kinds is None:
        numbers = fields.per_layer("attn_type_list", layers)  # 0 is lightning, 1 softmax
        kinds = ["full_attention" if number else "linear_attention" for number in numbers] if numbers else [
            "linear_attention" if layer % 2 else "full_attention" for layer in range(layers)
        ]  # fmt: skip
    return [lightning if kind == "linear_attention" else attention_of_kind(fields, full, kind) for kind in kinds]


# Kimi Linear and Bailing: latent attention in some layers, Kimi delta attention in the others (arXiv:2510.26692).
def kimi_delta_attention(fields: Fields, heads: int, head_dim: int, kernel: int, *, gate: Sequence[Tensor],
                         decay: Sequence[Tensor]) -> RecurrentState:  # fmt: skip
    """Return linear attention with a decay for each channel.

    Args:
        gate, decay: projections for the output's gate and for the decay, which differ between families.
    """
    hidden, width = fields.size("hidden_size"), heads * head_dim
    return RecurrentState(
        kind="kimi_delta_attention",
        conv_values=3 * width * (kernel - 1),
        ssm_values=heads * head_dim * head_dim,
        **state_bytes(fields),
        tensors=(
            *(t for name in ("q_proj", "k_proj", "v_proj")
              for t in linear(f"self_attn.{name}", ATTENTION, width, hidden, BY_ROWS, fused="qkv")),
            vector("self_attn.conv1d", 3 * width * kernel, BY_ROWS),
            vector("self_attn.dt_bias", width, BY_ROWS),
            vector("self_attn.A_log", heads, BY_ROWS),
            *linear("self_attn.b_proj", ATTENTION, heads, hidden, BY_ROWS),
            *decay,
            *gate,
            vector("self_attn.o_norm", head_dim),
            *linear("self_attn.o_proj", ATTENTION, hidden, width, BY_COLUMNS),
        ),
    )  # fmt: skip


def _kimi_linear_layers(fields: Fields, family: Family) -> list[Mixer]:
    settings = fields.inside("linear_attn_config")
    hidden = fields.size("hidden_size")
    heads = settings.optional("num_heads") or fields.size("linear_num_heads")
    size = settings.optional("head_dim") or fields.size("linear_head_dim")
    kernel = settings.optional("short_conv_kernel_size") or fields.size("linear_conv_kernel_dim")
    low_rank = (
        *linear("self_attn.g_a_proj", ATTENTION, size, hidden, WHOLE),
        *linear("self_attn.g_b_proj", ATTENTION, heads * size, size, BY_ROWS),
    )
    full_rank = linear("self_attn.g_proj", ATTENTION, heads * size, hidden, BY_ROWS)
    recurrent = kimi_delta_attention(
        fields, heads, size, kernel,
        gate=full_rank if settings.flag("use_full_rank_gate") else low_rank,
        decay=(*linear("self_attn.f_a_proj", ATTENTION, size, hidden, WHOLE),
               *linear("self_attn.f_b_proj", ATTENTION, heads * size, size, BY_ROWS)),
    )  # fmt: skip
    full = latent_attention(fields)
    if fields.flag("mla_use_output_gate"):
        full = replace(full, gate_size=full.num_attention_heads * full.v_head_dim)
    return [recurrent if is_linear else full for is_linear in _linear_layers(fields, settings)]


def _linear_layers(fields: Fields, settings: Fields) -> list[bool]:
    """Return which layers are linear, from `layer_types`, or from `kda_layers`, which counts from 1."""
    layers = layer_count(fields)
    kinds = fields.per_layer("layer_types", layers)
    if kinds is not None:
        return [kind == "linear_attention" for kind in kinds]
    numbers = settings.sizes("kda_layers")
    if not numbers:
        raise settings.error("kda_layers", "it is missing", "Write the list of linear layers, counted from 1.")
    return [layer + 1 in numbers for layer in range(layers)]


def _kimi_layer_extra(fields: Fields, layer: int) -> Sequence[Tensor]:
    """Return Kimi K3's projections into and out of the experts' width, and its attention over earlier residuals.

    Source: vLLM models/kimi_k3/amd/linear.py.
    """
    hidden, latent = fields.size("hidden_size"), fields.optional("routed_expert_hidden_size")
    tensors: list[Tensor] = []
    if latent and after_dense(fields, layer):
        tensors += linear("mlp.routed_expert_down_proj", MLP, latent, hidden, WHOLE)
        tensors += linear("mlp.routed_expert_up_proj", MLP, hidden, latent, WHOLE)
        if fields.flag("latent_moe_use_norm"):
            tensors.append(vector("mlp.routed_expert_norm", latent))
    if fields.optional("attn_res_block_size"):
        tensors += 4 * (vector("attn_res", hidden),)  # a norm and a projection onto one value, twice
    return tensors


def _kimi_extra(fields: Fields) -> Sequence[Tensor]:
    norm_and_projection = 2 * (vector("output_attn_res", fields.size("hidden_size")),)
    return norm_and_projection if fields.optional("attn_res_block_size") else ()


def _kimi_mlps(fields: Fields, family: Family) -> Sequence[Mlp | None]:
    return moe_mlps(
        after_dense, shared=shared_experts(), correction_bias=True,
        expert_hidden_size=fields.optional("routed_expert_hidden_size"),
    )(fields, family)  # fmt: skip


def _bailing_layers(fields: Fields, family: Family) -> list[Mixer]:
    layers, hidden = layer_count(fields), fields.size("hidden_size")
    heads = fields.size("num_attention_heads")
    full = replace(latent_attention(fields), gate_size=heads)
    size = fields.optional("linear_head_dim") or full.v_head_dim
    linear_heads = fields.optional("linear_num_heads") or heads
    recurrent = kimi_delta_attention(
        fields, linear_heads, size,
        fields.optional("linear_conv_kernel_dim") or fields.size("short_conv_kernel_size", 4),
        gate=linear("self_attn.g_proj", ATTENTION, linear_heads * size, hidden, BY_ROWS),
        decay=linear("self_attn.f_proj", ATTENTION, linear_heads * size, hidden, BY_ROWS),
    )  # fmt: skip
    kinds = fields.per_layer("layer_types", layers)
    group = fields.size("layer_group_size", 6)
    if kinds is None:
        kinds = ["full_attention" if (layer + 1) % group == 0 else "linear_attention" for layer in range(layers)]
    return [recurrent if kind == "linear_attention" else full for kind in kinds]


# Zamba2: Mamba-2 in every layer; some layers also have attention, whose weights they share with other layers.
def _zamba2_kinds(fields: Fields) -> list[object]:
    kinds = fields.per_layer("layers_block_type", layer_count(fields))
    if kinds is None:
        raise fields.error("layers_block_type", "it is missing", "Write mamba or hybrid for each layer.")
    return list(_check_kinds(fields, _legacy_kinds(kinds), ("mamba", "hybrid")))


def _zamba2_layers(fields: Fields, family: Family) -> list[Mixer]:
    hidden, heads = fields.size("hidden_size"), fields.size("num_attention_heads")
    inner, mamba_heads = fields.size("mamba_expand", 2) * hidden, fields.size("n_mamba_heads", 8)
    bias = fields.flag("add_bias_linear")
    recurrent = mamba2(
        fields, heads=mamba_heads, head_dim=inner // mamba_heads, state=fields.size("mamba_d_state", 64),
        groups=fields.size("mamba_ngroups", 1), kernel=fields.size("mamba_d_conv", 4), bias=bias, name="mamba",
    )  # fmt: skip
    kv_heads = fields.optional("num_key_value_heads") or heads
    size = fields.optional("attention_head_dim") or 2 * hidden // heads
    shared = SharedWeightsAttention(num_attention_heads=heads, num_key_value_heads=kv_heads, head_dim=size)
    fields.ignore("kv_channels", "mamba_headdim")
    both = ParallelMixers(mixers=(recurrent, shared))
    return [both if kind == "hybrid" else recurrent for kind in _zamba2_kinds(fields)]


def _zamba2_block(fields: Fields, layer: int) -> Sequence[Tensor]:
    """Return a layer's adapters, and the shared block of attention where a layer is the first to use it.

    The shared block reads the embedding and the residual stream side by side.

    Source: transformers models/zamba2/modeling_zamba2.py (Zamba2Model.get_layers, Zamba2MLP).
    """
    kinds = _zamba2_kinds(fields)
    if kinds[layer] != "hybrid":
        return ()
    hidden, heads = fields.size("hidden_size"), fields.size("num_attention_heads")
    rank = fields.size("adapter_rank", 128)
    width, bias = fields.optional("intermediate_size") or 4 * hidden, fields.flag("add_bias_linear")
    both = fields.optional("attention_hidden_size") or 2 * hidden
    size = fields.optional("attention_head_dim") or both // heads
    kv_heads = fields.optional("num_key_value_heads") or heads
    tensors = [
        *linear("linear", ATTENTION, hidden, hidden, WHOLE),
        *linear("shared_transformer.feed_forward.adapter.0", MLP, rank, hidden, WHOLE),
        *linear("shared_transformer.feed_forward.adapter.1", MLP, 2 * width, rank, BY_ROWS),
    ]
    if fields.flag("use_shared_attention_adapter"):
        tensors += 3 * (
            *linear("shared_transformer.self_attn.adapter.0", ATTENTION, rank, both, WHOLE),
            *linear("shared_transformer.self_attn.adapter.1", ATTENTION, both, rank, BY_ROWS),
        )
    if kinds[:layer].count("hybrid") < fields.size("num_mem_blocks", 1):
        tensors += [
            *linear("shared_transformer.self_attn.q_proj", ATTENTION, heads * size, both, BY_ROWS),
            *(2 * linear("shared_transformer.self_attn.kv_proj", ATTENTION, kv_heads * size, both, BY_ROWS)),
            *linear("shared_transformer.self_attn.o_proj", ATTENTION, hidden, heads * size, BY_COLUMNS),
            *linear("shared_transformer.feed_forward.gate_up_proj", MLP, 2 * width, hidden, BY_ROWS, bias=bias),
            *linear("shared_transformer.feed_forward.down_proj", MLP, hidden, width, BY_COLUMNS, bias=bias),
            vector("shared_transformer.input_layernorm", both),
            vector("shared_transformer.pre_ff_layernorm", hidden),
        ]
    return tensors


# RecurrentGemma: local attention in every third layer, a gated linear recurrence in the others (arXiv:2404.07839).
def _recurrent_gemma_layers(fields: Fields, family: Family) -> list[Mixer]:
    hidden, heads = fields.size("hidden_size"), fields.size("num_attention_heads")
    width, kernel = fields.optional("lru_width") or hidden, fields.size("conv1d_width", 4)
    block = width // heads
    recurrent = RecurrentState(
        kind="rg_lru",
        conv_values=width * (kernel - 1),
        ssm_values=width,
        **state_bytes(fields),
        tensors=(
            *(2 * linear("temporal_block.linear_in", ATTENTION, width, hidden, BY_ROWS, bias=True)),
            *linear("temporal_block.linear_out", ATTENTION, hidden, width, BY_COLUMNS, bias=True),
            vector("temporal_block.conv_1d", width * kernel, BY_ROWS),
            vector("temporal_block.conv_1d.bias", width, BY_ROWS),
            vector("temporal_block.rg_lru.recurrent_param", width, BY_ROWS),
            *(2 * (vector("temporal_block.rg_lru.gate", heads * block * block, BY_ROWS),
                   vector("temporal_block.rg_lru.gate.bias", width, BY_ROWS))),
        ),
    )  # fmt: skip
    window = fields.optional("attention_window_size") or fields.size("sliding_window", 2048)
    local = with_window(attention(fields, family), window)
    layers = layer_count(fields)
    kinds = fields.per_layer("layer_types", layers)
    if kinds is None:
        pattern = fields.listed("block_types") or fields.listed("_block_types")
        pattern = pattern or ["recurrent", "recurrent", "attention"]
        kinds = [pattern[layer % len(pattern)] for layer in range(layers)]
    fields.ignore("sliding_window", "_block_types")
    mixers: dict[object, Mixer] = {"recurrent": recurrent, "linear_attention": recurrent, "attention": local,
                                   "sliding_attention": local}  # fmt: skip
    return [mixers[kind] for kind in _check_kinds(fields, kinds, mixers)]


def _recurrent_gemma_mlps(fields: Fields, family: Family) -> list[Mlp | None]:
    width = fields.size("intermediate_size") // 2  # config.json has the sum of gate and up projection
    return [GatedMlp(intermediate_size=width, bias=True)] * layer_count(fields)


# RWKV, fourth generation (arXiv:2305.13048; transformers models/rwkv).
def _rwkv_layers(fields: Fields, family: Family) -> list[Mixer]:
    hidden = fields.size("hidden_size")
    width = fields.optional("attention_hidden_size") or hidden
    middle = fields.optional("intermediate_size") or 4 * hidden
    layer = RecurrentState(
        kind="rwkv",
        conv_values=2 * hidden,  # the last token's inputs of attention and of the feed-forward block
        ssm_values=3 * width,  # numerator, denominator and their common exponent
        **state_bytes(fields),
        tensors=(
            *(3 * linear("attention.kvr", ATTENTION, width, hidden, BY_ROWS)),
            *linear("attention.output", ATTENTION, hidden, width, BY_COLUMNS),
            vector("attention.time_decay", width, BY_ROWS),
            vector("attention.time_first", width, BY_ROWS),
            *(3 * (vector("attention.time_mix", hidden),)),
            *linear("feed_forward.key", MLP, middle, hidden, BY_ROWS),
            *linear("feed_forward.receptance", MLP, hidden, hidden, BY_ROWS),
            *linear("feed_forward.value", MLP, hidden, middle, BY_COLUMNS),
            *(2 * (vector("feed_forward.time_mix", hidden),)),
        ),
    )
    return [layer] * layer_count(fields)


def _rwkv_norms(fields: Fields, layer: int) -> Sequence[Tensor]:
    """Return the second norm of a layer, and for the first layer the norm before it."""
    return (1 if layer else 2) * 2 * (vector("ln", fields.size("hidden_size")),)


# LongCat-Flash: a layer has latent attention and a dense block twice, and one set of experts, some of which are empty:
# they have no weights (arXiv:2509.01322).
def _longcat_layers(fields: Fields, family: Family) -> list[Mixer]:
    return [ParallelMixers(mixers=2 * (latent_attention(fields),))] * layer_count(fields)


def _longcat_mlps(fields: Fields, family: Family) -> list[Mlp | None]:
    experts = MoeMlp(
        num_experts=fields.size("n_routed_experts"),
        num_experts_per_tok=fields.size("num_experts_per_tok"),
        moe_intermediate_size=fields.size("expert_ffn_hidden_size"),
        correction_bias=True,
        router_bias=fields.flag("router_bias"),
    )
    return [experts] * layer_count(fields)


def _longcat_layer_extra(fields: Fields, layer: int) -> Sequence[Tensor]:
    hidden, empty_experts = fields.size("hidden_size"), fields.optional("zero_expert_num") or 0
    dense = GatedMlp(intermediate_size=fields.size("ffn_hidden_size")).weight_tensors(hidden)
    router = (
        *linear("mlp.gate.zero_experts", ROUTER, empty_experts, hidden, WHOLE, bias=fields.flag("router_bias")),
        vector("mlp.gate.zero_experts.e_score_correction_bias", empty_experts),
    )
    return (*(2 * dense), *(router if empty_experts else ()))


def _tensors_if(present: bool, *tensors: Tensor) -> tuple[Tensor, ...]:
    return tensors if present else ()


_QWEN3_NEXT = replace(
    LLAMA, source=hf_source("qwen3_next"), mlp_bias=False, qk_norm=PER_HEAD, output_gate=True,
    mixers=_linear_and_full(_qwen3_next_state), ignored=("attn_output_gate",),
    mlps=moe_mlps(every_step, shared=shared_width("shared_expert_intermediate_size"), shared_gate=True),
)  # fmt: skip
_QWEN_3_5 = replace(_QWEN3_NEXT, source=hf_source("qwen3_5"), mixers=_linear_and_full(_qwen3_5_state),
                  ignored=("attn_output_gate", "mtp_num_hidden_layers", "mtp_use_dedicated_embeddings"))  # fmt: skip

FAMILIES: dict[str, Family] = {
    "qwen3_next": _QWEN3_NEXT,
    "qwen3_5_text": replace(_QWEN_3_5, mlps=None),
    "qwen3_5_moe_text": replace(_QWEN_3_5, source=hf_source("qwen3_5_moe")),
    "olmo_hybrid": replace(
        LLAMA, source=hf_source("olmo_hybrid"), mlp_bias=False, qk_norm=FULL_WIDTH,
        mixers=_linear_and_full(_olmo_hybrid_state),
    ),
    "mamba": replace(NO_BIAS, source=hf_source("mamba"), norms=1, mixers=_mamba_layers, mlps=_no_mlps, rotary=no_rotary,
                     tied=True),
    "falcon_mamba": replace(NO_BIAS, source=hf_source("falcon_mamba"), norms=1, mixers=_mamba_layers, mlps=_no_mlps,
                            rotary=no_rotary, tied=True),
    "mamba2": replace(NO_BIAS, source=hf_source("mamba2"), norms=1, mixers=_mamba2_layers, mlps=_no_mlps,
                      rotary=no_rotary),
    "zamba2": replace(NO_BIAS, source=hf_source("zamba2"), norms=1, mixers=_zamba2_layers, mlps=_no_mlps,
                      layer_extra=_zamba2_block, rotary=no_rotary, tied=True),
    "recurrent_gemma": replace(LLAMA, source=hf_source("recurrent_gemma"), output_bias=True, tied=True,
                               mixers=_recurrent_gemma_layers, mlps=_recurrent_gemma_mlps),
    "rwkv": replace(NO_BIAS, source=hf_source("rwkv"), norms=1, norm_bias=True, mixers=_rwkv_layers, mlps=_no_mlps,
                    layer_extra=_rwkv_norms, rotary=no_rotary, aliases={"max_position_embeddings": "context_length"}),
    "longcat_flash": replace(
        NO_BIAS, source=hf_source("longcat_flash"), norms=4, mixers=_longcat_layers, mlps=_longcat_mlps,
        layer_extra=_longcat_layer_extra, aliases={"num_hidden_layers": "num_layers"},
        rotary=lambda fields: rotary_values(fields, fields.size("qk_rope_head_dim")),
    ),
    "jamba": replace(NO_BIAS, source=hf_source("jamba"), mixers=_jamba_layers, mlps=_jamba_mlps, rotary=no_rotary),
    "bamba": replace(LLAMA, source=hf_source("bamba"), mixers=_bamba_layers),
    "falcon_h1": replace(LLAMA, source=hf_source("falcon_h1"), mixers=_falcon_h1_layers),
    "granitemoehybrid": replace(LLAMA, source=hf_source("granitemoehybrid"), mlp_bias=False,
                                mixers=_granite_hybrid_layers, mlps=_granite_hybrid_mlps),
    "nemotron_h": replace(
        LLAMA, source=hf_source("nemotron_h"), gated=False, norms=1, mixers=_nemotron_layers, mlps=_nemotron_mlps,
        layer_extra=_nemotron_latent, rotary=no_rotary,
        ignored=("mtp_hybrid_override_pattern", "mtp_layers_block_type"),
    ),
    "lfm2": replace(
        NO_BIAS, source=hf_source("lfm2"), qk_norm=PER_HEAD, mixers=_lfm2_layers, mlps=_lfm2_mlps, tied=True,
    ),
    "lfm3": replace(
        NO_BIAS, source=hf_source("lfm3"), qk_norm=PER_HEAD, mixers=_lfm2_layers, tied=True, qkv_bias="attention_bias",
        output_bias="attention_bias", layer_extra=_lfm3_gate,
        norms=lambda fields: 4 if fields.flag("use_sandwich_norm", True) else 2,
    ),
    "lfm2_moe": replace(
        NO_BIAS, source=hf_source("lfm2_moe"), qk_norm=PER_HEAD, mixers=_lfm2_layers, tied=True,
        mlps=moe_mlps(lambda fields, layer: layer >= fields.size("num_dense_layers", least=0), correction_bias=True),
        ignored=("use_expert_bias",),
    ),
    "minimax": replace(
        NO_BIAS, source=hf_source("minimax"), mixers=_minimax_layers,
        mlps=moe_mlps(in_every_layer, experts="num_local_experts", width="intermediate_size"),
    ),
    # The hub's own model type; the router is in 32 bits (metadata.total_size of MiniMaxAI/MiniMax-M1-80k).
    "minimax_m1": replace(
        NO_BIAS, source=hf_source("minimax"), mixers=_minimax_layers,
        mlps=moe_mlps(in_every_layer, experts="num_local_experts", width="intermediate_size",
                      router_bytes_per_value=4),
    ),
    "bailing_hybrid": replace(
        NO_BIAS, source=hf_source("bailing_hybrid"), mixers=_bailing_layers, mlps=deepseek_mlps(), rotary=no_rotary,
        ignored=("kda_safe_gate",), defaults={"first_k_dense_replace": 2},
    ),
    "kimi_linear": replace(
        NO_BIAS, source=hf_source("kimi_linear"), mixers=_kimi_linear_layers, rotary=no_rotary,
        aliases={"max_position_embeddings": "model_max_length"}, defaults={"first_k_dense_replace": 1},
        mlps=_kimi_mlps, layer_extra=_kimi_layer_extra, extra=_kimi_extra,
    ),
}  # fmt: skip
