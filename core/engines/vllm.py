"""vLLM: what its profiling run measures and what it leaves for the cache.

The engine starts, loads the weights, runs one step as large as a step may get, and takes what is left of its share of
the GPU for the cache. Each function below is one term of that sum; its docstring names the source file and version,
and for what cannot be computed, the logged runs it was taken from:

* "llm-d 205": the 41 runs of vLLM 0.19.0 on H100 in llm-d-planner's pull request 205, tests/golden/measured.csv here;
* "llm-d 0.11": eight runs of vLLM 0.11 on H100, llm-d-planner docs/empirical-vllm-memory-results.md;
* GitHub vllm-project/vllm pull request 10511 (0.6.5), and single logs named where they are used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from core.engines.blocks import BLOCK_TOKENS, Blocks, blocks
from core.engines.deployment import Budget, Deployment, Device, Engine, Pool, Size, exactly, within
from core.engines.loaded_weights import loaded_weights_by_stage
from core.engines.shapes import StageShapes, stage_shapes
from core.model.spec import ModelSpec
from core.units import GIB, MIB

# Version 1 of the engine core is the default from here on (release notes of 0.8.0).
_CORE_V1 = (0, 8, 0)
# Workspaces of the experts' kernels stay allocated: v1/worker/workspace.py is absent in 0.11.0, present in 0.14.1.
_EXPERT_WORKSPACE = (0, 13, 0)
# Top-k and top-p without sorting: v1/sample/ops/topk_topp_triton.py is absent in 0.16.0, present in 0.17.1.
_TOP_K_KERNEL = (0, 17, 0)
# config/cache.py: gpu_memory_utilization 0.9 in 0.19.0, 0.92 in 0.20.0; envs.py: graphs are estimated and counted from
# 0.20.0 on; its log calls that "default since v0.21.0".
_UTILIZATION_092 = (0, 20, 0)
_GRAPHS_COUNT = (0, 20, 0)
# FlashInfer's sampler by default: envs.py, VLLM_USE_FLASHINFER_SAMPLER None in 0.20.0, True in 0.21.0.
_FLASHINFER_SAMPLER = (0, 21, 0)
# The log announces concurrency × context as the cache's size (DATA of 170 logged runs: up to 0.20 blocks ÷ groups).
_ANNOUNCES_CONCURRENCY = (0, 21, 0)
# The largest GPUs have larger steps: engine/arg_utils.py of 0.24.0 has no such case, that of 0.28.0 has.
_STEPS_OF_160_GIB = (0, 28, 0)
# Model runner V2, whose profiling run samples without top-k: an exception in 0.28.0, the rule in 0.30.0
# (config/vllm.py).
_RUNNER_V2 = (0, 30, 0)


# The profile counted what the whole GPU held outside PyTorch, the driver's context included, until pull request 10511.
_COUNTS_ONLY_GROWTH = (0, 6, 6)

# Kernels for MXFP4 pad experts each in its own way, and which one runs depends on what is installed: gpt-oss-120b on
# one H100 took 65.97 GiB under 0.10.1 (Marlin, as computed) and 64.38 under 0.14.1 (Triton; vllm-project/vllm issues
# 23278 and 33155).
_MXFP4_PADDING = (0.97, 1.01)

# What PyTorch's cuBLAS handle keeps (aten/src/ATen/cuda/CublasHandlePool.cpp, parseChosenWorkspaceSize): by name, as a
# device does not tell its compute capability.
_CUBLAS_BYTES = (4096 * 2 + 16 * 8) * 1024
_CUBLAS_BYTES_BY_NAME = (
    (("h100", "h200", "h800", "h20", "b200", "b300"), 32 * MIB),  # 9.0 and 10.0
    (("mi300", "mi325", "mi350", "mi355"), 128 * MIB),  # gfx94x and gfx95x
)
# One row of the vocabulary in 32 bits for each multiprocessor (v1/sample/ops/topk_topp_triton.py); an H100 has 132.
_MULTIPROCESSORS = 132


def default_memory_utilization(version: tuple[int, int, int]) -> float:
    """Share of the GPU that the engine takes (config/cache.py, gpu_memory_utilization)."""
    return 0.92 if version >= _UTILIZATION_092 else 0.9


@dataclass(frozen=True)
class _Step:
    """The largest step: tokens computed, and sequences sampled."""

    tokens: int
    sequences: int


def largest_step(deployment: Deployment) -> _Step:
    """What one step computes at most, as an API server starts.

    Source: engine/arg_utils.py, get_batch_defaults, 0.19.0 and 0.31.0; before core V1 config.py of 0.6.6: without
    chunked prefill a step takes a whole prompt, and contexts beyond 32 768 tokens are chunked by 2048.
    """
    version, context = deployment.version, deployment.context
    if version < _CORE_V1:
        tokens, sequences = 2048 if context > 32_768 else max(context, 2048), 256
    elif version >= _STEPS_OF_160_GIB and deployment.device.memory_bytes >= 160 * GIB:
        tokens, sequences = 16_384, 1024
    elif _is_large(deployment.device):
        tokens, sequences = 8192, 1024
    else:
        tokens, sequences = 2048, 256
    tokens = deployment.max_batched_tokens or tokens
    return _Step(tokens, min(deployment.max_sequences or sequences, tokens))


def cublas_bytes(device: Device) -> int:
    """The workspace of matrix products, allocated once and kept."""
    name = device.name.lower()
    return next((size for names, size in _CUBLAS_BYTES_BY_NAME if any(each in name for each in names)), _CUBLAS_BYTES)


def _is_large(device: Device) -> bool:
    return device.memory_bytes >= 70 * GIB and "a100" not in device.name.lower()


def usable_bytes(deployment: Deployment) -> int:
    """Total × utilization, rounded up (v1/worker/utils.py, request_memory)."""
    utilization = deployment.memory_utilization
    if utilization is None:
        utilization = default_memory_utilization(deployment.version)
    return math.ceil(deployment.device.memory_bytes * utilization)


def sampling_bytes_per_logit(
    version: tuple[int, int, int], bytes_per_value: int, tp: int, flashinfer: bool = False
) -> float:
    """Bytes alive per sampled row and word of the vocabulary, when sampling peaks.

    * With top-k and top-p by sorting, 38: logits of 16 bits and of 32, sorted logits and their 64-bit indices, and what
      PyTorch's sort needs beside them. Calibrated on llm-d 0.11 (4.76, 5.56, 7.38 GiB logged, 4.76, 5.57, 7.37 so
      computed); fits pull request 10511 (1.26 logged) and logs of 0.8.5 and 0.10.2.
    * Where FlashInfer is installed and core V1 uses it ("Using FlashInfer for top-p & top-k sampling"), and from 0.17
      on 14: logits, their 32-bit copy, probabilities and the noise to sample with (v1/sample/sampler.py,
      ops/topk_topp_sampler.py: forward_native and random_sample; FlashInfer's masks and probabilities are as large).
    * Model runner V2: the logits alone, gathered from the ranks that computed them.
    """
    wider = bytes_per_value - 2
    if version < _TOP_K_KERNEL and not flashinfer:
        return 38 + wider
    if version < _RUNNER_V2:
        return 14 + wider
    return bytes_per_value * (1 if tp == 1 else 2 + 1 / tp)


def sampling_peak_bytes(
    shapes: StageShapes, step: _Step, version: tuple[int, int, int], tp: int, flashinfer: bool = False
) -> int:
    """Memory of sampling all sequences at once, hidden states of the whole step still alive.

    Source: v1/worker/gpu_model_runner.py, profile_run and _dummy_sampler_run.
    """
    if not shapes.vocab_size:
        return 0
    each = sampling_bytes_per_logit(version, shapes.bytes_per_value, tp, flashinfer)
    logits = step.sequences * shapes.vocab_size * each
    top_k = (
        4 * shapes.vocab_size * min(_MULTIPROCESSORS, step.sequences)
        if _TOP_K_KERNEL <= version < _FLASHINFER_SAMPLER
        else 0
    )
    rows = step.tokens + 2 * step.sequences  # hidden states, those sampled, and random ones in their place
    return int(logits) + top_k + rows * shapes.hidden_size * shapes.bytes_per_value


def forward_peak_bytes(shapes: StageShapes, step: _Step, version: tuple[int, int, int], *, is_last: bool) -> int:
    """Memory of a layer at its widest: the feed-forward block of a whole step.

    Alive are gate, up and their product, and as wide as the model: the residual, the block's input and its output, and
    from core V1 on the attention's output, an argument of the compiled piece that runs. Activations quantized to 8 bits
    add a byte per value of the product.

    Checked on Mistral Small 3.1 W8A8 (llm-d 205: 2.18 GiB logged, 2.18 so computed) and Qwen2.5-1.5B on T4 under 0.8.5
    (2.02 logged, 2.02).
    """
    wide = 3 if version < _CORE_V1 else 4
    values = shapes.mlp_copies * shapes.mlp_width + wide * shapes.hidden_size
    handed_on = 0 if is_last else 2 * shapes.hidden_size  # hidden states and residual for the next stage
    per_token = (values + handed_on) * shapes.bytes_per_value + shapes.mlp_width * shapes.quantized
    return step.tokens * per_token


def expert_workspace_bytes(shapes: StageShapes, step: _Step) -> int:
    """What the experts' kernels work in: inputs and products of every (token, expert) pair.

    Source: model_executor/layers/fused_moe/fused_moe.py, TritonExperts.workspace_shapes, 0.19.0. Checked on
    DeepSeek-V2-Lite (llm-d 205: 1.93 GiB logged, 1.93 so computed) and Mixtral TP 2 (1.21, 1.21). Kernels for MXFP4
    keep none: gpt-oss-20b (2.87, 2.87).
    """
    if not shapes.expert_workspace or not shapes.experts_per_token:
        return 0
    width = max(2 * shapes.expert_width, shapes.expert_input) + max(shapes.expert_width, shapes.expert_input)
    return step.tokens * shapes.experts_per_token * width * shapes.bytes_per_value


def latent_peak_bytes(shapes: StageShapes, step: _Step, context: int) -> int:
    """Keys and values unfolded from latents, for as many cached tokens as one step unfolds at most.

    Source: model_executor/layers/attention/mla_attention.py, forward_impl and determine_chunked_prefill_workspace_size.
    """
    if not shapes.latent_width:
        return 0
    tokens = min(max(8 * context, 4 * step.sequences * BLOCK_TOKENS), 64 * 1024)
    unfolded = max(tokens, step.sequences * BLOCK_TOKENS) * shapes.latent_width
    return (unfolded + 4 * step.tokens * shapes.hidden_size) * shapes.bytes_per_value


def images_held_bytes(model: ModelSpec, shapes: StageShapes, step: _Step) -> int:
    """Images of the profiling run, and the embeddings made of them, which stay alive through it.

    As many of the largest image as one step's tokens hold, at least one. Source: v1/worker/gpu_model_runner.py,
    profile_run; multimodal/encoder_budget.py. Checked on Gemma 3 27B (3.99 GiB logged, 3.99 so computed).
    """
    if model.image is None or not shapes.is_first:
        return 0
    images = max(1, step.tokens // model.image.tokens)
    return images * (model.image.tokens * shapes.hidden_size + model.image.pixel_values) * shapes.bytes_per_value


def activation_peak_bytes(deployment: Deployment, shapes: StageShapes, flashinfer: bool = False) -> int:
    """The peak of the profiling run above the weights: what stays, and the wider of its phases.

    Args:
        flashinfer: whether a version that sorts to sample has FlashInfer to do without.
    """
    version, step, is_last = deployment.version, largest_step(deployment), bool(shapes.vocab_size)
    workspace = expert_workspace_bytes(shapes, step)
    forward = forward_peak_bytes(shapes, step, version, is_last=is_last)
    stays = cublas_bytes(deployment.device) + images_held_bytes(deployment.model, shapes, step)
    if version >= _EXPERT_WORKSPACE:
        stays += workspace
    else:
        forward += workspace
    return stays + max(
        forward,
        latent_peak_bytes(shapes, step, deployment.context),
        sampling_peak_bytes(shapes, step, version, deployment.tp, flashinfer),
    )


def activation(deployment: Deployment, shapes: StageShapes) -> Size:
    """Within what has been logged, and as low as with FlashInfer, which no version says whether it is installed.

    Logged with it, all of activation and what is outside PyTorch: 0.55 GiB (Qwen2-7B, A100, 0.10.1; 0.53 computed).
    """
    expected = activation_peak_bytes(deployment, shapes)
    leanest = activation_peak_bytes(deployment, shapes, flashinfer=deployment.version >= _CORE_V1)
    return Size(expected, within(leanest, 0.92, 1).low, within(expected, 1, 1.12).high)


def _gib(expected: float, low: float, high: float) -> Size:
    return Size(round(expected * GIB), round(low * GIB), round(high * GIB))


def other_bytes(deployment: Deployment, shapes: StageShapes) -> Size:
    """What the process holds outside PyTorch: loaded kernels; with several GPUs NCCL's and all-reduce's buffers.

    Logged, GiB. On one GPU 0.02 to 0.16 up to 0.11, 0.24 to 0.46 in llm-d 205, 0.26 under 0.31 on an A100. With tensor
    parallelism 0.2 before core V1; then 0.54 to 0.55 (llm-d 0.11), for mixtures of experts 1.4 to 2.4 (Qwen3-Next on
    H200, Qwen3-235B on H100: vllm-project/vllm issue 21348), and 0.14 to 0.16 with PCIe or between nodes (A100, 0.10.1:
    dennislee22/vLLM-benchmarking); 2.06 to 2.13 in llm-d 205; 0.6 (Qwen3-235B, RTX PRO 6000,
    0.28) to 0.95 (B200) after. With pipeline stages alone 0.07 on the first, and what the cache leaves on the last is
    0.2. Before 0.6.6 the context counts: 0.35 (RTX 3090, 0.6.4, vllm-project/vllm issue 10517) to 1.79 (H100, pull
    request 10511). ROCm keeps more: 0.66 (MI300X, 0.9.2).
    """
    version = deployment.version
    if deployment.tp == 1 and version < _COUNTS_ONLY_GROWTH:
        return _gib(0.35, 0.15, 1.8)
    if deployment.tp == 1 and deployment.device.name.lower().startswith("mi"):
        return _gib(0.66, 0.3, 1.2)
    if deployment.tp == 1:
        if version < _EXPERT_WORKSPACE:
            return _gib(0.13, 0.02, 0.2)
        return _gib(0.25, 0.05, 0.5) if deployment.pp == 1 else _gib(0.2, 0.05, 0.5)
    if version < _CORE_V1:
        return _gib(0.3, 0.15, 1.0)
    if version < _EXPERT_WORKSPACE:
        return _gib(1.6, 0.1, 2.6) if shapes.experts_per_token else _gib(0.55, 0.1, 1.6)
    return _gib(2.08, 1.0, 2.3) if version < _FLASHINFER_SAMPLER else _gib(0.8, 0.4, 2.3)


def graph_bytes(deployment: Deployment, layers: int) -> Size:
    """CUDA graphs: the least certain term.

    Up to 0.19 they come on top of the engine's share, and grow with the layers: llm-d 205 has 0.64 to 1.85 GiB, about
    0.3 GiB and 17 MiB a layer. From 0.20 on an estimate of the engine's own is taken off the cache; logged from 0.17
    (TP 4, few graphs) over 0.49 to 1.2 GiB (Llama-3.1-8B, A100, 0.31), single ones to 5.
    """
    if deployment.version >= _GRAPHS_COUNT:
        return _gib(0.6, 0.1, 1.5)
    return within(round((0.3 + 0.0166 * layers) * GIB), 0.5, 2.2)


def budgets(deployment: Deployment) -> tuple[Budget, ...]:
    """What one GPU of each pipeline stage holds."""
    model, precision, tp, pp = deployment.model, deployment.precision, deployment.tp, deployment.pp
    usable, whole = usable_bytes(deployment), deployment.whole_experts
    return tuple(
        Budget(
            usable_bytes=usable,
            weights=exactly(weights) if shapes.expert_workspace else within(weights, *_MXFP4_PADDING),
            activation=activation(deployment, shapes),
            graphs=graph_bytes(deployment, shapes.layers),
            other=other_bytes(deployment, shapes),
            graphs_count=deployment.version >= _GRAPHS_COUNT,
        )
        for weights, shapes in zip(
            loaded_weights_by_stage(model, precision, tp, pp, whole), stage_shapes(model, precision, tp, pp, whole)
        )
    )


def pool(deployment: Deployment) -> Pool:
    """Blocks of 16 tokens; layers of several kinds in groups (`core.engines.blocks`)."""
    found = blocks(deployment.model, deployment.kv_precision, deployment.tp, deployment.pp, deployment.version)
    in_flight = largest_step(deployment).tokens
    return Pool(
        block_bytes=found.block_bytes,
        blocks_of=lambda context: found.of_sequence(context, in_flight),
        tokens_announced=lambda count, context: _tokens_announced(found, count, context, deployment, in_flight),
        bytes_per_token=found.bytes_per_token(),
    )


def _tokens_announced(found: Blocks, count: int, context: int, deployment: Deployment, in_flight: int) -> int:
    """ "GPU KV cache size", whose meaning changed (v1/core/kv_cache_utils.py, _report_kv_cache_config)."""
    if deployment.version >= _ANNOUNCES_CONCURRENCY and len(found.groups) > 1:
        return count * context // found.of_sequence(context, in_flight)
    return count // len(found.groups) * found.least_block_tokens


ENGINE = Engine(
    name="vllm",
    default_version="0.31",
    budgets=budgets,
    pool=pool,
    max_sequences=lambda deployment: largest_step(deployment).sequences,
)
