"""Count what one GPU reads and computes for a token of a model: bytes, operations, kernels and all-reduces.

All figures are sums over the layers of all pipeline stages, on one tensor-parallel rank, because a token passes
through every stage in turn.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any

from core.catalog.hardware import Gpu
from core.catalog.kernels import KINDS, SIXTEEN_BIT, WIDENED, check_kind, kind_of_format, rate_of_kind
from core.engines.blocks import BLOCK_TOKENS
from core.engines.parallelism import tensor_parallel_obstacle, tensors_on_rank
from core.engines.served import with_draft_layers
from core.errors import UnsupportedModelError
from core.model.counts import model_counts
from core.model.mixers import (
    CompressedAttention,
    FullAttention,
    LatentAttention,
    Mixer,
    NoMixer,
    RecurrentState,
    SlidingWindowAttention,
)
from core.model.parameters import counted_outer_tensors
from core.model.precision import Precision
from core.model.spec import ModelSpec
from core.model.tensors import ATTENTION, EMBEDDING, EXPERT, HEAD, VISION, Tensor
from core.model.weights import storage_groups, stored_bytes, tensor_precision
from core.plan import speed_terms
from core.plan.layout_figures import has_experts, has_shapes

# Tokens that DeepSeek-V3.2's attention reads of any context: its config.json, index_topk.
_SPARSE_TOKENS = 2048

# Kernels that a step launches for each part of a layer, counted in vLLM's model files with its fusions
# (model_executor/models, layers/fused_moe, layers/mamba): norm, projections, rotation with the cache's write, attention
# and output; norm, two projections and the activation. A quantized activation takes one launch per projection pair.
_ATTENTION_KERNELS, _MLP_KERNELS, _MOE_KERNELS, _LATENT_KERNELS, _RECURRENT_KERNELS, _QUANTIZE_KERNELS = (
    5,
    4,
    7,
    5,
    6,
    2,
)
_INDEXER_KERNELS = 10  # sparse attention: projections, norm, rotation, quantization, cache, logits, top-k, indices

# Operations per value of a recurrent state and token: decay, outer product and read-out (Dao & Gu 2024,
# arXiv:2405.21060, section 6).
_STATE_FLOPS = 6


def served_format(model: ModelSpec, precision: Precision | None) -> Precision | None:
    """Return the format in which 4-bit and 8-bit floating-point weights with scales are served.

    A model that is shipped in the format is served as shipped. Latent attention stays in 16 bits (NVIDIA's
    checkpoints DeepSeek-R1-FP4 and Kimi-K2-Thinking-NVFP4, hf_quant_config.json).
    """
    if precision is None or precision.name not in ("nvfp4", "mxfp4", "mxfp8"):
        return precision
    shipped = model.quantization
    if shipped is not None and any(found.name == precision.name for _, found in shipped.formats):
        return None
    latent = any(isinstance(part, LatentAttention) for run in model.layers for part in run.mixer.parts)
    return replace(precision, groups=precision.groups - {ATTENTION}) if latent else precision


@dataclass(frozen=True, kw_only=True)
class WeightRow:
    """The weights that one GPU of a tensor-parallel group reads and computes with, on any type of GPU.

    "Dense" is what every token uses: all but experts, towers, and an embedding that is not the head too. A part of it
    can be kept in 16 bits. Operations are two for each parameter and token.

    Attributes:
        kept_bytes, kept_flops: dense weights in 16 or more bits, and their operations.
        kept_prompt_flops: the same without the output head, which a prompt needs only once.
        quantized_bytes, quantized_flops, quantized_prompt_flops: the same of dense weights in fewer bits.
        expert_bytes, expert_flops: all routed experts; operations of the selected ones.
        dense_kind, expert_kind: number of the kind of their format in `core.catalog.kernels.KINDS`, from 1.
        untouched: chance that one token does not select an expert: 1 − experts per token ÷ experts.
        touch_rate: −ln of that chance; 0 without experts.
        plain_kernels: kernels of one step, without those that quantize activations.
        dense_quantizing, expert_quantizing: those that quantize activations, in layers with such dense
            weights or experts, where the GPU computes in the format.
        all_reduces, gathered_values: all-reduces of one step, and the values per token that each adds up.
    """

    kept_bytes: float
    kept_flops: float
    kept_prompt_flops: float
    quantized_bytes: float
    quantized_flops: float
    quantized_prompt_flops: float
    expert_bytes: float
    expert_flops: float
    dense_kind: int
    expert_kind: int
    untouched: float
    touch_rate: float
    plain_kernels: int
    dense_quantizing: float
    expert_quantizing: float
    all_reduces: int
    gathered_values: int


_KEPT = KINDS.index("16-bit") + 1


def has_speed(model: ModelSpec) -> bool:
    """Return whether a speed can be computed of `model`: its shapes are known, and it caches what it generates from."""
    return has_shapes(model) and not is_without_cache(model)


def check_has_speed(model: ModelSpec) -> None:
    """Raise an error if no speed can be computed of `model` on any GPU.

    Raises:
        UnsupportedModelError: only its size is known, or it generates no tokens.
    """
    _check_shapes(model)
    if is_without_cache(model):
        problem = f"{model.name} has no KV cache of its own and generates no tokens"
        raise UnsupportedModelError("model", problem, "Name a model that generates text, or ask for memory alone.")


def _check_shapes(model: ModelSpec) -> None:
    if not has_shapes(model):
        raise UnsupportedModelError(
            "model",
            f"only the size of {model.name} is known, which is not enough to compute a speed",
            "Name a model of the catalog, or give its config.json.",
        )


def is_without_cache(model: ModelSpec) -> bool:
    """Return whether `model` caches nothing itself: an encoder, which embeds, ranks or classifies texts."""
    kv = model_counts(model).kv
    return not (kv.values_per_token or kv.windowed or kv.fixed_values or kv.fixed_bytes)


@lru_cache(maxsize=4096)
def weight_row(model: ModelSpec, precision: Precision | None, tp: int, attention_groups: int = 1) -> WeightRow:
    """Return the figures of the weights in `precision` (None: as the checkpoint stores them) on one of `tp` ranks.

    Args:
        attention_groups: groups of ranks with their own sequences, each of which holds all attention weights.

    Raises:
        UnsupportedModelError: only the size of the model is known.
    """
    _check_shapes(model)
    sums = _Sums()
    quantized_layers = {"dense": 0, "expert": 0}
    for tensors, numbers in storage_groups(model, precision):
        quantized = set()
        for whole, split in zip(tensors_on_rank(tensors, tp // attention_groups), tensors_on_rank(tensors, tp)):
            tensor = whole if whole.group == ATTENTION else split
            if sums.add(tensor, model, numbers[0], len(numbers), precision) != _KEPT:
                quantized.add("expert" if tensor.group == EXPERT else "dense")
        for part in quantized:
            quantized_layers[part] += len(numbers)
    for tensor, times in counted_outer_tensors(model):
        if tensor.group != VISION and (tensor.group != EMBEDDING or _serves_as_head(tensor, model)):
            sums.add(tensor.on_rank(tp), model, None, times, precision)
    halves, kernels = _halves_and_kernels(model)
    routed = [run.mlp for run in model.layers if run.mlp is not None and run.mlp.num_routed_experts]
    experts = routed[0].num_routed_experts if routed else 1
    per_token = routed[0].expert_peak(model.hidden_size, 1)[0] if routed else 1
    quantize_kernels = 2 * _QUANTIZE_KERNELS * halves / max(1, 2 * model.num_hidden_layers)
    return WeightRow(
        kept_bytes=sums.bytes["kept"],
        kept_flops=sums.flops["kept"],
        kept_prompt_flops=sums.flops["kept"] - sums.head_flops["kept"],
        quantized_bytes=sums.bytes["quantized"],
        quantized_flops=sums.flops["quantized"],
        quantized_prompt_flops=sums.flops["quantized"] - sums.head_flops["quantized"],
        expert_bytes=sums.bytes["expert"],
        expert_flops=sums.flops["expert"],
        dense_kind=sums.kind("quantized"),
        expert_kind=sums.kind("expert"),
        untouched=1 - per_token / experts,
        touch_rate=-math.log(1 - per_token / experts) if per_token < experts else 0,
        plain_kernels=kernels,
        dense_quantizing=quantize_kernels * quantized_layers["dense"],
        expert_quantizing=quantize_kernels * quantized_layers["expert"],
        all_reduces=halves if tp > 1 else 0,
        gathered_values=model.hidden_size,
    )


@dataclass(frozen=True, kw_only=True)
class DraftRow:
    """What drafting one token takes on one GPU of a tensor-parallel group.

    Attributes:
        draft_bytes, draft_expert_bytes: dense weights that are read, with the output head, and all routed experts.
        draft_work, draft_expert_work: operations with them, as a share of the model's for one token.
        draft_cache: cache that is read, as a share of what the model reads.
        draft_all_reduces, draft_kernels: all-reduces and kernels.
    """

    draft_bytes: float
    draft_expert_bytes: float
    draft_work: float
    draft_expert_work: float
    draft_cache: float
    draft_all_reduces: float
    draft_kernels: float


NO_DRAFTS = DraftRow(**{figure.name: 0 for figure in fields(DraftRow)})


@lru_cache(maxsize=4096)
def own_draft_row(model: ModelSpec, precision: Precision | None, tp: int, attention_groups: int = 1) -> DraftRow:
    """Return the figures of the model's own layer that drafts, which has the model's output head; 0 without one.

    Args:
        precision, tp, attention_groups: as for `weight_row`.

    Raises:
        UnsupportedModelError: only the size of the model is known.
    """
    if model.drafts is None:
        return NO_DRAFTS
    main = weight_row(model, precision, tp, attention_groups)
    both = weight_row(with_draft_layers(model, 1), precision, tp, attention_groups)
    head_flops = main.kept_flops - main.kept_prompt_flops + main.quantized_flops - main.quantized_prompt_flops
    return DraftRow(
        draft_bytes=_dense_bytes(both) - _dense_bytes(main) + head_flops,  # 2 bytes and 2 operations a parameter
        draft_expert_bytes=both.expert_bytes - main.expert_bytes,
        draft_work=_share(_dense_flops(both) - _dense_flops(main) + head_flops, _dense_flops(main)),
        draft_expert_work=_share(both.expert_flops - main.expert_flops, main.expert_flops),
        draft_cache=1 / model.num_hidden_layers,
        draft_all_reduces=both.all_reduces - main.all_reduces,
        draft_kernels=both.plain_kernels - main.plain_kernels,
    )


@lru_cache(maxsize=4096)
def draft_model_row(draft: ModelSpec, model: ModelSpec, tp: int) -> DraftRow:
    """Return the figures of another model that drafts for `model`, as it is shipped.

    Args:
        tp: GPUs of a group; a draft model that they cannot divide is whole on each.

    Raises:
        UnsupportedModelError: only the size of one of the models is known.
    """
    ranks = 1 if tensor_parallel_obstacle(draft, tp) else tp
    main, own = weight_row(model, None, tp), weight_row(draft, served_format(draft, None), ranks)
    return DraftRow(
        draft_bytes=_dense_bytes(own),
        draft_expert_bytes=own.expert_bytes,
        draft_work=_share(_dense_flops(own), _dense_flops(main)),
        draft_expert_work=_share(own.expert_flops, main.expert_flops),
        draft_cache=_share(attention_row(draft, ranks).full_values, attention_row(model, tp).full_values),
        draft_all_reduces=own.all_reduces,
        draft_kernels=own.plain_kernels,
    )


def _dense_bytes(row: WeightRow) -> float:
    return row.kept_bytes + row.quantized_bytes


def _dense_flops(row: WeightRow) -> float:
    return row.kept_flops + row.quantized_flops


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0


class _Sums:
    """Bytes, operations and kinds of formats of the tensors on one GPU, by part: "kept", "quantized" or "expert"."""

    def __init__(self) -> None:
        self.bytes: Counter[str] = Counter()
        self.flops: Counter[str] = Counter()
        self.head_flops: Counter[str] = Counter()
        self.kinds: dict[str, Counter[int]] = defaultdict(Counter)

    def add(self, tensor: Tensor, model: ModelSpec, layer: int | None, times: int, precision: Precision | None) -> int:
        """Add a tensor that occurs `times` times; return the number of the kind of its format."""
        kind = KINDS.index(kind_of_format(tensor_precision(tensor, model, layer, precision))) + 1
        part = "expert" if tensor.group == EXPERT else "kept" if kind == _KEPT else "quantized"
        flops = 2 * tensor.active_parameters * times if tensor.columns > 1 else 0
        self.bytes[part] += stored_bytes(tensor, model, layer, precision) * times
        self.flops[part] += flops
        if tensor.group in (HEAD, EMBEDDING):
            self.head_flops[part] += flops
        self.kinds[part][kind] += 1 + flops
        return kind

    def kind(self, part: str) -> int:
        """Return the kind with the most operations; that of 16 bits for a part without tensors."""
        return max(self.kinds[part], key=self.kinds[part].__getitem__, default=_KEPT)


@lru_cache(maxsize=4096)
def weight_figures(
    model: ModelSpec, precision: Precision | None, gpu: Gpu, engine: str, tp: int, attention_groups: int = 1
) -> Mapping[str, float]:
    """Return every input and term of `core.plan.speed_terms.WEIGHTS` for a GPU by name; do not change the mapping.

    Args:
        precision, tp, attention_groups: as for `weight_row`.

    Raises:
        UnsupportedModelError: only the size of the model is known, or it generates no tokens.
        OutOfRangeError: the engine has no kernel for a format on that GPU, or the GPU's compute rate is not known.
    """
    check_has_speed(model)
    row = weight_row(model, precision, tp, attention_groups)
    given: dict[str, Any] = {**vars(row), "sixteen_bit_flops_per_s": rate_of_kind("16-bit", gpu).flops_per_s}
    for part, number in (("dense", row.dense_kind), ("expert", row.expert_kind)):
        kind = KINDS[number - 1]
        check_kind(engine, kind, gpu)
        rate = rate_of_kind(kind, gpu)
        given[f"{part}_flops_per_s"] = rate.flops_per_s
        given[f"{part}_is_widened"] = int(rate.unit == WIDENED)
        given[f"{part}_is_native"] = int(rate.unit not in (SIXTEEN_BIT, WIDENED))
    return given | speed_terms.WEIGHTS.compute(given)


def attention_groups(model: ModelSpec, gpus_per_node: int, tp: int) -> int:
    """Return into how many groups engines divide the ranks for attention; 1 within a node.

    Beyond a node, wide expert parallelism gives each group its own sequences: one a rank for latent attention, whose
    cache is whole on every rank, else as few as its heads allow (DeepSeek-V3, arXiv:2412.19437, section 3.4; vLLM docs,
    "Expert Parallel Deployment"; SGLang docs, DP attention).
    """
    if tp <= gpus_per_node or not has_experts(model):
        return 1
    if any(isinstance(part, LatentAttention) for run in model.layers for part in run.mixer.parts):
        return tp
    groups = (number for number in range(1, tp) if tp % number == 0)
    return next((number for number in groups if not tensor_parallel_obstacle(model, tp // number, True)), 1)


def _serves_as_head(tensor: Tensor, model: ModelSpec) -> bool:
    return model.tie_word_embeddings and tensor.name == "embed_tokens"


def _halves_and_kernels(model: ModelSpec) -> tuple[int, int]:
    """Return the half layers (a token mixer or a feed-forward block), and the kernels of one step."""
    halves = kernels = 0
    for run in model.layers:
        if not isinstance(run.mixer, NoMixer):
            halves += run.count
            for part in run.mixer.parts:
                extra = _LATENT_KERNELS if isinstance(part, LatentAttention) else 0
                extra += _INDEXER_KERNELS if part.is_sparse_latent else 0
                extra += _RECURRENT_KERNELS if isinstance(part, RecurrentState) else 0
                kernels += run.count * (_ATTENTION_KERNELS + extra)
        if run.mlp is not None:
            halves += run.count
            kernels += run.count * (_MLP_KERNELS + (_MOE_KERNELS if run.mlp.num_routed_experts else 0))
    return halves, kernels


@dataclass(frozen=True, kw_only=True)
class AttentionRow:
    """What token mixers of all layers read and compute on one GPU, for any context.

    Attributes:
        read_window: most tokens that a query reads in layers with a window or sparse attention.
        full_values, window_values: values cached for a token that is read, by layers that read every token and by
            those with a window.
        full_flops, window_flops: operations of a query for each token that it reads.
        full_prompt_flops, window_prompt_flops: the same in a prompt, for each pair of a query and an earlier token.
        once_values: values read for every query, in the cache's precision.
        once_bytes: states, which every query reads and writes.
        once_flops: operations of a query that do not depend on the context.
        indexed_bytes: bytes of the index of sparse attention for each token of the context.
    """

    read_window: int
    full_values: float
    window_values: float
    full_flops: float
    window_flops: float
    full_prompt_flops: float
    window_prompt_flops: float
    once_values: float
    once_bytes: float
    once_flops: float
    indexed_bytes: float


@lru_cache(maxsize=4096)
def attention_row(model: ModelSpec, tp: int) -> AttentionRow:
    """Return the figures of one of `tp` ranks. Of windows of several sizes, the largest stands for all."""
    sums: dict[str, float] = defaultdict(float)
    windows = [0]
    for run in model.layers:
        for mixer in run.mixer.parts:
            window, share = _window(mixer), _share_of_all(mixer)
            windows.append(window or 0)
            profile = mixer.kv_profile(tp)
            flops, prompt_flops, once = _flops(mixer, tp)
            in_window = sum(values for _, values in profile.windowed)
            compressed = isinstance(mixer, CompressedAttention)  # its profile counts one of every few tokens already
            figures = {
                "full_values": profile.values_per_token * (1 if compressed else share),
                "window_values": in_window + (0 if compressed or not window else profile.values_per_token),
                "full_flops": flops * share,
                "window_flops": flops if window else 0,
                "full_prompt_flops": prompt_flops * share,
                "window_prompt_flops": prompt_flops if window else 0,
                "once_values": profile.fixed_values,
                "once_bytes": 2 * profile.fixed_bytes,
                "once_flops": once,
                "indexed_bytes": profile.index_bytes_per_token,
            }
            for name, value in figures.items():
                sums[name] += run.count * value
    return AttentionRow(read_window=max(windows), **{name: sums[name] for name in _ATTENTION_SUMS})


_ATTENTION_SUMS = tuple(one.name for one in fields(AttentionRow) if one.name != "read_window")


@lru_cache(maxsize=8192)
def attention_figures(
    model: ModelSpec, kv_precision: Precision, tp: int, context: int, prompt_tokens: int, shared_tokens: int = 0
) -> Mapping[str, float]:
    """Return every input and term of `core.plan.speed_terms.ATTENTION` by name; do not change the mapping.

    Args:
        context: the tokens of a sequence of which the next one is generated.
        prompt_tokens: the tokens of a prompt.
        shared_tokens: those of a prompt that all users share.
    """
    given = {
        **vars(attention_row(model, tp)),
        "value_bytes": kv_precision.bytes_per_value,
        "mean_context": context,
        "prompt_tokens": prompt_tokens,
        "shared_tokens": shared_tokens,
        "kv_block_tokens": BLOCK_TOKENS,
    }
    return given | speed_terms.ATTENTION.compute(given)


def _window(mixer: Mixer) -> int | None:
    """Return the most tokens that a query reads, without compressed ones; None for all."""
    if isinstance(mixer, SlidingWindowAttention | CompressedAttention):
        return mixer.sliding_window
    return _SPARSE_TOKENS if mixer.is_sparse_latent else None


def _share_of_all(mixer: Mixer) -> float:
    """Return how many vectors a query reads for each token of the context, beyond a window."""
    if isinstance(mixer, CompressedAttention):
        return 1 / mixer.compress_ratio if mixer.compress_ratio else 0
    return 0 if _window(mixer) else 1


def _flops(mixer: Mixer, tp: int) -> tuple[float, float, float]:
    """Return operations per query and token read when generating, the same in a prompt, and per token in any case."""
    if isinstance(mixer, LatentAttention):
        heads = -(-mixer.num_attention_heads // tp)
        absorbed = 2 * heads * (2 * mixer.kv_lora_rank + mixer.qk_rope_head_dim)
        unfolded = 2 * heads * (mixer.qk_nope_head_dim + mixer.qk_rope_head_dim + mixer.v_head_dim)
        return absorbed, absorbed if mixer.is_sparse_latent else unfolded, 0
    if isinstance(mixer, CompressedAttention):
        pair = 4 * -(-mixer.num_attention_heads // tp) * mixer.head_dim
        return pair, pair, 0
    if isinstance(mixer, FullAttention):
        pair = 2 * -(-mixer.num_attention_heads // tp) * (mixer.head_dim + mixer.value_head_dim)
        return pair, pair, 0
    if isinstance(mixer, RecurrentState):
        return 0, 0, _STATE_FLOPS * mixer.ssm_values / tp
    return 0, 0, 0
