"""Describe a language model as far as its memory goes: a `ModelSpec` of layers, one class per kind of cache.

Field names are those of Hugging Face `config.json`. These classes hold facts only: `core.model.parameters` lists the
tensors of the layers, `core.model.kv_cache` what they cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from core.model.quantization import Quantization
from core.model.tensors import Tensor

NO_NORM, PER_HEAD, FULL_WIDTH = "", "head", "full"


@dataclass(frozen=True, kw_only=True)
class Indexer:
    """Picks the tokens that sparse attention looks at, by a small key per token (DeepSeek-V3.2, "lightning indexer").

    Attributes:
        index_head_dim: size of the key.
        bytes_per_token: what it caches, in a precision of its own: vLLM keeps 8-bit values and a 32-bit scale per 128
            of them (model_executor/layers/sparse_attn_indexer.py), 132 bytes for a key of 128.
        tensors: its weights; none where the layer uses an earlier layer's choice.
    """

    index_head_dim: int
    bytes_per_token: int
    tensors: tuple[Tensor, ...] = ()


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
        key_bias: False where the key projection alone has none (Whisper).
        qk_norm: the learnt weight that normalises queries and keys: `NO_NORM`, `PER_HEAD` (one head's size) or
            `FULL_WIDTH` (all heads side by side).
        output_gate: whether the query projection is twice as wide, its second half a gate on the output.
        own_values: False where keys serve as values too, so that there is no value projection (both are cached).
        sinks: whether there is a learnt sink logit per query head.
        indexer: what picks tokens, where attention is sparse.
    """

    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    v_head_dim: int | None = None
    qkv_bias: bool = False
    output_bias: bool = False
    key_bias: bool = True
    qk_norm: str = NO_NORM
    output_gate: bool = False
    own_values: bool = True
    sinks: bool = False
    indexer: Indexer | None = None

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
class SharedCacheAttention(FullAttention):
    """Attention that reads another layer's cache and keeps none of its own (Gemma 3n's `num_kv_shared_layers`).

    Attributes:
        own_keys: whether the layer has key and value projections all the same.
    """

    own_keys: bool = False


@dataclass(frozen=True, kw_only=True)
class SharedWeightsAttention(FullAttention):
    """Attention with a cache of its own and with the weights of another layer (Zamba2, arXiv:2411.15242)."""


@dataclass(frozen=True, kw_only=True)
class CrossAttention(FullAttention):
    """Attention over what an encoder made of the input, once per sequence (Vaswani et al. 2017, section 3.2.3).

    Attributes:
        encoder_tokens: the encoder's output tokens per sequence; None if they are the context (text to text).
        encoder_hidden_size: width of the encoder's output where it is not the model's own.
    """

    encoder_tokens: int | None
    encoder_hidden_size: int | None = None


@dataclass(frozen=True, kw_only=True)
class LatentAttention:
    """Multi-head latent attention: one compressed vector per token for all heads (DeepSeek-V2, arXiv:2405.04434).

    Attributes:
        kv_lora_rank: size of the compressed key/value vector.
        qk_rope_head_dim: size of the rotary key that is shared by all heads.
        qk_nope_head_dim, v_head_dim, num_attention_heads, q_lora_rank: shapes of the projections.
        projection_bias: whether the projections into the latents and the output have biases.
        gate_size: outputs of a further projection that gates the output; 0 if there is none.
        indexer: what picks tokens, where attention is sparse.
    """

    num_attention_heads: int
    kv_lora_rank: int
    qk_rope_head_dim: int
    qk_nope_head_dim: int
    v_head_dim: int
    q_lora_rank: int | None = None
    projection_bias: bool = False
    gate_size: int = 0
    indexer: Indexer | None = None


