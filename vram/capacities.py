"""Compute what one replica holds under an inference engine: memory per GPU, tokens of cache, users."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, fields, replace

from core.checks import number, whole
from core.engines import llama_cpp
from core.engines.capacity import Count, users_that_fit
from core.engines.capacity import capacity as core_capacity
from core.engines.deployment import Deployment, Device, Engine, Size, checked_settings, parse_version
from core.engines.parallelism import check_pipeline_parallel, check_tensor_parallel
from core.engines.parallelism import stages as stages_of_layers
from core.errors import OutOfRangeError, UnknownNameError
from core.model.spec import ModelSpec
from core.plan import defaults
from core.plan.engine_warnings import service_assumptions, service_warnings
from core.plan.fleet import GpuChoice, Service, choice_of
from core.plan.serving import served_precision
from core.plan.speed_figures import is_without_cache
from core.units import GIB
from vram.engine_settings import NOTE, engine_of
from vram.models import Model, draft_of, model
from vram.stages import check_stages, stages_of


@dataclass(frozen=True)
class Range:
    """An expected figure, and the lowest and highest that logged runs of the engine make likely."""

    expected: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """What one replica holds; sizes are bytes of one GPU of the pipeline stage that decides.

    Attributes:
        model, engine, engine_version, gpu: what runs on what; `gpu` is "" where only its memory was given.
        gpu_memory_bytes: what a process on the GPU is shown.
        stage: the number of the stage that decides, from 1.
        stages: (GPU, layers) of each stage, where GPUs differ; None if `stages` was not given.
        tp, pp: tensor and pipeline parallel size.
        context: longest sequence in tokens.
        usable_bytes: what the engine allows itself of a GPU.
        weights_bytes, activation_bytes, graph_bytes, other_bytes: weights, peak activation of a step, CUDA graphs, and
            what is outside the tensor library.
        kv_budget_bytes: what is left for the KV cache.
        kv_tokens: size of the cache as the engine's log states it; 0 of a model without one, as encoders are.
        max_concurrency, max_users: sequences of the whole context that fit, exactly; and in whole sequences, at most
            `max_sequences`.
        kv_bytes_per_token: bytes that a long sequence adds to the cache with each token.
        max_sequences: the most sequences that the engine runs at once.
        graphs_are_subtracted: whether the engine takes CUDA graphs off the cache's share; early versions did not.
        memory_utilization: share of the GPU that the engine uses, its default if it was not given; None for llama.cpp.
        max_users_at_90_percent: the expected `max_users` with a share of 0.9; None for llama.cpp.
        host_bytes, most_gpu_layers: with llama.cpp the weights in CPU memory, and the most layers on the GPUs with
            which `max_sequences` sequences (or one) fit; else None.
        max_users_paged: users with `average_tokens` tokens each; None if those were not given.
        offloaded_tokens: tokens whose cache CPU memory keeps with `kv_offload_gib`; None if it was not given.
        assumed: what is assumed where an input leaves it open ("80 GB means a card with …").
        warnings: what is doubtful about the inputs, each a sentence that names the argument.
    """

    model: str
    engine: str
    engine_version: str
    gpu: str
    gpu_memory_bytes: int
    tp: int
    pp: int
    context: int
    usable_bytes: int
    weights_bytes: Range
    activation_bytes: Range
    graph_bytes: Range
    other_bytes: Range
    kv_budget_bytes: Range
    kv_tokens: Range
    max_concurrency: Range
    max_users: Range
    kv_bytes_per_token: int
    max_sequences: int
    graphs_are_subtracted: bool
    memory_utilization: float | None = None
    max_users_at_90_percent: int | None = None
    host_bytes: int | None = None
    most_gpu_layers: int | None = None
    max_users_paged: int | None = None
    offloaded_tokens: int | None = None
    stage: int = 1
    stages: tuple[tuple[str, int], ...] | None = None
    assumed: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Return the figures as `vram capacity --json` prints them: expected, and again under "low" and "high"."""
        ranges = {field.name: getattr(self, field.name) for field in fields(self)}
        ranges = {_per_gpu(name): value for name, value in ranges.items() if isinstance(value, Range)}
        answer = {
            "model": self.model,
            "engine": self.engine,
            "engine_version": self.engine_version,
            "gpu": self.gpu,
            "gpu_memory_bytes": self.gpu_memory_bytes,
            "tp": self.tp,
            "pp": self.pp,
            "gpus": self.tp * self.pp,
            "context": self.context,
            "usable_bytes_per_gpu": self.usable_bytes,
            **{name: value.expected for name, value in ranges.items()},
            "kv_bytes_per_token_per_gpu": self.kv_bytes_per_token,
            "max_sequences": self.max_sequences,
            "graphs_are_subtracted": self.graphs_are_subtracted,
            "memory_utilization": self.memory_utilization,
            "max_users_at_90_percent": self.max_users_at_90_percent,
            "host_bytes": self.host_bytes,
            "most_gpu_layers": self.most_gpu_layers,
            "low": {name: value.low for name, value in ranges.items()},
            "high": {name: value.high for name, value in ranges.items()},
            "note": NOTE,
            "assumed": list(self.assumed),
            "warnings": list(self.warnings),
        }
        asked: dict[str, object] = {
            "max_users_paged": self.max_users_paged, "offloaded_tokens": self.offloaded_tokens,
        }  # fmt: skip
        if self.stages is not None:
            asked["stages"] = [{"gpu": gpu, "layers": layers} for gpu, layers in self.stages]
            asked["stage"] = self.stage
        return answer | {name: value for name, value in asked.items() if value is not None}


