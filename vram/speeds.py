"""Compute how fast replicas of a model serve their users, with a range, and the nearest public measurement."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from core import catalog
from core.catalog.gpu_inputs import named_gpu
from core.catalog.speeds import MeasuredSpeed, nearest_measurement
from core.checks import number, one_of, whole
from core.engines.deployment import Engine, checked_settings, parse_version
from core.plan import defaults
from core.plan import speed as core_speed
from core.plan.engine_warnings import service_assumptions, service_warnings
from core.plan.fleet import Service, choice_of_gpu
from core.plan.serving import served_precision
from core.plan.speed_settings import acceptance_note, drafts_warnings
from vram.engine_settings import ENGINES
from vram.models import Model, draft_of, model


@dataclass(frozen=True, kw_only=True)
class SpeedFigures:
    """A speed: the expected one, or one end of its range.

    Attributes:
        tokens_per_second_per_user: what a user sees once the first token has come.
        output_tokens_per_second: of all users that run.
        time_to_first_token_s: without the wait of users beyond those that run.
        users_at_once: users that memory and engine hold at once; others wait.
    """

    tokens_per_second_per_user: float
    output_tokens_per_second: float
    time_to_first_token_s: float
    users_at_once: int


@dataclass(frozen=True, kw_only=True)
class SpeedRange:
    """A speed with its range.

    Attributes:
        expected, low, high: the figures, with the range in which about eight of ten measurements lie.
        limited_by: "bandwidth", "compute", "fixed time", "links", or "memory" where users wait for a free place.
    """

    expected: SpeedFigures
    low: SpeedFigures
    high: SpeedFigures
    limited_by: str

    def figures_as_dict(self) -> dict[str, object]:
        """Return the figures for JSON: expected, and again under "low" and "high"."""
        limit = {"limited_by": self.limited_by}
        return {
            **_rounded(self.expected), **limit, "low": _rounded(self.low) | limit, "high": _rounded(self.high) | limit,
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Speed(SpeedRange):
    """How fast a service is: `SpeedRange`, and what it is the speed of.

    Attributes:
        model, gpu, engine, engine_version: what runs on what.
        precision: of the weights, as given; "shipped" without one.
        kv_precision: of the KV cache, as given.
        tp, pp, replicas, gpus: the layout.
        users, prompt_tokens, output_tokens: the load.
        users_waiting: users beyond those that run at once.
        tokens_per_day: output tokens of a day at this load.
        range_class: which measurements the range is from.
        nearest: the public measurement of this model and GPU with the most similar layout and load; None without one.
        note: what is not modelled.
        assumed: what is assumed where an input leaves it open.
        warnings: what is doubtful about the inputs, each a sentence that names the argument.
    """

    model: str
    gpu: str
    engine: str
    engine_version: str
    precision: str | float
    kv_precision: str | float
    tp: int
    pp: int
    replicas: int
    gpus: int
    users: int
    prompt_tokens: int
    output_tokens: int
    users_waiting: int
    tokens_per_day: float
    range_class: str
    nearest: MeasuredSpeed | None
    note: str
    assumed: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Return the figures as `vram speed --json` prints them."""
        figures = ("expected", "low", "high", "limited_by")
        answer = {name: value for name, value in vars(self).items() if name not in (*figures, "nearest")}
        nearest = None if self.nearest is None else asdict(self.nearest)
        return answer | self.figures_as_dict() | {
            "tokens_per_day": round(self.tokens_per_day), "nearest_measurement": nearest,
            "assumed": list(self.assumed), "warnings": list(self.warnings),
        }  # fmt: skip


def _rounded(figures: SpeedFigures) -> dict[str, float]:
    """Return the figures with five digits, more than any measurement has."""
    return {name: value if isinstance(value, int) else float(f"{value:.5g}") for name, value in vars(figures).items()}


