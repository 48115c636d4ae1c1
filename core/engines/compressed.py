"""Compute what vLLM allocates for compressed attention (DeepSeek-V4): blocks of its caches, and its workspaces.

Each layer caches a window of vectors. Compressed layers also cache one vector for every few tokens, some with an index
key, and the 32-bit state of the tokens that wait to be compressed, which the engine keeps like a small window. All of
them draw blocks of one size from one pool, and each step in flight keeps its states. That is why short contexts need
almost as much memory as long ones.

Source: vLLM models/deepseek_v4/attention.py, models/deepseek_v4/compressor.py (CompressorStateCache),
v1/attention/backends/mla/sparse_swa.py (DeepseekV4SWACache), v1/kv_cache_interface.py (SlidingWindowMLASpec),
v1/core/kv_cache_utils.py (group_and_unify_kv_cache_specs, _get_kv_cache_groups_uniform_groups).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from core.engines.blocks import Blocks, CacheSpec, Group
from core.engines.deployment import Version
from core.engines.parallelism import Split, stages
from core.model.mixers import CompressedAttention, Mixer
from core.model.precision import Precision
from core.model.spec import ModelSpec
from core.units import MIB

# Tokens of a block: "Setting kv cache block size to 256 for DEEPSEEK_SPARSE_SWA backend" (log of 0.26); those of the
# window and of states are constants of their modules (DeepseekV4SWACache, CompressorStateCache).
_BLOCK, _WINDOW_BLOCK, _OVERLAPPING_STATE_BLOCK, _STATE_BLOCK = 256, 64, 4, 8
# Overlapping windows: each vector comes of twice the tokens that it stands for (DeepseekCompressor, coff).
_OVERLAPPING_RATIO = 4
# fp8_ds_mla: 448 values of 8 bits, 64 rotary ones of 16 bits, 8 bytes of scales (real_page_size_bytes of
# MLAAttentionSpec); FlashMLA requires pages of a multiple of 576 bytes.
_FP8_ROW, _ALIGNMENT = 584, 576
_STATE_VALUE_BYTES = 4
# Pages of different caches share storage: in tuples of layers first, from pull request 44454 on by size, and from pull
# request 48993 on packed. Whole blocks are counted for concurrency from pull request 48317 on. The versions follow from
# logs: 0.22.1rc1 has tuples, 0.26.0 sizes and bytes (vllm-project/vllm issue 51041), 0.28.1 packed pages (issue 54703);
# an annotated copy of 0.27.1 counts whole blocks.
_BY_SIZE, _WHOLE_BLOCKS, _PACKED = (0, 23, 0), (0, 27, 0), (0, 28, 0)

# attention.py, PREFILL_CHUNK_SIZE: prompts that are gathered together, as 16-bit vectors.
_PROMPTS_GATHERED, _GATHERED_VALUE_BYTES = 4, 2
# v1/attention/backends/mla/indexer.py, get_max_prefill_buffer_size: contexts of index keys that are gathered together.
_CONTEXTS_INDEXED = 40
# envs.py, VLLM_SPARSE_INDEXER_MAX_LOGITS_MB: scores of the index, which the profiling run allocates
# (model_executor/layers/sparse_attn_indexer.py).
_INDEX_SCORES_BYTES = 512 * MIB
# models/deepseek_v4/nvidia/flashmla.py, get_padded_num_q_heads: the kernel has 64 or 128 query heads.
_PADDED_HEADS = (64, 128)


@dataclass(frozen=True)
class _Cache:
    """A cache of one layer.

    Attributes:
        page_bytes: bytes of one block of its tokens, aligned.
        block_tokens: tokens of a block.
        window: tokens; 0 for all.
    """

    page_bytes: int
    block_tokens: int
    window: int = 0


@dataclass(frozen=True)
class CompressedBlocks(Blocks):
    """The groups of a model with compressed attention.

    Attributes:
        group_bytes: bytes of one block of each group, as the engine adds them up.
        whole: whether each group's blocks are counted as blocks of the pool, or by their bytes.
    """

    group_bytes: tuple[int, ...] = ()
    whole: bool = True

    def of_sequence(self, context: int, in_flight: int) -> int:
        """Return the blocks of one sequence in all groups (get_max_concurrency_for_kv_cache_config)."""
        counts = [group.blocks(context, in_flight) for group in self.groups]
        if self.whole:
            return sum(counts)
        return -(-sum(count * size for count, size in zip(counts, self.group_bytes)) // self.group_bytes[0])

    def bytes_per_token(self) -> int:
        """Return the bytes that a long sequence adds per token: its share of a block."""
        return max(self.block_bytes) // _BLOCK


def has_compressed_attention(model: ModelSpec) -> bool:
    """Return whether `model` has layers like DeepSeek-V4's, which vLLM caches in these blocks."""
    return any(_compressing(model))


