"""Count what one GPU reads and computes for a token of a model: bytes, operations, kernels and all-reduces.

All figures are sums over the layers of all pipeline stages, on one tensor-parallel rank, because a token passes
through every stage in turn.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from functools import lru_cache

from core.catalog.hardware import Gpu
from core.catalog.kernels import SIXTEEN_BIT, WIDENED, check_format, rate_of_format
from core.engines.parallelism import tensor_parallel_obstacle, tensors_on_rank
from core.errors import UnsupportedModelError
from core.model.kv_profile import KvProfile
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
class WeightFigures:
    """The weights that one GPU reads and computes with.

    Attributes:
        dense_bytes: bytes read in every step: all but experts, towers and an embedding that is not the head too.
        dense_peak_s: seconds per token of their operations at the GPU's peak rates.
        head_peak_s: the part of it that the output head takes, which a prompt needs only once.
        dense_widened: share of `dense_bytes` that is widened to 16 bits before it is computed with.
        expert_bytes, expert_peak_s, expert_widened: the same of all routed experts; operations of the selected ones.
        untouched: chance that one token does not select an expert: 1 − experts per token ÷ experts.
        kernels, all_reduces: of one step.
        gathered_values: values per token that all-reduces add up.
    """

    dense_bytes: float
    dense_peak_s: float
    head_peak_s: float
    dense_widened: float
    expert_bytes: float
    expert_peak_s: float
    expert_widened: float
    untouched: float
    kernels: float
    all_reduces: float
    gathered_values: float


@lru_cache(maxsize=4096)
def weight_figures(
    model: ModelSpec, precision: Precision | None, gpu: Gpu, engine: str, tp: int, attention_groups: int = 1
) -> WeightFigures:
    """Return the figures of the weights in `precision` (None: as the checkpoint stores them) on one of `tp` ranks.

    Args:
        attention_groups: groups of ranks with their own sequences, each of which holds all attention weights.

    Raises:
        UnsupportedModelError: only the size of the model is known.
        OutOfRangeError: the engine has no kernel for a format on that GPU, or the GPU's compute rate is not known.
    """
    if model.vocab_size is None or model.stated_parameters is not None:
        raise UnsupportedModelError(
            "model",
            f"only the size of {model.name} is known, which is not enough to compute a speed",
            "Name a model of the catalog, or give its config.json.",
        )
    sums: dict[str, float] = defaultdict(float)
    quantized_layers = 0
    for tensors, numbers in storage_groups(model, precision):
        quantized = False
        for whole, split in zip(tensors_on_rank(tensors, tp // attention_groups), tensors_on_rank(tensors, tp)):
            tensor = whole if whole.group == ATTENTION else split
            unit = _add(sums, tensor, model, numbers[0], len(numbers), precision, gpu, engine)
            quantized = quantized or unit not in (SIXTEEN_BIT, WIDENED)
        quantized_layers += quantized * len(numbers)
    for tensor, times in counted_outer_tensors(model):
        if tensor.group == VISION or (tensor.group == EMBEDDING and not _serves_as_head(tensor, model)):
            continue
        _add(sums, tensor.on_rank(tp), model, None, times, precision, gpu, engine)
    halves, kernels = _halves_and_kernels(model)
    routed = [run.mlp for run in model.layers if run.mlp is not None and run.mlp.num_routed_experts]
    experts = routed[0].num_routed_experts if routed else 1
    per_token = routed[0].expert_peak(model.hidden_size, 1)[0] if routed else 1
    return WeightFigures(
        dense_bytes=sums["dense"],
        dense_peak_s=sums["dense_s"],
        head_peak_s=sums["head_s"],
        dense_widened=sums["dense_widened"] / max(1, sums["dense"]),
        expert_bytes=sums["expert"],
        expert_peak_s=sums["expert_s"],
        expert_widened=sums["expert_widened"] / max(1, sums["expert"]),
        untouched=1 - per_token / experts,
        kernels=kernels + 2 * _QUANTIZE_KERNELS * quantized_layers * halves / max(1, 2 * model.num_hidden_layers),
        all_reduces=halves if tp > 1 else 0,
        gathered_values=model.hidden_size,
    )


def attention_groups(model: ModelSpec, gpus_per_node: int, tp: int) -> int:
    """Return into how many groups engines divide the ranks for attention; 1 within a node.

    Beyond a node, wide expert parallelism gives each group its own sequences: one a rank for latent attention, whose
    cache is whole on every rank, else as few as its heads allow (DeepSeek-V3, arXiv:2412.19437, section 3.4; vLLM docs,
    "Expert Parallel Deployment"; SGLang docs, DP attention).
    """
    if tp <= gpus_per_node or not any(run.mlp is not None and run.mlp.num_routed_experts for run in model.layers):
        return 1
    if any(isinstance(part, LatentAttention) for run in model.layers for part in run.mixer.parts):
        return tp
    groups = (number for number in range(1, tp) if tp % number == 0)
    return next((number for number in groups if not tensor_parallel_obstacle(model, tp // number, True)), 1)


def _serves_as_head(tensor: Tensor, model: ModelSpec) -> bool:
    return model.tie_word_embeddings and tensor.name == "embed_tokens"


def _add(
    sums: dict[str, float], tensor: Tensor, model: ModelSpec, layer: int | None, times: int,
    precision: Precision | None, gpu: Gpu, engine: str,
) -> str:  # fmt: skip
    """Add one tensor's bytes and seconds to `sums`; return the unit that computes with it."""
    stored = tensor_precision(tensor, model, layer, precision)
    check_format(engine, stored, gpu)
    rate = rate_of_format(stored, gpu)
    size = stored_bytes(tensor, model, layer, precision) * times
    seconds = 2 * tensor.active_parameters * times / rate.flops_per_s if tensor.columns > 1 else 0.0
    part = "expert" if tensor.group == EXPERT else "dense"
    sums[part] += size
    sums[f"{part}_s"] += seconds
    if rate.unit == WIDENED:
        sums[f"{part}_widened"] += size
    if tensor.group in (HEAD, EMBEDDING):
        sums["head_s"] += seconds
    return rate.unit


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
class AttentionFigures:
    """What token mixers of all layers read and compute on one GPU.

    Attributes:
        cache_bytes: bytes of the cache that one sequence reads for one token.
        flops: operations of one token of a sequence.
        prompt_flops: operations of a whole prompt.
    """

    cache_bytes: float
    flops: float
    prompt_flops: float


