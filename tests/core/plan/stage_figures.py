"""Reduce a model on one GPU of a pipeline stage to the figures from which `tests.core.plan.stage_terms` computes its users.

They describe vLLM's default version with default settings; a spreadsheet has them as columns.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from typing import Any

from core.engines import vllm
from core.engines.blocks import BLOCK_TOKENS, Blocks, blocks
from core.engines.deployment import Deployment, Device, parse_version
from core.engines.loaded_weights import loaded_weights_by_stage
from core.engines.shapes import StageShapes, stage_shapes
from core.model.precision import Precision, precision_of_bytes
from core.model.spec import ModelSpec
from core.plan.fleet import DRIVER_RESERVED_MIB, DRIVER_RESERVED_SHARE, GpuChoice
from core.units import MIB
from tests.core.plan.stage_terms import DEMAND, STAGE

VERSION = parse_version(vllm.ENGINE.default_version)
MOST_UNFOLDED_TOKENS = 64 * 1024  # vLLM mla_attention.py, determine_chunked_prefill_workspace_size
_SIXTEEN_BIT_BYTES = 2


@dataclass(frozen=True, kw_only=True)
class GpuFigures:
    """What vLLM's defaults make of a GPU.

    Attributes:
        memory_bytes: what the driver reports.
        step_tokens, max_sequences: tokens and sequences of the largest step.
        workspace_bytes: workspace for matrix products.
        other_one_bytes, other_stages_bytes, other_several_bytes: memory outside PyTorch with one GPU, with pipeline
            stages alone, and with tensor parallelism.
        graph_bytes: CUDA graphs.
    """

    memory_bytes: int
    step_tokens: int
    max_sequences: int
    workspace_bytes: int
    other_one_bytes: int
    other_stages_bytes: int
    other_several_bytes: int
    graph_bytes: int

    def other_bytes(self, tp: int, pp: int) -> int:
        """Return the memory outside PyTorch on a GPU of a layout."""
        if tp > 1:
            return self.other_several_bytes
        return self.other_stages_bytes if pp > 1 else self.other_one_bytes


@lru_cache(maxsize=1024)
def gpu_figures(choice: GpuChoice) -> GpuFigures:
    """Return what vLLM's defaults make of a GPU."""
    step = vllm.largest_step(_started(choice.device))

    def other(tp: int, pp: int) -> int:
        return vllm.other_bytes(_started(choice.device, tp, pp), _NO_EXPERTS).expected

    return GpuFigures(
        memory_bytes=choice.memory_bytes,
        step_tokens=step.tokens,
        max_sequences=step.sequences,
        workspace_bytes=vllm.cublas_bytes(choice.device),
        other_one_bytes=other(1, 1),
        other_stages_bytes=other(1, 2),
        other_several_bytes=other(2, 1),
        graph_bytes=vllm.graph_bytes(_started(choice.device), 1).expected,
    )


@dataclass(frozen=True, kw_only=True)
class StageFigures:
    """A model on one GPU of a pipeline stage, for one precision of the weights and one of the cache.

    Attributes:
        weights_bytes: what the engine allocates for the weights.
        groups, block_tokens, groups_2, block_tokens_2: groups of layers that cache every token, and the tokens in one
            of their blocks; of two kinds, as DeepSeek-V4 has.
        window, window_groups, window_block_tokens: the window in tokens, its groups and their block's tokens.
        states: groups with a state.
        block_bytes: bytes of one block.
        forward_bytes_per_token, quantized_bytes_per_token: widest feed-forward block in 16 bits, and its 8-bit copy.
        expert_bytes: workspace of the experts' kernels for one token, in 16 bits.
        sampled_bytes_per_sequence, sampled_bytes_per_token: sampling on the last stage, in 16 bits.
        bytes_per_image, image_tokens: the largest image on the first stage, in 16 bits, and its tokens.
        latent_bytes_per_token, latent_bytes_per_step_token: keys and values unfolded from latents, in 16 bits.
        wide: bytes per value of activations, in units of 16 bits.
        is_8_bit, has_workspace: 1 if activations are quantized, and 1 if experts' kernels have a workspace; else 0.
    """

    weights_bytes: int
    groups: int
    block_tokens: int
    groups_2: int
    block_tokens_2: int
    window: int
    window_groups: int
    window_block_tokens: int
    states: int
    block_bytes: int
    forward_bytes_per_token: int
    quantized_bytes_per_token: int
    expert_bytes: int
    sampled_bytes_per_sequence: float
    sampled_bytes_per_token: int
    bytes_per_image: int
    image_tokens: int
    latent_bytes_per_token: int
    latent_bytes_per_step_token: int
    wide: float
    is_8_bit: int
    has_workspace: int


