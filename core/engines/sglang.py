"""Compute the memory of SGLang: a static share for weights and KV cache, the rest for activations and graphs.

Source: SGLang 0.5.23 srt/arg_groups/memory_hook.py, srt/mem_cache/kv_cache_configurator.py (_profile_available_bytes),
srt/model_executor/pool_configurator.py; 0.4 srt/server_args.py.
"""

from __future__ import annotations

import math

from core.engines.blocks import CacheSpec, cache_specs
from core.engines.deployment import SHARED_MEMORY_HELD, Budget, Deployment, Device, Engine, Pool, Size, exact_size
from core.engines.loaded_weights import loaded_weights_by_stage
from core.engines.parallelism import stages
from core.units import GIB, MIB

# From 0.4.8 the static share depends on the size of a step; before, only on the tensor parallel size.
_SHARE_FROM_STEP = (0, 4, 8)
_SHARE_BY_TP = ((16, 0.79), (8, 0.81), (4, 0.85), (2, 0.87), (1, 0.88))

# Before weights load, the process already holds the driver's context and, with several GPUs, NCCL's buffers: 78.5 of
# 79.2 GiB are free on an H100 ("Load weight begin. avail mem"), 77 with tensor parallelism.
_CONTEXT = Size(round(0.6 * GIB), round(0.3 * GIB), round(1.0 * GIB))
_CONTEXT_WITH_NCCL = Size(round(1.6 * GIB), round(0.6 * GIB), round(2.6 * GIB))

# "mem usage" is the decrease of free memory; it is 0.1 to 0.4 GiB more than the tensors.
_LOADING = Size(round(0.2 * GIB), 0, round(0.45 * GIB))

# Tokens of layers with a window as a share of the tokens of other layers: server_args.py, swa_full_tokens_ratio.
_WINDOW_TOKENS_RATIO = 0.8
# Memory of recurrent states as a share of the memory of keys and values: server_args.py, mamba_full_memory_ratio.
_STATE_MEMORY_RATIO = 0.9


def step_defaults(device: Device, tp: int) -> tuple[int, int]:
    """Return the tokens of one prefill step and the largest batch of the CUDA graphs, by the GPU's memory."""
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
    """Return mem_fraction_static, the share of the GPU for weights and KV cache."""
    if deployment.settings.memory_utilization is not None:
        return deployment.settings.memory_utilization
    if deployment.version < _SHARE_FROM_STEP:
        return next(share for tp, share in _SHARE_BY_TP if deployment.tp >= tp)
    memory_mib = deployment.device.memory_bytes / MIB
    tokens, batch = step_defaults(deployment.device, deployment.tp)
    tokens = max(deployment.settings.max_batched_tokens or tokens, 2048)
    reserved_mib = 512 + 1.5 * tokens + deployment.tp * deployment.pp / 8 * 1024 + 2 * batch
    if memory_mib > 60 * 1024:
        reserved_mib = max(reserved_mib, 10 * 1024)
    return max(0, round((memory_mib - reserved_mib) / memory_mib, 3))


def budgets(deployment: Deployment) -> tuple[Budget, ...]:
    """Return the budget of one GPU per pipeline stage; graphs and activations share the rest after the static share."""
    context = _CONTEXT if deployment.tp * deployment.pp == 1 else _CONTEXT_WITH_NCCL
    if deployment.device.shares_memory:
        context = SHARED_MEMORY_HELD
    share = static_share(deployment)
    held = context.expected + round((deployment.settings.reserved_gib or 0) * GIB)
    free_bytes = max(0, deployment.device.memory_bytes - held)
    rest_bytes = round(free_bytes * (1 - share))
    graphs_bytes = min(rest_bytes, 2 * MIB * step_defaults(deployment.device, deployment.tp)[1])
    if deployment.settings.eager:
        graphs_bytes = 0
    return tuple(
        Budget(
            usable_bytes=deployment.device.memory_bytes,
            weights=exact_size(weights) + _LOADING,
            activation=exact_size(rest_bytes - graphs_bytes),
            graphs=exact_size(graphs_bytes),
            other=context,
            graphs_are_subtracted=True,
        )
        for weights in loaded_weights_by_stage(
            deployment.model,
            deployment.precision,
            deployment.tp,
            deployment.pp,
            deployment.expert_parallel,
            deployment.settings.groups,
        )
    )


def pool(deployment: Deployment) -> Pool:
    """Return the pool: one slot per token; layers with a window have a separate pool, with 0.8 times the tokens.

    A "block" is one token of the full pool with its share of the windows' pool. With recurrent states, whose pool is a
    share of the memory, it is one byte.
    """
    by_layer = cache_specs(deployment.model, deployment.kv_precision, deployment.attention_tp)
    spans = stages(deployment.model, deployment.pp)
    token_bytes = [_token_bytes(by_layer[first:end]) for first, end in spans]
    states = [sum(spec.state_bytes for layer in by_layer[first:end] for spec in layer) for first, end in spans]
    widest = max((spec.window for layer in by_layer for spec in layer), default=0)
    has_full = any(full for full, _ in token_bytes)
    ratio = _WINDOW_TOKENS_RATIO if has_full else 1
    cells = tuple(max(1, full + round(ratio * windowed)) for full, windowed in token_bytes)

    def slots(context: int) -> int:
        """Return the slots of the full pool, or the equivalent of the windows' pool if that is more."""
        return max(1, context if has_full else 0, round(min(context, widest) / ratio))

    if not any(states):
        return Pool(
            cells, slots, lambda count, context: count, max(full for full, _ in token_bytes),
            shared_blocks=lambda tokens: tokens if has_full else 0,
        )  # fmt: skip
    cell, state = max(cells), max(states)
    share = 1 / (1 + _STATE_MEMORY_RATIO)  # of the memory, for tokens
    return Pool(
        block_bytes=(1,) * deployment.pp,
        blocks_per_sequence=lambda context: math.ceil(max(cell * slots(context) / share, state / (1 - share))),
        logged_tokens=lambda count, context: int(count * share) // cell,
        bytes_per_token=max(full for full, _ in token_bytes),
    )


def _token_bytes(layers: list[tuple[CacheSpec, ...]]) -> tuple[int, int]:
    """Return the bytes of one token in layers that cache all tokens, and in layers that cache a window."""
    full = sum(spec.bytes_per_token for layer in layers for spec in layer if not spec.window)
    return full, sum(spec.bytes_per_token for layer in layers for spec in layer if spec.window)


ENGINE = Engine(
    name="sglang",
    default_version="0.5",
    budgets=budgets,
    pool=pool,
    # max_running_requests: half the tokens of the pool, but at most 4096 (server_args.py).
    max_sequences=lambda deployment: deployment.settings.max_sequences or 4096,
    calibrated=("0.4", "0.5"),
    share=static_share,
    lacks=("context_parallel", "gpu_layers", "cpu_expert_layers", "kv_offload_gib"),
)