@lru_cache(maxsize=1024)
def compressed_blocks(model: ModelSpec, kv_precision: Precision, pp: Split, version: Version) -> CompressedBlocks:
    """Return the groups and blocks of `model` on `pp` stages; every GPU of a stage has all of them."""
    by_layer = [tuple(_caches(run.mixer, kv_precision)) for run in model.layers for _ in range(run.count)]
    members: dict[tuple[int, int], list[tuple[int, _Cache]]] = defaultdict(list)
    for layer, caches in enumerate(by_layer):
        for cache in caches:
            members[(cache.window, cache.block_tokens)].append((layer, cache))
    everything = members.pop((0, _BLOCK))
    slots = sorted({cache.page_bytes for _, cache in everything})
    windows = list(members.values()) if version >= _PACKED else [_enlarged(group, slots) for group in members.values()]
    tuples = _tuples([_longest(group) for group in (everything, *windows)])
    groups = [everything, *(part for group in windows for part in _split(group, tuples))]
    spans = stages(model, pp)
    return CompressedBlocks(
        groups=tuple(_group(group, spans) for group in groups),
        block_bytes=tuple(max(1, _block_bytes(_within(groups, span), slots, version)) for span in spans),
        group_bytes=tuple(_bytes(group) for group in groups),
        whole=version >= _WHOLE_BLOCKS,
    )


