"""Compute layouts with few enough terms that each term has its own cell in the workbook.

`core.plan.fleet` computes every layout that can be deployed from an engine's full model. A worksheet has no such model,
but needs only a few numbers per model and layout, which are columns of the workbook's catalog. They are computed here,
and the workbook's formulas repeat this module. tests/core/plan/test_worksheet.py compares it with `core.plan.fleet`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

from core.checks import one_of
from core.engines import vllm
from core.engines.blocks import BLOCK_TOKENS, Blocks, blocks
from core.engines.deployment import Deployment, Device, parse_version
from core.engines.loaded_weights import loaded_weights_by_stage
from core.engines.parallelism import kv_profile_per_gpu, tensor_parallel_obstacle, weights_bytes_per_gpu
from core.engines.shapes import StageShapes, stage_shapes
from core.errors import UnsupportedModelError
from core.model.counts import model_counts
from core.model.kv_cache import kv_profile
from core.model.kv_profile import KvProfile
from core.model.precision import Precision, precision_of_bytes
from core.model.spec import ModelSpec
from core.model.weights import weights_bytes
from core.plan.allocation import RESERVED, allocated_tokens
from core.plan.estimate import DEFAULT_OVERHEAD_FRACTION, rule_overhead_bytes
from core.plan.fleet import DRIVER_RESERVED_MIB, DRIVER_RESERVED_SHARE, GpuChoice
from core.plan.nodes import node_takes, nodes_for
from core.units import GIB, MIB

RULE, VLLM = "rule", vllm.ENGINE.name
ENGINES = (RULE, VLLM)

# A difference of less than a billionth of a user or of a GPU is a rounding error.
_ROUNDING_ERROR = 1e-9


@dataclass(frozen=True)
class Layout:
    """GPUs of one replica: tensor parallel × pipeline parallel size."""

    tp: int
    pp: int

    @property
    def gpus(self) -> int:
        return self.tp * self.pp

    @property
    def title(self) -> str:
        return f"TP {self.tp}" if self.pp == 1 else f"TP {self.tp} × PP {self.pp}"


# The usual layouts: within a node of up to eight GPUs, or one stage on each of two such nodes.
LAYOUTS = (Layout(1, 1), Layout(2, 1), Layout(4, 1), Layout(8, 1), Layout(8, 2))

# An example of each class of GPU in vLLM's defaults, by the tokens of one step: 2048, 8192, 16 384.
_EXAMPLES = (Device("small", 40 * GIB), Device("large", 79 * GIB), Device("largest", 180 * GIB))
STEP_TOKENS = (2048, 8192, 16_384)


@dataclass(frozen=True, kw_only=True)
class PlannedGpu:
    """A GPU to plan with.

    Attributes:
        memory_bytes: the capacity that its driver reports.
        gpus_per_node: GPUs per node.
        step_tokens, max_sequences: vLLM's defaults for it: tokens and sequences of one step.
    """

    memory_bytes: int
    gpus_per_node: int
    step_tokens: int
    max_sequences: int


def planned_gpu(choice: GpuChoice) -> PlannedGpu:
    """Return the GPU with vLLM's defaults for it."""
    step = vllm.largest_step(_default_deployment(choice.device))
    return PlannedGpu(
        memory_bytes=choice.memory_bytes,
        gpus_per_node=choice.gpus_per_node,
        step_tokens=step.tokens,
        max_sequences=step.sequences,
    )


@dataclass(frozen=True, kw_only=True)
class GpuShare:
    """The part of a model on the fullest GPU of a layout.

    Attributes:
        parameters: number of parameters.
        shipped_bytes: their bytes as the checkpoint stores them.
        loading_bytes: bytes that vLLM allocates beyond the bytes of 16-bit weights (rotary table, rounding); 0 if the
            model's shapes are not known.
        kv: the KV cache of one sequence; with several pipeline stages, the largest of each term.
    """

    parameters: int
    shipped_bytes: int
    loading_bytes: int
    kv: KvProfile


