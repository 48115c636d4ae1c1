"""Compute the memory of vLLM: the terms that its profiling run measures, and the rest for the KV cache.

The engine starts, loads the weights, runs one step of the largest size, and uses the rest of its share of the GPU for
the KV cache. Each function below is one term of that sum; its docstring names the source file and version or, for terms
that cannot be computed, the logged runs from which the figures were taken:

* "llm-d 205": the 41 runs of vLLM 0.19.0 on H100 in llm-d-planner's pull request 205, tests/golden/measured.csv here;
* "llm-d 0.11": eight runs of vLLM 0.11 on H100, llm-d-planner docs/empirical-vllm-memory-results.md;
* GitHub vllm-project/vllm pull request 10511 (0.6.5), and single logs named where they are used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from core.engines.blocks import BLOCK_TOKENS, Blocks, blocks
from core.engines.compressed import attention_peak_bytes, compressed_blocks, context_bytes, has_compressed_attention
from core.engines.deployment import (
    SHARED_MEMORY_HELD,
    Budget,
    Deployment,
    Device,
    Engine,
    Pool,
    Size,
    Version,
    exact_size,
    size_between,
)
from core.engines.loaded_weights import loaded_weights_by_stage
from core.engines.parallelism import Split
from core.engines.shapes import StageShapes, stage_shapes
from core.model.precision import Precision
from core.model.spec import ModelSpec
from core.units import GIB, MIB

# From this version, V1 of the engine core is the default (release notes of 0.8.0).
_CORE_V1 = (0, 8, 0)
# Before Ampere, whose compute capability is 8.0, the older core ran until 0.10.2: engine/arg_utils.py of 0.8.0 to
# 0.10.1, _is_v1_supported_oracle; pull requests 23614 and 24022 (release notes of 0.10.2).
_AMPERE, _CORE_V1_BEFORE_AMPERE = 8.0, (0, 10, 2)
_LAST_OLDER_CORE = (0, 7, 3)
# Prompts above 32 768 tokens are computed in chunks by default: pull request 6666 of July 2024, after 0.5.3.
_CHUNKS_LONG_PROMPTS, _LONG_CONTEXT, _CHUNK = (0, 5, 4), 32_768, 2048
# Until pull request 9352 the profile read what the GPU had free after its run, so that it counted memory that PyTorch
# had freed and kept (worker/worker.py, determine_num_available_blocks); later it read PyTorch's peak.
_READS_PEAK = (0, 6, 4)
# Workspaces of the experts' kernels stay allocated: v1/worker/workspace.py is absent in 0.11.0, present in 0.14.1.
_EXPERT_WORKSPACE = (0, 13, 0)
# Top-k and top-p without sorting: v1/sample/ops/topk_topp_triton.py is absent in 0.16.0, present in 0.17.1.
_TOP_K_KERNEL = (0, 17, 0)
# config/cache.py: gpu_memory_utilization 0.9 in 0.19.0, 0.92 in 0.20.0; envs.py: graphs are estimated and subtracted
# from 0.20.0 on; its log calls that "default since v0.21.0".
_UTILIZATION_092 = (0, 20, 0)
_GRAPHS_SUBTRACTED = (0, 20, 0)
# FlashInfer's sampler by default: envs.py, VLLM_USE_FLASHINFER_SAMPLER None in 0.20.0, True in 0.21.0.
_FLASHINFER_SAMPLER = (0, 21, 0)
# The log prints concurrency × context as the cache's size (170 logged runs); before, blocks ÷ groups.
_LOGS_CONCURRENCY = (0, 21, 0)
# The largest GPUs have larger steps: engine/arg_utils.py has no such case in 0.24.0, but has it in 0.28.0.
_STEPS_OF_160_GIB = (0, 28, 0)
# Blocks of windows are kept for every step in flight: pull request 47728, in 0.26.0, not in 0.25.0 (config/vllm.py,
# max_in_flight_tokens; logs of DeepSeek-V4-Flash: vllm-project/vllm issues 51041 and 51454).
_KEEPS_STEPS_IN_FLIGHT = (0, 26, 0)
# Model runner V2, whose profiling run samples without top-k: used in few cases in 0.28.0, in most in 0.30.0
# (config/vllm.py).
_RUNNER_V2 = (0, 30, 0)
# Until pull request 10511 the profile counted all of the GPU's memory outside PyTorch, with the driver's context.
_COUNTS_ONLY_GROWTH = (0, 6, 6)

# Each kernel for MXFP4 pads experts in a different way, and the installed packages decide which one runs: gpt-oss-120b
# on one H100 took 65.97 GiB under 0.10.1 (Marlin, as computed) and 64.38 under 0.14.1 (Triton; vllm-project/vllm issues
# 23278 and 33155).
_MXFP4_PADDING = (0.97, 1.01)

# The workspace of PyTorch's cuBLAS handle (aten/src/ATen/cuda/CublasHandlePool.cpp, parseChosenWorkspaceSize), by the
# GPU's name, because its compute capability is not known here.
_CUBLAS_BYTES = (4096 * 2 + 16 * 8) * 1024
_CUBLAS_BYTES_BY_NAME = (
    (("h100", "h200", "h800", "h20", "b200", "b300"), 32 * MIB),  # 9.0 and 10.0
    (("mi300", "mi325", "mi350", "mi355"), 128 * MIB),  # gfx94x and gfx95x
)
# GPUs that machines of eight connect by NVSwitch with reductions in the switch.
_WITH_NVSWITCH = ("h100", "h200", "h800", "h20", "b200", "b300")
# One row of the vocabulary in 32 bits for each multiprocessor (v1/sample/ops/topk_topp_triton.py); an H100 has 132.
_MULTIPROCESSORS = 132


def default_memory_utilization(version: tuple[int, int, int]) -> float:
    """Return the share of the GPU that the engine uses by default (config/cache.py, gpu_memory_utilization)."""
    return 0.92 if version >= _UTILIZATION_092 else 0.9


def runs_older_core(version: Version, compute_capability: float | None) -> bool:
    """Return whether the engine runs its older core: before 0.8, and on GPUs before Ampere before 0.10.2."""
    is_before_ampere = compute_capability is not None and compute_capability < _AMPERE
    return version < (_CORE_V1_BEFORE_AMPERE if is_before_ampere else _CORE_V1)


def _as_run(deployment: Deployment) -> Deployment:
    """Return the deployment with the version whose core runs on its GPU."""
    version = deployment.version
    if version >= _CORE_V1 and runs_older_core(version, deployment.device.compute_capability):
        return replace(deployment, version=_LAST_OLDER_CORE)
    return deployment


class _Step(NamedTuple):
    """The largest step: tokens computed, and sequences sampled."""

    tokens: int
    sequences: int


def largest_step(deployment: Deployment) -> _Step:
    """Return the largest step of an API server.

    Source: engine/arg_utils.py, get_batch_defaults, 0.19.0 and 0.31.0; before core V1 config.py of 0.6.6: without
    chunked prefill a step computes a whole prompt, and longer contexts are computed in chunks of 2048.
    """
    version, context = deployment.version, deployment.context
    if version < _CORE_V1:
        is_chunked = context > _LONG_CONTEXT and version >= _CHUNKS_LONG_PROMPTS
        tokens, sequences = _CHUNK if is_chunked else max(context, _CHUNK), 256
    elif version >= _STEPS_OF_160_GIB and deployment.device.memory_bytes >= LARGEST_DEVICE_BYTES:
        tokens, sequences = 16_384, 1024
    elif _is_large(deployment.device):
        tokens, sequences = 8192, 1024
    else:
        tokens, sequences = 2048, 256
    tokens = deployment.settings.max_batched_tokens or tokens
    return _Step(tokens, min(deployment.settings.max_sequences or sequences, tokens))


@lru_cache(maxsize=1024)
def cublas_bytes(device: Device) -> int:
    """Return the bytes of the workspace for matrix products, which is allocated once."""
    name = device.name.lower()
    return next((size for parts, size in _CUBLAS_BYTES_BY_NAME if any(part in name for part in parts)), _CUBLAS_BYTES)


# Memory from which the default steps are larger, as far as a process sees it (engine/arg_utils.py, get_batch_defaults).
LARGE_DEVICE_BYTES, LARGEST_DEVICE_BYTES = 70 * GIB, 160 * GIB


@lru_cache(maxsize=1024)
def _is_large(device: Device) -> bool:
    return device.memory_bytes >= LARGE_DEVICE_BYTES and not has_small_steps(device)


def has_small_steps(device: Device) -> bool:
    """Return whether the default steps are small for any memory: on an A100, and if an NVIDIA CPU shares the memory.

    Source: engine/arg_utils.py, get_batch_defaults. NVIDIA's library reports no size of a shared memory; a GB10 logs a
    step of 2048 tokens.
    """
    is_unreported = device.shares_memory and device.compute_capability is not None
    return "a100" in device.name.lower() or is_unreported


def memory_utilization(deployment: Deployment) -> float:
    """Return the share of the GPU that the engine uses."""
    given = deployment.settings.memory_utilization
    return default_memory_utilization(deployment.version) if given is None else given


def usable_bytes(deployment: Deployment) -> int:
    """Return total × utilization, rounded up (v1/worker/utils.py, request_memory)."""
    return math.ceil(deployment.device.memory_bytes * memory_utilization(deployment))


def sampling_bytes_per_logit(
    version: tuple[int, int, int], bytes_per_value: int, tp: int, flashinfer: bool = False
) -> float:
    """Return the bytes alive per sampled row and vocabulary entry at the peak of sampling.

    * 38 with top-k and top-p by sorting: logits in 16 and in 32 bits, sorted logits and their 64-bit indices, and the
      workspace of PyTorch's sort. Calibrated on llm-d 0.11 (logged 4.76, 5.56, 7.38 GiB; computed 4.76, 5.57, 7.37);
      fits pull request 10511 (1.26 logged) and logs of 0.8.5 and 0.10.2.
    * 14 if core V1 uses an installed FlashInfer ("Using FlashInfer for top-p & top-k sampling"), and from 0.17: logits,
      their 32-bit copy, probabilities and the random values for sampling (v1/sample/sampler.py,
      ops/topk_topp_sampler.py: forward_native and random_sample; FlashInfer's masks and probabilities are as large).
    * Model runner V2: only the logits, gathered from the ranks that computed them.
    """
    beyond_16_bits = bytes_per_value - 2
    if version < _TOP_K_KERNEL and not flashinfer:
        return 38 + beyond_16_bits
    if version < _RUNNER_V2:
        return 14 + beyond_16_bits
    return bytes_per_value * (1 if tp == 1 else 2 + 1 / tp)


def sampling_peak_bytes(
    shapes: StageShapes, step: _Step, version: tuple[int, int, int], tp: int, flashinfer: bool = False
) -> int:
    """Return the bytes for sampling all sequences at once while the hidden states of the step are alive.

    Source: v1/worker/gpu_model_runner.py, profile_run and _dummy_sampler_run.
    """
    if not shapes.vocab_size:
        return 0
    bytes_per_logit = sampling_bytes_per_logit(version, shapes.bytes_per_value, tp, flashinfer)
    logits = step.sequences * shapes.vocab_size * bytes_per_logit
    top_k = (
        4 * shapes.vocab_size * min(_MULTIPROCESSORS, step.sequences)
        if _TOP_K_KERNEL <= version < _FLASHINFER_SAMPLER
        else 0
    )
    rows = step.tokens + 2 * step.sequences  # hidden states of the step, of the sampled tokens, and random ones
    return int(logits) + top_k + rows * shapes.hidden_size * shapes.bytes_per_value


def forward_peak_bytes(shapes: StageShapes, step: _Step, version: tuple[int, int, int], *, is_last: bool) -> int:
    """Return the bytes of a layer at its peak: the feed-forward block of a whole step.

    Alive are gate, up and their product and, at the width of the model, the residual, the block's input and output and,
    from core V1, the attention's output, which is an argument of the compiled function. Activations quantized to 8 bits
    add a byte per value of the product.

    Checked on Mistral Small 3.1 W8A8 (llm-d 205: logged 2.18 GiB, computed 2.18) and Qwen2.5-1.5B on T4 under 0.8.5
    (logged 2.02, computed 2.02).
    """
    hidden_states = 3 if version < _CORE_V1 else 4
    values = shapes.mlp_copies * shapes.mlp_width + hidden_states * shapes.hidden_size
    stage_output = 0 if is_last else 2 * shapes.hidden_size  # hidden states and residual for the next stage
    per_token = (values + stage_output) * shapes.bytes_per_value + shapes.mlp_width * shapes.quantized
    return step.tokens * per_token


def expert_workspace_bytes(shapes: StageShapes, step: _Step) -> int:
    """Return the bytes of the experts' workspaces: inputs and products of every (token, expert) pair.

    Source: model_executor/layers/fused_moe/fused_moe.py, TritonExperts.workspace_shapes, 0.19.0. Checked on
    DeepSeek-V2-Lite (llm-d 205: logged 1.93 GiB, computed 1.93) and Mixtral TP 2 (1.21, 1.21). Kernels for MXFP4 have
    no workspace: gpt-oss-20b (2.87, 2.87).
    """
    if not shapes.expert_workspace or not shapes.experts_per_token:
        return 0
    width = max(2 * shapes.expert_width, shapes.expert_input) + max(shapes.expert_width, shapes.expert_input)
    return step.tokens * shapes.experts_per_token * width * shapes.bytes_per_value


def latent_peak_bytes(shapes: StageShapes, step: _Step, context: int) -> int:
    """Return the bytes of keys and values unfolded from latents, for the most cached tokens that one step unfolds.

    Source: model_executor/layers/attention/mla_attention.py, forward_impl and determine_chunked_prefill_workspace_size.
    """
    if not shapes.latent_width:
        return 0
    tokens = min(max(8 * context, 4 * step.sequences * BLOCK_TOKENS), 64 * 1024)
    unfolded = max(tokens, step.sequences * BLOCK_TOKENS) * shapes.latent_width
    return (unfolded + 4 * step.tokens * shapes.hidden_size) * shapes.bytes_per_value


def _image_count(model: ModelSpec, shapes: StageShapes, step: _Step) -> int:
    """Return the images of the profiling run: the largest ones that fit into the tokens of one step, at least one.

    Source: v1/worker/gpu_model_runner.py, profile_run; multimodal/encoder_budget.py.
    """
    return max(1, step.tokens // model.image.tokens) if model.image and shapes.is_first else 0


def image_bytes(model: ModelSpec, shapes: StageShapes, step: _Step) -> int:
    """Return the bytes of the profiling run's images and their embeddings, which stay alive during the run.

    Checked on Gemma 3 27B (logged 3.99 GiB, computed 3.99).
    """
    image = model.image
    if image is None:
        return 0
    values = image.tokens * image.embeddings * shapes.hidden_size + image.pixel_values
    return _image_count(model, shapes, step) * values * shapes.bytes_per_value


def encoder_peak_bytes(model: ModelSpec, shapes: StageShapes, step: _Step, tp: int) -> int:
    """Return the bytes of the tower's widest point: the residual, the block's input and the feed-forward block.

    The pixels are still twice as wide. Checked on Qwen2.5-VL-7B (L4, 0.9.0: the cache's 1.81 GiB leave 2.26 for this
    and the workspace for matrix products; 2.27 computed) and Gemma 4 26B NVFP4 (six videos, 0.20.2: 4.1, 3.8).
    """
    image = model.image
    if image is None:
        return 0
    values = image.patches * (2 * image.tower_width + image.tower_mlp_width // tp)
    return _image_count(model, shapes, step) * (values + 2 * image.pixel_values) * shapes.bytes_per_value


def activation_peak_bytes(deployment: Deployment, shapes: StageShapes, flashinfer: bool = False) -> int:
    """Return the peak of the profiling run above the weights: permanent buffers, and its phase with the most memory.

    Args:
        flashinfer: whether FlashInfer is installed, so that versions that would sort for sampling do not.
    """
    model, version, step = deployment.model, deployment.version, largest_step(deployment)
    workspace = expert_workspace_bytes(shapes, step)
    forward = forward_peak_bytes(shapes, step, version, is_last=bool(shapes.vocab_size))
    held = workspace if version >= _EXPERT_WORKSPACE else 0  # in all phases; else only in that of the layers
    decoder = held + max(
        forward + workspace - held,
        latent_peak_bytes(shapes, step, deployment.context),
        attention_peak_bytes(model, deployment.attention_tp, step.tokens, shapes.bytes_per_value),
        sampling_peak_bytes(shapes, step, version, deployment.attention_tp, flashinfer),
    )
    for_context = context_bytes(model) * deployment.context
    return (
        cublas_bytes(deployment.device)
        + for_context
        + max(
            image_bytes(model, shapes, step) + decoder, encoder_peak_bytes(model, shapes, step, deployment.attention_tp)
        )
    )


def activation(deployment: Deployment, shapes: StageShapes) -> Size:
    """Return the peak activation with its logged range, whose low end is with FlashInfer, as it may be installed.

    Logged with FlashInfer, activation and memory outside PyTorch together: 0.55 GiB (Qwen2-7B, A100, 0.10.1; 0.53
    computed).
    """
    expected = activation_peak_bytes(deployment, shapes)
    sorts = _CORE_V1 <= deployment.version < _TOP_K_KERNEL
    with_flashinfer = activation_peak_bytes(deployment, shapes, flashinfer=True) if sorts else expected
    high = int(expected * 1.12)
    if deployment.version < _READS_PEAK:  # the phases' memory adds up where no freed block can be used again
        step, is_last = largest_step(deployment), bool(shapes.vocab_size)
        forward = forward_peak_bytes(shapes, step, deployment.version, is_last=is_last)
        high += min(forward, sampling_peak_bytes(shapes, step, deployment.version, deployment.attention_tp))
    return Size(expected, int(with_flashinfer * 0.92), high)


@lru_cache(maxsize=256)
def _gib(expected: float, low: float, high: float) -> Size:
    return Size(round(expected * GIB), round(low * GIB), round(high * GIB))


def other_bytes(deployment: Deployment) -> Size:
    """Return the process's memory outside PyTorch: loaded kernels; with several GPUs buffers of NCCL and all-reduce.

    Logged, in GiB:

    * One GPU: 0.02 to 0.16 up to version 0.11, 0.24 to 0.46 in llm-d 205, 0.26 under 0.31 on an A100. ROCm needs more:
      0.66 (MI300X, 0.9.2). Before 0.6.6 the driver's context is included: 0.35 (RTX 3090, 0.6.4, vllm-project/vllm
      issue 10517) to 1.79 (H100, pull request 10511).
    * Tensor parallelism: 0.2 before core V1; then 0.54 to 0.55 on two H100 (llm-d 0.11), 1.4 to 2.4 on four or eight
      GPUs behind NVSwitch, where NCCL reduces in the switch (Qwen3-Next on H200, Qwen3-235B and Qwen3-32B on H100:
      vllm-project/vllm issue 21348, DaisukeTakai/eval_dataset), and 0.14 to 0.2 on other GPUs (A100, 0.10.1:
      dennislee22/vLLM-benchmarking; 16 RTX 3090, 0.8); 2.06 to 2.13 in llm-d 205; later 0.6 (Qwen3-235B, RTX PRO 6000,
      0.28) to 0.95 (B200).
    * Only pipeline stages: 0.07 on the first; on the last, the cache leaves 0.2.
    * Two GB10, whose memory is the CPU's too: 0.7 (DeepSeek-V4, 0.26.1) to about 15 (MiniMax-M2.7, 0.29:
      eugr/spark-vllm-docker issue 396), because files that are read and code that is compiled meanwhile count as memory
      of the process (pull request 286 there; NVIDIA/xr-ai pull request 462).
    """
    version = deployment.version
    if deployment.device.shares_memory and deployment.tp > 1 and version >= _FLASHINFER_SAMPLER:
        return _gib(0.8, 0.4, 15.0)
    if deployment.tp == 1 and deployment.device.shares_memory:
        return SHARED_MEMORY_HELD
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
        return _before_workspaces(deployment)
    return _gib(2.08, 1.0, 2.3) if version < _FLASHINFER_SAMPLER else _gib(0.8, 0.4, 2.3)


def _before_workspaces(deployment: Deployment) -> Size:
    """Return the memory outside PyTorch of several GPUs under core V1 up to 0.12; its logs are in `other_bytes`.

    NCCL reduces in the switch from Hopper on, with more than two GPUs (NCCL src/transport/nvls.cc).
    """
    name = deployment.device.name.lower()
    if not any(part in name for part in _WITH_NVSWITCH) or "pcie" in name or "nvl" in name:
        return _gib(0.16, 0.1, 0.6)
    return _gib(2.24, 1.3, 2.5) if deployment.tp > 2 else _gib(0.55, 0.3, 0.8)


def graph_bytes(deployment: Deployment, layers: int) -> Size:
    """Return the bytes of CUDA graphs, the least certain term; 0 if the engine runs without them.

    Up to 0.19 they are added on top of the engine's share and grow with the layers: 0.64 to 1.85 GiB in llm-d 205,
    about 0.3 GiB and 17 MiB per layer. From 0.20 the engine subtracts its own estimate from the cache; logged are 0.17
    (TP 4, few graphs), 0.49 to 1.2 GiB (Llama-3.1-8B, A100, 0.31), and up to 5 in single cases. It estimates them from
    free memory, which on a GB10 gave −4.7 (eugr/spark-vllm-docker pull request 200) to 5.1 GiB (issue 396 there).
    """
    if deployment.settings.eager:
        return exact_size(0)
    if deployment.version >= _GRAPHS_SUBTRACTED:
        return _gib(0.6, 0.1, 5.1 if deployment.device.shares_memory else 1.5)
    return size_between(round((0.3 + 0.0166 * layers) * GIB), 0.5, 2.2)


def budgets(deployment: Deployment) -> tuple[Budget, ...]:
    """Return the budget of one GPU of each pipeline stage."""
    deployment = _as_run(deployment)
    model, precision, split = deployment.model, deployment.precision, deployment.split
    expert_parallel, groups = deployment.expert_parallel, deployment.settings.groups
    return tuple(
        Budget(
            usable_bytes=usable_bytes(on_stage),
            weights=exact_size(weights) if shapes.expert_workspace else size_between(weights, *_MXFP4_PADDING),
            activation=activation(on_stage, shapes),
            graphs=graph_bytes(on_stage, shapes.layers),
            other=other_bytes(on_stage),
            graphs_are_subtracted=deployment.version >= _GRAPHS_SUBTRACTED,
        )
        for on_stage, weights, shapes in zip(
            _by_stage(deployment),
            loaded_weights_by_stage(model, precision, deployment.tp, split, expert_parallel, groups),
            stage_shapes(model, precision, deployment.attention_tp, split, expert_parallel),
        )
    )


def _by_stage(deployment: Deployment) -> Sequence[Deployment]:
    """Return the deployment as a GPU of each stage has it; its first GPU decides the largest step of all."""
    if not deployment.stage_devices:
        return (deployment,) * deployment.pp
    tokens, sequences = largest_step(deployment)
    settings = replace(deployment.settings, max_batched_tokens=tokens, max_sequences=sequences)
    return [replace(deployment, device=device, settings=settings) for device in deployment.devices]


def pool(deployment: Deployment) -> Pool:
    """Return the pool: blocks of 16 tokens, with layers of several kinds in groups (`core.engines.blocks`).

    With decode context parallelism a block holds 16 tokens on each of the GPUs that share a sequence
    (v1/kv_cache_interface.py, max_memory_usage_bytes). A step that drafts needs places for the drafted tokens too
    (v1/core/kv_cache_manager.py, num_lookahead_tokens).
    """
    deployment = _as_run(deployment)
    cache = cache_blocks(
        deployment.model, deployment.kv_precision, deployment.attention_tp, deployment.split, deployment.version
    )
    in_flight = in_flight_tokens(deployment)
    ranks, drafted = deployment.settings.context_parallel or 1, deployment.settings.mtp_tokens or 0
    return Pool(
        block_bytes=cache.block_bytes,
        blocks_per_sequence=lambda context: cache.of_sequence(-(-(context + drafted) // ranks), in_flight),
        logged_tokens=lambda count, context: ranks * _logged_tokens(cache, count, context, deployment, in_flight),
        bytes_per_token=-(-cache.bytes_per_token() // ranks),
        shared_blocks=lambda tokens: cache.shared(tokens // ranks),
    )


def cache_blocks(model: ModelSpec, kv_precision: Precision, tp: int, pp: Split, version: Version) -> Blocks:
    """Return the groups and blocks of the cache of `model` on `tp` × `pp` GPUs."""
    if has_compressed_attention(model):
        return compressed_blocks(model, kv_precision, pp, version)
    return blocks(model, kv_precision, tp, pp, version)


def in_flight_tokens(deployment: Deployment) -> int:
    """Return the tokens of steps that are scheduled and not finished, whose blocks layers with a window keep.

    Source: config/vllm.py, max_concurrent_batches and max_in_flight_tokens: while one step runs the next is scheduled,
    and every pipeline stage has its own.
    """
    version, pp, tokens = deployment.version, deployment.pp, largest_step(deployment).tokens
    if version < _KEEPS_STEPS_IN_FLIGHT:
        return tokens
    return tokens * (pp + 1 if pp == 1 or version >= _RUNNER_V2 else pp)


def _logged_tokens(cache: Blocks, count: int, context: int, deployment: Deployment, in_flight: int) -> int:
    """Return the log's "GPU KV cache size" (v1/core/kv_cache_utils.py, _report_kv_cache_config)."""
    if deployment.version >= _LOGS_CONCURRENCY and len(cache.groups) > 1:
        return count * context // cache.of_sequence(context, in_flight)
    return count // len(cache.groups) * cache.least_block_tokens


ENGINE = Engine(
    name="vllm",
    default_version="0.31",
    budgets=budgets,
    pool=pool,
    max_sequences=lambda deployment: largest_step(_as_run(deployment)).sequences,
    calibrated=("0.6", "0.31"),
    share=memory_utilization,
    lacks=("gpu_layers", "cpu_expert_layers"),
)
