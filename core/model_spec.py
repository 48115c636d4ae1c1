"""What a language model is, as far as its memory goes: a `ModelSpec` made of layers, one class per kind of cache.

Field names are those of Hugging Face `config.json`. These classes hold facts only; `core.parameters` counts what the
layers weigh, `core.kv_cache` what they remember. A new kind of layer is one class here and one rule in each of the two.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class FullAttention:
    """Attention over every earlier token; multi-head, grouped-query or multi-query by its number of KV heads.

    Source: Vaswani et al. 2017 (multi-head), Shazeer 2019 (multi-query), Ainslie et al. 2023 (grouped-query).

    Attributes:
        num_attention_heads: query heads.
        num_key_value_heads: heads whose keys and values are cached.
        head_dim: size of one query or key head.
        v_head_dim: size of one value head where it differs.
        qkv_bias, output_bias: whether those projections have a bias vector.
        qk_norm: whether queries and keys are normalised with a learnt weight of one head's size each.
    """

    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    v_head_dim: int | None = None
    qkv_bias: bool = False
    output_bias: bool = False
    qk_norm: bool = False

    @property
    def value_head_dim(self) -> int:
        return self.head_dim if self.v_head_dim is None else self.v_head_dim


@dataclass(frozen=True, kw_only=True)
class SlidingWindowAttention(FullAttention):
    """Full attention that looks back, and caches, at most `sliding_window` tokens (Beltagy et al. 2020; Mistral 7B).

    Chunked local attention (Llama 4's `attention_chunk_size`) keeps as much.
    """

    sliding_window: int


@dataclass(frozen=True, kw_only=True)
class LatentAttention:
    """Multi-head latent attention: one compressed vector per token for all heads (DeepSeek-V2, arXiv:2405.04434).

    Attributes:
        kv_lora_rank: size of the compressed key/value vector.
        qk_rope_head_dim: size of the rotary key that is shared by all heads.
        qk_nope_head_dim, v_head_dim, num_attention_heads, q_lora_rank: shapes of the projections.
    """

    num_attention_heads: int
    kv_lora_rank: int
    qk_rope_head_dim: int
    qk_nope_head_dim: int
    v_head_dim: int
    q_lora_rank: int | None = None


@dataclass(frozen=True, kw_only=True)
class RecurrentState:
    """A layer that keeps a state of fixed size per sequence, however long it gets (Mamba, linear attention, DeltaNet).

    Attributes:
        conv_values: values of the convolution's state.
        ssm_values: values of the recurrent state.
        conv_bytes_per_value, ssm_bytes_per_value: each state has a precision of its own, unlike the KV cache's.
    """

    conv_values: int
    ssm_values: int
    conv_bytes_per_value: int = 2
    ssm_bytes_per_value: int = 4


@dataclass(frozen=True, kw_only=True)
class SharedCacheAttention(FullAttention):
    """Attention that reads another layer's cache and keeps none of its own (Gemma 3n's `num_kv_shared_layers`)."""


Mixer = FullAttention | LatentAttention | RecurrentState


@dataclass(frozen=True, kw_only=True)
class GatedMlp:
    """The gated feed-forward block: gate, up and down projections (Shazeer 2020, "GLU variants")."""

    intermediate_size: int


@dataclass(frozen=True, kw_only=True)
class LayerRun:
    """`count` identical layers in a row: what mixes tokens, what follows it, how many norm vectors stand around them."""

    count: int
    mixer: Mixer
    mlp: GatedMlp | None = None
    norms: int = 2


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A language model.

    Attributes:
        name: the catalog's name, or what the user called it.
        hidden_size: width of the residual stream.
        layers: every layer, first to last, as runs of identical ones.
        vocab_size: rows of the embedding; None where only a stated parameter count is known.
        tie_word_embeddings: whether the output head is the embedding.
        stated_parameters: a parameter count that overrides the counted one.
        max_position_embeddings: longest context in tokens, where known.
    """

    name: str
    hidden_size: int
    layers: tuple[LayerRun, ...]
    vocab_size: int | None = None
    tie_word_embeddings: bool = False
    stated_parameters: int | None = None
    max_position_embeddings: int | None = None

    @property
    def num_hidden_layers(self) -> int:
        return sum(run.count for run in self.layers)


def full_width_attention(hidden_size: int) -> FullAttention:
    """The attention of the article's formula: `hidden_size` keys and as many values per token, heads not told apart."""
    return FullAttention(num_attention_heads=1, num_key_value_heads=1, head_dim=hidden_size)