def _caches(mixer: Mixer, kv_precision: Precision) -> Iterator[_Cache]:
    assert isinstance(mixer, CompressedAttention), "every layer of such a model has it"
    is_fp8 = kv_precision.bytes_per_value <= 1 or kv_precision.name == "fp8_ds_mla"  # vLLM's name of that row
    alignment = _ALIGNMENT if is_fp8 else 1
    row = _FP8_ROW if is_fp8 else kv_precision.bytes_of(mixer.head_dim)

    def cache(tokens: int, rows: int, row_bytes: int, window: int = 0) -> _Cache:
        return _Cache(-(-rows * row_bytes // alignment) * alignment, tokens, window)

    yield cache(_WINDOW_BLOCK, _WINDOW_BLOCK, row, mixer.sliding_window)
    ratio = mixer.compress_ratio
    if not ratio:
        return
    yield cache(_BLOCK, _BLOCK // ratio, row)
    overlap = 2 if ratio == _OVERLAPPING_RATIO else 1
    block = _OVERLAPPING_STATE_BLOCK if ratio == _OVERLAPPING_RATIO else _STATE_BLOCK
    # Keys and scores, each of `overlap` vectors.
    yield cache(block, block, 2 * overlap * mixer.head_dim * _STATE_VALUE_BYTES, overlap * ratio)
    if mixer.index_bytes:
        yield cache(_BLOCK, _BLOCK // ratio, mixer.index_bytes)
        yield cache(block, block, 2 * overlap * mixer.index_head_dim * _STATE_VALUE_BYTES, overlap * ratio)


def _enlarged(group: list[tuple[int, _Cache]], slots: Sequence[int]) -> list[tuple[int, _Cache]]:
    """Enlarge pages to those of the caches of all tokens with which they share storage."""

    def fitting(cache: _Cache) -> _Cache:
        page_bytes = cache.page_bytes
        return replace(cache, page_bytes=min((slot for slot in slots if slot >= page_bytes), default=page_bytes))

    return [(layer, fitting(cache)) for layer, cache in group]


def _longest(group: list[tuple[int, _Cache]]) -> int:
    """Return the most caches of one size in the group: its layer tuples (get_num_layer_tuples)."""
    return max(len(members) for members in _by_size(group).values())


def _by_size(group: Sequence[tuple[int, _Cache]]) -> dict[int, list[tuple[int, _Cache]]]:
    sizes: dict[int, list[tuple[int, _Cache]]] = defaultdict(list)
    for layer, cache in group:
        sizes[cache.page_bytes].append((layer, cache))
    return sizes


def _tuples(counts: Sequence[int]) -> int:
    """Return the tuples, at least those of the first group, that leave the fewest places empty (_approximate_gcd)."""
    return min(range(counts[0], max(counts) + 1), key=lambda size: (sum(-count % size for count in counts), -size))


def _split(group: list[tuple[int, _Cache]], tuples: int) -> list[list[tuple[int, _Cache]]]:
    sizes = _by_size(group).values()
    parts = -(-max(map(len, sizes)) // tuples)
    return [[member for members in sizes for member in members[i::parts]] for i in range(parts)]


def _group(group: list[tuple[int, _Cache]], spans: Sequence[tuple[int, int]]) -> Group:
    first = group[0][1]
    counts = tuple(sum(start <= layer < end for layer, _ in group) for start, end in spans)
    spec = CacheSpec(-(-_bytes(group) // first.block_tokens), first.window)
    return Group(spec, first.block_tokens, counts)


def _bytes(group: Sequence[tuple[int, _Cache]]) -> int:
    return sum(cache.page_bytes for _, cache in group)


def _within(groups: list[list[tuple[int, _Cache]]], span: tuple[int, int]) -> list[list[tuple[int, _Cache]]]:
    return [[member for member in group if span[0] <= member[0] < span[1]] for group in groups]


def _block_bytes(groups: list[list[tuple[int, _Cache]]], slots: Sequence[int], version: Version) -> int:
    """Return the bytes of a block in one stage (_pool_bytes_per_block)."""
    if version >= _PACKED:
        return max(map(_bytes, groups))
    longest: dict[int, int] = defaultdict(int)
    for group in groups:
        for size, members in _by_size(group).items():
            longest[size] = max(longest[size], len(members))
    if version >= _BY_SIZE:
        return sum(size * count for size, count in longest.items())
    return sum(slots) * max(longest.values(), default=0)


def context_bytes(model: ModelSpec) -> int:
    """Return the bytes held per token of the context, for gathered vectors or index keys; 0 without compression.

    Both are gathered into one workspace, as large as the larger of them. Source: models/deepseek_v4/nvidia/flashmla.py,
    forward_mqa in the profiling run, and the indexer's; see the constants.
    """
    return max(map(_bytes_per_context_token, _compressing(model)), default=0)


def _bytes_per_context_token(mixer: CompressedAttention) -> int:
    gathered = _PROMPTS_GATHERED * mixer.head_dim * _GATHERED_VALUE_BYTES
    return -(-max(gathered, _CONTEXTS_INDEXED * mixer.index_bytes) // mixer.compress_ratio)


def _compressing(model: ModelSpec) -> Iterator[CompressedAttention]:
    for run in model.layers:
        # Not isinstance, which is slow for abstract classes: no class is derived from it.
        if type(run.mixer) is CompressedAttention and run.mixer.compress_ratio:
            yield run.mixer


def attention_peak_bytes(model: ModelSpec, tp: int, step_tokens: int, bytes_per_value: int) -> int:
    """Return the bytes of attention at its peak, for any context; 0 without compression.

    Alive are queries and outputs of padded heads, all residual streams, the index's scores, and in the workspace the
    vectors of the window and of the step. Checked on DeepSeek-V4-Flash under 0.26 on two GPUs, with `context_bytes` for
    600,000 tokens and steps of 4096 and 8192: 2.03 and 2.69 GiB logged, 1.92 and 2.60 computed.
    """
    mixer = next(_compressing(model), None)
    if mixer is None:
        return 0
    heads = next((heads for heads in _PADDED_HEADS if heads * tp >= mixer.num_attention_heads), _PADDED_HEADS[-1])
    values = 2 * heads * mixer.head_dim + (mixer.residual_streams + 1) * model.hidden_size
    values = step_tokens * values + _PROMPTS_GATHERED * (mixer.sliding_window + step_tokens) * mixer.head_dim
    if any(layer.index_bytes for layer in _compressing(model)):
        values += _INDEX_SCORES_BYTES // _GATHERED_VALUE_BYTES
    return values * bytes_per_value
