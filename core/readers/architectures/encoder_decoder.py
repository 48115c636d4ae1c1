"""Models with an encoder and a decoder: T5, BART and Whisper."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from core.model.parameters import layer_tensors
from core.model.spec import CrossAttention, FullAttention, GatedMlp, LayerRun, Mlp, ModelSpec, ParallelMixers, PlainMlp
from core.model.tensors import EMBEDDING, MLP, WHOLE, Tensor, linear, renamed, vector
from core.readers.fields import Fields

_WHISPER_CONV_KERNEL = 3


def _layers(self_attention: FullAttention, cross: CrossAttention, mlp: Mlp, count: int, *, norms: int, norm_bias: bool,
            ) -> LayerRun:  # fmt: skip
    return LayerRun(
        count=count, mixer=ParallelMixers(mixers=(self_attention, cross)), mlp=mlp, norms=norms, norm_bias=norm_bias
    )


def _encoder(run: LayerRun, hidden_size: int) -> tuple[Tensor, ...]:
    """The tensors of an encoder's layers, which keep nothing for the next token."""
    return tuple(renamed(layer_tensors(run, hidden_size), "encoder.")) * run.count


def _t5(fields: Fields, name: str) -> ModelSpec:
    """Transformers models/t5/modeling_t5.py: no biases, relative positions in the first layer of each half."""
    hidden, heads, head_dim = fields.size("hidden_size"), fields.size("num_attention_heads"), fields.size("d_kv")
    layers = fields.size("num_hidden_layers")
    activation = fields.text("feed_forward_proj", "relu" if fields.model_type == "t5" else "gated-gelu")
    block = GatedMlp if activation.startswith("gated") or fields.flag("is_gated_act") else PlainMlp
    mlp = block(intermediate_size=fields.size("d_ff"))
    shape: dict[str, Any] = {"num_attention_heads": heads, "num_key_value_heads": heads, "head_dim": head_dim}
    attention = FullAttention(**shape)
    buckets = fields.size("relative_attention_num_buckets") * heads
    every_layer = fields.model_type == "umt5"
    tables = (layers + fields.size("num_decoder_layers", layers)) if every_layer else 2
    return ModelSpec(
        name=name,
        hidden_size=hidden,
        vocab_size=fields.size("vocab_size"),
        tie_word_embeddings=fields.flag("tie_word_embeddings", True),
        max_position_embeddings=fields.optional("n_positions"),
        layers=(
            _layers(attention, CrossAttention(**shape, encoder_tokens=None), mlp,
                    fields.size("num_decoder_layers", layers), norms=3, norm_bias=False),
        ),
        extra=(
            *_encoder(LayerRun(count=layers, mixer=attention, mlp=mlp), hidden),
            vector("encoder.norm", hidden),
            *(tables * (vector("relative_attention_bias", buckets),)),
        ),
    )  # fmt: skip