def speed(
    name_or_path: str | os.PathLike[str] | Model,
    *,
    gpu: str | float,
    users: float,
    prompt_tokens: float,
    output_tokens: float,
    tp: float = 1,
    pp: float = 1,
    replicas: float = 1,
    precision: str | float | None = None,
    kv_precision: str | float | None = None,
    engine: str = defaults.ENGINE,
    engine_version: str | None = None,
    draft_model: str | os.PathLike[str] | Model | None = None,
    **settings: float | None,
) -> Speed:
    """Compute how fast a model is served to `users` who each send the next request when the last is answered.

    Args:
        name_or_path: the model, as `vram.model` takes it.
        gpu: a GPU of the catalog by name, or a card's number ("4090"); a size in GB has no bandwidth.
        users: concurrent users of all replicas.
        prompt_tokens, output_tokens: tokens of one request and of its answer.
        tp, pp, replicas: tensor and pipeline parallel size, and the number of copies of the model.
        precision: of the weights, by name or in bytes per parameter; None as shipped.
        kv_precision: of the cached values, by name or in bytes per value; None as the checkpoint states, else 16 bits.
        engine: "vllm", "sglang", "tensorrt-llm" (its memory is computed as vLLM's) or "llama.cpp".
        engine_version: for example "0.19"; None for the newest known. vLLM before 0.8 is slower.
        draft_model, settings: as in `vram.capacity`.

    Raises:
        PlannerError: an argument is wrong, the GPU's bandwidth is not known, or no kernel runs the precision on it.
    """
    described = model(name_or_path)
    spec, card = described.spec, named_gpu(gpu)
    runs_on = ENGINES[one_of("engine", engine, tuple(ENGINES))]
    written_version = engine_version or runs_on.default_version
    service = _service(described, precision, kv_precision, runs_on, written_version, draft_model, settings)
    load = core_speed.Load(
        users=whole("users", users),
        prompt_tokens=whole("prompt_tokens", prompt_tokens),
        output_tokens=whole("output_tokens", output_tokens),
    )
    tp, pp, replicas = whole("tp", tp), whole("pp", pp), whole("replicas", replicas)
    found = core_speed.speed(service, card, load, tp=tp, pp=pp, replicas=replicas)
    waiting = load.users - min(load.users, found.expected.users_at_once)
    return Speed(
        model=spec.name,
        gpu=card.name,
        engine=runs_on.name,
        engine_version=written_version,
        precision=_shown(described, precision),
        kv_precision=service.kv_precision.name if kv_precision is None else kv_precision,
        tp=tp,
        pp=pp,
        replicas=replicas,
        gpus=tp * pp * replicas,
        users=load.users,
        prompt_tokens=load.prompt_tokens,
        output_tokens=load.output_tokens,
        **vars(speed_range(found)),
        users_waiting=waiting,
        tokens_per_day=found.tokens_per_day,
        range_class=found.range_class,
        nearest=nearest_measurement(
            spec.name, card.name, tp=tp, users=load.users, prompt_tokens=load.prompt_tokens, engine=runs_on.name
        ),
        note=core_speed.NOT_MODELLED,
        assumed=(*described.assumed, *service_assumptions(service, [choice_of_gpu(card)]), *acceptance_note(service)),
        warnings=(
            *service_warnings(
                service, written_version, described.requested_precision(precision), load.context, [choice_of_gpu(card)]
            ),
            *drafts_warnings(service, load.context),
        ),
    )


def speed_range(found: core_speed.Speed) -> SpeedRange:
    """Return a speed that core computed, with its range."""
    return SpeedRange(
        expected=_figures(found.expected),
        low=_figures(found.low),
        high=_figures(found.high),
        limited_by=found.limited_by,
    )


def _figures(found: core_speed.Figures) -> SpeedFigures:
    return SpeedFigures(
        tokens_per_second_per_user=found.tokens_per_s_per_user,
        output_tokens_per_second=found.output_tokens_per_s,
        time_to_first_token_s=found.first_token_s,
        users_at_once=found.users_at_once,
    )


def users_at_speed(
    name_or_path: str | os.PathLike[str] | Model,
    tokens_per_second: float,
    *,
    gpu: str | float,
    prompt_tokens: float,
    output_tokens: float,
    tp: float = 1,
    pp: float = 1,
    replicas: float = 1,
    precision: str | float | None = None,
    kv_precision: str | float | None = None,
    engine: str = defaults.ENGINE,
    engine_version: str | None = None,
    draft_model: str | os.PathLike[str] | Model | None = None,
    **settings: float | None,
) -> int:
    """Return the most users that each get `tokens_per_second` at the low end of the range; 0 if not even one does.

    Args:
        name_or_path, gpu, prompt_tokens, output_tokens, tp, pp, replicas, precision, kv_precision, engine,
            engine_version, draft_model, settings: as in `speed`.
        tokens_per_second: the wanted speed of each user.

    Raises:
        PlannerError: the same errors as `speed`.
    """
    runs_on = ENGINES[one_of("engine", engine, tuple(ENGINES))]
    service = _service(model(name_or_path), precision, kv_precision, runs_on, engine_version, draft_model, settings)
    load = core_speed.Load(
        users=1,
        prompt_tokens=whole("prompt_tokens", prompt_tokens),
        output_tokens=whole("output_tokens", output_tokens),
    )
    return core_speed.users_at_speed(
        service,
        named_gpu(gpu),
        load,
        number("tokens_per_second", tokens_per_second),
        tp=whole("tp", tp),
        pp=whole("pp", pp),
        replicas=whole("replicas", replicas),
    )


def _shown(found: Model, precision: str | float | None) -> str | float:
    """Return a precision of the weights as it was given, or else as the model's name states it."""
    if precision is not None:
        return precision
    return catalog.SHIPPED if found.named_precision is None else found.named_precision.name


def _service(
    found: Model, precision: str | float | None, kv_precision: str | float | None, engine: Engine, version: str | None,
    draft_model: str | os.PathLike[str] | Model | None, settings: Mapping[str, float | None],
) -> Service:  # fmt: skip
    return Service(
        model=found.spec,
        precision=served_precision(found.spec, found.requested_precision(precision)),
        kv_precision=found.cache_precision(kv_precision),
        engine=engine,
        version=parse_version(version or engine.default_version),
        settings=checked_settings(settings),
        draft=draft_of(draft_model),
    )
