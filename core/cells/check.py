"""The cell function that explains errors, and what is doubtful about arguments. `vram_udf` describes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from core import catalog
from core.catalog.cards import Card, card_field, gpu_card, model_card, precision_card
from core.catalog.gpu_inputs import named_gpu
from core.catalog.mig import gpu_or_slice
from core.cells import capacity, lists, plans, speed, training
from core.cells.arguments import (
    CONTEXT,
    FIELD,
    GPUS,
    KV_PRECISION,
    MODEL,
    OPTIONAL_OVERHEAD,
    OUTPUT_TOKENS,
    PRECISION,
    PROMPT_TOKENS,
    TOKENS_PER_SECOND,
    UNIT,
    USERS,
    Argument,
    cell_argument,
    optional,
)
from core.cells.broadcast import Array, parse_cells
from core.cells.memory import scenario_estimate
from core.cells.spill import evaluate
from core.cells.values import Grid, is_blank
from core.checks import one_of
from core.model.precision import Precision
from core.model.spec import ModelSpec
from core.plan.engine_warnings import service_assumptions, service_warnings
from core.plan.estimate import DEFAULT_OVERHEAD_FRACTION
from core.plan.fleet import GpuChoice, Service, gpus_to_deploy, max_users
from core.plan.layout_speed import fastest, most_users_at_speed
from core.plan.serving import service_of
from core.plan.speed import Load
from core.plan.training import Job, memory
from core.texts import counted

_RESULTS = tuple(dict.fromkeys((*speed.RESULTS, *plans.RESULTS, *training.RESULTS)))
_ANY_RESULT = cell_argument("result", lambda value: one_of("result", value, _RESULTS))


def _models(cells: Grid) -> Array:
    """Return the models; for a blank range one None for each cell."""
    if all(is_blank(cell) for row in cells for cell in row):
        return parse_cells(cells, lambda _: None)
    return MODEL.read(cells)


# The arguments of every function, in the order of VRAM_CHECK. None stands for an argument that is not asked about.
ARGUMENTS = {
    "model": Argument(optional(MODEL).read_cell, _models),
    "context": optional(CONTEXT),
    "users": USERS,
    "precision": PRECISION,
    "kv_precision": KV_PRECISION,
    "overhead": OPTIONAL_OVERHEAD,
    "unit": UNIT,
    "gpu": optional(capacity.GPU),
    "gpus": optional(GPUS),
    "prompt_tokens": optional(PROMPT_TOKENS),
    "output_tokens": optional(OUTPUT_TOKENS),
    "speed": optional(TOKENS_PER_SECOND),
    "result": optional(_ANY_RESULT),
    "min_speed": optional(plans.WANTED_SPEED),
    "method": optional(training.METHOD),
    "sequence": training.SEQUENCE,
    "batch": training.BATCH,
    "rank": training.RANK,
    "zero": training.ZERO,
    "field": optional(FIELD),
    "kind": optional(lists.KIND),
    "search": lists.SEARCH,
}


class _Asked(NamedTuple):
    """The values of `ARGUMENTS`."""

    model: ModelSpec | None
    context: int | None
    users: int
    precision: Precision | None
    kv_precision: Precision | None
    overhead: float | None
    unit: int
    gpu: GpuChoice | None
    gpus: int | None
    prompt_tokens: int | None
    output_tokens: int | None
    speed: float | None
    result: str | None
    min_speed: float | None
    method: str | None
    sequence: int
    batch: int
    rank: int
    zero: int
    field: str | None
    kind: str | None
    search: str

    @property
    def load(self) -> Load | None:
        if self.prompt_tokens is None or self.output_tokens is None:
            return None
        return Load(users=self.users, prompt_tokens=self.prompt_tokens, output_tokens=self.output_tokens)


def check(*given: object) -> object:
    """Return "OK", "OK, but …", or the error of each set of arguments: those of every function together."""
    return evaluate(_verdict, tuple(ARGUMENTS.values()), given, on_error=str)


def _verdict(*values: Any) -> str:
    asked = _Asked(**dict(zip(ARGUMENTS, values)))
    doubts = list(_doubts(asked))
    return f"OK, but {'; '.join(doubts)}" if doubts else "OK"


def _doubts(asked: _Asked) -> Iterator[str]:
    """Yield what is doubtful; raise the error of the functions that take these arguments."""
    if asked.result is not None:
        _result_argument(asked).read_cell(asked.result)
    if asked.kind is not None:
        lists.names_with(asked.kind, asked.search)
    if asked.field is not None:
        card_field(_card(asked), asked.field)
    if asked.method is not None:
        _check_training(_model(asked), asked.method, asked)
    if asked.kind is asked.field is asked.method is None or asked.context is not None or asked.load is not None:
        yield from _doubts_of_serving(_model(asked), asked)


def _result_argument(asked: _Asked) -> Argument:
    """Return the argument of the function that is asked about; of all of them if it can be any."""
    if asked.method is not None:
        return training.RESULT
    if asked.load is not None:
        return speed.RESULT
    return plans.RESULT if asked.gpu is not None else _ANY_RESULT


def _model(asked: _Asked) -> Any:
    return asked.model or MODEL.read_cell(None)  # which raises the error of a blank cell


def _card(asked: _Asked) -> Card:
    """Return the card of the model; without one, of the GPU or the precision."""
    if asked.model is None and asked.gpu is not None:
        return gpu_card(gpu_or_slice(asked.gpu.name))
    if asked.model is None and asked.precision is not None:
        return precision_card(catalog.precision_named(asked.precision.name))
    return model_card(_model(asked))


def _check_training(model: ModelSpec, method: str, asked: _Asked) -> None:
    job = Job(model=model, method=method, sequence=asked.sequence, batch=asked.batch, rank=asked.rank, zero=asked.zero)
    memory(job, asked.gpus or 1)


def _doubts_of_serving(model: ModelSpec, asked: _Asked) -> Iterator[str]:
    load, gpu = asked.load, asked.gpu
    tokens: Any = asked.context or (load.context if load else CONTEXT.read_cell(None))
    rule_overhead = DEFAULT_OVERHEAD_FRACTION if asked.overhead is None else asked.overhead
    scenario_estimate(model, tokens, asked.users, asked.precision, asked.kv_precision, rule_overhead)
    service = service_of(model, asked.precision, asked.kv_precision, asked.overhead)
    choices = [] if gpu is None else [gpu]
    yield from service_warnings(service, service.engine.default_version, asked.precision, tokens, choices)
    yield from service_assumptions(service, choices)
    if gpu is None:
        return
    if load is not None:
        yield from _doubts_of_speed(service, gpu, asked.gpus, load, asked.speed)
    else:
        yield from _doubts_of_places(service, gpu, asked.gpus, asked.users, tokens)
    if asked.min_speed is not None:
        _check_plan(service, gpu, tokens, asked)


def _check_plan(service: Service, gpu: GpuChoice, context: int, asked: _Asked) -> None:
    """Raise the error of a demand that no layout of the GPU serves at the wanted speed."""
    assert asked.min_speed is not None
    found = plans.ranked(service, asked.precision, [gpu], context, asked.users, asked.min_speed)
    if not found.ranking.keys:
        plans.refuse(found)


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
