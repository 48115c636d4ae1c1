"""Compute the memory of llama.cpp: layers distributed over GPUs, one cache for all sequences, a compute buffer.

Source: llama.cpp src/llama-model.cpp (layers and buffers), src/llama-kv-cache.cpp, src/llama-kv-cache-iswa.cpp,
src/llama-context.cpp. A "version" is a build number.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from dataclasses import replace
from itertools import accumulate

from core.engines.blocks import CacheSpec, cache_specs
from core.engines.deployment import Budget, Deployment, Engine, Pool, Size, exact_size, size_between
from core.engines.parallelism import Split, bytes_by_stage, layer_bytes_on_rank, outer_on_rank, sizes_by_layer, stages
from core.engines.served import text_alone
from core.engines.shapes import StageShapes, stage_shapes
from core.model.precision import Precision
from core.model.spec import ModelSpec
from core.model.tensors import EMBEDDING, EXPERT, VISION, Tensor
from core.model.weights import storage_groups, stored_bytes, weights_bytes
from core.units import GIB

# The cache has a multiple of this number of cells (llama-context.cpp pads n_ctx; llama-kv-cache-iswa.cpp, GGML_PAD).
_CELL_MULTIPLE = 256
_UBATCH = 512  # common/common.h, n_ubatch
# From this build, FlashAttention is used wherever it is supported (pull request 15434).
_FLASH_BY_DEFAULT = (6325, 0, 0)
_FLOAT_BYTES = 4  # compute buffers have 32-bit values

# CUDA's context and kernels, which llama.cpp's own report omits (common/fit.cpp leaves 1 GiB free for them and others).
_CONTEXT = Size(round(0.5 * GIB), round(0.25 * GIB), round(1.0 * GIB))


def compute_buffer_bytes(shapes: StageShapes, ubatch: int) -> int:
    """Return the compute buffer of a micro-batch without attention; on the last GPU it also holds the logits.

    Logged for Llama-3-8B and 512 tokens: 258.5 MiB = 512 × (128 256 + 4096) × 4 bytes.
    """
    logits = shapes.vocab_size + shapes.hidden_size
    forward = shapes.mlp_copies * shapes.mlp_width + 3 * shapes.hidden_size
    experts = shapes.experts_per_token * (2 * shapes.expert_width + shapes.expert_input)
    return ubatch * max(logits, forward, experts + 3 * shapes.hidden_size) * _FLOAT_BYTES


def attention_buffer_bytes(model: ModelSpec, context: int, ubatch: int) -> int:
    """Return the compute buffer of attention without FlashAttention: the scores of every head over the whole cache.

    It also holds a mask for each kind of layer, queries before and after their rotation, the residual and its norm.
    Logged for Qwen3-32B at 40 960 tokens: 5252.0 MiB (computed: 5252); for Gemma 3 27B at 131 072: 8743.5 (8741).
    """
    mixers = [run.mixer.attention for run in model.layers if run.mixer.attention is not None]
    if not mixers:
        return 0
    widest = max(mixers, key=lambda mixer: mixer.num_attention_heads)
    masks = len({getattr(mixer, "sliding_window", 0) for mixer in mixers})
    scores = (widest.num_attention_heads + masks) * _padded_cells(context)
    hidden = widest.num_attention_heads * widest.head_dim + model.hidden_size
    return ubatch * (scores + 2 * hidden) * _FLOAT_BYTES


def _activation(deployment: Deployment, shapes: StageShapes, ubatch: int) -> Size:
    """Return the activation with its logged range; FlashAttention may be on before it became the default, too."""
    flash = size_between(compute_buffer_bytes(shapes, ubatch), 0.9, 1.5)
    if deployment.version >= _FLASH_BY_DEFAULT:
        return flash
    plain = max(flash.expected, attention_buffer_bytes(deployment.model, deployment.context, ubatch))
    return Size(plain, flash.low, size_between(plain, 1, 1.5).high)


def _first_on_gpus(deployment: Deployment) -> int:
    """Return the first layer on the GPUs, which have all after it too; without a setting, they have all layers.

    Source: src/llama-model.cpp, load_tensors: the last `n_gpu_layers` layers.
    """
    layers, asked = deployment.model.num_hidden_layers, deployment.settings.gpu_layers
    return 0 if asked is None else max(0, layers - asked)


def _has_output(deployment: Deployment) -> bool:
    """Return whether the output is on a GPU: if more layers were asked for than the model has."""
    asked = deployment.settings.gpu_layers
    return asked is None or asked > deployment.model.num_hidden_layers


def layers_on_gpus(deployment: Deployment) -> Split:
    """Return the layers of each GPU: as given, else by the memory of GPUs that differ; their number if all are equal.

    Source: src/llama-model.cpp, load_tensors: each layer, and the output after them, is a place; a GPU has those up to
    its share of the memory of all.
    """
    if deployment.stage_layers or not deployment.stage_devices:
        return deployment.split
    total = sum(device.memory_bytes for device in deployment.devices)
    shares = [share / total for share in accumulate(device.memory_bytes for device in deployment.devices)]
    count = deployment.model.num_hidden_layers - _first_on_gpus(deployment)
    places = count + _has_output(deployment)
    last = len(shares) - 1
    stages_of_layers = Counter(min(last, bisect_right(shares, layer / places)) for layer in range(count))
    return tuple(stages_of_layers[stage] for stage in range(len(shares)))


def weights_by_stage(deployment: Deployment) -> tuple[int, ...]:
    """Return the bytes of the weights on each GPU.

    The token embedding stays on the host unless the head is tied to it. Towers for images and sound are not included:
    they are in a separate file (--mmproj).
    """
    model, precision = deployment.model, deployment.precision
    if model.stated_parameters is not None:
        return (-(-weights_bytes(model, precision) // deployment.pp),) * deployment.pp

    split = layers_on_gpus(deployment)

    def outside(stage: int) -> int:
        is_last = stage == deployment.pp - 1
        if is_last and not _has_output(deployment):
            return 0
        return sum(
            stored_bytes(tensor, model, None, precision) * times
            for tensor, times in outer_on_rank(model, 1, split, stage)
            if tensor.group != VISION and (tensor.group != EMBEDDING or (model.tie_word_embeddings and is_last))
        )

    layer_bytes = layer_bytes_on_rank(model, precision, 1)
    experts = _expert_bytes(model, precision)
    on_cpu = deployment.settings.cpu_expert_layers or 0
    held = [size - experts[layer] * (layer < on_cpu) for layer, size in enumerate(layer_bytes)]
    return bytes_by_stage(model, split, held, outside, _first_on_gpus(deployment))


def _expert_bytes(model: ModelSpec, precision: Precision | None) -> tuple[int, ...]:
    """Return the bytes of the experts of each layer."""

    def size(tensors: tuple[Tensor, ...], layer: int) -> int:
        return sum(stored_bytes(tensor, model, layer, precision) for tensor in tensors if tensor.group == EXPERT)

    return sizes_by_layer(storage_groups(model, precision), size)


def host_bytes(deployment: Deployment) -> int:
    """Return the bytes of the weights that stay in CPU memory, without towers.

    A token embedding that is the head too is there as well as on the last GPU. Logged for Command R in Q4_K_S: 1640.62
    MiB (ggml-org/llama.cpp pull request 6122), as computed.
    """
    model, precision = deployment.model, deployment.precision
    kept = max(0, weights_bytes(text_alone(model), precision) - sum(weights_by_stage(deployment)))
    if not (model.tie_word_embeddings and _has_output(deployment)) or model.stated_parameters is not None:
        return kept
    return kept + sum(
        stored_bytes(tensor, model, None, precision) * times
        for tensor, times in outer_on_rank(model, 1, 1, 0)
        if tensor.group == EMBEDDING
    )


def most_gpu_layers(deployment: Deployment) -> int:
    """Return the most layers on the GPUs, as -ngl takes them, with which the sequences fit; 0 if not one does.

    The sequences are `max_sequences`, or one.
    """
    needed, layers = deployment.settings.max_sequences or 1, range(deployment.model.num_hidden_layers + 2)

    def is_too_many(count: int) -> bool:
        trial = replace(deployment, settings=replace(deployment.settings, gpu_layers=count))
        cache = pool(trial)
        free = cache.blocks(tuple(budget.kv.expected for budget in budgets(trial)))
        return free < needed * cache.blocks_per_sequence(deployment.context)

    return max(0, bisect_left(layers, True, key=is_too_many) - 1)


def budgets(deployment: Deployment) -> tuple[Budget, ...]:
    """Return the budget of each GPU. Without a `memory_utilization` the engine may use all of its memory."""
    shapes = stage_shapes(deployment.model, deployment.precision, 1, layers_on_gpus(deployment))
    share = deployment.settings.memory_utilization or 1
    ubatch = deployment.settings.max_batched_tokens or _UBATCH
    return tuple(
        Budget(
            usable_bytes=round(device.memory_bytes * share),
            weights=exact_size(weights),
            activation=_activation(deployment, stage, ubatch),
            graphs=exact_size(0),
            other=_CONTEXT,
            graphs_are_subtracted=True,
        )
        for device, weights, stage in zip(deployment.devices, weights_by_stage(deployment), shapes)
    )


def pool(deployment: Deployment) -> Pool:
    """Return the pool: cells for every token; layers with a window have separate cells for it and a micro-batch.

    A "block" is one byte of the fullest GPU, because each sequence has cells for its own length, and where GPUs differ
    what another has of the same cells.
    """
    by_layer = cache_specs(deployment.model, deployment.kv_precision, 1)
    spans = stages(deployment.model, layers_on_gpus(deployment), _first_on_gpus(deployment))
    ubatch = deployment.settings.max_batched_tokens or _UBATCH
    sizes = [_sequence_bytes(by_layer[first:end], deployment.context, ubatch) for first, end in spans]
    first, end = spans[sizes.index(max(sizes))]
    layers = by_layer[first:end]
    full = sum(spec.bytes_per_token for layer in layers for spec in layer if not spec.window)
    whole = max(1, _sequence_bytes(layers, deployment.context, ubatch))
    return Pool(
        block_bytes=tuple(max(1, size) / whole for size in sizes) if deployment.stage_devices else (1,) * deployment.pp,
        blocks_per_sequence=lambda context: max(1, _sequence_bytes(layers, context, ubatch)),
        logged_tokens=lambda count, context: count // whole * context if not full else count // full,
        bytes_per_token=full,
    )


def _sequence_bytes(layers: list[tuple[CacheSpec, ...]], context: int, ubatch: int) -> int:
    total = 0
    for layer in layers:
        for spec in layer:
            cells = _padded_cells(context)
            if spec.window:
                cells = min(cells, _padded_cells(spec.window + ubatch))
            total += spec.bytes_per_token * cells + spec.state_bytes
    return total


def _padded_cells(tokens: int) -> int:
    return -(-tokens // _CELL_MULTIPLE) * _CELL_MULTIPLE


ENGINE = Engine(
    name="llama.cpp",
    default_version="b6325",
    budgets=budgets,
    pool=pool,
    max_sequences=lambda deployment: deployment.settings.max_sequences or 256,  # llama.h, LLAMA_MAX_SEQ
    calibrated=("b3700", "b9000"),
    lacks=(
        "eager",
        "mtp_tokens",
        "attention_dp",
        "context_parallel",
        "shared_tokens",
        "lora_adapters",
        "kv_offload_gib",
    ),
)
