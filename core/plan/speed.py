"""Compute how fast replicas of a model serve their users, with the range that measurements show.

`speed` gathers what the terms of `speed_terms` need: figures of the model, facts of the GPU, constants, and from the
engine's memory budget the users that run at once. What is not modelled: prefill on separate GPUs, uneven routing to
experts, layers in CPU memory.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from core.catalog.hardware import Gpu
from core.catalog.kernels import LLAMA_CPP, TENSORRT_LLM
from core.catalog.speeds import constant_values
from core.engines import vllm
from core.engines.capacity import Count, capacity
from core.engines.deployment import Engine, Version, parse_version
from core.engines.parallelism import check_pipeline_parallel, check_tensor_parallel
from core.errors import OutOfRangeError
from core.plan.demand import TOKENS
from core.plan.fleet import Replica, Service, choice_of_gpu, deployment_of, largest
from core.plan.speed_figures import attention_groups, served_format, weight_figures
from core.plan.speed_links import FABRIC, GPUS_PER_NODE, link_of
from core.plan.speed_settings import check_speed_settings, drafting, prompt_and_attention
from core.plan.speed_terms import FAST, MEASURED_SPEED, PACE, SHARED, SPEED
from core.plan.terms import Terms

NOT_MODELLED = "Not modelled: prefill on separate GPUs; drafts and shared prompts only where they are given."

# TensorRT-LLM's memory is computed as vLLM's: no log shows it separately.
TENSORRT_LLM_ENGINE: Engine = replace(vllm.ENGINE, name=TENSORRT_LLM, calibrated=None)

_MEAN_CONTEXT = Terms(TOKENS["mean_context"])
_OLD_VLLM = (0, 8, 0)  # the first version whose default is the newer core ("V1"): vLLM release notes 0.8.0

_TIGHT_UTILIZATION = 0.95
_PER_USER = ("tokens_per_s_per_user", "low_tokens_per_s", "high_tokens_per_s")
MEASURED_CLASS = "measured"  # of a speed that users measured themselves, which has no range
_CURRENT_CLASSES = ("current", "few_users", "nodes")  # of current engines on NVIDIA's GPUs since Ampere
_MANY_USERS = 4  # fewer users of a mixture of experts have a range of their own


@dataclass(frozen=True, kw_only=True)
class Load:
    """What users ask of a service.

    Attributes:
        users: concurrent users of all replicas; each sends a request when the last is answered.
        prompt_tokens, output_tokens: tokens of one request and of its answer.
    """

    users: int
    prompt_tokens: int
    output_tokens: int

    @property
    def context(self) -> int:
        """Return the tokens of a sequence at its end."""
        return self.prompt_tokens + self.output_tokens

    @property
    def mean_context(self) -> int:
        """Return the tokens of a sequence on average while it is answered."""
        tokens = {"prompt_tokens": self.prompt_tokens, "output_tokens": self.output_tokens}
        mean: int = _MEAN_CONTEXT.compute(tokens)["mean_context"]  # type: ignore[assignment]
        return mean


@dataclass(frozen=True, kw_only=True)
class Figures:
    """A speed: expected, or the low or the high end of its range.

    Attributes:
        tokens_per_s_per_user: what a user sees once the first token has come.
        output_tokens_per_s: of all users that run.
        first_token_s: time to first token, without the wait of users beyond those that run.
        users_at_once: users that the memory and the engine hold at once; others wait.
    """

    tokens_per_s_per_user: float
    output_tokens_per_s: float
    first_token_s: float
    users_at_once: int


@dataclass(frozen=True, kw_only=True)
class Speed:
    """How fast a service is under a load.

    Attributes:
        expected, low, high: the figures; about eight of ten measurements lie in the range. Its high end is not beyond
            the memory's bandwidth.
        limited_by: "bandwidth", "compute", "fixed time", "links", or "memory" where users wait.
        tokens_per_day: output tokens of a day at this load.
        range_class: which measurements the range is from.
        terms: all terms by name, for whoever wants to follow the computation.
    """

    expected: Figures
    low: Figures
    high: Figures
    limited_by: str
    tokens_per_day: float
    range_class: str
    terms: Mapping[str, object]


def speed(
    service: Service, gpu: Gpu, load: Load, *, tp: int = 1, pp: int = 1, replicas: int = 1,
    fitting: Count | None = None, constants: Mapping[str, float] | None = None, measured: float = 0,
) -> Speed:  # fmt: skip
    """Return how fast `replicas` of a service on tp × pp GPUs each serve a load.

    Args:
        fitting: users that one replica holds, if they are known already; None: `users_at_once`.
        constants: calibration constants by name; None for the catalog's.
        measured: tokens per second of a user that were measured under this load; 0 for none.

    Raises:
        OutOfRangeError: the GPU's bandwidth or compute rate is not known, no kernel runs the format on it, the model
            cannot be split that way, or it does not fit.
        UnsupportedModelError: only the size of the model is known.
    """
    used = constant_values() if constants is None else constants
    service, given = _checked_inputs(service, gpu, load, tp, pp, used)
    fitting = fitting or users_at_once(service, gpu, load, tp, pp)
    running = int(fitting.expected) or users_with_tight_memory(service, gpu, load, tp, pp)
    if not running:
        raise OutOfRangeError(
            "gpu",
            f"{service.model.name} and one user of {load.context:,} tokens do not fit on {tp * pp} × {gpu.name}",
            "Choose more GPUs, a GPU with more memory, or a smaller precision.",
        )
    given = {**given, "measured_speed": measured}
    return _speed(service, gpu, load.users, tp, replicas, given, fitting, running, used)


def _checked_inputs(
    service: Service, gpu: Gpu, load: Load, tp: int, pp: int, used: Mapping[str, float]
) -> tuple[Service, dict[str, float]]:
    """Return the service in the format in which it is served, and `inputs_of` it; raise what `speed` raises."""
    if gpu.bandwidth_gb_per_s is None:
        raise OutOfRangeError(
            "gpu", f"the memory bandwidth of {gpu.title} is not known, so its speed is not", "Choose another GPU."
        )
    if _groups(service, tp) == 1:
        check_tensor_parallel(service.model, tp)
    check_pipeline_parallel(service.model, pp)
    check_speed_settings(service)
    service = _served(service)
    return service, inputs_of(service, gpu, load, tp, pp, used)


def speed_inputs(service: Service, gpu: Gpu, load: Load, *, tp: int, pp: int = 1) -> dict[str, float]:
    """Return the inputs of the terms by name, without those that depend on the users.

    Raises:
        OutOfRangeError, UnsupportedModelError: as `speed`, except that memory plays no part.
    """
    return _checked_inputs(service, gpu, load, tp, pp, constant_values())[1]


def _speed(
    service: Service, gpu: Gpu, users: int, tp: int, replicas: int, given: Mapping[str, float],
    fitting: Count, running: int, used: Mapping[str, float],
) -> Speed:  # fmt: skip
    inputs = {**given, **sequences_of(users, replicas, running, int(fitting.expected))}
    is_measured = bool(given.get("measured_speed"))
    terms: dict[str, Any] = (MEASURED_SPEED if is_measured else SPEED).compute(inputs)
    computed_kind = range_class(service, gpu, tp, inputs["sequences"], bool(given["expert_bytes"]))
    spread, wait_spread = float(terms["spread"]), used["range_first_token"]
    expected, low, high = (float(terms[name]) for name in _PER_USER)

    fastest = math.inf if is_measured else 1 / float(terms["least_step_s"])
    together = inputs["running_users"]

    def figures(each: float, rate: float, wait: float, places: float) -> Figures:
        in_all = float(terms["output_tokens_per_s"]) * rate
        return Figures(
            tokens_per_s_per_user=each,
            output_tokens_per_s=min(in_all, fastest * together),
            first_token_s=float(terms["first_token_s"]) * wait,
            users_at_once=int(places) * replicas,
        )

    return Speed(
        expected=figures(expected, 1, 1, fitting.expected),
        low=figures(low, 1 / spread, 1 / wait_spread, fitting.low),
        high=figures(high, spread, wait_spread, fitting.high),
        limited_by=str(terms["limited_by"]),
        tokens_per_day=float(terms["tokens_per_day"]),
        range_class=MEASURED_CLASS if is_measured else computed_kind,
        terms=inputs | terms,
    )


def users_at_once(service: Service, gpu: Gpu, load: Load, tp: int, pp: int) -> Count:
    """Return the users that one replica holds at once, each with its mean context, with the service's settings."""
    deployment = deployment_of(service, Replica(choice_of_gpu(gpu), tp, pp), load.mean_context)
    # The engine counts all groups of the setting.
    groups = 1 if service.settings.attention_dp else attention_groups(service.model, GPUS_PER_NODE, tp)
    found = capacity(service.engine, deployment).max_users
    return Count(found.expected * groups, found.low * groups, found.high * groups)


