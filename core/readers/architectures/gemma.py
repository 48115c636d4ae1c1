"""Describe the families Gemma 1 to 4, Gemma 3n and VaultGemma."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from core.model.feed_forward import GatedMlp, Mlp, MoeMlp
from core.model.mixers import PER_HEAD, Mixer, SharedCacheAttention
from core.model.tensors import EMBEDDING, MLP, WHOLE, Tensor, linear, vector
from core.readers.architectures.decoder import (
    Family,
    attention,
    attention_layers,
    hf_source,
    layer_count,
    layer_windows,
    with_window,
)
from core.readers.architectures.llama_like import LLAMA
from core.readers.architectures.rotary import rotary_table, rotary_values, scaling
from core.readers.fields import Fields

_GEMMA2_NORMS, _GEMMA4_MOE_NORMS = 4, 3


def _gemma3_rotary(fields: Fields) -> int:
    """Return the values of a table for full attention and an unscaled one for local layers (vLLM models/gemma3.py)."""
    if "full_attention" in (fields.part("rope_parameters") or {}):
        return rotary_values(fields)
    longest, head_dim = fields.optional("max_position_embeddings") or 0, fields.size("head_dim")
    return rotary_values(fields) + longest * head_dim


# Gemma 3n and 4: each of the last `num_kv_shared_layers` layers reads the cache of the last earlier layer of its kind.
# Checkpoints still have their key and value projections, and vLLM loads them (model_executor/models/gemma4.py). In a
# model that drafts, all layers read the cache of the model that it drafts for, and have none of them (vLLM pull request
# 41745, Gemma4MTP).
def _share_caches(fields: Fields, layers: Sequence[Mixer]) -> list[Mixer]:
    first_shared = len(layers) - (fields.optional("num_kv_shared_layers") or 0)
    return [
        mixer if layer < first_shared else SharedCacheAttention(**_attention_fields(mixer), own_keys=first_shared > 0)
        for layer, mixer in enumerate(layers)
    ]


def _attention_fields(mixer: Mixer) -> dict[str, Any]:
    return {name: value for name, value in vars(mixer).items() if name != "sliding_window"}


def _gemma3n_attention(fields: Fields, family: Family) -> list[Mixer]:
    return _share_caches(fields, attention_layers(fields, family))


def _gemma3n_mlps(fields: Fields, family: Family) -> list[Mlp | None]:
    layers = layer_count(fields)
    sizes = fields.raw("intermediate_size")
    if isinstance(sizes, list):
        fields.per_layer("intermediate_size", layers)
        sizes = fields.sizes("intermediate_size")
    else:
        sizes = (fields.size("intermediate_size"),) * layers
    fields.ignore("activation_sparsity_pattern")
    return [GatedMlp(intermediate_size=size) for size in sizes]


def _gemma3n_layer_extra(fields: Fields, layer: int) -> Sequence[Tensor]:
    """Return the tensors of alternating updates, of the low-rank residual, and of the per-layer input's gate."""
    hidden, inputs, rank = (fields.size(name) for name in ("hidden_size", "altup_num_inputs", "laurel_rank"))
    return (
        vector("altup.correct_output_scale", hidden),
        vector("altup.router_norm", hidden),
        *linear("altup.modality_router", MLP, inputs, hidden, WHOLE),
        *linear("altup.correction_coefs", MLP, inputs, inputs, WHOLE),
        *linear("altup.prediction_coefs", MLP, inputs * inputs, inputs, WHOLE),
        *linear("laurel.linear_left", MLP, rank, hidden, WHOLE),
        *linear("laurel.linear_right", MLP, hidden, rank, WHOLE),
        vector("laurel.post_laurel_norm", hidden),
        *_per_layer_input(fields, layer),
    )


def _per_layer_input(fields: Fields, layer: int) -> Sequence[Tensor]:
    hidden, size = fields.size("hidden_size"), fields.optional("hidden_size_per_layer_input") or 0
    if not size:
        return ()
    return (
        *linear("per_layer_input_gate", MLP, size, hidden, WHOLE),
        *linear("per_layer_projection", MLP, hidden, size, WHOLE),
        vector("post_per_layer_input_norm", hidden),
    )


def _per_layer_embedding(fields: Fields) -> Sequence[Tensor]:
    hidden, size = fields.size("hidden_size"), fields.optional("hidden_size_per_layer_input") or 0
    if not size:
        fields.ignore("vocab_size_per_layer_input")
        return ()
    width = layer_count(fields) * size
    return (
        Tensor(name="embed_tokens_per_layer", group=EMBEDDING, rows=fields.size("vocab_size_per_layer_input"),
               columns=width, split=WHOLE),
        *linear("per_layer_model_projection", MLP, width, hidden, WHOLE),
        vector("per_layer_projection_norm", size),
    )  # fmt: skip


def _gemma3n_extra(fields: Fields) -> Sequence[Tensor]:
    hidden, inputs = fields.size("hidden_size"), fields.size("altup_num_inputs")
    streams = 2 * (inputs - 1)
    return (*_per_layer_embedding(fields), *(streams * linear("altup_projections", MLP, hidden, hidden, WHOLE)))


def _gemma4_rotary(fields: Fields) -> int:
    """Return the values of a table for each kind of layer; that of full attention is as wide as the head.

    Source: vLLM model_executor/layers/rotary_embedding/gemma4_rope.py: what is not rotated has an angle of 0.
    """
    longest, values = fields.optional("max_position_embeddings") or 0, 0
    for kind, rope in scaling(fields).items():
        if kind == "full_attention":
            values += longest * _full_head_dim(fields)
        elif isinstance(rope, Mapping):
            values += rotary_table(fields, rope)
    return values