def _per_gpu(name: str) -> str:
    return f"{name}_per_gpu" if name.endswith("_bytes") else name


def capacity(
    name_or_path: str | os.PathLike[str] | Model,
    *,
    gpu: str | float | None = None,
    gpu_memory_gib: float | None = None,
    tp: float = 1,
    pp: float = 1,
    stages: str | None = None,
    expert_parallel: bool = False,
    context: float | None = None,
    average_tokens: float | None = None,
    precision: str | float | None = None,
    kv_precision: str | float | None = None,
    engine: str = defaults.ENGINE,
    engine_version: str | None = None,
    draft_model: str | os.PathLike[str] | Model | None = None,
    **settings: float | None,
) -> Capacity:
    """Compute what one replica of a model holds under an inference engine.

    Args:
        name_or_path: the model, as `vram.model` takes it.
        gpu: a GPU of the catalog by name, a card's number ("4090"), or the GB of one GPU, a size that some GPU has.
        gpu_memory_gib: GiB that a process on the GPU is shown, if known better.
        tp, pp: tensor and pipeline parallel size.
        stages: instead of `gpu` and `pp`, GPUs that differ: those of each pipeline stage, with its layers if they are
            not divided as the engine does ("rtx-4090:40,rtx-3090:24").
        expert_parallel: whether whole experts are distributed over the GPUs instead of a part of each.
        context: longest sequence in tokens; None for the model's longest.
        average_tokens: tokens of a sequence on average, for `max_users_paged`.
        precision: of the weights, by name or in bytes per parameter; None as shipped.
        kv_precision: of the cached values, by name or in bytes per value; None as the checkpoint states, else 16 bits.
        engine, engine_version: "vllm", "sglang" or "llama.cpp", and for example "0.19"; None for the newest known.
        draft_model: the model that drafts tokens, as shipped; None for none, or the model's own layer (`mtp_tokens`).
        settings: the engine's settings by name, as `core.engines.deployment.EngineSettings` has them.

    Raises:
        PlannerError: an argument is wrong, or too little is known of the model.
    """
    described = model(name_or_path)
    spec = described.spec
    runs_on = engine_of(engine)
    written_version = engine_version or runs_on.default_version
    requested, kv = described.requested_precision(precision), described.cache_precision(kv_precision)
    given = stages_of(stages) if stages is not None else ()
    if given and (gpu is not None or gpu_memory_gib is not None or pp != 1):
        raise OutOfRangeError("stages", "gpu, gpu_memory_gib or pp is given too", "Leave one of them out.")
    choice = given[0].gpu if given else _choice(gpu, gpu_memory_gib)
    deployment = Deployment(
        model=spec,
        precision=served_precision(spec, requested),
        kv_precision=kv,
        device=_device(gpu, choice, gpu_memory_gib),
        tp=whole("tp", tp),
        pp=len(given) or whole("pp", pp),
        stage_devices=tuple(stage.gpu.device for stage in given),
        stage_layers=tuple(stage.layers for stage in given if stage.layers is not None),
        expert_parallel=expert_parallel,
        context=_context(spec, context),
        version=parse_version(written_version),
        settings=checked_settings(settings),
        draft=draft_of(draft_model),
    )
    service = Service(
        model=spec,
        precision=deployment.precision,
        kv_precision=kv,
        engine=runs_on,
        version=deployment.version,
        settings=deployment.settings,
        draft=deployment.draft,
    )
    named = [stage.gpu for stage in given] or ([] if choice is None else [choice])
    # A size plays no part where the memory is given.
    asked = named if gpu_memory_gib is None else [gpu for gpu in named if gpu.size_gb is None]
    if any(gpu.is_slice for gpu in named) and deployment.tp * deployment.pp > 1:
        raise OutOfRangeError(
            "tp", f"a process sees only one MIG slice, not {deployment.tp * deployment.pp}", "Name a larger slice."
        )
    check_tensor_parallel(spec, deployment.tp, expert_parallel)
    check_pipeline_parallel(spec, deployment.pp)
    if given:
        check_stages(runs_on, deployment)
    found = core_capacity(runs_on, deployment)
    budget = found.budget
    device = deployment.devices[found.stage]
    has_host = runs_on is llama_cpp.ENGINE and spec.stated_parameters is None
    paged = None
    if average_tokens is not None:
        paged = users_that_fit(runs_on, deployment, whole("average_tokens", average_tokens))
    return Capacity(
        model=spec.name,
        engine=runs_on.name,
        engine_version=written_version,
        gpu=device.name,
        gpu_memory_bytes=device.memory_bytes,
        tp=deployment.tp,
        pp=deployment.pp,
        context=deployment.context,
        usable_bytes=budget.usable_bytes,
        weights_bytes=_range(budget.weights),
        activation_bytes=_range(budget.activation),
        graph_bytes=_range(budget.graphs),
        other_bytes=_range(budget.other),
        kv_budget_bytes=_range(budget.kv),
        kv_tokens=_range(Count(0, 0, 0) if is_without_cache(deployment.model) else found.kv_tokens),
        max_concurrency=_range(found.max_concurrency, lambda count: round(count, 2)),
        max_users=_range(found.max_users),
        kv_bytes_per_token=found.kv_bytes_per_token,
        max_sequences=found.max_sequences,
        graphs_are_subtracted=budget.graphs_are_subtracted,
        memory_utilization=runs_on.share and runs_on.share(deployment),
        max_users_at_90_percent=_users_at_90_percent(runs_on, deployment),
        host_bytes=llama_cpp.host_bytes(deployment) if has_host else None,
        most_gpu_layers=llama_cpp.most_gpu_layers(deployment) if has_host and not deployment.stage_layers else None,
        max_users_paged=paged,
        offloaded_tokens=found.offloaded_tokens if deployment.settings.kv_offload_gib else None,
        stage=found.stage + 1,
        stages=_stages(runs_on, deployment) if given else None,
        assumed=(*described.assumed, *service_assumptions(service, asked)),
        warnings=service_warnings(service, written_version, requested, deployment.context, named),
    )