def users_with_tight_memory(service: Service, gpu: Gpu, load: Load, tp: int, pp: int) -> int:
    """Return the users that fit where the engine may use nearly all memory, as people start it for a large model."""
    settings = replace(service.settings, memory_utilization=_TIGHT_UTILIZATION)
    return int(users_at_once(replace(service, settings=settings), gpu, load, tp, pp).expected)


def sequences_of(users: int, replicas: int, running: int, fitting: int) -> dict[str, float]:
    """Return the inputs of the terms that depend on the users.

    Args:
        running, fitting: users that one replica runs, and that it holds with the service's settings: `users_at_once`,
            for both, or 0 and `users_with_tight_memory` if those are none.
    """
    given = {"users": users, "replicas": replicas, "running": running, "fitting": fitting}
    return SHARED.compute(given)  # type: ignore[return-value]


def users_at_speed(
    service: Service, gpu: Gpu, load: Load, tokens_per_s: float, *, tp: int = 1, pp: int = 1, replicas: int = 1,
    fitting: Count | None = None,
) -> int:  # fmt: skip
    """Return the most users that each get `tokens_per_s` at the low end of the range; 0 if not even one does.

    Args:
        load: prompt and output; its users do not matter.
        fitting: as for `speed`.

    Raises:
        OutOfRangeError, UnsupportedModelError: as `speed`, except that nobody fits: the answer is 0.
    """
    used = constant_values()
    service, given = _checked_inputs(service, gpu, load, tp, pp, used)
    places = fitting or users_at_once(service, gpu, load, tp, pp)
    running = int(places.expected)

    def is_fast_enough(users: int) -> bool:
        found = _speed(service, gpu, users, tp, replicas, given, places, running, used)
        return found.low.tokens_per_s_per_user >= tokens_per_s

    return largest(is_fast_enough, running * replicas) if running else 0