def _full_head_dim(fields: Fields) -> int:
    """Return the size of a head in the layers with full attention."""
    overrides = _gemma4_overrides(fields)
    return overrides.optional("head_dim") or fields.optional("global_head_dim") or fields.size("head_dim")


# Gemma 4: layers with full attention have larger heads, and may use their keys as values.
def _gemma4_attention(fields: Fields, family: Family) -> list[Mixer]:
    local = attention(fields, family)
    key_is_value = fields.flag("attention_k_eq_v")
    overrides = _gemma4_overrides(fields)
    full_heads = overrides.optional("num_key_value_heads") or fields.optional("num_global_key_value_heads")
    full = replace(
        local,
        head_dim=_full_head_dim(fields),
        num_key_value_heads=full_heads if key_is_value and full_heads else local.num_key_value_heads,
        own_values=not key_is_value,
    )
    windows = layer_windows(fields, family)
    if not fields.has("layer_types"):
        windows[-1] = None  # always full attention (transformers models/gemma4/configuration_gemma4.py)
    layers = [full if window is None else with_window(local, window) for window in windows]
    return _share_caches(fields, layers)


def _gemma4_overrides(fields: Fields) -> Fields:
    """Return the fields of the full-attention layers in `per_layer_config`, where newer releases write their heads."""
    settings = fields.part("per_layer_config") or {}
    values: dict[str, object] = {}
    for layer, entry in settings.items():
        if not isinstance(entry, Mapping) or any(values.setdefault(name, entry[name]) != entry[name] for name in entry):
            raise fields.error("per_layer_config", f"the entry of layer {layer} is not supported", _FULL_LAYERS_ONLY)
    kinds = fields.per_layer("layer_types", layer_count(fields))
    if (
        settings
        and kinds is not None
        and {int(layer) for layer in settings if str(layer).isdigit()}
        != {layer for layer, kind in enumerate(kinds) if kind == "full_attention"}
    ):
        raise fields.error("per_layer_config", "its layers are not the full_attention ones", _FULL_LAYERS_ONLY)
    found = Fields(values, "", path=f"{fields.path}per_layer_config.", nested=True)
    unknown = found.unread([name for name in values if name not in ("head_dim", "num_key_value_heads")])
    if unknown:
        raise found.error(unknown[0], "it is not supported here", _FULL_LAYERS_ONLY)
    return found


_FULL_LAYERS_ONLY = "Write only head_dim and num_key_value_heads, the same for every full_attention layer."


def _gemma4_mlps(fields: Fields, family: Family) -> list[Mlp | None]:
    layers, width = layer_count(fields), fields.size("intermediate_size")
    first_shared = layers - (fields.optional("num_kv_shared_layers") or 0)
    wide = 2 if fields.flag("use_double_wide_mlp") else 1
    return [GatedMlp(intermediate_size=width * (wide if layer >= first_shared else 1)) for layer in range(layers)]


def _gemma4_layer_extra(fields: Fields, layer: int) -> Sequence[Tensor]:
    """Return the gate of the per-layer input, a scalar, and the experts in addition to the dense block."""
    tensors = [*_per_layer_input(fields, layer), vector("layer_scalar", 1)]
    if not fields.flag("enable_moe_block"):
        fields.ignore("num_experts", "top_k_experts", "moe_intermediate_size", "expert_intermediate_size")
        return tensors
    hidden = fields.size("hidden_size")
    width = fields.optional("moe_intermediate_size") or fields.size("expert_intermediate_size")
    fields.ignore("expert_intermediate_size", "moe_intermediate_size")
    experts = MoeMlp(
        num_experts=fields.size("num_experts"),
        num_experts_per_tok=fields.size("top_k_experts"),
        moe_intermediate_size=width,
    )
    return [
        *tensors,
        *(replace(tensor, name=tensor.name.removeprefix("mlp.")) for tensor in experts.weight_tensors(hidden)),
        vector("router.scale", hidden),
        vector("router.per_expert_scale", experts.num_experts),
        *(_GEMMA4_MOE_NORMS * (vector("layernorm", hidden),)),
    ]


_GEMMA = replace(LLAMA, source=hf_source("gemma"), mlp_bias=False, tied=True)
_GEMMA3 = replace(
    _GEMMA, source=hf_source("gemma3"), norms=_GEMMA2_NORMS, qk_norm=PER_HEAD, window_pattern=6, rotary=_gemma3_rotary
)

FAMILIES: dict[str, Family] = {
    "gemma": _GEMMA,
    "gemma2": replace(_GEMMA, source=hf_source("gemma2"), norms=_GEMMA2_NORMS, window_pattern=2),
    "gemma3_text": _GEMMA3,
    "gemma3n_text": replace(
        _GEMMA3, source=hf_source("gemma3n"), window_pattern=5, mixers=_gemma3n_attention, mlps=_gemma3n_mlps,
        layer_extra=_gemma3n_layer_extra, extra=_gemma3n_extra,
    ),
    "gemma4_text": replace(
        _GEMMA3, source=hf_source("gemma4"), window_pattern=6, rotary=_gemma4_rotary, mixers=_gemma4_attention,
        mlps=_gemma4_mlps, layer_extra=_gemma4_layer_extra, extra=_per_layer_embedding,
        ignored=("use_bidirectional_attention",), defaults={"global_head_dim": 512},
    ),
    "vaultgemma": replace(_GEMMA, source=hf_source("vaultgemma"), window_pattern=2),
}  # fmt: skip
