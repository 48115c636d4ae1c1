"""llama.cpp: layers dealt out over GPUs, one cache for all sequences, and a buffer to compute in.

Source: llama.cpp src/llama-model.cpp (layers and buffers), src/llama-kv-cache.cpp, src/llama-kv-cache-iswa.cpp,
src/llama-context.cpp. A "version" is a build number.
"""

from __future__ import annotations

from core.engines.blocks import CacheSpec, cache_specs
from core.engines.deployment import Budget, Deployment, Engine, Pool, Size, exactly, within
from core.engines.parallelism import by_stage, layer_bytes_on_rank, outer_on_rank, stages
from core.engines.shapes import StageShapes, stage_shapes
from core.model.spec import FullAttention, ModelSpec
from core.model.tensors import EMBEDDING, VISION
from core.model.weights import stored_bytes, weights_bytes
from core.units import GIB

# Cells of the cache come in multiples of this (llama-context.cpp pads n_ctx; llama-kv-cache-iswa.cpp, GGML_PAD).
_CELLS = 256
_UBATCH = 512  # common/common.h, n_ubatch
# FlashAttention is used where it can be from here on (pull request 15434).
_FLASH_BY_DEFAULT = (6325, 0, 0)
_FLOAT_BYTES = 4  # compute buffers are 32-bit throughout

# CUDA's context and kernels, which llama.cpp's own report leaves out (common/fit.cpp keeps 1 GiB free for it and
# others).
_CONTEXT = Size(round(0.5 * GIB), round(0.25 * GIB), round(1.0 * GIB))


def compute_buffer_bytes(shapes: StageShapes, ubatch: int) -> int:
    """The buffer in which a micro batch is computed, attention aside: on the last GPU logits beside the hidden states.

    Logged for Llama-3-8B and 512 tokens: 258.5 MiB = 512 × (128 256 + 4096) × 4 bytes.
    """
    logits = shapes.vocab_size + shapes.hidden_size
    forward = shapes.mlp_copies * shapes.mlp_width + 3 * shapes.hidden_size
    experts = shapes.experts_per_token * (2 * shapes.expert_width + shapes.expert_input)
    return ubatch * max(logits, forward, experts + 3 * shapes.hidden_size) * _FLOAT_BYTES


def attention_buffer_bytes(model: ModelSpec, context: int, ubatch: int) -> int:
    """The same buffer while attention without FlashAttention runs: scores of every head over the whole cache.

    Beside them a mask for each kind of layer, queries before and after their rotation, the residual and its norm.
    Logged for Qwen3-32B at 40 960 tokens: 5252.0 MiB, so computed 5252; for Gemma 3 27B at 131 072: 8743.5, 8741.
    """
    mixers = [run.mixer for run in model.layers if isinstance(run.mixer, FullAttention)]
    if not mixers:
        return 0
    widest = max(mixers, key=lambda mixer: mixer.num_attention_heads)
    masks = len({getattr(mixer, "sliding_window", 0) for mixer in mixers})
    scores = (widest.num_attention_heads + masks) * _padded(context)
    hidden = widest.num_attention_heads * widest.head_dim + model.hidden_size
    return ubatch * (scores + 2 * hidden) * _FLOAT_BYTES


def _activation(deployment: Deployment, shapes: StageShapes, ubatch: int) -> Size:
    """Within what has been logged; before FlashAttention was the default, it may be on all the same."""
    flash = within(compute_buffer_bytes(shapes, ubatch), 0.9, 1.5)
    if deployment.version >= _FLASH_BY_DEFAULT:
        return flash
    plain = max(flash.expected, attention_buffer_bytes(deployment.model, deployment.context, ubatch))
    return Size(plain, flash.low, within(plain, 1, 1.5).high)


def weights_by_stage(deployment: Deployment) -> tuple[int, ...]:
    """Bytes of the weights on each GPU: the token embedding stays on the host unless the head is tied to it.

    Without towers for images and sound, which are a file of their own (--mmproj).
    """
    model, precision = deployment.model, deployment.precision
    if model.stated_parameters is not None:
        return (-(-weights_bytes(model, precision) // deployment.pp),) * deployment.pp

    def outside(stage: int) -> int:
        tied = model.tie_word_embeddings and stage == deployment.pp - 1
        return sum(
            stored_bytes(tensor, model, None, precision) * times
            for tensor, times in outer_on_rank(model, 1, deployment.pp, stage)
            if tensor.group != VISION and (tensor.group != EMBEDDING or tied)
        )

    return by_stage(model, deployment.pp, layer_bytes_on_rank(model, precision, 1), outside)


def budgets(deployment: Deployment) -> tuple[Budget, ...]:
    """What each GPU holds. Nothing is set aside: `memory_utilization` is 1 unless given."""
    shapes = stage_shapes(deployment.model, deployment.precision, 1, deployment.pp)
    usable = round(deployment.device.memory_bytes * (deployment.memory_utilization or 1))
    ubatch = deployment.max_batched_tokens or _UBATCH
    return tuple(
        Budget(
            usable_bytes=usable,
            weights=exactly(weights),
            activation=_activation(deployment, stage, ubatch),
            graphs=exactly(0),
            other=_CONTEXT,
            graphs_count=True,
        )
        for weights, stage in zip(weights_by_stage(deployment), shapes)
    )


def pool(deployment: Deployment) -> Pool:
    """Cells for every token of every sequence; layers with a window keep it and a micro batch, in cells of their own.

    A "block" is one byte here, as each sequence takes a stretch of its own length.
    """
    by_layer = cache_specs(deployment.model, deployment.kv_precision, 1)
    spans = stages(deployment.model, deployment.pp)
    ubatch = deployment.max_batched_tokens or _UBATCH
    fullest = max(spans, key=lambda span: _sequence_bytes(by_layer[span[0] : span[1]], deployment.context, ubatch))
    layers = by_layer[fullest[0] : fullest[1]]
    full = sum(kept.bytes_per_token for layer in layers for kept in layer if not kept.window)
    whole = max(1, _sequence_bytes(layers, deployment.context, ubatch))
    return Pool(
        block_bytes=(1,) * deployment.pp,
        blocks_of=lambda context: max(1, _sequence_bytes(layers, context, ubatch)),
        tokens_announced=lambda count, context: count // whole * context if not full else count // full,
        bytes_per_token=full,
    )


def _sequence_bytes(layers: list[tuple[CacheSpec, ...]], context: int, ubatch: int) -> int:
    total = 0
    for layer in layers:
        for kept in layer:
            cells = _padded(context)
            if kept.window:
                cells = min(cells, _padded(kept.window + ubatch))
            total += kept.bytes_per_token * cells + kept.state_bytes
    return total


def _padded(tokens: int) -> int:
    return -(-tokens // _CELLS) * _CELLS


ENGINE = Engine(
    name="llama.cpp",
    default_version="b6325",
    budgets=budgets,
    pool=pool,
    max_sequences=lambda deployment: deployment.max_sequences or 256,  # llama.h, LLAMA_MAX_SEQ
)