def users_at_wanted_speed(
    service: Service, gpu: Gpu, load: Load, tokens_per_s: float, *, tp: int = 1, pp: int = 1
) -> int:
    """Return the users of a replica that each get `tokens_per_s` at the low end, by the terms `FAST`; at least 1.

    They are never more than `users_at_speed` finds by trying, and with mixtures of experts sometimes fewer.

    Args:
        load: prompt and output; its users do not matter.

    Raises:
        OutOfRangeError, UnsupportedModelError: as `speed`, except that memory plays no part.
    """
    used = constant_values()
    service, given = _checked_inputs(service, gpu, load, tp, pp, used)
    figures = given | {"min_speed": tokens_per_s}
    found: int = FAST.compute(figures | PACE.compute(figures))["users_at_speed"]  # type: ignore[assignment]
    return found


def _groups(service: Service, tp: int) -> int:
    """Return the groups of ranks that have their own sequences: as set, or as engines divide them beyond a node."""
    return service.settings.attention_dp or attention_groups(service.model, GPUS_PER_NODE, tp)


def _served(service: Service) -> Service:
    precision = served_format(service.model, service.precision)
    return service if precision is service.precision else replace(service, precision=precision)


def _is_before_ampere(gpu: Gpu) -> bool:
    return gpu.maker == "NVIDIA" and float(gpu.compute_capability or 8) < 8


def range_class(service: Service, gpu: Gpu, tp: int, users: float, has_experts: bool) -> str:
    """Return the class of measurements from which the range is taken."""
    own = _own_class(service.engine, service.version, gpu)
    if own:
        return own
    if attention_groups(service.model, GPUS_PER_NODE, tp) > 1 or (tp > 1 and link_of(gpu, tp).kind != FABRIC):
        return "nodes"
    return "few_users" if has_experts and users < _MANY_USERS else "current"