@lru_cache(maxsize=4096)
def gpu_share(model: ModelSpec, layout: Layout) -> GpuShare | None:
    """Return the part of `model` on one GPU of `layout`; None if the model cannot be split that way."""
    tp, pp = layout.tp, layout.pp
    if tensor_parallel_obstacle(model, tp) or pp > model.num_hidden_layers:
        return None
    one_byte, two_bytes = (precision_of_bytes("precision", size) for size in (1, 2))
    parameters = weights_bytes_per_gpu(model, one_byte, tp=tp, pp=pp)
    loading = 0
    if has_shapes(model):
        loaded = max(loaded_weights_by_stage(model, two_bytes, tp, pp))
        loading = max(0, loaded - 2 * parameters)
    kv = _largest(kv_profile_per_gpu(model, tp, pp))
    if not model.heads_are_known:  # keys and values are divided like the weights
        kv = replace(kv, values_per_token=-(-kv.values_per_token // tp))
    return GpuShare(
        parameters=parameters, shipped_bytes=weights_bytes_per_gpu(model, tp=tp, pp=pp), loading_bytes=loading, kv=kv
    )


def has_shapes(model: ModelSpec) -> bool:
    """Return whether the shapes of `model` are known, which an engine's budget needs, and not only its size."""
    return model.vocab_size is not None and model.stated_parameters is None


def _largest(profiles: tuple[KvProfile, ...]) -> KvProfile:
    windows = sorted({window for profile in profiles for window, _ in profile.windowed})
    return KvProfile(
        values_per_token=max(profile.values_per_token for profile in profiles),
        windowed=tuple((window, max(dict(p.windowed).get(window, 0) for p in profiles)) for window in windows),
        fixed_values=max(profile.fixed_values for profile in profiles),
        fixed_bytes=max(profile.fixed_bytes for profile in profiles),
        index_bytes_per_token=max(profile.index_bytes_per_token for profile in profiles),
    )


@lru_cache(maxsize=4096)
def activation_bytes(model: ModelSpec, step_tokens: int, *, several: bool) -> int:
    """Return vLLM's peak activation with 16-bit weights, the default settings and the model's longest context.

    Args:
        step_tokens: one of `STEP_TOKENS`.
        several: whether tensor parallelism is used; if so, the figure is for two ranks, which is the largest.

    Raises:
        UnsupportedModelError: only the size of the model is known.
    """
    if not has_shapes(model):
        raise UnsupportedModelError(
            "engine",
            f"only the size of {model.name} is known, not the shapes that vLLM's budget needs",
            'Write "rule".',
        )
    tp = 2 if several and not tensor_parallel_obstacle(model, 2) else 1
    deployment = _default_deployment(_EXAMPLES[STEP_TOKENS.index(step_tokens)], model, tp)
    shapes = stage_shapes(model, deployment.precision, tp, 1)
    return max(vllm.activation_peak_bytes(deployment, stage) for stage in shapes)


def other_bytes(*, several: bool) -> int:
    """Return vLLM's memory outside PyTorch and in CUDA graphs (`vllm.other_bytes`, `vllm.graph_bytes`)."""
    deployment = _default_deployment(_EXAMPLES[0], tp=2 if several else 1)
    return (vllm.other_bytes(deployment, _NO_SHAPES) + vllm.graph_bytes(deployment, 1)).expected


_NO_MODEL = ModelSpec(name="", hidden_size=0, layers=())
_VERSION = parse_version(vllm.ENGINE.default_version)
MEMORY_UTILIZATION = vllm.default_memory_utilization(_VERSION)


def _default_deployment(device: Device, model: ModelSpec = _NO_MODEL, tp: int = 1) -> Deployment:
    """Return a deployment on vLLM's default version with default settings and 16-bit values."""
    two_bytes = precision_of_bytes("precision", 2)
    return Deployment(
        model=model,
        precision=two_bytes,
        kv_precision=two_bytes,
        device=device,
        tp=tp,
        context=model.max_position_embeddings or max(STEP_TOKENS),
        version=_VERSION,
    )


_NO_SHAPES = StageShapes(
    layers=0, hidden_size=0, vocab_size=0, is_first=True, mlp_width=0, mlp_copies=0, experts_per_token=0,
    expert_width=0, expert_input=0, latent_width=0, expert_workspace=False, bytes_per_value=2, quantized=False,
)  # fmt: skip


@dataclass(frozen=True)
class Padding:
    """vLLM's block bytes ÷ cached bytes, for layers that cache all tokens, a window, or a state."""

    all_tokens: float = 1
    windows: float = 1
    states: float = 1


@lru_cache(maxsize=2048)
def block_padding(model: ModelSpec) -> Padding:
    """Return the padding of `core.engines.blocks` with a 16-bit cache, for layers of several kinds in one pool."""
    two_bytes = precision_of_bytes("kv_precision", 2)
    cache, cached = blocks(model, two_bytes, 1, 1, _VERSION), kv_profile(model)
    return Padding(
        _ratio(_block_bytes_per_token(cache, windows=False), cached.bytes_per_token(two_bytes)),
        _ratio(_block_bytes_per_token(cache, windows=True), sum(two_bytes.bytes_of(v) for _, v in cached.windowed)),
        _ratio(
            sum(cache.block_bytes[0] for group in cache.groups if group.spec.state_bytes),
            cached.fixed_bytes_per_sequence(two_bytes),
        ),
    )


def _block_bytes_per_token(cache: Blocks, *, windows: bool) -> float:
    return sum(
        cache.block_bytes[0] / group.block_tokens
        for group in cache.groups
        if group.spec.bytes_per_token and bool(group.spec.window) == windows
    )


def _ratio(block_bytes: float, cached_bytes: float) -> float:
    return block_bytes / cached_bytes if cached_bytes and block_bytes else 1.0


@dataclass(frozen=True, kw_only=True)
class Workload:
    """The input of a plan.

    Attributes:
        model: the model.
        precision: precision of the weights; None: as the checkpoint stores them.
        kv_precision: precision of the KV cache.
        context: longest sequence in tokens.
        users: concurrent sequences.
        allocation, average_tokens: see `core.plan.allocation`.
        engine: `RULE`, a fraction on top of weights and cache; or `VLLM`, the budget of its default settings.
        overhead: the fraction of `RULE`; `VLLM` does not use it.
        gpu: the GPU.
    """

    model: ModelSpec
    precision: Precision | None
    kv_precision: Precision
    context: int
    users: int
    allocation: str = RESERVED
    average_tokens: int | None = None
    engine: str = RULE
    overhead: float = DEFAULT_OVERHEAD_FRACTION
    gpu: PlannedGpu

    @property
    def tokens(self) -> int:
        """Return the tokens for which each sequence has memory; vLLM allocates whole blocks."""
        return allocated_tokens(self.context, self.allocation, self.average_tokens, blocks=self.engine == VLLM)


@dataclass(frozen=True, kw_only=True)
class Needs:
    """The memory that a workload needs, independent of the layout.

    Attributes:
        overhead_bytes: the rule's overhead, or vLLM's own memory on `gpus` GPUs.
        gpus: weights and cache divided by a GPU's remaining memory, rounded up.
    """

    weights_bytes: int
    kv_bytes: int
    overhead_bytes: int
    gpus: int

    @property
    def total_bytes(self) -> int:
        return self.weights_bytes + self.kv_bytes + self.overhead_bytes


def needs_of(workload: Workload) -> Needs:
    """Return the memory that `workload` needs, and the number of GPUs by division.

    Raises:
        UnsupportedModelError: vLLM's budget needs shapes that are not known, or more than the GPU's memory.
    """
    weights = weights_bytes(workload.model, workload.precision)
    kv = model_counts(workload.model).kv.bytes_of_sequences(workload.users, workload.tokens, workload.kv_precision)
    if workload.engine == RULE:
        overhead = rule_overhead_bytes(weights, kv, workload.overhead)
        return Needs(
            weights_bytes=weights,
            kv_bytes=kv,
            overhead_bytes=overhead,
            gpus=_rounded_up((weights + kv + overhead) / workload.gpu.memory_bytes),
        )
    one, several = (workload.gpu.memory_bytes - reserve_bytes(workload, several=flag) for flag in (False, True))
    usable = one if weights + kv <= one else several
    if usable <= 0:
        raise UnsupportedModelError(
            "gpu", "vLLM's activations and buffers leave no memory for the model", "Choose a larger GPU."
        )
    gpus = _rounded_up((weights + kv) / usable)
    return Needs(
        weights_bytes=weights, kv_bytes=kv, overhead_bytes=round(gpus * (workload.gpu.memory_bytes - usable)), gpus=gpus
    )


def reserve_bytes(workload: Workload, *, several: bool) -> float:
    """Return the bytes of each GPU that vLLM uses for neither weights nor cache."""
    return (
        workload.gpu.memory_bytes
        - vllm_usable_bytes(workload.gpu.memory_bytes)
        + activation_bytes(workload.model, workload.gpu.step_tokens, several=several)
        + other_bytes(several=several)
    )


def vllm_usable_bytes(memory_bytes: int) -> float:
    """Return vLLM's share of the GPU memory that a process sees (`core.plan.fleet.GpuChoice.device`)."""
    visible = memory_bytes - DRIVER_RESERVED_MIB * MIB - memory_bytes * DRIVER_RESERVED_SHARE
    return max(0.0, visible) * MEMORY_UTILIZATION


# The limits on the users of a replica.
SPLIT, WEIGHTS, CACHE, SEQUENCES = "split", "weights", "cache", "sequences"


@dataclass(frozen=True, kw_only=True)
class WorksheetPlan:
    """One layout for a workload.

    Attributes:
        layout: GPUs of one replica.
        weights_bytes: weights on the fullest GPU.
        kv_budget_bytes: the rest of that GPU's memory for the cache; below 0 if the weights do not fit.
        kv_bytes_per_user: the cache of one user's sequence on that GPU.
        users_per_replica: most concurrent users of one replica; 0 if the layout is not possible.
        binds: the limit: `SPLIT`, the layout is not possible; `WEIGHTS`, the weights leave too little memory for one
            user; `CACHE`, the cache is full; `SEQUENCES`, the engine runs no more sequences at once.
        replicas, gpus, nodes: totals for all users; 0 if not even one fits.
    """

    layout: Layout
    weights_bytes: float
    kv_budget_bytes: float
    kv_bytes_per_user: float
    users_per_replica: int
    binds: str
    replicas: int
    gpus: int
    nodes: int


def worksheet_plans(workload: Workload) -> tuple[WorksheetPlan, ...]:
    """Return the plan of each of `LAYOUTS` for `workload`."""
    return tuple(_layout_plan(workload, layout) for layout in LAYOUTS)


def best_layout(workload: Workload) -> WorksheetPlan | None:
    """Return the plan with the fewest GPUs, among equals with the fewest per replica; None if none fits."""
    return min((plan for plan in worksheet_plans(workload) if plan.gpus), key=lambda plan: plan.gpus, default=None)


def _layout_plan(workload: Workload, layout: Layout) -> WorksheetPlan:
    gpu, engine = workload.gpu, workload.engine
    share = gpu_share(workload.model, layout)
    if share is None or not node_takes(layout.tp, layout.pp, gpu.gpus_per_node):
        return WorksheetPlan(
            layout=layout, weights_bytes=0, kv_budget_bytes=0, kv_bytes_per_user=0, users_per_replica=0, binds=SPLIT,
            replicas=0, gpus=0, nodes=0,
        )  # fmt: skip
    weights = weights_on_gpu(workload, share)
    if engine == RULE:
        budget = gpu.memory_bytes / (1 + workload.overhead) - weights
    else:
        reserved = reserve_bytes(workload, several=layout.tp > 1)
        budget = gpu.memory_bytes - reserved - share.loading_bytes - weights
    per_user = kv_bytes_per_user(workload, share.kv)
    fitting = max(0, math.floor(budget / per_user + _ROUNDING_ERROR))
    users = fitting if engine == RULE else min(fitting, gpu.max_sequences)
    replicas = _rounded_up(workload.users / users) if users else 0
    return WorksheetPlan(
        layout=layout,
        weights_bytes=weights,
        kv_budget_bytes=budget,
        kv_bytes_per_user=per_user,
        users_per_replica=users,
        binds=WEIGHTS if not users else CACHE if users == fitting else SEQUENCES,
        replicas=replicas,
        gpus=replicas * layout.gpus,
        nodes=nodes_for(replicas, layout.gpus, gpu.gpus_per_node),
    )


def weights_on_gpu(workload: Workload, share: GpuShare) -> float:
    """Return the bytes of the weights on the fullest GPU; a format's scales are divided in proportion to its values."""
    if workload.precision is None:
        return share.shipped_bytes
    total = model_counts(workload.model).parameters.total
    return weights_bytes(workload.model, workload.precision) * share.parameters / total


def kv_bytes_per_user(workload: Workload, kv: KvProfile) -> float:
    """Return the KV cache bytes of one user's sequence on the fullest GPU.

    vLLM pads the blocks of layers of several kinds, and caches in addition to a window the tokens of one step and one
    block (`core.engines.blocks.Group.blocks`).
    """
    tokens, value_bytes = workload.tokens, workload.kv_precision.bytes_per_value
    padding, step, block = Padding(), 0, 0
    if workload.engine == VLLM:
        padding, step, block = block_padding(workload.model), workload.gpu.step_tokens, BLOCK_TOKENS
    windowed = sum(values * (min(tokens, window + step) + block) for window, values in kv.windowed)
    return (
        (kv.values_per_token * value_bytes + kv.index_bytes_per_token) * tokens * padding.all_tokens
        + windowed * value_bytes * padding.windows
        + (kv.fixed_values * value_bytes + kv.fixed_bytes) * padding.states
    )


def _rounded_up(number: float) -> int:
    return math.ceil(number - _ROUNDING_ERROR)


def engine_named(value: object) -> str:
    """Return the engine that `value` names, in any case: one of `ENGINES`.

    Raises:
        WrongTypeError: `value` is not text.
        UnknownNameError: `value` is not one of `ENGINES`.
    """
    return one_of("engine", value, ENGINES)
