"""What a model remembers of each sequence, reduced to a few numbers.

    values(context) = per_token · context  +  Σ windowed · min(context, window)
    bytes(context)  = values(context) in the cache's precision  +  fixed_bytes
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache, singledispatch

from core.model_spec import (
    FullAttention,
    LatentAttention,
    Mixer,
    ModelSpec,
    RecurrentState,
    SharedCacheAttention,
    SlidingWindowAttention,
)
from core.precision import Precision


@dataclass(frozen=True, kw_only=True)
class KvProfile:
    """What one sequence keeps in the cache.

    Attributes:
        values_per_token: values kept for every token of the context.
        windowed: (window in tokens, values per token) of layers that keep at most their window.
        fixed_bytes: bytes kept however long the context is; recurrent states have a precision of their own.
    """

    values_per_token: int = 0
    windowed: tuple[tuple[int, int], ...] = ()
    fixed_bytes: int = 0

    def values(self, context: int) -> int:
        """Values that one sequence of `context` tokens keeps in the cache's precision."""
        return self.values_per_token * context + sum(
            values * min(context, window) for window, values in self.windowed
        )

    def bytes_of_sequences(self, users: int, context: int, precision: Precision) -> int:
        """Bytes that `users` sequences of `context` tokens each keep."""
        return precision.bytes_of(users * self.values(context)) + users * self.fixed_bytes

    def bytes_per_token(self, precision: Precision) -> int:
        """Bytes by which a long sequence grows with each token; windows are full by then."""
        return precision.bytes_of(self.values_per_token)

    def __add__(self, other: KvProfile) -> KvProfile:
        windowed: Counter[int] = Counter()
        for window, values in self.windowed + other.windowed:
            windowed[window] += values
        return KvProfile(
            values_per_token=self.values_per_token + other.values_per_token,
            windowed=tuple(sorted(windowed.items())),
            fixed_bytes=self.fixed_bytes + other.fixed_bytes,
        )

    def __mul__(self, count: int) -> KvProfile:
        return KvProfile(
            values_per_token=self.values_per_token * count,
            windowed=tuple((window, values * count) for window, values in self.windowed),
            fixed_bytes=self.fixed_bytes * count,
        )


@lru_cache(maxsize=512)
def kv_profile(spec: ModelSpec) -> KvProfile:
    """What one sequence keeps over all layers of `spec`."""
    return sum((layer_profile(run.mixer) * run.count for run in spec.layers), KvProfile())


@singledispatch
def layer_profile(mixer: Mixer) -> KvProfile:
    """What one sequence keeps in one layer."""
    raise TypeError(f"no rule for what a {type(mixer).__name__} layer keeps")


@layer_profile.register
def _(mixer: FullAttention) -> KvProfile:
    """A key and a value per KV head and token (Ainslie et al. 2023, arXiv:2305.13245)."""
    return KvProfile(values_per_token=_attention_values(mixer))


@layer_profile.register
def _(mixer: SlidingWindowAttention) -> KvProfile:
    """As full attention, for the tokens inside the window only (Jiang et al. 2023, arXiv:2310.06825)."""
    return KvProfile(windowed=((mixer.sliding_window, _attention_values(mixer)),))


@layer_profile.register
def _(mixer: SharedCacheAttention) -> KvProfile:
    """Nothing: the layer reads another one's cache."""
    return KvProfile()


@layer_profile.register
def _(mixer: LatentAttention) -> KvProfile:
    """One latent and one rotary key per token, for all heads together (DeepSeek-V2, arXiv:2405.04434, table 1)."""
    return KvProfile(values_per_token=mixer.kv_lora_rank + mixer.qk_rope_head_dim)


@layer_profile.register
def _(mixer: RecurrentState) -> KvProfile:
    """The convolution's and the recurrence's state, once per sequence (Gu & Dao 2023, arXiv:2312.00752)."""
    return KvProfile(
        fixed_bytes=mixer.conv_values * mixer.conv_bytes_per_value + mixer.ssm_values * mixer.ssm_bytes_per_value
    )


def _attention_values(mixer: FullAttention) -> int:
    return mixer.num_key_value_heads * (mixer.head_dim + mixer.value_head_dim)