def _own_class(engine: Engine, version: Version, gpu: Gpu) -> str:
    """Return the class of an engine or GPU whose range does not depend on links and users; "" for the others."""
    if engine.name == LLAMA_CPP:
        return "llama"
    if gpu.maker != "NVIDIA":
        return "amd"
    return "old" if _is_before_ampere(gpu) or _has_old_core(engine, version, gpu) else ""


def _has_old_core(engine: Engine, version: Version, gpu: Gpu) -> bool:
    """Return whether vLLM runs its older core: before 0.8, and on GPUs before Ampere later too (its release notes)."""
    return engine.name == vllm.ENGINE.name and (version < _OLD_VLLM or _is_before_ampere(gpu))


def inputs_of(service: Service, gpu: Gpu, load: Load, tp: int, pp: int, used: Mapping[str, float]) -> dict[str, float]:
    """Return the inputs of the terms, without those that depend on the users.

    Args:
        used: calibration constants by name.
    """
    engine, groups = service.engine.name, _groups(service, tp)
    weights = weight_figures(service.model, service.precision, gpu, engine, tp, groups)
    attention = prompt_and_attention(service, tp // groups, load.mean_context, load.prompt_tokens)
    link = link_of(gpu, tp)
    kind = range_class(service, gpu, tp, _MANY_USERS, has_experts=True)
    return {
        **weights,
        **attention,
        **drafting(service, tp, groups),
        "tp": tp,
        "pp": pp,
        "attention_groups": groups,
        "output_tokens": load.output_tokens,
        "link_bytes_per_s": link.bytes_per_s,
        "link_latency_s": used[f"link_latency_{link.kind}"],
        "is_slow_link": int(kind == "nodes"),
        **gpu_inputs(service.engine, gpu, service.version, used),
        **engine_inputs(engine, used),
    }


def gpu_inputs(
    engine: Engine, gpu: Gpu, version: Version | None = None, used: Mapping[str, float] | None = None
) -> dict[str, float]:
    """Return the inputs of the terms that depend on the GPU and the engine; its default version if none is given."""
    assert gpu.bandwidth_gb_per_s is not None
    used = used or constant_values()
    version = version or parse_version(engine.default_version)
    is_amd, is_old = gpu.maker == "AMD", _has_old_core(engine, version, gpu)
    is_other = gpu.maker not in ("NVIDIA", "AMD")
    own = _own_class(engine, version, gpu)
    return {
        "bandwidth_bytes_per_s": gpu.bandwidth_gb_per_s * 1e9,
        "maker_read": used["amd_read"] if is_amd else 1,
        "maker_compute": used["amd_compute"] if is_amd else used["old_compute"] if _is_before_ampere(gpu) else 1,
        "kernel_s": used["kernel_other_maker"] if is_other else used[f"kernel_{engine.name}"],
        "step_fixed_s": used["old_vllm_step"] if is_old else 0,
        "sequence_s": used["sequence"] + (used["old_vllm_sequence"] if is_old else 0),
        "own_range": used[f"range_{own}"] if own else 0,
    }


def engine_inputs(engine: str, used: Mapping[str, float]) -> dict[str, float]:
    """Return the inputs of the terms that depend on the engine alone."""
    is_llama = engine == LLAMA_CPP
    return {
        "link_latency_growth": used["link_latency_growth"],
        "link_efficiency": used["link_efficiency"],
        "dense_read": used["llama_read"] if is_llama else used["dense_read"],
        "dense_read_widened": used["llama_read_widened"] if is_llama else used["dense_read_widened"],
        "expert_read": used["expert_read"],
        "expert_read_widened": used["llama_read_widened"] if is_llama else used["expert_read_widened"],
        "cache_read": used["cache_read"],
        "compute": used["compute"],
        "compute_widened": 1 if is_llama else used["compute_widened"],
        "prompt_compute": used["llama_prompt_compute"] if is_llama else used["prompt_compute"],
        "prompt_contention": used["prompt_contention"],
        "prompt_queue": used[f"prompt_queue_{'vllm' if is_llama else engine}"],
        "request_s": 0 if is_llama else used[f"request_{engine}"],
        **{f"range_{name}": used[f"range_{name}"] for name in _CURRENT_CLASSES},
    }
