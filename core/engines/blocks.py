"""vLLM's paged cache: layers in groups, one size of page for all of them.

Layers that keep every token, those that keep a window and those that keep a state get block tables of their own, one
for each group, but blocks come from one pool and so all have one size. Groups therefore have the same number of layers,
padded where the numbers do not divide, and pages the same number of bytes, stretched where layers differ.

Source: vLLM 0.19 v1/core/kv_cache_utils.py (get_kv_cache_groups, _get_kv_cache_groups_uniform_page_size,
get_max_concurrency_for_kv_cache_config), v1/kv_cache_interface.py (max_memory_usage_bytes of each spec),
platforms/interface.py (_align_hybrid_block_size).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, fields, replace
from functools import lru_cache

from core.engines.deployment import Version
from core.engines.parallelism import stages
from core.model.kv_cache import layer_profile
from core.model.precision import Precision
from core.model.spec import CrossAttention, FullAttention, LatentAttention, Mixer, ModelSpec, ParallelMixers

BLOCK_TOKENS = 16  # vllm/config/cache.py, DEFAULT_BLOCK_SIZE

# A layer of sparse latent attention whose cache is FP8 keeps, per token, 512 values of 8 bits, four 32-bit scales and
# the rotary key in 16 bits (vLLM v1/attention/backends/mla/flashmla_sparse.py).
_SPARSE_LATENT_FP8_BYTES = 656

# Groups of layers with block tables of their own: absent in 0.8.5, present in 0.11.0 (v1/core/kv_cache_utils.py).
_HYBRID_GROUPS = (0, 10, 0)
# Latents are cached as such from 0.7.1 on (its release notes), aligned from 0.7.2 on (pull request 12676), in core V1,
# the default from 0.8.0 on, no longer.
_LATENTS, _ALIGNED_LATENTS, _UNALIGNED_LATENTS = (0, 7, 1), (0, 7, 2), (0, 8, 0)
_UNFOLDED_HEAD = 256
_LATENT_ALIGNMENT_BYTES = 256

# Groups are as large as the rarest kind of layer, or as the commonest if that is not much more.
_NOT_MUCH_MORE = 1.5


@dataclass(frozen=True)
class CacheSpec:
    """What one layer keeps: `bytes_per_token` for every token or for `window` of them, or a state.

    Attributes:
        bytes_per_token: 0 for a state.
        window: tokens; 0 for all.
        state_bytes: 0 for attention.
    """

    bytes_per_token: int = 0
    window: int = 0
    state_bytes: int = 0


@dataclass(frozen=True)
class Group:
    """Layers that share a block table.

    Attributes:
        kept: what each of them keeps.
        block_tokens: tokens in one of its blocks.
        layers: how many of its layers each pipeline stage has.
    """

    kept: CacheSpec
    block_tokens: int
    layers: tuple[int, ...]

    def blocks(self, context: int, in_flight: int) -> int:
        """Blocks that a sequence of `context` tokens takes while `in_flight` tokens are being computed."""
        if self.kept.state_bytes:
            return 1
        if not self.kept.window:
            return -(-context // self.block_tokens)
        # One more: a window need not begin where a block does.
        return -(-min(self.kept.window - 1 + in_flight, context) // self.block_tokens) + 1


@dataclass(frozen=True)
class Blocks:
    """The groups of a model, and the bytes of one block on a GPU of each pipeline stage."""

    groups: tuple[Group, ...]
    block_bytes: tuple[int, ...]

    def of_sequence(self, context: int, in_flight: int) -> int:
        """Blocks that one sequence takes."""
        return sum(group.blocks(context, in_flight) for group in self.groups)

    def bytes_per_token(self) -> int:
        """Bytes by which a long sequence grows with each token, on a GPU of the fullest stage."""
        growing = [group for group in self.groups if group.kept.bytes_per_token and not group.kept.window]
        return sum(max(self.block_bytes) // group.block_tokens for group in growing)

    @property
    def least_block_tokens(self) -> int:
        """Of the groups that keep tokens; a state's block is the whole context."""
        keep_tokens = [group for group in self.groups if not group.kept.state_bytes] or self.groups
        return min(group.block_tokens for group in keep_tokens)


@lru_cache(maxsize=2048)
def blocks(model: ModelSpec, kv_precision: Precision, tp: int, pp: int, version: Version) -> Blocks:
    """The groups and blocks of `model` on `tp` × `pp` GPUs; early versions kept all tokens of layers with a window."""
    spans, windows = stages(model, pp), version >= _HYBRID_GROUPS
    layers: dict[CacheSpec, list[int]] = defaultdict(list)
    cached = model if windows else _as_early_versions_cached(model, version, kv_precision)
    for number, kept in enumerate(cache_specs(cached, kv_precision, tp)):
        for each in kept:
            layers[each if windows else replace(each, window=0)].append(number)
    if not layers:
        return Blocks((Group(CacheSpec(), BLOCK_TOKENS, (0,) * pp),), (1,) * pp)
    kinds = {(kept.window, bool(kept.state_bytes)) for kept in layers}
    if len(kinds) == 1:
        return _one_group(layers, spans)
    return _groups_of_one_size(layers, spans)


