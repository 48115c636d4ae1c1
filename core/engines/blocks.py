"""Compute vLLM's paged cache: layers in groups, which all draw blocks of one size from one pool.

Layers that cache every token, layers that cache a window and layers with a state are in separate groups, each with its
own block table. Groups have the same number of layers, padded where the numbers do not divide, and pages have the same
number of bytes, enlarged where layers differ.

Source: vLLM 0.19 v1/core/kv_cache_utils.py (get_kv_cache_groups, _get_kv_cache_groups_uniform_page_size,
get_max_concurrency_for_kv_cache_config), v1/kv_cache_interface.py (max_memory_usage_bytes of each spec),
platforms/interface.py (_align_hybrid_block_size).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, fields, replace
from functools import lru_cache, singledispatch

from core.engines.deployment import Version
from core.engines.parallelism import Split, stages
from core.model.mixers import CrossAttention, FullAttention, LatentAttention, Mixer
from core.model.precision import Precision
from core.model.spec import ModelSpec

BLOCK_TOKENS = 16  # vllm/config/cache.py, DEFAULT_BLOCK_SIZE

# A layer of sparse latent attention with an FP8 cache stores per token 512 values of 8 bits, four 32-bit scales and
# the rotary key in 16 bits (vLLM v1/attention/backends/mla/flashmla_sparse.py).
_SPARSE_LATENT_FP8_BYTES = 656

# Groups of layers with their own block tables: absent in 0.8.5, present in 0.11.0 (v1/core/kv_cache_utils.py).
_HYBRID_GROUPS = (0, 10, 0)
# Latents are cached as such from 0.7.1 (its release notes), aligned from 0.7.2 (pull request 12676), and no longer
# aligned in core V1, the default from 0.8.0.
_LATENTS, _ALIGNED_LATENTS, _UNALIGNED_LATENTS = (0, 7, 1), (0, 7, 2), (0, 8, 0)
_UNFOLDED_HEAD = 256
_LATENT_ALIGNMENT_BYTES = 256

# A group has as many layers as the rarest kind, or as the commonest if that is less than this many times more.
_SLIGHTLY_MORE = 1.5


@dataclass(frozen=True)
class CacheSpec:
    """What one layer caches of a sequence: bytes per token (of a window or of all tokens), or a state.

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
        spec: what each of them caches.
        block_tokens: tokens in one block.
        layers: the number of its layers in each pipeline stage.
    """

    spec: CacheSpec
    block_tokens: int
    layers: tuple[int, ...]

    def blocks(self, context: int, in_flight: int) -> int:
        """Return the blocks of a sequence of `context` tokens while a step computes `in_flight` tokens of it."""
        if self.spec.state_bytes:
            return 1
        if not self.spec.window:
            return -(-context // self.block_tokens)
        # One more: a window can begin inside a block.
        return -(-min(self.spec.window - 1 + in_flight, context) // self.block_tokens) + 1


@dataclass(frozen=True)
class Blocks:
    """The groups of a model, and the bytes of one block on a GPU of each pipeline stage."""

    groups: tuple[Group, ...]
    block_bytes: tuple[int, ...]

    def of_sequence(self, context: int, in_flight: int) -> int:
        """Return the blocks of one sequence in all groups."""
        return sum(group.blocks(context, in_flight) for group in self.groups)

    @property
    def _growing(self) -> list[Group]:
        return [group for group in self.groups if group.spec.bytes_per_token and not group.spec.window]

    def bytes_per_token(self) -> int:
        """Return the bytes that a long sequence adds per token, on a GPU of the fullest stage."""
        return sum(max(self.block_bytes) // group.block_tokens for group in self._growing)

    def shared(self, tokens: int) -> int:
        """Return the whole blocks of the first `tokens` tokens in the groups that cache every token."""
        return sum(tokens // group.block_tokens for group in self._growing)

    @property
    def least_block_tokens(self) -> int:
        """Return the tokens of the smallest block; the block of a state covers the whole context."""
        per_token = [group for group in self.groups if not group.spec.state_bytes] or self.groups
        return min(group.block_tokens for group in per_token)


@lru_cache(maxsize=2048)
def blocks(model: ModelSpec, kv_precision: Precision, tp: int, pp: Split, version: Version) -> Blocks:
    """Return the groups and blocks of `model` on `tp` × `pp` GPUs.

    Versions before the groups cached all tokens of layers with a window.
    """
    spans, has_groups = stages(model, pp), version >= _HYBRID_GROUPS
    layers: dict[CacheSpec, list[int]] = defaultdict(list)
    for number, specs in enumerate(_cache_specs(model, kv_precision, tp, None if has_groups else version)):
        for spec in specs:
            layers[spec if has_groups else replace(spec, window=0)].append(number)
    if not layers:
        return Blocks((Group(CacheSpec(), BLOCK_TOKENS, (0,) * len(spans)),), (1,) * len(spans))
    kinds = {(spec.window, bool(spec.state_bytes)) for spec in layers}
    if len(kinds) == 1:
        return _one_group(layers, spans)
    return _groups_of_one_size(layers, spans)


def cache_specs(model: ModelSpec, kv_precision: Precision, tp: int) -> list[tuple[CacheSpec, ...]]:
    """Return what each layer caches on one of `tp` ranks, first to last."""
    return _cache_specs(model, kv_precision, tp, None)


@lru_cache(maxsize=2048)
def _cache_specs(
    model: ModelSpec, kv_precision: Precision, tp: int, early_version: Version | None
) -> list[tuple[CacheSpec, ...]]:
    found = []
    for run in model.layers:
        mixer = run.mixer if early_version is None else _early_form(run.mixer, early_version, kv_precision)
        found += [tuple(_mixer_specs(mixer, kv_precision, tp))] * run.count
    return found


@singledispatch
def _early_form(mixer: Mixer, version: Version, kv_precision: Precision) -> Mixer:
    """Return the mixer whose cache an engine of `version`, before the groups, allocated for `mixer`."""
    return mixer


@_early_form.register
def _(mixer: CrossAttention, version: Version, kv_precision: Precision) -> Mixer:
    """Cross-attention had a page for every token (vLLM 0.7.0 config.py, get_num_layers_by_block_type)."""
    return FullAttention(**{field.name: getattr(mixer, field.name) for field in fields(FullAttention)})


@_early_form.register
def _(mixer: LatentAttention, version: Version, kv_precision: Precision) -> Mixer:
    """Latents were unfolded into heads of 256 first (0.6.6, get_head_size), then aligned to 256 bytes until core V1
    (0.7.3, worker/cache_engine.py, _align_cache: 640 values instead of 576).
    """
    if version < _LATENTS:
        heads = mixer.num_attention_heads
        return FullAttention(num_attention_heads=heads, num_key_value_heads=heads, head_dim=_UNFOLDED_HEAD)
    if not _ALIGNED_LATENTS <= version < _UNALIGNED_LATENTS:
        return mixer
    step = round(_LATENT_ALIGNMENT_BYTES / kv_precision.bytes_per_value)
    width = -(-(mixer.kv_lora_rank + mixer.qk_rope_head_dim) // step) * step
    return replace(mixer, kv_lora_rank=width - mixer.qk_rope_head_dim)


def _mixer_specs(mixer: Mixer, precision: Precision, tp: int) -> list[CacheSpec]:
    if mixer.parts != (mixer,):
        return [spec for part in mixer.parts for spec in _mixer_specs(part, precision, tp)]
    profile = mixer.kv_profile(tp)
    per_token = precision.bytes_of(profile.values_per_token) + profile.index_bytes_per_token
    if mixer.is_sparse_latent and precision.bytes_per_value == 1:
        per_token = _SPARSE_LATENT_FP8_BYTES + profile.index_bytes_per_token
    specs = [CacheSpec(bytes_per_token=per_token)] if per_token else []
    specs += [CacheSpec(precision.bytes_of(values), window) for window, values in profile.windowed]
    state_bytes = profile.fixed_bytes_per_sequence(precision)
    return specs + ([CacheSpec(state_bytes=state_bytes)] if state_bytes else [])


def _one_group(layers: dict[CacheSpec, list[int]], spans: tuple[tuple[int, int], ...]) -> Blocks:
    """Put layers of one kind into one group; they may differ in width, and a block holds a page of each."""
    counts = [sum(_within(numbers, span) for numbers in layers.values()) for span in spans]
    pages = [
        sum(
            _within(numbers, span) * (spec.bytes_per_token * BLOCK_TOKENS or spec.state_bytes)
            for spec, numbers in layers.items()
        )
        for span in spans
    ]
    return Blocks((Group(next(iter(layers)), BLOCK_TOKENS, tuple(counts)),), tuple(max(1, page) for page in pages))


def _groups_of_one_size(layers: dict[CacheSpec, list[int]], spans: tuple[tuple[int, int], ...]) -> Blocks:
    page_bytes = _page_bytes(layers)
    fewest, most = min(map(len, layers.values())), max(map(len, layers.values()))
    size = most if most < fewest * _SLIGHTLY_MORE else fewest
    groups = []
    for spec, numbers in layers.items():
        block_tokens = max(1, page_bytes // spec.bytes_per_token) if spec.bytes_per_token else BLOCK_TOKENS
        count = -(-len(numbers) // size)
        for i in range(count):
            groups.append(Group(spec, block_tokens, tuple(_within(numbers[i::count], span) for span in spans)))
    widest = [max(group.layers[stage] for group in groups) for stage in range(len(spans))]
    return Blocks(tuple(groups), tuple(max(1, page_bytes * width) for width in widest))


def _page_bytes(layers: dict[CacheSpec, list[int]]) -> int:
    """Return the size of all pages: the largest page of attention, times what it takes to hold the largest state."""
    page_bytes = BLOCK_TOKENS * max(spec.bytes_per_token for spec in layers)
    state_bytes = max(spec.state_bytes for spec in layers)
    return page_bytes * max(1, -(-state_bytes // page_bytes))


def _within(numbers: list[int], span: tuple[int, int]) -> int:
    return sum(span[0] <= number < span[1] for number in numbers)
