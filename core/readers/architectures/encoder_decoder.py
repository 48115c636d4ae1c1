"""Read models with an encoder and a decoder: T5, BART, Whisper and their variants."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from core.model.feed_forward import GatedMlp, Mlp, PlainMlp
from core.model.mixers import CrossAttention, FullAttention, ParallelMixers
from core.model.parameters import layer_tensors
from core.model.spec import LayerRun, ModelSpec
from core.model.tensors import EMBEDDING, MLP, WHOLE, Tensor, linear, vector, with_prefix
from core.readers.fields import Fields

_WHISPER_CONV_KERNEL = 3


def _decoder_layers(
    count: int, self_attention: FullAttention, cross: CrossAttention, mlp: Mlp, *, norm_bias: bool
) -> LayerRun:
    mixer = ParallelMixers(mixers=(self_attention, cross))
    return LayerRun(count=count, mixer=mixer, mlp=mlp, norms=3, norm_bias=norm_bias)


def _encoder_tensors(run: LayerRun, hidden_size: int) -> tuple[Tensor, ...]:
    """Return the tensors of an encoder's layers; they have no KV cache."""
    return tuple(with_prefix(layer_tensors(run, hidden_size), "encoder.")) * run.count


def _t5(fields: Fields, name: str) -> ModelSpec:
    """Return a T5: no biases, relative positions in the first layer of encoder and decoder.

    Source: transformers models/t5/modeling_t5.py. UMT5 has relative positions in every layer.
    """
    hidden, heads, head_dim = fields.size("hidden_size"), fields.size("num_attention_heads"), fields.size("d_kv")
    layers = fields.size("num_hidden_layers")
    activation = fields.text("feed_forward_proj", "relu" if fields.model_type == "t5" else "gated-gelu")
    block = GatedMlp if activation.startswith("gated") or fields.flag("is_gated_act") else PlainMlp
    mlp = block(intermediate_size=fields.size("d_ff"))
    shape: dict[str, Any] = {"num_attention_heads": heads, "num_key_value_heads": heads, "head_dim": head_dim}
    attention = FullAttention(**shape)
    buckets = fields.size("relative_attention_num_buckets") * heads
    tables = (layers + fields.size("num_decoder_layers", layers)) if fields.model_type == "umt5" else 2
    return ModelSpec(
        name=name,
        hidden_size=hidden,
        vocab_size=fields.size("vocab_size"),
        tie_word_embeddings=fields.flag("tie_word_embeddings", True),
        max_position_embeddings=fields.optional("n_positions"),
        layers=(
            _decoder_layers(fields.size("num_decoder_layers", layers), attention,
                            CrossAttention(**shape, encoder_tokens=None), mlp, norm_bias=False),
        ),
        extra=(
            *_encoder_tensors(LayerRun(count=layers, mixer=attention, mlp=mlp), hidden),
            vector("encoder.norm", hidden),
            *(tables * (vector("relative_attention_bias", buckets),)),
        ),
    )  # fmt: skip


