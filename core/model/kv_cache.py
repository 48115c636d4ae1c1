"""What a model remembers of each sequence, reduced to a few numbers.

values(context) = per_token · context  +  Σ windowed · min(context, window)
bytes(context)  = values(context) in the cache's precision  +  fixed_bytes  +  index_bytes_per_token · context
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache, singledispatch

from core.model.precision import Precision
from core.model.spec import (
    CompressedAttention,
    CrossAttention,
    FullAttention,
    LatentAttention,
    Mixer,
    ModelSpec,
    NoMixer,
    ParallelMixers,
    RecurrentState,
    SharedCacheAttention,
    SlidingWindowAttention,
)
from core.model.tensors import heads_on_rank


@dataclass(frozen=True, kw_only=True)
class KvProfile:
    """What one sequence keeps in the cache.

    Attributes:
        values_per_token: values kept for every token of the context.
        windowed: (window in tokens, values per token) of layers that keep at most their window.
        fixed_values: values kept however long the context is (what an encoder made of an image or of speech).
        fixed_bytes: bytes kept however long the context is; recurrent states have a precision of their own.
        index_bytes_per_token: bytes kept for every token in a precision of their own (keys of sparse attention).
    """

    values_per_token: int = 0
    windowed: tuple[tuple[int, int], ...] = ()
    fixed_values: int = 0
    fixed_bytes: int = 0
    index_bytes_per_token: int = 0

    def values(self, context: int) -> int:
        """Values that one sequence of `context` tokens keeps in the cache's precision."""
        values = self.values_per_token * context + self.fixed_values
        for window, windowed in self.windowed:
            values += windowed * min(context, window)
        return values

    def bytes_of_sequences(self, users: int, context: int, precision: Precision) -> int:
        """Bytes that `users` sequences of `context` tokens each keep."""
        values = self.values(context) if self.windowed else self.values_per_token * context + self.fixed_values
        in_precision = users * values * precision.block_bytes
        if precision.block_values > 1:
            in_precision = -(-in_precision // precision.block_values)
        others = self.fixed_bytes + self.index_bytes_per_token * context
        return in_precision + users * others if others else in_precision

    def is_proportional(self, context: int, precision: Precision) -> bool:
        """Whether twice the sequences of `context` tokens keep exactly twice the bytes: no byte is rounded up."""
        return self.values(context) * precision.block_bytes % precision.block_values == 0

    def bytes_per_sequence(self, context: int, precision: Precision) -> int:
        """Bytes that one sequence of `context` tokens keeps."""
        return self.bytes_of_sequences(1, context, precision)

    def bytes_per_token(self, precision: Precision) -> int:
        """Bytes by which a long sequence grows with each token; windows are full by then."""
        return precision.bytes_of(self.values_per_token) + self.index_bytes_per_token

    def fixed_bytes_per_sequence(self, precision: Precision) -> int:
        """Bytes that a sequence keeps however long it is."""
        return precision.bytes_of(self.fixed_values) + self.fixed_bytes

    def __add__(self, other: KvProfile) -> KvProfile:
        windowed: Counter[int] = Counter()
        for window, values in self.windowed + other.windowed:
            windowed[window] += values
        return KvProfile(
            values_per_token=self.values_per_token + other.values_per_token,
            windowed=tuple(sorted(windowed.items())),
            fixed_values=self.fixed_values + other.fixed_values,
            fixed_bytes=self.fixed_bytes + other.fixed_bytes,
            index_bytes_per_token=self.index_bytes_per_token + other.index_bytes_per_token,
        )

    def __mul__(self, count: int) -> KvProfile:
        return KvProfile(
            values_per_token=self.values_per_token * count,
            windowed=tuple((window, values * count) for window, values in self.windowed),
            fixed_values=self.fixed_values * count,
            fixed_bytes=self.fixed_bytes * count,
            index_bytes_per_token=self.index_bytes_per_token * count,
        )


@lru_cache(maxsize=2048)
def kv_profile(spec: ModelSpec, tp: int = 1) -> KvProfile:
    """What one sequence keeps over all layers of `spec` on one of `tp` tensor-parallel ranks."""
    return sum((layer_profile(run.mixer, tp) * run.count for run in spec.layers), KvProfile())


@singledispatch
def layer_profile(mixer: Mixer, tp: int = 1) -> KvProfile:
    """What one sequence keeps in one layer, on one of `tp` tensor-parallel ranks."""
    raise TypeError(f"no rule for what a {type(mixer).__name__} layer keeps")


@layer_profile.register
def _(mixer: FullAttention, tp: int = 1) -> KvProfile:
    """A key and a value per KV head and token (Ainslie et al. 2023, arXiv:2305.13245)."""
    index = mixer.indexer.bytes_per_token if mixer.indexer else 0
    return KvProfile(values_per_token=_attention_values(mixer, tp), index_bytes_per_token=index)


@layer_profile.register
def _(mixer: SlidingWindowAttention, tp: int = 1) -> KvProfile:
    """As full attention, for the tokens inside the window only (Jiang et al. 2023, arXiv:2310.06825)."""
    return KvProfile(windowed=((mixer.sliding_window, _attention_values(mixer, tp)),))


@layer_profile.register
def _(mixer: SharedCacheAttention, tp: int = 1) -> KvProfile:
    """Nothing: the layer reads another one's cache."""
    return KvProfile()


@layer_profile.register
def _(mixer: CrossAttention, tp: int = 1) -> KvProfile:
    """Keys and values of the encoder's output, computed once (Vaswani et al. 2017, section 3.2.3)."""
    values = _attention_values(mixer, tp)
    if mixer.encoder_tokens is None:
        return KvProfile(values_per_token=values)
    return KvProfile(fixed_values=values * mixer.encoder_tokens)


@layer_profile.register
def _(mixer: LatentAttention, tp: int = 1) -> KvProfile:
    """One latent and one rotary key per token, for all heads together and therefore whole on every rank.

    Source: DeepSeek-V2, arXiv:2405.04434, table 1; vLLM v1/kv_cache_interface.py, MLAAttentionSpec.
    """
    return KvProfile(
        values_per_token=mixer.kv_lora_rank + mixer.qk_rope_head_dim,
        index_bytes_per_token=mixer.indexer.bytes_per_token if mixer.indexer else 0,
    )


@layer_profile.register
def _(mixer: CompressedAttention, tp: int = 1) -> KvProfile:
    """One vector for every `compress_ratio` tokens and one for each token of the window, whole on every rank.

    Source: vLLM models/deepseek_v4/attention.py (MLAAttentionSpec with tokens_per_state). The compressor's own few
    pending tokens are not counted.
    """
    ratio = mixer.compress_ratio
    return KvProfile(
        values_per_token=-(-mixer.head_dim // ratio) if ratio else 0,
        windowed=((mixer.sliding_window, mixer.head_dim),),
        index_bytes_per_token=-(-mixer.index_bytes // ratio) if ratio else 0,
    )


@layer_profile.register
def _(mixer: RecurrentState, tp: int = 1) -> KvProfile:
    """The convolution's and the recurrence's state, once per sequence (Gu & Dao 2023, arXiv:2312.00752).

    Ranks split the heads; where there are fewer groups than ranks, each rank keeps one (vLLM
    model_executor/layers/mamba/mamba_utils.py, MambaStateShapeCalculator).
    """
    own_conv = -(-(mixer.conv_values - mixer.shared_conv_values) // tp)
    shared_conv = mixer.shared_conv_values // mixer.groups * heads_on_rank(mixer.groups, tp) if mixer.groups else 0
    return KvProfile(
        fixed_bytes=(own_conv + shared_conv) * mixer.conv_bytes_per_value
        + -(-mixer.ssm_values // tp) * mixer.ssm_bytes_per_value
    )


@layer_profile.register
def _(mixer: NoMixer, tp: int = 1) -> KvProfile:
    """Nothing."""
    return KvProfile()


@layer_profile.register
def _(mixer: ParallelMixers, tp: int = 1) -> KvProfile:
    """What each of them keeps."""
    return sum((layer_profile(part, tp) for part in mixer.mixers), KvProfile())


def _attention_values(mixer: FullAttention, tp: int) -> int:
    return heads_on_rank(mixer.num_key_value_heads, tp) * (mixer.head_dim + mixer.value_head_dim)