def _as_early_versions_cached(model: ModelSpec, version: Version, kv_precision: Precision) -> ModelSpec:
    return replace(
        model,
        layers=tuple(
            replace(run, mixer=_as_early_versions_cached_mixer(run.mixer, version, kv_precision))
            for run in model.layers
        ),
    )


def _as_early_versions_cached_mixer(mixer: Mixer, version: Version, kv_precision: Precision) -> Mixer:
    """Before groups, layers of cross-attention had a page for every token like all others (config.py of 0.7.0,
    get_num_layers_by_block_type); latents were unfolded into heads of 256 first (0.6.6, get_head_size), and until core
    V1 began at multiples of 256 bytes (0.7.3, worker/cache_engine.py, _align_cache: 640 values instead of 576).
    """
    if isinstance(mixer, CrossAttention):
        return FullAttention(**{field.name: getattr(mixer, field.name) for field in fields(FullAttention)})
    if not isinstance(mixer, LatentAttention) or version >= _UNALIGNED_LATENTS:
        return mixer
    if version < _LATENTS:
        heads = mixer.num_attention_heads
        return FullAttention(num_attention_heads=heads, num_key_value_heads=heads, head_dim=_UNFOLDED_HEAD)
    if version < _ALIGNED_LATENTS:
        return mixer
    step = round(_LATENT_ALIGNMENT_BYTES / kv_precision.bytes_per_value)
    width = -(-(mixer.kv_lora_rank + mixer.qk_rope_head_dim) // step) * step
    return replace(mixer, kv_lora_rank=width - mixer.qk_rope_head_dim)


@lru_cache(maxsize=2048)
def cache_specs(model: ModelSpec, kv_precision: Precision, tp: int) -> list[tuple[CacheSpec, ...]]:
    """What each layer keeps on one of `tp` ranks, first to last."""
    return [kept for run in model.layers for kept in [tuple(_kept(run.mixer, kv_precision, tp))] * run.count]


def _kept(mixer: Mixer, precision: Precision, tp: int) -> list[CacheSpec]:
    if isinstance(mixer, ParallelMixers):
        return [kept for part in mixer.mixers for kept in _kept(part, precision, tp)]
    profile = layer_profile(mixer, tp)
    per_token = precision.bytes_of(profile.values_per_token) + profile.index_bytes_per_token
    if isinstance(mixer, LatentAttention) and mixer.indexer is not None and precision.bytes_per_value == 1:
        per_token = _SPARSE_LATENT_FP8_BYTES + profile.index_bytes_per_token
    kept = [CacheSpec(bytes_per_token=per_token)] if per_token else []
    kept += [CacheSpec(precision.bytes_of(values), window) for window, values in profile.windowed]
    state_bytes = profile.fixed_bytes_per_sequence(precision)
    return kept + ([CacheSpec(state_bytes=state_bytes)] if state_bytes else [])


def _one_group(layers: dict[CacheSpec, list[int]], spans: tuple[tuple[int, int], ...]) -> Blocks:
    """Layers of one kind may differ in width: a block holds a page of each."""
    counts = [sum(_within(numbers, span) for numbers in layers.values()) for span in spans]
    pages = [
        sum(
            _within(numbers, span) * (kept.bytes_per_token * BLOCK_TOKENS or kept.state_bytes)
            for kept, numbers in layers.items()
        )
        for span in spans
    ]
    return Blocks((Group(next(iter(layers)), BLOCK_TOKENS, tuple(counts)),), tuple(max(1, page) for page in pages))


def _groups_of_one_size(layers: dict[CacheSpec, list[int]], spans: tuple[tuple[int, int], ...]) -> Blocks:
    page_bytes = _page_bytes(layers)
    fewest, most = min(map(len, layers.values())), max(map(len, layers.values()))
    size = most if most < fewest * _NOT_MUCH_MORE else fewest
    groups = []
    for kept, numbers in layers.items():
        block_tokens = max(1, page_bytes // kept.bytes_per_token) if kept.bytes_per_token else BLOCK_TOKENS
        count = -(-len(numbers) // size)
        for i in range(count):
            groups.append(Group(kept, block_tokens, tuple(_within(numbers[i::count], span) for span in spans)))
    widest = [max(group.layers[stage] for group in groups) for stage in range(len(spans))]
    return Blocks(tuple(groups), tuple(max(1, page_bytes * width) for width in widest))


def _page_bytes(layers: dict[CacheSpec, list[int]]) -> int:
    """The one size of a page: the largest page of attention, stretched by whole blocks until a state fits."""
    page_bytes = BLOCK_TOKENS * max(kept.bytes_per_token for kept in layers)
    state_bytes = max(kept.state_bytes for kept in layers)
    return page_bytes * max(1, -(-state_bytes // page_bytes))


def _within(numbers: list[int], span: tuple[int, int]) -> int:
    return sum(span[0] <= number < span[1] for number in numbers)