@lru_cache(maxsize=8192)
def attention_figures(
    model: ModelSpec, kv_precision: Precision, tp: int, context: int, prompt_tokens: int
) -> AttentionFigures:
    """Return the figures for a token of a sequence of `context` tokens, and for a prompt."""
    counts: Counter[Mixer] = Counter()
    for run in model.layers:
        for part in run.mixer.parts:
            counts[part] += run.count
    bytes_read = flops = prompt_flops = 0.0
    for mixer, count in counts.items():
        read = _tokens_read(mixer, context)
        cached = context if isinstance(mixer, CompressedAttention) else read  # its profile counts one of every few
        bytes_read += count * _bytes_read(mixer.kv_profile(tp), cached, context, kv_precision)
        per_pair, prompt_per_pair, fixed = _flops(mixer, tp)
        flops += count * (per_pair * read + fixed)
        prompt_flops += count * (prompt_per_pair * _pairs(mixer, prompt_tokens) + fixed * prompt_tokens)
    return AttentionFigures(cache_bytes=bytes_read, flops=flops, prompt_flops=prompt_flops)


def _window(mixer: Mixer) -> int | None:
    """Return the most tokens that a query reads; None for all."""
    if isinstance(mixer, SlidingWindowAttention):
        return mixer.sliding_window
    return _SPARSE_TOKENS if mixer.is_sparse_latent else None


def _tokens_read(mixer: Mixer, context: int) -> float:
    if isinstance(mixer, CompressedAttention):
        compressed = context / mixer.compress_ratio if mixer.compress_ratio else 0
        return min(context, mixer.sliding_window) + compressed
    return min(context, _window(mixer) or context)


def _pairs(mixer: Mixer, tokens: int) -> float:
    """Return the pairs of a query and an earlier token in a prompt."""
    if isinstance(mixer, CompressedAttention):
        compressed = tokens * tokens / 2 / mixer.compress_ratio if mixer.compress_ratio else 0
        return tokens * min(tokens, mixer.sliding_window) + compressed
    window = min(_window(mixer) or tokens, tokens)
    return window * tokens - window * window / 2


def _bytes_read(profile: KvProfile, read: float, context: int, precision: Precision) -> float:
    """Return the bytes that one layer reads; a recurrent state is read and written."""
    values = profile.values_per_token * read + profile.fixed_values
    values += sum(each * min(context, window) for window, each in profile.windowed)
    return values * precision.bytes_per_value + profile.index_bytes_per_token * context + 2 * profile.fixed_bytes


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