def _bart(fields: Fields, name: str) -> ModelSpec:
    """Return a BART or a variant: biases in all projections; variants differ in position tables and norms.

    Source: transformers models/bart, mbart, pegasus, marian, m2m_100, blenderbot and blenderbot_small.
    """
    variant = _BART_VARIANTS[fields.model_type]
    if not fields.flag("share_encoder_decoder_embeddings", True):
        raise fields.error("share_encoder_decoder_embeddings", "separate vocabularies are not supported",
                           "Give a model with one vocabulary.")  # fmt: skip
    hidden = fields.size("hidden_size")

    def shape(side: str) -> dict[str, Any]:
        heads = fields.size(f"{side}_attention_heads")
        return {"num_attention_heads": heads, "num_key_value_heads": heads, "head_dim": hidden // heads,
                "qkv_bias": True,
                "output_bias": True}  # fmt: skip

    positions = fields.size("max_position_embeddings")
    encoder = FullAttention(**shape("encoder"))
    cross = CrossAttention(**shape("decoder"), encoder_tokens=None)
    rows = positions + (variant.extra_positions or 0)
    table = Tensor(name="embed_positions", group=EMBEDDING, rows=rows, columns=hidden, split=WHOLE)
    norm = (vector("layernorm", hidden), vector("layernorm.bias", hidden))
    return ModelSpec(
        name=name,
        hidden_size=hidden,
        vocab_size=fields.size("vocab_size"),
        tie_word_embeddings=fields.flag("tie_word_embeddings", True),
        max_position_embeddings=positions,
        final_norms=int(variant.final_norms),
        norm_bias=True,
        layers=(
            _decoder_layers(fields.size("decoder_layers"), FullAttention(**shape("decoder")), cross,
                            PlainMlp(intermediate_size=fields.size("decoder_ffn_dim"), bias=True), norm_bias=True),
        ),
        extra=(
            *(() if variant.extra_positions is None else (table, table)),
            *(2 * norm if variant.embedding_norms else ()),
            *(norm if variant.final_norms else ()),
            *_encoder_tensors(
                LayerRun(count=fields.size("encoder_layers"), mixer=encoder, norm_bias=True,
                         mlp=PlainMlp(intermediate_size=fields.size("encoder_ffn_dim"), bias=True)), hidden),
        ),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _BartVariant:
    """The differences between the variants of BART.

    Attributes:
        extra_positions: rows of the position tables beyond the longest sequence; None: positions are computed.
        embedding_norms, final_norms: whether encoder and decoder have a norm after the embedding, and after the layers.
    """

    extra_positions: int | None
    embedding_norms: bool
    final_norms: bool


_BART_VARIANTS = {
    "bart": _BartVariant(extra_positions=2, embedding_norms=True, final_norms=False),
    "mbart": _BartVariant(extra_positions=2, embedding_norms=True, final_norms=True),
    "m2m_100": _BartVariant(extra_positions=None, embedding_norms=False, final_norms=True),
    "pegasus": _BartVariant(extra_positions=0, embedding_norms=False, final_norms=True),
    "marian": _BartVariant(extra_positions=0, embedding_norms=False, final_norms=False),
    "blenderbot": _BartVariant(extra_positions=0, embedding_norms=False, final_norms=True),
    "blenderbot-small": _BartVariant(extra_positions=0, embedding_norms=True, final_norms=False),
}


def _whisper_encoder(fields: Fields) -> tuple[Tensor, ...]:
    """Return the tensors of Whisper's speech encoder (Radford et al. 2022, arXiv:2212.04356)."""
    hidden, heads = fields.size("hidden_size"), fields.size("encoder_attention_heads")
    attention = FullAttention(
        num_attention_heads=heads, num_key_value_heads=heads, head_dim=hidden // heads, qkv_bias=True, output_bias=True,
        key_bias=False,
    )  # fmt: skip
    run = LayerRun(
        count=fields.size("encoder_layers"), mixer=attention, norm_bias=True,
        mlp=PlainMlp(intermediate_size=fields.size("encoder_ffn_dim"), bias=True),
    )  # fmt: skip
    bins, positions = fields.size("num_mel_bins"), fields.size("max_source_positions")
    return (
        *_encoder_tensors(run, hidden),
        *linear("encoder.conv1", MLP, hidden, bins * _WHISPER_CONV_KERNEL, WHOLE, bias=True),
        *linear("encoder.conv2", MLP, hidden, hidden * _WHISPER_CONV_KERNEL, WHOLE, bias=True),
        Tensor(name="encoder.embed_positions", group=EMBEDDING, rows=positions, columns=hidden, split=WHOLE),
        vector("encoder.norm", hidden),
        vector("encoder.norm.bias", hidden),
    )


def _whisper(fields: Fields, name: str) -> ModelSpec:
    """Return a Whisper, whose sequences cache the encoder's output for 30 seconds of sound.

    Source: transformers models/whisper/modeling_whisper.py.
    """
    hidden, heads = fields.size("hidden_size"), fields.size("decoder_attention_heads")
    shape: dict[str, Any] = {
        "num_attention_heads": heads, "num_key_value_heads": heads, "head_dim": hidden // heads, "qkv_bias": True,
        "output_bias": True, "key_bias": False,
    }  # fmt: skip
    positions = fields.size("max_target_positions")
    return ModelSpec(
        name=name,
        hidden_size=hidden,
        vocab_size=fields.size("vocab_size"),
        tie_word_embeddings=fields.flag("tie_word_embeddings", True),
        max_position_embeddings=positions,
        norm_bias=True,
        layers=(
            _decoder_layers(fields.size("decoder_layers"), FullAttention(**shape),
                            CrossAttention(**shape, encoder_tokens=fields.size("max_source_positions")),
                            PlainMlp(intermediate_size=fields.size("decoder_ffn_dim"), bias=True), norm_bias=True),
        ),
        extra=(
            Tensor(name="embed_positions", group=EMBEDDING, rows=positions, columns=hidden, split=WHOLE),
            *_whisper_encoder(fields),
        ),
    )  # fmt: skip


_T5_NAMES = {"hidden_size": "d_model", "num_hidden_layers": "num_layers", "num_attention_heads": "num_heads",
             "intermediate_size": "d_ff"}  # fmt: skip
_BART_NAMES = {"hidden_size": "d_model", "num_hidden_layers": "decoder_layers"}

ALIASES: dict[str, Mapping[str, str]] = {
    "t5": _T5_NAMES, "mt5": _T5_NAMES, "umt5": _T5_NAMES, "whisper": _BART_NAMES,
    **dict.fromkeys(_BART_VARIANTS, _BART_NAMES),
}  # fmt: skip

READERS: dict[str, Callable[[Fields, str], ModelSpec]] = {
    "t5": _t5, "mt5": _t5, "umt5": _t5, "whisper": _whisper, **dict.fromkeys(_BART_VARIANTS, _bart),
}  # fmt: skip