def _bart(fields: Fields, name: str) -> ModelSpec:
    """BART and its kin: biases everywhere; they differ in their tables of positions and in their norms.

    Source: transformers models/bart, mbart, pegasus, marian, m2m_100, blenderbot and blenderbot_small.
    """
    kin = _BART_KIN[fields.model_type]
    if not fields.flag("share_encoder_decoder_embeddings", True):
        raise fields.error("share_encoder_decoder_embeddings", "two vocabularies are not understood here",
                           "State the total as params_b.")  # fmt: skip
    hidden = fields.size("hidden_size")

    def shape(side: str) -> dict[str, Any]:
        heads = fields.size(f"{side}_attention_heads")
        return {"num_attention_heads": heads, "num_key_value_heads": heads, "head_dim": hidden // heads,
                "qkv_bias": True,
                "output_bias": True}  # fmt: skip

    positions = fields.size("max_position_embeddings")
    encoder = FullAttention(**shape("encoder"))
    cross = CrossAttention(**shape("decoder"), encoder_tokens=None)
    rows = positions + (kin.rows or 0)
    table = Tensor(name="embed_positions", group=EMBEDDING, rows=rows, columns=hidden, split=WHOLE)
    norm = (vector("layernorm", hidden), vector("layernorm.bias", hidden))
    return ModelSpec(
        name=name,
        hidden_size=hidden,
        vocab_size=fields.size("vocab_size"),
        tie_word_embeddings=fields.flag("tie_word_embeddings", True),
        max_position_embeddings=positions,
        final_norms=int(kin.last_norms),
        norm_bias=True,
        layers=(
            _layers(FullAttention(**shape("decoder")), cross,
                    PlainMlp(intermediate_size=fields.size("decoder_ffn_dim"), bias=True),
                    fields.size("decoder_layers"), norms=3, norm_bias=True),
        ),
        extra=(
            *(() if kin.rows is None else (table, table)),
            *(2 * norm if kin.first_norms else ()),
            *(norm if kin.last_norms else ()),
            *_encoder(
                LayerRun(count=fields.size("encoder_layers"), mixer=encoder, norm_bias=True,
                         mlp=PlainMlp(intermediate_size=fields.size("encoder_ffn_dim"), bias=True)), hidden),
        ),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _BartKin:
    """What tells the kin of BART apart.

    Attributes:
        rows: rows of the tables of positions beyond the longest sequence; None where positions are computed.
        first_norms, last_norms: whether encoder and decoder begin, and end, with a norm.
    """

    rows: int | None
    first_norms: bool
    last_norms: bool


_BART_KIN = {
    "bart": _BartKin(rows=2, first_norms=True, last_norms=False),
    "mbart": _BartKin(rows=2, first_norms=True, last_norms=True),
    "m2m_100": _BartKin(rows=None, first_norms=False, last_norms=True),
    "pegasus": _BartKin(rows=0, first_norms=False, last_norms=True),
    "marian": _BartKin(rows=0, first_norms=False, last_norms=False),
    "blenderbot": _BartKin(rows=0, first_norms=False, last_norms=True),
    "blenderbot-small": _BartKin(rows=0, first_norms=True, last_norms=False),
}


def whisper_encoder(fields: Fields, *, norm: bool = True) -> tuple[Tensor, ...]:
    """Whisper's encoder of speech (Radford et al. 2022, arXiv:2212.04356)."""
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
        *_encoder(run, hidden),
        *linear("encoder.conv1", MLP, hidden, bins * _WHISPER_CONV_KERNEL, WHOLE, bias=True),
        *linear("encoder.conv2", MLP, hidden, hidden * _WHISPER_CONV_KERNEL, WHOLE, bias=True),
        Tensor(name="encoder.embed_positions", group=EMBEDDING, rows=positions, columns=hidden, split=WHOLE),
        *((vector("encoder.norm", hidden), vector("encoder.norm.bias", hidden)) if norm else ()),
    )


def _whisper(fields: Fields, name: str) -> ModelSpec:
    """Transformers models/whisper/modeling_whisper.py: every sequence keeps what was made of 30 seconds of sound."""
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
            LayerRun(
                count=fields.size("decoder_layers"),
                mixer=ParallelMixers(mixers=(
                    FullAttention(**shape),
                    CrossAttention(**shape, encoder_tokens=fields.size("max_source_positions")),
                )),
                mlp=PlainMlp(intermediate_size=fields.size("decoder_ffn_dim"), bias=True),
                norms=3, norm_bias=True,
            ),
        ),
        extra=(
            Tensor(name="embed_positions", group=EMBEDDING, rows=positions, columns=hidden, split=WHOLE),
            *whisper_encoder(fields),
        ),
    )  # fmt: skip


_T5_NAMES = {"hidden_size": "d_model", "num_hidden_layers": "num_layers", "num_attention_heads": "num_heads",
             "intermediate_size": "d_ff"}  # fmt: skip
_BART_NAMES = {"hidden_size": "d_model", "num_hidden_layers": "decoder_layers"}

ALIASES: dict[str, Mapping[str, str]] = {
    "t5": _T5_NAMES, "mt5": _T5_NAMES, "umt5": _T5_NAMES, "whisper": _BART_NAMES,
    **dict.fromkeys(_BART_KIN, _BART_NAMES),
}  # fmt: skip

READERS: dict[str, Callable[[Fields, str], ModelSpec]] = {
    "t5": _t5, "mt5": _t5, "umt5": _t5, "whisper": _whisper, **dict.fromkeys(_BART_KIN, _bart),
}  # fmt: skip