def _stages(engine: Engine, deployment: Deployment) -> tuple[tuple[str, int], ...]:
    """Return the GPU and the layers of each stage."""
    split = llama_cpp.layers_on_gpus(deployment) if engine is llama_cpp.ENGINE else deployment.split
    spans = stages_of_layers(deployment.model, split)
    return tuple((device.name, end - first) for device, (first, end) in zip(deployment.devices, spans))


def _users_at_90_percent(engine: Engine, deployment: Deployment) -> int | None:
    """Return the users with the share of the GPU that people know best, for comparison with the engine's default."""
    if engine.share is None:
        return None
    return users_that_fit(engine, replace(deployment, settings=replace(deployment.settings, memory_utilization=0.9)))


def _range(figure: Size | Count, rounded: Callable[[float], float] = int) -> Range:
    return Range(rounded(figure.expected), rounded(figure.low), rounded(figure.high))


def _choice(name: str | float | None, memory_gib: float | None) -> GpuChoice | None:
    """Return the GPU that is named; None if its memory is given and the catalog does not know its name."""
    if memory_gib is None:
        if name is None:
            raise OutOfRangeError("gpu", "it is missing", 'Name a GPU, for example "h100", or give its memory.')
        return choice_of(name)
    try:
        return choice_of(name) if name else None
    except UnknownNameError:
        return None


def _device(name: str | float | None, choice: GpuChoice | None, memory_gib: float | None) -> Device:
    """Return the GPU as a process sees it, with the memory that is given, if any."""
    known = Device(str(name or ""), 0) if choice is None else choice.device
    if memory_gib is None:
        return known
    return replace(known, memory_bytes=round(number("gpu_memory_gib", memory_gib) * GIB))


def _context(spec: ModelSpec, context: float | None) -> int:
    if context is not None:
        return whole("context", context)
    if spec.max_position_embeddings is None:
        raise OutOfRangeError(
            "context",
            "it is missing, and the model does not state its longest",
            "Give the tokens per sequence, for example 32768.",
        )
    return spec.max_position_embeddings
