"""Compute the terms of `core.plan.memory` for a replica: every figure that a sheet shows of it.

`core.plan.fleet` gets the users of a replica from the engine itself; tests hold that the two are equal.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from core.engines import vllm
from core.engines.blocks import BLOCK_TOKENS
from core.engines.deployment import Device, EngineSettings
from core.engines.served import DEFAULT_LORA_RANK, LORA_VALUE_BYTES, acceptance_of, loaded_model
from core.plan.fleet import DRIVER_RESERVED_MIB, DRIVER_RESERVED_SHARE, MAX_GPUS, GpuChoice, Replica, Service
from core.plan.layout_figures import STEP_CLASSES, VERSION, Row, StepClass, model_figures, stage_inputs, started
from core.plan.memory import (
    ADAPTERS,
    BLOCKS,
    DEVICE,
    MOST_UNFOLDED_TOKENS,
    OF_CONTEXT,
    ROOM,
    STAGE,
    UNFOLDED_CONTEXTS,
    UNFOLDED_TOKENS_A_SEQUENCE,
)  # fmt: skip
from core.plan.nodes import MAX_NODES_PER_REPLICA
from core.units import MIB

_SMALL, _LARGE, _LARGEST = STEP_CLASSES


def _other_bytes(device: Device, tp: int, pp: int) -> int:
    return vllm.other_bytes(started(device, tp, pp)).expected


# Constants of the terms, in the order in which a reader meets them.
CONSTANTS: dict[str, float] = {
    "driver_reserved_bytes": DRIVER_RESERVED_MIB * MIB,
    "driver_reserved_share": DRIVER_RESERVED_SHARE,
    "memory_utilization": vllm.default_memory_utilization(VERSION),
    "graph_bytes": vllm.graph_bytes(started(_SMALL.example), 1).expected,
    "other_several_bytes": _other_bytes(_SMALL.example, 2, 1),
    "large_class_bytes": vllm.LARGE_DEVICE_BYTES,
    "largest_class_bytes": vllm.LARGEST_DEVICE_BYTES,
    "step_tokens_1": _SMALL.tokens,
    "step_tokens_2": _LARGE.tokens,
    "step_tokens_3": _LARGEST.tokens,
    "max_sequences_1": _SMALL.sequences,
    "max_sequences_2": _LARGE.sequences,
    "most_unfolded_tokens": MOST_UNFOLDED_TOKENS,
    "unfolded_contexts": UNFOLDED_CONTEXTS,
    "unfolded_a_sequence": UNFOLDED_TOKENS_A_SEQUENCE,
    "lora_value_bytes": LORA_VALUE_BYTES,
    "step_classes": len(STEP_CLASSES),
    "most_nodes_per_replica": MAX_NODES_PER_REPLICA,
    "most_planned_gpus": MAX_GPUS,
    "kv_block_tokens": BLOCK_TOKENS,
}


@lru_cache(maxsize=1024)
def gpu_inputs(gpu: GpuChoice) -> dict[str, int]:
    """Return the inputs of `core.plan.memory` that depend on the GPU: name → value; do not change the dictionary."""
    device = gpu.device
    return {
        "memory_bytes": gpu.memory_bytes,
        "small_steps": int(vllm.has_small_steps(device)),
        "workspace_bytes": vllm.cublas_bytes(device),
        "other_one_bytes": _other_bytes(device, 1, 1),
        "other_stages_bytes": _other_bytes(device, 1, 2),
        "gpus_per_node": gpu.gpus_per_node,
    }


@lru_cache(maxsize=1024)
def device_figures(gpu: GpuChoice) -> dict[str, Any]:
    """Return the inputs and terms of `core.plan.memory.DEVICE` for a GPU by name; do not change the dictionary."""
    given = CONSTANTS | gpu_inputs(gpu)
    return given | DEVICE.compute(given)


def step_class_of(gpu: GpuChoice) -> StepClass:
    """Return the class of the GPU in vLLM's defaults."""
    number: int = device_figures(gpu)["step_class"]
    return STEP_CLASSES[number - 1]


def replica_figures(
    service: Service, replica: Replica, context: int, stages: Iterable[Row] | None = None
) -> tuple[dict[str, Any], ...]:
    """Return every term of a replica under vLLM by name, for each stage that can have the fewest users.

    Of the engine's settings the terms know those of `settings_inputs`; others are at vLLM's defaults. The users of a
    stage are those of one of its groups of data-parallel attention.

    Args:
        stages: the inputs of each stage; those of `stage_inputs` if omitted.
    """
    model, gpu = loaded_model(service.model, service.settings, service.draft), device_figures(replica.gpu)
    if stages is None:
        stages = stage_inputs(
            model, service.precision, service.kv_precision, replica.tp, replica.pp, step_class_of(replica.gpu),
            service.groups, service.draft,
        )  # fmt: skip
    tokens = min(context, service.average_tokens or context)
    of_model = asdict(model_figures(model, service.draft))
    given = gpu | of_model | {"tp": replica.tp, "pp": replica.pp, "context": context, "tokens": tokens}
    given |= ROOM.compute(given) | settings_inputs(service.settings)
    given |= OF_CONTEXT.compute(given)
    found = []
    for stage in stages:
        of_stage = given | dict(stage)
        of_stage |= ADAPTERS.compute(of_stage)
        of_stage |= BLOCKS.compute(of_stage)
        found.append(of_stage | STAGE.compute(of_stage))
    return tuple(found)


def settings_inputs(settings: EngineSettings) -> dict[str, float]:
    """Return the engine's settings that the terms know, as their inputs."""
    return {
        "attention_dp": settings.groups,
        "mtp_tokens": settings.mtp_tokens or 0,
        "acceptance": acceptance_of(settings),
        "shared_tokens": settings.shared_tokens or 0,
        "lora_adapters": settings.lora_adapters or 0,
        "lora_rank": settings.lora_rank or DEFAULT_LORA_RANK,
    }
