"""Describe families of dense decoders: Llama, and those that differ from it in biases, norms or windows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from core.errors import quoted
from core.model.feed_forward import GatedMlp, Mlp, PlainMlp
from core.model.mixers import FULL_WIDTH, NO_NORM, PER_HEAD, FullAttention, Mixer, NoMixer
from core.model.tensors import EMBEDDING, MLP, WHOLE, Tensor, linear, vector
from core.readers.architectures.decoder import (
    Family,
    attention,
    attention_layers,
    flag_value,
    hf_source,
    layer_count,
    no_rotary,
    with_window,
)
from core.readers.architectures.vision import qwen_vl
from core.readers.fields import COPY_IT, Fields

_Block = Mapping[str, Any]


def qk_norm_if(flag: str, norm: str = PER_HEAD, default: bool = False) -> Callable[[Fields], str]:
    """Return a function for `Family.qk_norm`: `norm` if the field `flag` is true, else no norm."""
    return lambda fields: norm if fields.flag(flag, default) else NO_NORM


def _position_table(name: str, offset: int = 0) -> Callable[[Fields], Sequence[Tensor]]:
    """Return a function for `Family.extra` that gives a table of learnt positions with `offset` further rows."""

    def tensors(fields: Fields) -> Sequence[Tensor]:
        rows, columns = fields.size("max_position_embeddings") + offset, fields.size("hidden_size")
        return (Tensor(name=name, group=EMBEDDING, rows=rows, columns=columns, split=WHOLE),)

    return tensors


def _opt_extra(fields: Fields) -> Sequence[Tensor]:
    """Return learnt positions with two unused rows, and projections from and to an embedding of another width."""
    width, hidden = _opt_embedding(fields), fields.size("hidden_size")
    if not fields.flag("layer_norm_elementwise_affine", True):
        raise fields.error("layer_norm_elementwise_affine", "norms without weights are not supported",
                           "Set it to true to count them with weights.")  # fmt: skip
    projections = () if width is None else (
        *linear("project_in", MLP, hidden, width, WHOLE), *linear("project_out", MLP, width, hidden, WHOLE),
    )  # fmt: skip
    return (*_position_table("embed_positions", 2)(fields), *projections)


def _opt_embedding(fields: Fields) -> int | None:
    """Return the width of the embedding where it is not the hidden size (OPT 350M)."""
    width = fields.optional("word_embed_proj_dim")
    return None if width == fields.size("hidden_size") else width


def _opt_final_norms(fields: Fields) -> int:
    return int(fields.flag("do_layer_norm_before", True) and not fields.flag("_remove_final_layer_norm"))


# MPT: its own field names, and ALiBi, which needs no table of positions.
def _mpt_attention(fields: Fields, family: Family) -> list[Mixer]:
    heads, part = fields.size("num_attention_heads"), fields.inside("attn_config")
    kv_heads = part.optional("kv_n_heads") or (1 if part.text("attn_type") == "multiquery_attention" else heads)
    if not part.flag("alibi", True) and fields.flag("learned_pos_emb", True):
        raise fields.error("attn_config.alibi", "learnt positions are not supported for MPT", "Set it to true.")
    if part.flag("qk_ln"):
        raise fields.error(
            "attn_config.qk_ln", "norms of queries and keys are not supported for MPT", "Set it to false."
        )
    bias = not fields.flag("no_bias", True)
    base = FullAttention(
        num_attention_heads=heads, num_key_value_heads=kv_heads, head_dim=fields.size("hidden_size") // heads,
        qkv_bias=bias, output_bias=bias,
    )  # fmt: skip
    return [base] * layer_count(fields)


def _mpt_mlps(fields: Fields, family: Family) -> list[Mlp | None]:
    width = fields.size("expansion_ratio", 4) * fields.size("hidden_size")
    return [PlainMlp(intermediate_size=width, bias=not fields.flag("no_bias", True))] * layer_count(fields)


# BitNet: norms before the output projections of attention and of the feed-forward block (arXiv:2504.12285).
def _bitnet_norms(fields: Fields, layer: int) -> Sequence[Tensor]:
    return (
        vector("self_attn.attn_sub_norm", fields.size("hidden_size")),
        vector("mlp.ffn_sub_norm", fields.size("intermediate_size")),
    )


def _molmo2_norm(fields: Fields) -> str:
    if not fields.flag("use_qk_norm", True):
        return NO_NORM
    kind = fields.text("qk_norm_type", "qwen3")
    if kind not in ("qwen3", "olmo"):
        raise fields.error("qk_norm_type", f"{quoted(kind)} is not supported", COPY_IT)
    return PER_HEAD if kind == "qwen3" else FULL_WIDTH


def _molmo2_words(fields: Fields) -> Sequence[Tensor]:
    """Return the rows of the embedding for further tokens, which have no output."""
    rows, columns = fields.size("additional_vocab_size", 128, least=0), fields.size("hidden_size")
    return (Tensor(name="embed_tokens.additional", group=EMBEDDING, rows=rows, columns=columns, split=WHOLE),)


_DELAY_WIDTH = 32  # transformers models/voxtral_realtime, VoxtralRealtimeTextAdaRmsNorm


def _delay_layers(fields: Fields, layer: int) -> Sequence[Tensor]:
    hidden = fields.size("hidden_size")
    return (
        *linear("ada_rms_norm.linear1", MLP, _DELAY_WIDTH, hidden, WHOLE),
        *linear("ada_rms_norm.linear2", MLP, hidden, _DELAY_WIDTH, WHOLE),
    )


def _diff_llama_lambdas(fields: Fields, layer: int) -> Sequence[Tensor]:
    size = fields.optional("head_dim") or fields.size("hidden_size") // fields.size("num_attention_heads")
    return 4 * (vector("self_attn.lambda", size),)


def _persimmon_norm_biases(fields: Fields, layer: int) -> Sequence[Tensor]:
    size = fields.size("hidden_size") // fields.size("num_attention_heads")
    return 2 * (vector("self_attn.layernorm.bias", size),) if fields.flag("qk_layernorm", True) else ()


def full_attention_every_fourth(fields: Fields, family: Family) -> list[Mixer]:
    """Return full attention in layers 0, 4, 8 … and a sliding window in the others, unless `layer_types` is given."""
    if fields.has("layer_types"):
        return attention_layers(fields, family)
    base, window = attention(fields, family), fields.optional("sliding_window")
    return [with_window(base, window if layer % 4 else None) for layer in range(layer_count(fields))]


LLAMA = Family(source=hf_source("llama"), mlp_bias="mlp_bias")
_QWEN2 = replace(
    LLAMA, source=hf_source("qwen2"), qkv_bias=True, output_bias=False, mlp_bias=False, window_pattern=1,
    window_flag="use_sliding_window",
)  # fmt: skip
_QWEN3 = replace(
    _QWEN2, source=hf_source("qwen3"), qkv_bias="attention_bias", output_bias="attention_bias", qk_norm=PER_HEAD
)
_MISTRAL = replace(
    LLAMA, source=hf_source("mistral"), qkv_bias=False, output_bias=False, mlp_bias=False, window_pattern=1
)
NO_BIAS = replace(LLAMA, qkv_bias=False, output_bias=False, mlp_bias=False)
_GPT2_NAMES = {
    "hidden_size": "n_embd", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head",
    "max_position_embeddings": "n_positions", "intermediate_size": "n_inner",
}  # fmt: skip


def _wide_mlps(fields: Fields, family: Family) -> list[Mlp | None]:
    """Return feed-forward blocks that are four times as wide as the model where their width is not given."""
    width = fields.optional("intermediate_size") or 4 * fields.size("hidden_size")
    return [PlainMlp(intermediate_size=width, bias=flag_value(fields, family.mlp_bias))] * layer_count(fields)


def _multi_query(fields: Fields, family: Family) -> list[Mixer]:
    base = attention(fields, family)
    one_head = fields.flag("multi_query", True)
    return [replace(base, num_key_value_heads=1 if one_head else base.num_attention_heads)] * layer_count(fields)


def _falcon_attention(fields: Fields, family: Family) -> list[Mixer]:
    heads = fields.size("num_attention_heads")
    new = fields.flag("new_decoder_architecture")
    if new:
        kv_heads = fields.optional("num_kv_heads") or heads
    else:
        fields.ignore("num_kv_heads")
        kv_heads = 1 if fields.flag("multi_query", True) else heads
    bias = fields.flag("bias")
    base = FullAttention(
        num_attention_heads=heads, num_key_value_heads=kv_heads, head_dim=fields.size("hidden_size") // heads,
        qkv_bias=bias, output_bias=bias,
    )  # fmt: skip
    return [base] * layer_count(fields)


def _falcon_norms(fields: Fields, layer: int) -> Sequence[Tensor]:
    """Return a second norm with bias, unless attention and the feed-forward block share one."""
    hidden = fields.size("hidden_size")
    new, parallel = fields.flag("new_decoder_architecture"), fields.flag("parallel_attn", True)
    in_parallel = fields.optional("num_ln_in_parallel_attn") or (2 if new else 1)
    has_second = in_parallel == 2 or not parallel
    return (vector("second_layernorm", hidden), vector("second_layernorm.bias", hidden)) if has_second else ()


def _qwen1_tower(fields: Fields) -> Sequence[Tensor]:
    """Return the tower of Qwen-VL, whose config.json calls it `visual`; none for Qwen."""
    return qwen_vl(fields.inside("visual"), fields.size("hidden_size")) if fields.part("visual") else ()


def _qwen1_mlp(fields: Fields, family: Family) -> list[Mlp | None]:
    return [GatedMlp(intermediate_size=fields.size("intermediate_size") // 2)] * layer_count(fields)


def _chatglm_attention(fields: Fields, family: Family) -> list[Mixer]:
    heads = fields.size("num_attention_heads")
    groups = fields.size("multi_query_group_num", heads) if fields.flag("multi_query_attention") else heads
    if not fields.flag("multi_query_attention"):
        fields.ignore("multi_query_group_num")
    linear_bias = fields.flag("add_bias_linear")
    base = FullAttention(
        num_attention_heads=heads, num_key_value_heads=groups,
        head_dim=fields.optional("kv_channels") or fields.size("hidden_size") // heads,
        qkv_bias=linear_bias or fields.flag("add_qkv_bias"), output_bias=linear_bias,
    )  # fmt: skip
    return [base] * layer_count(fields)


# Layers found by neural architecture search (DeciLM, Nemotron-NAS): each with its own number of KV heads and width,
# or without attention or feed-forward block.
def _nas_attention(fields: Fields, family: Family) -> list[Mixer]:
    base = attention(_without_kv_heads(fields), family)
    return [_nas_mixer(fields, base, block) for block in _block_configs(fields)]


def _without_kv_heads(fields: Fields) -> Fields:
    others = {name: value for name, value in fields.values.items() if name != "num_key_value_heads"}
    fields.ignore("num_key_value_heads", "head_dim", "attention_bias", "num_attention_heads")
    return Fields(others, fields.model_type, path=fields.path, nested=fields.nested)


def _nas_mixer(fields: Fields, base: FullAttention, block: _Block) -> Mixer:
    part = _block_part(fields, block, "attention")
    if part.flag("no_op"):
        return NoMixer()
    if part.flag("replace_with_linear"):
        raise fields.error("block_configs", "replacing attention with a projection is not supported",
                           "Give another model.")  # fmt: skip
    if part.raw("window_length") or part.raw("num_sink_tokens"):
        raise fields.error("block_configs", "attention with a window is not supported", "Give another model.")
    return replace(base, num_key_value_heads=base.num_attention_heads // part.size("n_heads_in_group"))


def _nas_mlps(fields: Fields, family: Family) -> list[Mlp | None]:
    hidden = fields.size("hidden_size")
    fields.ignore("intermediate_size")
    return [_nas_mlp(fields, _block_part(fields, block, "ffn"), hidden) for block in _block_configs(fields)]


def _nas_mlp(fields: Fields, part: Fields, hidden: int) -> Mlp | None:
    if part.flag("no_op"):
        return None
    if part.flag("replace_with_linear"):
        raise fields.error("block_configs", "replacing a feed-forward block with a projection is not supported",
                           "Give another model.")  # fmt: skip
    multiplier = part.fraction("ffn_mult", 0)
    if not multiplier:
        raise part.error("ffn_mult", "it is missing", COPY_IT)
    width = int(2 * multiplier * hidden / 3)  # vLLM models/nemotron_nas.py, _ffn_mult_to_intermediate_size
    return GatedMlp(intermediate_size=-(-width // 256) * 256)


def _block_part(fields: Fields, block: _Block, name: str) -> Fields:
    part = block.get(name) or {}
    if not isinstance(part, Mapping):
        raise fields.error("block_configs", f"{name} is {quoted(part)}, which is not an object", COPY_IT)
    return Fields(part, "", path=f"block_configs.{name}.", nested=True)


def _block_configs(fields: Fields) -> list[_Block]:
    blocks = fields.per_layer("block_configs", layer_count(fields)) or []
    objects = [block for block in blocks if isinstance(block, Mapping)]
    if not blocks or len(objects) != len(blocks):
        problem = "it has an entry that is not an object" if blocks else "it is missing"
        raise fields.error("block_configs", problem, COPY_IT)
    return objects


FAMILIES: dict[str, Family] = {
    "llama": replace(LLAMA, ignored=("num_local_experts",)),
    "qwen2": _QWEN2,
    "qwen3": _QWEN3,
    "mistral": _MISTRAL,
    "ministral": _MISTRAL,
    "ministral3": replace(_MISTRAL, source=hf_source("ministral3")),
    "granite": replace(LLAMA, source=hf_source("granite")),
    "granite_swa": replace(LLAMA, source=hf_source("granite_swa"), sinks=True, mixers=full_attention_every_fourth,
                           tied=True, mlp_bias="mlp_bias", defaults={"sliding_window": 128}),
    "cwm": replace(LLAMA, source=hf_source("cwm"), mixers=full_attention_every_fourth,
                   defaults={"sliding_window": 8192}),
    "hyperclovax": replace(LLAMA, source=hf_source("hyperclovax"),
                           norms=lambda fields: 4 if fields.flag("use_post_norm") else 2),
    "jais2": replace(LLAMA, source=hf_source("jais2"), gated=False, norm_bias=True,
                     defaults={"attention_bias": True, "mlp_bias": True}),
    "bitnet": replace(LLAMA, source=hf_source("bitnet"), mlp_bias=False, layer_extra=_bitnet_norms),
    "diffllama": replace(LLAMA, source=hf_source("diffllama"), mlp_bias=False, layer_extra=_diff_llama_lambdas),
    "nanochat": replace(LLAMA, source=hf_source("nanochat"), mlp_bias=False, gated=False, norms=0, final_norms=0),
    "persimmon": replace(
        NO_BIAS, source=hf_source("persimmon"), qkv_bias=True, output_bias=True, mlp_bias=True, gated=False,
        norm_bias=True, qk_norm=qk_norm_if("qk_layernorm", default=True), layer_extra=_persimmon_norm_biases,
    ),
    "smollm3": replace(LLAMA, source=hf_source("smollm3"), window_pattern=1, window_flag="use_sliding_window"),
    "seed_oss": replace(LLAMA, source=hf_source("seed_oss"), output_bias="attention_out_bias"),
    "arcee": replace(LLAMA, source=hf_source("arcee"), gated=False),
    "apertus": replace(NO_BIAS, source=hf_source("apertus"), qkv_bias="attention_bias", output_bias="attention_bias",
                       gated=False, qk_norm=PER_HEAD, layer_extra=lambda fields, layer: (vector("mlp.act_fn", 2),)),
    "exaone": replace(NO_BIAS, source="vLLM model_executor/models/exaone.py",
                      aliases={"num_hidden_layers": "num_layers"}),
    "exaone4": replace(NO_BIAS, source=hf_source("exaone4"), qk_norm=PER_HEAD, window_pattern=4),
    "ernie4_5": replace(LLAMA, source=hf_source("ernie4_5"), qkv_bias="use_bias", output_bias="use_bias",
                        mlp_bias="use_bias"),
    "hunyuan_v1_dense": replace(LLAMA, source=hf_source("hunyuan_v1_dense"), mlp_bias=False,
                                qk_norm=qk_norm_if("use_qk_norm", default=True)),
    "hunyuan_vl_text": replace(LLAMA, source=hf_source("hunyuan_vl"), mlp_bias=False, qk_norm=PER_HEAD, tied=True,
                               ignored=("use_qk_norm",)),
    "paddleocr_vl_text": replace(LLAMA, source=hf_source("paddleocr_vl"), qkv_bias="use_bias", output_bias="use_bias",
                                 mlp_bias="use_bias", tied=True),
    "molmo2_text": replace(LLAMA, source=hf_source("molmo2"), output_bias=False, mlp_bias=False, qk_norm=_molmo2_norm,
                           qkv_bias=lambda fields: fields.flag("qkv_bias") or fields.flag("attention_bias"),
                           extra=_molmo2_words),
    "voxtral_realtime_text": replace(LLAMA, source=hf_source("voxtral_realtime"), qkv_bias=False, output_bias=False,
                                     mlp_bias=False, window_pattern=1, tied=True, layer_extra=_delay_layers),
    "helium": replace(LLAMA, source=hf_source("helium"), output_bias=False),
    "nemotron": replace(LLAMA, source=hf_source("nemotron"), gated=False, norm_bias=True),
    "nemotron-nas": replace(LLAMA, source="vLLM model_executor/models/nemotron_nas.py", mlp_bias=False,
                            mixers=_nas_attention, mlps=_nas_mlps),
    "olmo": replace(LLAMA, source=hf_source("olmo"), mlp_bias=False, norms=0, final_norms=0),
    "olmo2": replace(LLAMA, source=hf_source("olmo2"), mlp_bias=False, qk_norm=FULL_WIDTH),
    "olmo3": replace(LLAMA, source=hf_source("olmo3"), mlp_bias=False, qk_norm=FULL_WIDTH, window_pattern=4),
    "cohere": replace(LLAMA, source=hf_source("cohere"), mlp_bias=False, norms=1,
                      qk_norm=qk_norm_if("use_qk_norm", FULL_WIDTH)),
    "cohere2": replace(LLAMA, source=hf_source("cohere2"), mlp_bias=False, norms=1, window_pattern=4,
                       ignored=("use_qk_norm",)),
    "phi": replace(NO_BIAS, source=hf_source("phi"), qkv_bias=True, output_bias=True, mlp_bias=True, gated=False,
                   norms=1, norm_bias=True, head_bias=True),
    "phi3": replace(NO_BIAS, source=hf_source("phi3"), window_pattern=1),
    "stablelm": replace(NO_BIAS, source=hf_source("stablelm"), qkv_bias="use_qkv_bias", norm_bias=True,
                        qk_norm=qk_norm_if("qk_layernorm", FULL_WIDTH),
                        norms=lambda fields: 1 if fields.flag("use_parallel_residual") else 2),
    "starcoder2": replace(NO_BIAS, source=hf_source("starcoder2"), qkv_bias="use_bias", output_bias="use_bias",
                          mlp_bias="use_bias", gated=False, norm_bias=True, window_pattern=1, tied=True),
    "glm": replace(NO_BIAS, source=hf_source("glm"), qkv_bias="attention_bias"),
    "glm4": replace(NO_BIAS, source=hf_source("glm4"), qkv_bias="attention_bias", norms=4),
    "glm_ocr_text": replace(NO_BIAS, source=hf_source("glm_ocr"), norms=4),
    "glm4v_text": replace(NO_BIAS, source=hf_source("glm4v"), qkv_bias=True, norms=4),
    "internlm2": replace(NO_BIAS, source="OpenGVLab modeling_internlm2.py", qkv_bias="bias", output_bias="bias"),
    "internlm3": replace(NO_BIAS, source="transformers models/internlm3", qkv_bias="qkv_bias", output_bias="bias",
                         mlp_bias="bias"),
    "internlm": replace(NO_BIAS, source="internlm modeling_internlm.py", qkv_bias="bias", output_bias="bias"),
    "iquestcoder": replace(LLAMA, source="transformers models/iquestcoder"),
    "mimo": replace(_QWEN2, source="vLLM model_executor/models/mimo.py", qkv_bias="attention_bias"),
    "minicpm": replace(LLAMA, source="vLLM model_executor/models/minicpm.py", mlp_bias=False, tied=True,
                       aliases={"head_dim": "kv_channels"}),
    "baichuan": replace(NO_BIAS, source="vLLM model_executor/models/baichuan.py",
                        aliases={"max_position_embeddings": "model_max_length"}),
    "orion": replace(NO_BIAS, source="vLLM model_executor/models/orion.py", norm_bias=True),
    "qwen": replace(NO_BIAS, source="vLLM model_executor/models/qwen.py", qkv_bias=True, mlps=_qwen1_mlp,
                    extra=_qwen1_tower, aliases={"head_dim": "kv_channels"}),
    "chatglm": replace(
        NO_BIAS, source="vLLM model_executor/models/chatglm.py", mixers=_chatglm_attention, mlp_bias="add_bias_linear",
        aliases={"num_hidden_layers": "num_layers", "intermediate_size": "ffn_hidden_size",
                 "vocab_size": "padded_vocab_size", "max_position_embeddings": "seq_length"},
    ),
    "gpt2": replace(
        NO_BIAS, source=hf_source("gpt2"), qkv_bias=True, output_bias=True, mlp_bias=True, gated=False, norm_bias=True,
        aliases=_GPT2_NAMES, mlps=_wide_mlps, extra=_position_table("wpe"), rotary=no_rotary, tied=True,
    ),
    "gpt_bigcode": replace(
        NO_BIAS, source=hf_source("gpt_bigcode"), qkv_bias=True, output_bias=True, mlp_bias=True, gated=False,
        norm_bias=True, aliases=_GPT2_NAMES, mixers=_multi_query, mlps=_wide_mlps, extra=_position_table("wpe"),
        rotary=no_rotary, tied=True,
    ),
    "gptj": replace(
        NO_BIAS, source=hf_source("gptj"), mlp_bias=True, gated=False, norms=1, norm_bias=True, head_bias=True,
        aliases=_GPT2_NAMES, mlps=_wide_mlps,
    ),
    "codegen": replace(
        NO_BIAS, source=hf_source("codegen"), mlp_bias=True, gated=False, norms=1, norm_bias=True, head_bias=True,
        aliases=_GPT2_NAMES, mlps=_wide_mlps,
    ),
    "gpt_neo": replace(
        NO_BIAS, source=hf_source("gpt_neo"), output_bias=True, mlp_bias=True, gated=False, norm_bias=True,
        mlps=_wide_mlps, extra=_position_table("wpe"), rotary=no_rotary, tied=True,  # local layers cache all tokens too
        aliases={"num_hidden_layers": "num_layers", "num_attention_heads": "num_heads"},
    ),
    "xglm": replace(
        NO_BIAS, source=hf_source("xglm"), qkv_bias=True, output_bias=True, mlp_bias=True, gated=False, norm_bias=True,
        rotary=no_rotary, tied=True,
        aliases={"hidden_size": "d_model", "num_hidden_layers": "num_layers", "intermediate_size": "ffn_dim",
                 "num_attention_heads": "attention_heads"},
    ),
    "biogpt": replace(
        NO_BIAS, source=hf_source("biogpt"), qkv_bias=True, output_bias=True, mlp_bias=True, gated=False,
        norm_bias=True, extra=_position_table("embed_positions", 2), rotary=no_rotary, tied=True,
    ),
    "gpt_neox": replace(
        NO_BIAS, source=hf_source("gpt_neox"), qkv_bias="attention_bias", output_bias="attention_bias", mlp_bias=True,
        gated=False, norm_bias=True,
    ),
    "mpt": replace(
        NO_BIAS, source=hf_source("mpt"), gated=False, mixers=_mpt_attention, mlps=_mpt_mlps, rotary=no_rotary,
        tied=True, aliases={"hidden_size": "d_model", "num_hidden_layers": "n_layers",
                            "num_attention_heads": "n_heads", "max_position_embeddings": "max_seq_len"},
    ),
    "falcon": replace(
        NO_BIAS, source=hf_source("falcon"), mlp_bias="bias", gated=False, norms=1, norm_bias=True,
        mixers=_falcon_attention, mlps=_wide_mlps, layer_extra=_falcon_norms, tied=True,
        aliases={"intermediate_size": "ffn_hidden_size", "num_hidden_layers": "n_layer",
                 "num_attention_heads": "n_head"},
    ),
    "bloom": replace(
        NO_BIAS, source=hf_source("bloom"), qkv_bias=True, output_bias=True, mlp_bias=True, gated=False, norm_bias=True,
        aliases={"num_hidden_layers": "n_layer", "num_attention_heads": "n_head", "hidden_size": "n_embed",
                 "max_position_embeddings": "seq_length"},
        mlps=_wide_mlps, rotary=no_rotary, tied=True,
        extra=lambda fields: 2 * (vector("word_embeddings_layernorm", fields.size("hidden_size")),),
    ),
    "opt": replace(
        NO_BIAS, source=hf_source("opt"), qkv_bias="enable_bias", output_bias="enable_bias", mlp_bias="enable_bias",
        gated=False, norm_bias=True, final_norms=_opt_final_norms, aliases={"intermediate_size": "ffn_dim"},
        extra=_opt_extra, embedding_size=_opt_embedding,
        rotary=no_rotary, tied=True,
    ),
}  # fmt: skip
