"""The kinds of layer by how they mix tokens: attention of several kinds, and recurrent states.

A new kind is one subclass of `Mixer`: its fields (with their names in config.json), its weight tensors and what it
caches. What it does not override has a default that suits a layer without such a part.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any

from core.model.kv_profile import KvProfile
from core.model.tensors import ATTENTION, BY_COLUMNS, BY_KV_HEADS, BY_ROWS, WHOLE, Tensor, heads_on_rank, linear, vector

NO_NORM, PER_HEAD, FULL_WIDTH = "", "head", "full"


@dataclass(frozen=True, kw_only=True)
class Mixer(ABC):
    """The part of a layer that mixes tokens."""

    @property
    @abstractmethod
    def label(self) -> str:
        """Return what lists of layers call it."""

    @abstractmethod
    def weight_tensors(self, hidden_size: int) -> tuple[Tensor, ...]:
        """Return the weight tensors of one layer."""

    @abstractmethod
    def kv_profile(self, tp: int = 1) -> KvProfile:
        """Return what one sequence caches in one layer, on one of `tp` tensor-parallel ranks."""

    @property
    def parts(self) -> tuple[Mixer, ...]:
        """Return the mixers that work side by side in one layer."""
        return (self,)

    @property
    def attention(self) -> FullAttention | None:
        """Return the attention with separate keys and values, None for other mixers."""
        return None

    @property
    def is_sparse_latent(self) -> bool:
        """Return whether it is latent attention over tokens that an indexer selects."""
        return False

    def unfolded_latent_width(self, tp: int) -> int:
        """Return the values per token of keys and values unfolded from a latent on one of `tp` ranks."""
        return 0

    def split_obstacle(self, tp: int) -> str:
        """Return why `tp` ranks cannot share the layer, as a clause; "" if they can."""
        return ""


@dataclass(frozen=True, kw_only=True)
class Indexer:
    """Selects the tokens that sparse attention reads, by a small key per token (DeepSeek-V3.2, "lightning indexer").

    Attributes:
        index_head_dim: size of the key.
        bytes_per_token: bytes cached per token, in a separate precision: vLLM stores 8-bit values and a 32-bit
            scale per 128 of them (model_executor/layers/sparse_attn_indexer.py), 132 bytes for a key of 128.
        tensors: its weights; none where the layer reuses an earlier layer's selection.
    """

    index_head_dim: int
    bytes_per_token: int
    tensors: tuple[Tensor, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FullAttention(Mixer):
    """Attention over all earlier tokens; multi-head, grouped-query or multi-query by its number of KV heads.

    Source: Vaswani et al. 2017 (multi-head), Shazeer 2019 (multi-query), Ainslie et al. 2023 (grouped-query).

    Attributes:
        num_attention_heads: query heads.
        num_key_value_heads: heads whose keys and values are cached.
        head_dim: size of one query or key head.
        v_head_dim: size of one value head where it differs.
        qkv_bias, output_bias: whether those projections have a bias vector.
        key_bias: False where the key projection alone has no bias (Whisper).
        qk_norm: the learnt weight that normalizes queries and keys: `NO_NORM`, `PER_HEAD` (one head's size) or
            `FULL_WIDTH` (the size of all heads).
        output_gate: whether the query projection is twice as wide, its second half a gate on the output.
        own_values: False where keys serve as values too, so that there is no value projection (both are cached).
        sinks: whether there is a learnt sink logit per query head.
        indexer: what selects tokens, where attention is sparse.
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
    def label(self) -> str:
        return "full_attention"

    @property
    def value_head_dim(self) -> int:
        return self.head_dim if self.v_head_dim is None else self.v_head_dim

    @property
    def attention(self) -> FullAttention | None:
        return self

    def kv_profile(self, tp: int = 1) -> KvProfile:
        """Return a key and a value per KV head and token (Ainslie et al. 2023, arXiv:2305.13245)."""
        index = self.indexer.bytes_per_token if self.indexer else 0
        return KvProfile(values_per_token=self.cached_values(tp), index_bytes_per_token=index)

    def cached_values(self, tp: int) -> int:
        """Return the key and value values of one token on one of `tp` ranks."""
        return heads_on_rank(self.num_key_value_heads, tp) * (self.head_dim + self.value_head_dim)

    def split_obstacle(self, tp: int) -> str:
        kv_heads = self.num_key_value_heads
        if self.num_attention_heads % tp:
            return f"{tp} does not divide the {self.num_attention_heads} attention heads"
        if kv_heads % tp and tp % kv_heads:
            return f"{kv_heads} KV heads can be neither divided among nor copied evenly to {tp} ranks"
        return ""

    def weight_tensors(self, hidden_size: int) -> tuple[Tensor, ...]:
        return (*self._query(hidden_size), *self._keys_and_values(hidden_size), *self._output(hidden_size))

    def _query(self, hidden_size: int) -> tuple[Tensor, ...]:
        rows = self.num_attention_heads * self.head_dim
        wide = rows * (1 + self.output_gate)
        tensors = linear("self_attn.q_proj", ATTENTION, wide, hidden_size, BY_ROWS, bias=self.qkv_bias, fused="qkv")
        if self.sinks:
            tensors += (vector("self_attn.sinks", self.num_attention_heads, BY_ROWS),)
        if self.qk_norm == PER_HEAD:
            tensors += (vector("self_attn.q_norm", self.head_dim),)
        if self.qk_norm == FULL_WIDTH:
            tensors += (vector("self_attn.q_norm", rows, BY_ROWS),)
        return tensors

    def _keys_and_values(self, input_size: int) -> tuple[Tensor, ...]:
        kv_heads = self.num_key_value_heads
        heads: dict[str, Any] = {
            "group": ATTENTION, "columns": input_size, "split": BY_KV_HEADS, "kv_heads": kv_heads, "fused": "qkv",
        }  # fmt: skip
        key, value = kv_heads * self.head_dim, kv_heads * self.value_head_dim
        tensors = linear("self_attn.k_proj", rows=key, bias=self.qkv_bias and self.key_bias, **heads)
        if self.own_values:
            tensors += linear("self_attn.v_proj", rows=value, bias=self.qkv_bias, **heads)
        if self.qk_norm == PER_HEAD:
            tensors += (vector("self_attn.k_norm", self.head_dim),)
        if self.qk_norm == FULL_WIDTH:
            tensors += (vector("self_attn.k_norm", key, BY_KV_HEADS, kv_heads=kv_heads),)
        return tensors + (self.indexer.tensors if self.indexer else ())

    def _output(self, hidden_size: int) -> tuple[Tensor, ...]:
        columns = self.num_attention_heads * self.value_head_dim
        return linear("self_attn.o_proj", ATTENTION, hidden_size, columns, BY_COLUMNS, bias=self.output_bias)


@dataclass(frozen=True, kw_only=True)
class SlidingWindowAttention(FullAttention):
    """Attention that reads, and caches, at most the last `sliding_window` tokens (Beltagy et al. 2020; Mistral 7B).

    Chunked local attention (Llama 4's `attention_chunk_size`) caches the same.
    """

    sliding_window: int

    @property
    def label(self) -> str:
        return "sliding_window_attention"

    def kv_profile(self, tp: int = 1) -> KvProfile:
        """Return the keys and values of the tokens in the window (Jiang et al. 2023, arXiv:2310.06825)."""
        return KvProfile(windowed=((self.sliding_window, self.cached_values(tp)),))


@dataclass(frozen=True, kw_only=True)
class SharedCacheAttention(FullAttention):
    """Attention that reads another layer's cache and caches nothing (Gemma 3n's `num_kv_shared_layers`).

    Attributes:
        own_keys: whether the layer has key and value projections nevertheless.
    """

    own_keys: bool = False

    @property
    def label(self) -> str:
        return "shared_cache_attention"

    def kv_profile(self, tp: int = 1) -> KvProfile:
        return KvProfile()

    def weight_tensors(self, hidden_size: int) -> tuple[Tensor, ...]:
        keys = self._keys_and_values(hidden_size) if self.own_keys else ()
        return (*self._query(hidden_size), *keys, *self._output(hidden_size))


@dataclass(frozen=True, kw_only=True)
class EncoderAttention(FullAttention):
    """Attention of an encoder, which reads a whole text in one step and caches nothing (Devlin et al. 2018, BERT)."""

    @property
    def label(self) -> str:
        return "encoder_attention"

    def kv_profile(self, tp: int = 1) -> KvProfile:
        return KvProfile()


@dataclass(frozen=True, kw_only=True)
class SharedWeightsAttention(FullAttention):
    """Attention with its own cache and the weights of another layer (Zamba2, arXiv:2411.15242)."""

    def weight_tensors(self, hidden_size: int) -> tuple[Tensor, ...]:
        return ()


@dataclass(frozen=True, kw_only=True)
class CrossAttention(FullAttention):
    """Attention over an encoder's output, computed once per sequence (Vaswani et al. 2017, section 3.2.3).

    Attributes:
        encoder_tokens: the encoder's output tokens per sequence; None if they are the context (text to text).
        encoder_hidden_size: width of the encoder's output where it differs from the model's.
    """

    encoder_tokens: int | None
    encoder_hidden_size: int | None = None

    @property
    def label(self) -> str:
        return "cross_attention"

    def kv_profile(self, tp: int = 1) -> KvProfile:
        values = self.cached_values(tp)
        if self.encoder_tokens is None:
            return KvProfile(values_per_token=values)
        return KvProfile(fixed_values=values * self.encoder_tokens)

    def weight_tensors(self, hidden_size: int) -> tuple[Tensor, ...]:
        keys = self._keys_and_values(self.encoder_hidden_size or hidden_size)
        return (*self._query(hidden_size), *keys, *self._output(hidden_size))


@dataclass(frozen=True, kw_only=True)
class LatentAttention(Mixer):
    """Multi-head latent attention: one compressed vector per token for all heads (DeepSeek-V2, arXiv:2405.04434).

    Attributes:
        kv_lora_rank: size of the compressed key/value vector.
        qk_rope_head_dim: size of the rotary key that all heads share.
        qk_nope_head_dim, v_head_dim, num_attention_heads, q_lora_rank: shapes of the projections.
        projection_bias: whether the projections into the latents and the output have biases.
        gate_size: outputs of a further projection that gates the output; 0 if there is none.
        indexer: what selects tokens, where attention is sparse.
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

    @property
    def label(self) -> str:
        return "latent_attention"

    @property
    def is_sparse_latent(self) -> bool:
        return self.indexer is not None

    def unfolded_latent_width(self, tp: int) -> int:
        return -(-self.num_attention_heads // tp) * (self.qk_nope_head_dim + self.v_head_dim)

    def split_obstacle(self, tp: int) -> str:
        heads = self.num_attention_heads
        return f"{tp} does not divide the {heads} attention heads" if heads % tp else ""

    def kv_profile(self, tp: int = 1) -> KvProfile:
        """Return one latent and one rotary key per token, which serve all heads and so are whole on every rank.

        Source: DeepSeek-V2, arXiv:2405.04434, table 1; vLLM v1/kv_cache_interface.py, MLAAttentionSpec.
        """
        return KvProfile(
            values_per_token=self.kv_lora_rank + self.qk_rope_head_dim,
            index_bytes_per_token=self.indexer.bytes_per_token if self.indexer else 0,
        )

    def weight_tensors(self, hidden_size: int) -> tuple[Tensor, ...]:
        """Return projections into the latents, whole on every rank, and those out of them, split by heads.

        Source: DeepSeek-V2, arXiv:2405.04434, section 2.1; vLLM model_executor/models/deepseek_v2.py.
        """
        heads, latent, rotary, bias = (
            self.num_attention_heads, self.kv_lora_rank, self.qk_rope_head_dim, self.projection_bias,
        )  # fmt: skip
        query = heads * (self.qk_nope_head_dim + rotary)
        unfolded = heads * (self.qk_nope_head_dim + self.v_head_dim)
        down: dict[str, Any] = {"columns": hidden_size, "split": WHOLE, "bias": bias, "fused": "qkv_a"}
        if self.q_lora_rank is None:
            tensors = list(linear("self_attn.q_proj", ATTENTION, query, hidden_size, BY_ROWS))
        else:
            tensors = [
                *linear("self_attn.q_a_proj", ATTENTION, self.q_lora_rank, **down),
                vector("self_attn.q_a_layernorm", self.q_lora_rank),
                *linear("self_attn.q_b_proj", ATTENTION, query, self.q_lora_rank, BY_ROWS),
            ]
        tensors += [
            *linear("self_attn.kv_a_proj_with_mqa", ATTENTION, latent + rotary, **down),
            vector("self_attn.kv_a_layernorm", latent),
            *linear("self_attn.kv_b_proj", ATTENTION, unfolded, latent, BY_ROWS),
            *linear("self_attn.o_proj", ATTENTION, hidden_size, heads * self.v_head_dim, BY_COLUMNS, bias=bias),
        ]
        if self.gate_size:
            tensors += linear("self_attn.g_proj", ATTENTION, self.gate_size, hidden_size, BY_ROWS)
        return (*tensors, *(self.indexer.tensors if self.indexer else ()))


COMPRESSOR = "self_attn.compressor"  # the names of a compressor's tensors begin with this


@dataclass(frozen=True, kw_only=True)
class CompressedAttention(Mixer):
    """Attention over one vector for every few tokens, and over each of the last tokens (DeepSeek-V4).

    Attributes:
        num_attention_heads: query heads.
        head_dim: size of the one vector that serves all heads as key and as value.
        sliding_window: how many of the last tokens have a vector each.
        compress_ratio: tokens per compressed vector; 0 if the layer reads its window alone.
        index_bytes: bytes of the index key of one vector; 0 if there is none.
        index_head_dim: values of an index key; 0 if there is none.
        residual_streams: streams that a layer reads and writes (hyper-connections; Zhu et al. 2024, arXiv:2409.19606).
        tensors: its weights.
    """

    num_attention_heads: int
    head_dim: int
    sliding_window: int
    compress_ratio: int = 0
    index_bytes: int = 0
    index_head_dim: int = 0
    residual_streams: int = 1
    tensors: tuple[Tensor, ...] = ()

    @property
    def label(self) -> str:
        return "compressed_attention"

    def split_obstacle(self, tp: int) -> str:
        heads = self.num_attention_heads
        return f"{tp} does not divide the {heads} attention heads" if heads % tp else ""

    def weight_tensors(self, hidden_size: int) -> tuple[Tensor, ...]:
        return self.tensors

    def without_compressor(self) -> CompressedAttention:
        """Return the same attention over its window alone."""
        tensors = tuple(tensor for tensor in self.tensors if not tensor.name.startswith(COMPRESSOR))
        return replace(self, compress_ratio=0, index_bytes=0, index_head_dim=0, tensors=tensors)

    def kv_profile(self, tp: int = 1) -> KvProfile:
        """Return one vector per `compress_ratio` tokens and one per token of the window, whole on every rank.

        Source: vLLM models/deepseek_v4/attention.py (MLAAttentionSpec with tokens_per_state). The few tokens that wait
        for compression are not counted.
        """
        ratio = self.compress_ratio
        return KvProfile(
            values_per_token=-(-self.head_dim // ratio) if ratio else 0,
            windowed=((self.sliding_window, self.head_dim),),
            index_bytes_per_token=-(-self.index_bytes // ratio) if ratio else 0,
        )


@dataclass(frozen=True, kw_only=True)
class RecurrentState(Mixer):
    """A layer with a state of fixed size per sequence, at any context (Mamba, linear attention, DeltaNet).

    Attributes:
        kind: what to call it ("mamba2", "gated_delta_net", "short_conv" …).
        conv_values: values of the convolution's state.
        ssm_values: values of the recurrent state.
        conv_bytes_per_value, ssm_bytes_per_value: precision of each state, which is not the KV cache's.
        shared_conv_values: values of the convolution's state that belong to groups of heads rather than to heads;
            where there are fewer `groups` than tensor-parallel ranks, each rank stores one group.
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

    @property
    def label(self) -> str:
        return self.kind

    def weight_tensors(self, hidden_size: int) -> tuple[Tensor, ...]:
        return self.tensors

    def kv_profile(self, tp: int = 1) -> KvProfile:
        """Return the states of the convolution and of the recurrence (Gu & Dao 2023, arXiv:2312.00752).

        Ranks split the heads; where there are fewer groups than ranks, each rank stores one group (vLLM
        model_executor/layers/mamba/mamba_utils.py, MambaStateShapeCalculator).
        """
        own = -(-(self.conv_values - self.shared_conv_values) // tp)
        shared = self.shared_conv_values // self.groups * heads_on_rank(self.groups, tp) if self.groups else 0
        recurrent = -(-self.ssm_values // tp) * self.ssm_bytes_per_value
        return KvProfile(fixed_bytes=(own + shared) * self.conv_bytes_per_value + recurrent)


@dataclass(frozen=True, kw_only=True)
class NoMixer(Mixer):
    """A layer, or half of one, that mixes no tokens and caches nothing (a feed-forward layer of Nemotron-H)."""

    @property
    def label(self) -> str:
        return "feed_forward"

    def weight_tensors(self, hidden_size: int) -> tuple[Tensor, ...]:
        return ()

    def kv_profile(self, tp: int = 1) -> KvProfile:
        return KvProfile()


@dataclass(frozen=True, kw_only=True)
class ParallelMixers(Mixer):
    """Several token mixers side by side in one layer (Falcon-H1: attention and Mamba-2)."""

    mixers: tuple[Mixer, ...]

    @property
    def label(self) -> str:
        return " + ".join(part.label for part in self.mixers)

    @property
    def parts(self) -> tuple[Mixer, ...]:
        return self.mixers

    def weight_tensors(self, hidden_size: int) -> tuple[Tensor, ...]:
        return tuple(tensor for part in self.mixers for tensor in part.weight_tensors(hidden_size))

    def kv_profile(self, tp: int = 1) -> KvProfile:
        return sum((part.kv_profile(tp) for part in self.mixers), KvProfile())

    def unfolded_latent_width(self, tp: int) -> int:
        return max((part.unfolded_latent_width(tp) for part in self.mixers), default=0)

    def split_obstacle(self, tp: int) -> str:
        return next(filter(None, (part.split_obstacle(tp) for part in self.mixers)), "")


def full_width_attention(hidden_size: int) -> FullAttention:
    """Return the attention of the article's formula: `hidden_size` keys and as many values per token, heads unknown."""
    return FullAttention(num_attention_heads=1, num_key_value_heads=1, head_dim=hidden_size)
