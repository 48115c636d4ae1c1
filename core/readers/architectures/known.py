"""Choose the module that reads a `model_type`.

Only the model types listed here are supported: guessing at an unknown one could give wrong sizes unnoticed. Dense
decoders are in `llama_like` and `gemma`, experts in `moe`, latent attention in `deepseek`, recurrent layers in
`hybrid`, BERT and its variants in `encoder`, models with an encoder and a decoder in `encoder_decoder`, models with
towers for images or audio in `multimodal`. The last three are imported only for their models.
"""

from __future__ import annotations

from collections.abc import Mapping

from core.errors import UnsupportedModelError, quoted, unknown_name
from core.model.spec import ModelSpec
from core.readers.architectures import deepseek, gemma, hybrid, llama_like, moe
from core.readers.architectures.decoder import Family, decoder_spec
from core.readers.fields import Fields, family_defaults

DECODERS: dict[str, Family] = llama_like.FAMILIES | gemma.FAMILIES | moe.FAMILIES | deepseek.FAMILIES | hybrid.FAMILIES

# Other model types of the same architecture.
_SAME_AS = {
    "qwen2_vl_text": "qwen2",
    "qwen2_5_vl_text": "qwen2",
    "qwen2_5_omni_text": "qwen2",
    "qwen3_vl_text": "qwen3",
    "qwen3_vl_moe_text": "qwen3_moe",
    "qwen3_omni_moe_text": "qwen3_moe",
    "glm4v_text": "glm4",
    "glm4v_moe_text": "glm4_moe",
    "exaone4_5_text": "exaone4",
    "gpt-sw3": "gpt2",
    "apertus1p5_text": "apertus",
    "sarvam_mla": "deepseek_v3",
    "sarvam_moe": "glm4_moe",
    "gemma4_unified_text": "gemma4_text",
    "bailing_moe_v2": "bailing_moe",
    "deepseek_ref": "deepseek_v4",
    "yi": "llama",
    "llama4": "llama4_text",
    "qwen3_asr_text": "qwen3",
}


def known_model_types() -> tuple[str, ...]:
    """Return every supported `model_type`."""
    from core.readers.architectures import encoder, encoder_decoder, multimodal

    composites = {*multimodal.COMPOSITES, *multimodal.THINKERS}
    return tuple(sorted({*DECODERS, *_SAME_AS, *encoder.FAMILIES, *encoder_decoder.READERS, *composites}))


def known_fields() -> frozenset[str]:
    """Return every field that the reader of some family may use."""
    return frozenset(MEMORY_FIELDS).union(*(family_defaults(model_type) for model_type in known_model_types()))


def read(config: Mapping[str, object], name: str) -> ModelSpec:
    """Return the model that a config.json describes.

    Raises:
        PlannerError: a field is missing, wrong, or not supported.
    """
    model_type = _model_type(config)
    if model_type in DECODERS:
        return read_decoder(config, model_type, name)
    from core.readers.architectures import encoder, encoder_decoder, multimodal

    if model_type in multimodal.COMPOSITES or model_type in multimodal.THINKERS:
        return multimodal.read(config, model_type, name, read_decoder)
    if model_type in encoder.FAMILIES:
        bare = encoder.FAMILIES[model_type]
        fields = Fields(config, model_type, aliases=bare.aliases, defaults=bare.defaults)
        spec = encoder.read(fields, bare, name)
        _check_all_read(fields)
        return spec
    if model_type in encoder_decoder.READERS:
        fields = Fields(config, model_type, aliases=encoder_decoder.ALIASES.get(model_type))
        spec = encoder_decoder.READERS[model_type](fields, name)
        _check_all_read(fields)
        return spec
    return read_decoder(config, model_type, name)


def is_encoder(config: Mapping[str, object]) -> bool:
    """Return whether a config.json is of an encoder alone, whose reader looks at its class itself."""
    if config.get("model_type") in DECODERS:
        return False
    from core.readers.architectures import encoder

    return config.get("model_type") in encoder.FAMILIES


def read_decoder(
    config: Mapping[str, object], model_type: str, name: str, *, path: str = "", nested: bool = False
) -> ModelSpec:
    """Return the decoder that `config` describes: a whole config.json, or its part for text."""
    known_as = model_type if model_type in DECODERS else _SAME_AS.get(model_type)
    if known_as is None:
        raise _unknown(path + "model_type", model_type)
    family = DECODERS[known_as]
    fields = Fields(config, model_type, path=path, nested=nested, aliases=family.aliases, defaults=family.defaults)
    spec = decoder_spec(fields, family, name)
    _check_all_read(fields)
    return spec


def _check_all_read(fields: Fields) -> None:
    """Raise if a field that changes memory was not read."""
    unread = [name for name in fields.unread(MEMORY_FIELDS) if not _repeats_another(fields, name)]
    if unread:
        raise fields.error(
            unread[0],
            f"it changes the memory of a model, and it is not supported for the model type {fields.model_type}",
            "Remove it if the model does not use it.",
        )


