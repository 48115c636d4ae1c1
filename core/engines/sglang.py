"""SGLang: a static share of the GPU for weights and cache, the rest for activations and graphs.

Source: SGLang 0.5.23 srt/arg_groups/memory_hook.py, srt/mem_cache/kv_cache_configurator.py (_profile_available_bytes),
srt/model_executor/pool_configurator.py; 0.4 srt/server_args.py.
"""

from __future__ import annotations

import math

from core.engines.blocks import CacheSpec, cache_specs
from core.engines.deployment import Budget, Deployment, Device, Engine, Pool, Size, within
from core.engines.loaded_weights import loaded_weights_by_stage
from core.engines.parallelism import stages
from core.units import GIB, MIB

# The static share follows from the size of a step since 0.4.8; before, from the tensor parallel size alone.
_SHARE_FROM_STEP = (0, 4, 8)
_SHARE_BY_TP = ((16, 0.79), (8, 0.81), (4, 0.85), (2, 0.87), (1, 0.88))

# Before weights load, the process already holds the driver's context and, with several GPUs, NCCL's buffers: 78.5 of
# 79.2 GiB are free on an H100 ("Load weight begin. avail mem"), 77 with tensor parallelism.
_CONTEXT = Size(round(0.6 * GIB), round(0.3 * GIB), round(1.0 * GIB))
_CONTEXT_WITH_NCCL = Size(round(1.6 * GIB), round(0.6 * GIB), round(2.6 * GIB))

# "mem usage" is the fall of free memory and reads 0.1 to 0.4 GiB above the tensors.
_LOADING = Size(round(0.2 * GIB), 0, round(0.45 * GIB))

# Tokens of layers with a window, as a share of those of the others: server_args.py, swa_full_tokens_ratio.
_WINDOW_TOKENS_RATIO = 0.8
# Memory of recurrent states relative to that of keys and values: server_args.py, mamba_full_memory_ratio.
_STATE_MEMORY_RATIO = 0.9


def step_defaults(device: Device, tp: int) -> tuple[int, int]:
    """Tokens of one prefill step, and the largest batch of the CUDA graphs, by the GPU's memory."""
    memory_bytes = device.memory_bytes
    if memory_bytes < 20 * GIB:
        return 2048, 8
    if memory_bytes < 35 * GIB:
        return 4096, 48 if tp < 4 else 160
    if memory_bytes < 60 * GIB:
        return 4096, 32 if tp < 4 else 160
    if memory_bytes < 160 * GIB:
        return 8192, 256 if tp < 4 else 512
    return 16_384, 512


def static_share(deployment: Deployment) -> float:
    """mem_fraction_static: the share of the GPU for weights and cache."""
    if deployment.memory_utilization is not None:
        return deployment.memory_utilization
    if deployment.version < _SHARE_FROM_STEP:
        return next(share for tp, share in _SHARE_BY_TP if deployment.tp >= tp)
    memory_mib = deployment.device.memory_bytes / MIB
    tokens, batch = step_defaults(deployment.device, deployment.tp)
    tokens = max(deployment.max_batched_tokens or tokens, 2048)
    reserved_mib = 512 + 1.5 * tokens + deployment.tp * deployment.pp / 8 * 1024 + 2 * batch
    if memory_mib > 60 * 1024:
        reserved_mib = max(reserved_mib, 10 * 1024)
    return round((memory_mib - reserved_mib) / memory_mib, 3)


def budgets(deployment: Deployment) -> tuple[Budget, ...]:
    """What one GPU of each pipeline stage holds; graphs and activations share what the static share leaves."""
    context = _CONTEXT if deployment.tp * deployment.pp == 1 else _CONTEXT_WITH_NCCL
    share = static_share(deployment)
    free_bytes = deployment.device.memory_bytes - context.expected
    left_bytes = round(free_bytes * (1 - share))
    graphs_bytes = min(left_bytes, 2 * MIB * step_defaults(deployment.device, deployment.tp)[1])
    return tuple(
        Budget(
            usable_bytes=deployment.device.memory_bytes,
            weights=Size(weights, weights, weights) + _LOADING,
            activation=within(left_bytes - graphs_bytes, 1, 1),
            graphs=within(graphs_bytes, 1, 1),
            other=context,
            graphs_count=True,
        )
        for weights in loaded_weights_by_stage(
            deployment.model, deployment.precision, deployment.tp, deployment.pp, deployment.whole_experts
        )
    )


def pool(deployment: Deployment) -> Pool:
    """One slot per token; layers with a window have a pool of their own, eight tenths as long as the others'.

    A "block" here is one token of the full pool with its share of the windows' pool; with recurrent states, whose pool
    is a share of the memory, one byte.
    """
    by_layer = cache_specs(deployment.model, deployment.kv_precision, deployment.tp)
    spans = stages(deployment.model, deployment.pp)
    each = [_cell(by_layer[first:end]) for first, end in spans]
    states = [sum(kept.state_bytes for layer in by_layer[first:end] for kept in layer) for first, end in spans]
    widest = max((kept.window for layer in by_layer for kept in layer), default=0)
    has_full = any(full for full, _ in each)
    ratio = _WINDOW_TOKENS_RATIO if has_full else 1
    cells = tuple(max(1, full + round(ratio * windowed)) for full, windowed in each)

    def slots(context: int) -> int:
        """Of the full pool, or of the windows' pool in its measure, whichever is scarcer."""
        return max(1, context if has_full else 0, round(min(context, widest) / ratio))

    if not any(states):
        return Pool(cells, slots, lambda count, context: count, max(full for full, _ in each))
    cell, state = max(cells), max(states)
    tokens_share = 1 / (1 + _STATE_MEMORY_RATIO)
    return Pool(
        block_bytes=(1,) * deployment.pp,
        blocks_of=lambda context: math.ceil(max(cell * slots(context) / tokens_share, state / (1 - tokens_share))),
        tokens_announced=lambda count, context: int(count * tokens_share) // cell,
        bytes_per_token=max(full for full, _ in each),
    )


def _cell(layers: list[tuple[CacheSpec, ...]]) -> tuple[int, int]:
    """Bytes of one token in layers that keep all tokens, and in layers that keep a window."""
    full = sum(kept.bytes_per_token for layer in layers for kept in layer if not kept.window)
    return full, sum(kept.bytes_per_token for layer in layers for kept in layer if kept.window)


ENGINE = Engine(
    name="sglang",
    default_version="0.5",
    budgets=budgets,
    pool=pool,
    # max_running_requests: half the tokens of the pool in sequences, but at most 4096 (server_args.py).
    max_sequences=lambda deployment: deployment.max_sequences or 4096,
)
