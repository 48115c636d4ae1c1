"""The cell function that explains errors, and what is doubtful about arguments. `vram_udf` describes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from core.catalog.gpu_inputs import named_gpu
from core.cells import capacity, speed
from core.cells.arguments import CONTEXT, KV_PRECISION, MODEL, OPTIONAL_OVERHEAD, PRECISION, UNIT, USERS, cell_argument
from core.cells.memory import scenario_estimate
from core.cells.spill import evaluate
from core.checks import number, tokens
from core.model.precision import Precision
from core.model.spec import ModelSpec
from core.plan.engine_warnings import service_assumptions, service_warnings
from core.plan.estimate import DEFAULT_OVERHEAD_FRACTION
from core.plan.fleet import GpuChoice, Service, gpus_to_deploy, max_users
from core.plan.layout_speed import fastest, most_users_at_speed
from core.plan.serving import service_of
from core.plan.speed import Load
from core.texts import counted


def _optional(name: str, read: Callable[[object], object]) -> Any:
    return cell_argument(name, lambda value: None if value is None else read(value))


_OPTIONAL_NUMBERS = [
    _optional(name, partial(tokens if name in ("prompt_tokens", "output_tokens") else number, name))
    for name in ("gpus", "prompt_tokens", "output_tokens", "tokens_per_second")
]
_ARGUMENTS = (
    MODEL,
    _optional("context", partial(tokens, "context")),
    USERS,
    PRECISION,
    KV_PRECISION,
    OPTIONAL_OVERHEAD,
    UNIT,
    _optional("gpu", capacity.GPU.read_cell),
    *_OPTIONAL_NUMBERS,
    speed.RESULT,
)


def check(*given: object) -> object:
    """Return "OK", "OK, but …", or the error of each set of arguments: those of every function together."""
    return evaluate(_verdict, _ARGUMENTS, given, on_error=str)


def _verdict(
    model: ModelSpec, context: int | None, users: int, precision: Precision | None, kv_precision: Precision | None,
    overhead: float | None, _unit: int, gpu: GpuChoice | None, gpus: int | None, prompt_tokens: int | None,
    output_tokens: int | None, tokens_per_s: float | None, _result: str,
) -> str:  # fmt: skip
    load = None
    if prompt_tokens is not None and output_tokens is not None:
        load = Load(users=users, prompt_tokens=prompt_tokens, output_tokens=output_tokens)
    tokens: Any = context or (load.context if load else CONTEXT.read_cell(None))
    rule_overhead = DEFAULT_OVERHEAD_FRACTION if overhead is None else overhead
    scenario_estimate(model, tokens, users, precision, kv_precision, rule_overhead)
    service = service_of(model, precision, kv_precision, overhead)
    choices = [] if gpu is None else [gpu]
    doubts = [
        *service_warnings(service, service.engine.default_version, precision, tokens, choices),
        *service_assumptions(service, choices),
    ]
    if gpu is not None and load is not None:
        doubts += _doubts_of_speed(service, gpu, gpus, load, tokens_per_s)
    elif gpu is not None:
        doubts += _doubts_of_places(service, gpu, gpus, users, tokens)
    return f"OK, but {'; '.join(doubts)}" if doubts else "OK"


def _doubts_of_places(service: Service, gpu: GpuChoice, gpus: int | None, users: int, context: int) -> Iterator[str]:
    """Say if the users do not fit on the GPUs; raise the error of `gpus_to_deploy` without a number of GPUs."""
    if gpus is None:
        gpus_to_deploy(service, gpu, users, context)
        return
    most = max_users(service, gpu, gpus, context)
    if most < users:
        yield f"users: {gpus} × {gpu.name} hold {counted(most, 'user')} of {counted(context, 'token')}, not {users:,}"


def _doubts_of_speed(
    service: Service, gpu: GpuChoice, gpus: int | None, load: Load, tokens_per_s: float | None
) -> Iterator[str]:
    """Say if users wait or are slower than wanted; raise the errors of a speed."""
    card = named_gpu(gpu.name)
    if gpus is None:
        return
    _, found = fastest(speed.known_service(service), card, gpus, load)
    if found.expected.users_at_once < load.users:
        yield f"users: {gpus} × {gpu.name} run {counted(found.expected.users_at_once, 'user')} at once; the others wait"
    if tokens_per_s is not None and not most_users_at_speed(service, card, gpus, load, tokens_per_s):
        yield f"tokens_per_second: not even one user gets {tokens_per_s:g}"