@dataclass(frozen=True, kw_only=True)
class CompressedAttention:
    """Attention over one vector for every few tokens, and over the last tokens one by one (DeepSeek-V4).

    Attributes:
        num_attention_heads: query heads.
        head_dim: size of the one vector that serves all heads as key and as value.
        sliding_window: how many of the last tokens are seen one by one.
        compress_ratio: tokens that become one vector; 0 if the layer sees its window alone.
        index_bytes: bytes of the index key of one vector; 0 if there is none.
        tensors: its weights.
    """

    num_attention_heads: int
    head_dim: int
    sliding_window: int
    compress_ratio: int = 0
    index_bytes: int = 0
    tensors: tuple[Tensor, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RecurrentState:
    """A layer that keeps a state of fixed size per sequence, however long it gets (Mamba, linear attention, DeltaNet).

    Attributes:
        kind: what to call it ("mamba2", "gated_delta_net", "short_conv" …).
        conv_values: values of the convolution's state.
        ssm_values: values of the recurrent state.
        conv_bytes_per_value, ssm_bytes_per_value: each state has a precision of its own, unlike the KV cache's.
        shared_conv_values: of the convolution's values, those that belong to groups of heads rather than to heads;
            where there are fewer `groups` than tensor-parallel ranks, every rank keeps one group.
        groups: how many such groups.
        tensors: its weights.
    """

    kind: str = "recurrent"
    conv_values: int
    ssm_values: int
    conv_bytes_per_value: int = 2
    ssm_bytes_per_value: int = 4
    shared_conv_values: int = 0
    groups: int = 0
    tensors: tuple[Tensor, ...] = ()


@dataclass(frozen=True, kw_only=True)
class NoMixer:
    """A layer, or half of one, that mixes no tokens and keeps nothing (a feed-forward layer of Nemotron-H)."""


@dataclass(frozen=True, kw_only=True)
class ParallelMixers:
    """Several token mixers side by side in one layer (Falcon-H1: attention and Mamba-2)."""

    mixers: tuple[Mixer, ...]


Mixer = FullAttention | LatentAttention | CompressedAttention | RecurrentState | NoMixer | ParallelMixers


@dataclass(frozen=True, kw_only=True)
class GatedMlp:
    """The gated feed-forward block: gate, up and down projections (Shazeer 2020, "GLU variants")."""

    intermediate_size: int
    bias: bool = False


@dataclass(frozen=True, kw_only=True)
class PlainMlp:
    """The feed-forward block of the first transformers: up and down projections (Vaswani et al. 2017)."""

    intermediate_size: int
    bias: bool = False


@dataclass(frozen=True, kw_only=True)
class MoeMlp:
    """A mixture of experts: a router sends each token to a few of many feed-forward blocks (arXiv:2101.03961).

    Attributes:
        num_experts, num_experts_per_tok: routed experts, and those that one token goes through.
        moe_intermediate_size: width of one routed expert.
        shared_intermediate_size: width of the experts that every token goes through, taken together; 0 if none.
        gated: whether experts have a gate projection.
        expert_bias, router_bias: whether those have bias vectors.
        correction_bias: whether there is a bias per expert by which the router's choice is balanced (32 bits).
        shared_gate: whether the shared expert's output has a gate of its own.
        expert_hidden_size: width at which experts work where it is not the model's (latent experts).
        router_bytes_per_value: bytes of the router's weights where they are stored wider than the rest.
    """

    num_experts: int
    num_experts_per_tok: int
    moe_intermediate_size: int
    shared_intermediate_size: int = 0
    gated: bool = True
    expert_bias: bool = False
    router_bias: bool = False
    correction_bias: bool = False
    shared_gate: bool = False
    expert_hidden_size: int | None = None
    router_bytes_per_value: int | None = None


Mlp = GatedMlp | PlainMlp | MoeMlp


@dataclass(frozen=True, kw_only=True)
class LayerRun:
    """`count` identical layers in a row.

    Attributes:
        mixer: what mixes tokens.
        mlp: what follows it; None where its size is unknown, or a layer has no feed-forward block.
        norms: norm vectors of the hidden size around the two.
        norm_bias: whether each of these norms has a bias as well.
        extra: further tensors of the layer.
        complete: False where the description says too little to count the layer's parameters.
    """

    count: int
    mixer: Mixer
    mlp: Mlp | None = None
    norms: int = 2
    norm_bias: bool = False
    extra: tuple[Tensor, ...] = ()
    complete: bool = True


@dataclass(frozen=True)
class ImageInput:
    """The largest image that a model takes.

    Attributes:
        tokens: tokens that it becomes.
        pixel_values: values of the picture itself, all channels.
    """

    tokens: int
    pixel_values: int


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A language model.

    Attributes:
        name: the catalog's name, or what the user called it.
        hidden_size: width of the residual stream.
        layers: every layer, first to last, as runs of identical ones.
        vocab_size: rows of the embedding; None where only a stated parameter count is known.
        embedding_size: columns of the embedding and of the head where those are not the hidden size (OPT 350M).
        tie_word_embeddings: whether the output head is the embedding.
        stated_parameters: a parameter count that overrides the counted one.
        max_position_embeddings: longest context in tokens, where known.
        final_norms, norm_bias: norm vectors after the last layer, and whether they have biases.
        head_bias: whether the output head has a bias.
        extra: tensors outside the layers (learnt positions, per-layer embeddings, vision towers, encoders).
        image: the largest image that the model takes; None where it takes none, or none of a fixed size.
        rotary_values: values of the table of rotary angles that engines keep, per position; 0 if there is none.
        quantization: how the weights are stored as shipped; None for `bytes_per_value` throughout.
        bytes_per_value: bytes of a weight that is not quantized.
    """

    name: str
    hidden_size: int
    layers: tuple[LayerRun, ...]
    vocab_size: int | None = None
    embedding_size: int | None = None
    tie_word_embeddings: bool = False
    stated_parameters: int | None = None
    max_position_embeddings: int | None = None
    final_norms: int = 1
    norm_bias: bool = False
    head_bias: bool = False
    extra: tuple[Tensor, ...] = ()
    image: ImageInput | None = None
    rotary_values: int = 0
    quantization: Quantization | None = None
    bytes_per_value: int = 2

    @cached_property
    def num_hidden_layers(self) -> int:
        return sum(run.count for run in self.layers)

    @property
    def heads_are_known(self) -> bool:
        """False where keys and values are as wide as the model and heads are not told apart (the article's formula)."""
        return any(run.mixer != full_width_attention(self.hidden_size) for run in self.layers)

    @cached_property
    def _hash(self) -> int:
        return hash((self.name, self.hidden_size, self.layers, self.vocab_size, self.stated_parameters, self.extra))

    def __hash__(self) -> int:
        """Computed once: specs are the keys of caches that every estimate looks into."""
        return self._hash


def full_width_attention(hidden_size: int) -> FullAttention:
    """The attention of the article's formula: `hidden_size` keys and as many values per token, heads not told apart."""
    return FullAttention(num_attention_heads=1, num_key_value_heads=1, head_dim=hidden_size)