@lru_cache(maxsize=4096)
def stage_figures(
    model: ModelSpec, precision: Precision | None, kv_precision: Precision, tp: int, pp: int
) -> tuple[StageFigures, ...]:
    """Return the figures of a GPU of each pipeline stage; `precision` None is as the checkpoint stores the weights."""
    narrow = stage_shapes(model, precision_of_bytes("precision", _SIXTEEN_BIT_BYTES), tp, pp)
    as_loaded = stage_shapes(model, precision, tp, pp)
    weights = loaded_weights_by_stage(model, precision, tp, pp)
    cache = blocks(model, kv_precision, tp, pp, VERSION)
    counts = _block_counts(cache)
    return tuple(
        StageFigures(
            weights_bytes=weights[i],
            block_bytes=cache.block_bytes[i],
            **counts,
            **_activation_figures(model, shapes, tp),
            wide=as_loaded[i].bytes_per_value / _SIXTEEN_BIT_BYTES,
            is_8_bit=int(as_loaded[i].quantized),
            has_workspace=int(as_loaded[i].expert_workspace),
        )
        for i, shapes in enumerate(narrow)
    )


def _activation_figures(model: ModelSpec, shapes: StageShapes, tp: int) -> dict[str, Any]:
    """Return bytes of 16-bit activations; core/engines/vllm.py says what each is."""
    hidden, bytes_per_value = shapes.hidden_size, _SIXTEEN_BIT_BYTES
    is_last = bool(shapes.vocab_size)
    handed_on = 0 if is_last else 2 * hidden
    pair = max(2 * shapes.expert_width, shapes.expert_input) + max(shapes.expert_width, shapes.expert_input)
    per_logit = vllm.sampling_bytes_per_logit(VERSION, bytes_per_value, tp)
    image = model.image if shapes.is_first else None
    return {
        "forward_bytes_per_token": (shapes.mlp_copies * shapes.mlp_width + 4 * hidden + handed_on) * bytes_per_value,
        "quantized_bytes_per_token": shapes.mlp_width,
        "expert_bytes": shapes.experts_per_token * pair * bytes_per_value,
        "sampled_bytes_per_sequence": (shapes.vocab_size * per_logit + 2 * hidden * bytes_per_value) if is_last else 0,
        "sampled_bytes_per_token": hidden * bytes_per_value if is_last else 0,
        "bytes_per_image": (image.tokens * hidden + image.pixel_values) * bytes_per_value if image else 0,
        "image_tokens": image.tokens if image else 1,
        "latent_bytes_per_token": shapes.latent_width * bytes_per_value,
        "latent_bytes_per_step_token": 4 * hidden * bytes_per_value if shapes.latent_width else 0,
    }


def _block_counts(cache: Blocks) -> dict[str, int]:
    full: Counter[int] = Counter()
    windowed: Counter[tuple[int, int]] = Counter()
    states = 0
    for group in cache.groups:
        if group.spec.state_bytes:
            states += 1
        elif group.spec.window:
            windowed[group.spec.window, group.block_tokens] += 1
        else:
            full[group.block_tokens] += 1
    (block_tokens, groups), (block_tokens_2, groups_2) = [*full.items(), (BLOCK_TOKENS, 0), (BLOCK_TOKENS, 0)][:2]
    ((window, window_block_tokens), window_groups) = [*windowed.items(), ((1, BLOCK_TOKENS), 0)][0]
    return {
        "groups": groups,
        "block_tokens": block_tokens,
        "groups_2": groups_2,
        "block_tokens_2": block_tokens_2,
        "window": window,
        "window_groups": window_groups,
        "window_block_tokens": window_block_tokens,
        "states": states,
    }


def users_of_stages(
    stages: tuple[StageFigures, ...], gpu: GpuFigures, tp: int, pp: int, context: int, average_tokens: int | None = None
) -> int:
    """Return the users of one replica by the terms: the stage with the fewest decides."""
    demand = DEMAND.compute(
        {
            "memory_bytes": gpu.memory_bytes,
            "driver_reserved_bytes": DRIVER_RESERVED_MIB * MIB,
            "driver_reserved_share": DRIVER_RESERVED_SHARE,
            "memory_utilization": vllm.default_memory_utilization(VERSION),
            "context": context,
            "average_tokens": average_tokens or 0,
            "window": stages[0].window,
            "step_tokens": gpu.step_tokens,
            "most_unfolded_tokens": MOST_UNFOLDED_TOKENS,
            "max_sequences": gpu.max_sequences,
        }
    )
    given = demand | asdict(gpu) | {"other_bytes": gpu.other_bytes(tp, pp)}
    return min(math.floor(_stage_users(given | _as_dict(stage))) for stage in stages)


def _stage_users(given: dict[str, object]) -> float:
    return STAGE.compute(given)["stage_users"]  # type: ignore[return-value]


def _as_dict(stage: StageFigures) -> dict[str, object]:
    return {field.name: getattr(stage, field.name) for field in fields(stage)}


def _started(device: Device, tp: int = 1, pp: int = 1) -> Deployment:
    """Return vLLM's default version with its default settings, without a model."""
    two_bytes = precision_of_bytes("precision", _SIXTEEN_BIT_BYTES)
    nothing = ModelSpec(name="", hidden_size=0, layers=())
    return Deployment(
        model=nothing, precision=two_bytes, kv_precision=two_bytes, device=device, tp=tp, pp=pp, context=1,
        version=VERSION,
    )  # fmt: skip


_NO_EXPERTS = StageShapes(
    layers=0, hidden_size=0, vocab_size=0, is_first=True, mlp_width=0, mlp_copies=0, experts_per_token=0,
    expert_width=0, expert_input=0, latent_width=0, expert_workspace=False, bytes_per_value=2, quantized=False,
)  # fmt: skip