# Fields that say the same of every family: one that was not read repeats one that was read if their values agree.
_SAME_VALUE = (
    ("num_key_value_heads", "num_kv_heads", "multi_query_group_num", "num_attention_groups"),
    ("head_dim", "kv_channels", "v_head_dim", "swa_head_dim", "global_head_dim"),
    ("shared_expert_intermediate_size", "shared_intermediate_size"),
    ("intermediate_size", "dense_intermediate_size", "intermediate_size_mlp"),
    ("hidden_size", "embedding_size", "word_embed_proj_dim"),
    ("attention_bias", "qkv_bias", "add_qkv_bias", "use_qkv_bias"),
)
# Fields that place the layers with experts; where one list names the kind of every layer, they repeat it.
_EXPERT_LAYERS = (
    "first_k_dense_replace", "moe_layer_freq", "moe_layers", "interleave_moe_layer_step", "decoder_sparse_step",
    "mlp_only_layers",
)  # fmt: skip


def _repeats_another(fields: Fields, name: str) -> bool:
    """Return whether the field `name`, which the family does not use, repeats what another field says."""
    if name in _EXPERT_LAYERS and fields.given("mlp_layer_types"):
        return True
    if name.endswith(("_step", "_freq")):
        return fields.values[name] == 1  # every layer, which is what a family without such a field has
    if name == "mlp_only_layers" and "first_k_dense_replace" in fields.read:
        return fields.values[name] == list(range(fields.optional("first_k_dense_replace") or 0))
    others = {other for group in _SAME_VALUE if name in group for other in group} - {name}
    return any(other in fields.read and fields.values.get(other) == fields.values[name] for other in others)


def _model_type(config: Mapping[str, object]) -> str:
    model_type = config.get("model_type")
    if model_type is None:
        raise UnsupportedModelError("model_type", "it is missing", _OTHER_FAMILY)
    if not isinstance(model_type, str):
        raise _unknown("model_type", model_type)
    return model_type


def _unknown(field: str, model_type: object) -> UnsupportedModelError:
    near = (
        unknown_name(field, model_type, known_model_types(), "the documentation")
        if isinstance(model_type, str)
        else None
    )
    hint = near.remedy if near is not None and near.remedy.startswith("Did") else ""
    return UnsupportedModelError(
        field, f"{quoted(model_type)} is not a supported architecture", f"{hint} {_OTHER_FAMILY}".strip()
    )


_OTHER_FAMILY = 'Write the model type of a family with the same layers, such as "llama" or "qwen3_moe".'


# Fields, of any family, that change memory. If a config has one that its family's reader does not read, the
# architecture is not supported.
MEMORY_FIELDS = (
    "sliding_window", "sliding_window_pattern", "layer_types", "max_window_layers", "use_sliding_window",
    "attention_chunk_size", "num_kv_shared_layers", "kv_lora_rank", "q_lora_rank", "qk_rope_head_dim",
    "v_head_dim", "index_head_dim", "index_n_heads", "compress_ratios", "num_experts", "num_local_experts",
    "n_routed_experts", "moe_num_experts", "moe_intermediate_size", "n_shared_experts", "num_shared_experts",
    "shared_expert_intermediate_size", "shared_intermediate_size", "first_k_dense_replace", "moe_layer_freq",
    "moe_layers", "interleave_moe_layer_step", "decoder_sparse_step", "mlp_only_layers", "mlp_layer_types",
    "moe_latent_size", "full_attention_interval", "linear_num_value_heads", "linear_attn_config", "attn_layer_period",
    "attn_layer_indices", "attn_type_list", "hybrid_override_pattern", "hybrid_layer_pattern", "layers_block_type",
    "block_configs", "mamba_d_state", "mamba_expand", "ssm_state_size", "state_size", "conv_kernel", "conv_L_cache",
    "full_attn_idxs", "global_head_dim", "num_global_key_value_heads", "attention_k_eq_v", "enable_moe_block",
    "hidden_size_per_layer_input", "altup_num_inputs", "laurel_rank", "swa_head_dim", "swa_num_key_value_heads",
    "attention_other_setting", "sparse_attention_config", "cross_attention_layers", "add_cross_attention",
    "num_kv_heads",
    "multi_query_group_num", "kv_channels", "num_attention_groups", "qk_layernorm", "use_qk_norm",
    "attention_bias", "mlp_bias", "use_bias", "bias", "add_bias_linear", "add_qkv_bias", "qkv_bias", "use_qkv_bias",
    "lm_head_bias", "intermediate_size_mlp", "dense_intermediate_size", "word_embed_proj_dim", "embedding_size",
    "moe_every_n_layers", "hc_mult", "o_lora_rank", "attn_res_block_size", "use_mla", "head_dim", "num_key_value_heads",
    "routed_expert_hidden_size", "zero_expert_num", "num_memory_layers", "text_config", "vision_config", "audio_config",
    "encoder_layers", "per_layer_config", "num_attention_heads_per_layer", "compress_rates", "use_post_norm",
)  # fmt: skip
