"""The cell functions for the number of GPUs, users and tokens. `vram_udf` describes each function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from core.cells.arguments import (
    CONTEXT,
    GPUS,
    KV_PRECISION,
    MODEL,
    OPTIONAL_OVERHEAD,
    PRECISION,
    USERS,
    Argument,
    cell_argument,
)
from core.cells.broadcast import Array, broadcast
from core.cells.spill import spilled, value_or_rows
from core.cells.values import single_cells
from core.checks import LIMITS
from core.plan.fleet import GpuChoice, Service, choice_of, gpus_to_deploy, max_context, max_users
from core.plan.serving import service_of


def gpus(
    model: object, context: object, users: object, gpu: object, precision: object, kv_precision: object,
    overhead: object,
) -> object:  # fmt: skip
    def count(context: int, users: int, gpu: GpuChoice, service: Service) -> float:
        return float(gpus_to_deploy(service, gpu, users, context))

    described = [model, precision, kv_precision, overhead]
    return of_services(count, [CONTEXT, USERS, GPU], [context, users, gpu], described)


def users(
    model: object, context: object, gpu: object, gpus: object, precision: object, kv_precision: object, overhead: object
) -> object:
    def count(context: int, gpu: GpuChoice, gpus: int, service: Service) -> float:
        return float(max_users(service, gpu, gpus, context))

    described = [model, precision, kv_precision, overhead]
    return of_services(count, [CONTEXT, GPU, GPUS], [context, gpu, gpus], described)


def context(
    model: object, users: object, gpu: object, gpus: object, precision: object, kv_precision: object, overhead: object
) -> object:
    def tokens(users: int, gpu: GpuChoice, gpus: int, service: Service) -> float:
        return float(max_context(service, gpu, gpus, users, int(LIMITS["context"].most)))

    described = [model, precision, kv_precision, overhead]
    return of_services(tokens, [USERS, GPU, GPUS], [users, gpu, gpus], described)


def of_services(
    function: Callable[..., object], arguments: Sequence[Argument], given: Sequence[object],
    described: Sequence[object],
) -> object:  # fmt: skip
    """Read `arguments` from the cells that are `given`, and compute `function` of them and a service.

    Args:
        described: the cells that describe the service, as for `services`.
    """
    single = single_cells([*given, *described])
    if single is None:
        values = [argument.read(cells) for argument, cells in zip(arguments, given)]
        return value_or_rows(broadcast(function, [*values, services(described)]))

    def only() -> object:
        read: list[Any] = [argument.read_cell(cell) for argument, cell in zip([*arguments, *_OF_SERVICE], single)]
        return function(*read[: len(arguments)], service_of(*read[len(arguments) :]))

    return spilled(only)


def services(described: Sequence[object]) -> Array:
    """Return the services, each without its workload.

    Args:
        described: the cells of the model, its precision, that of the cache, and the overhead, of which a blank means
            the memory budget of vLLM.
    """
    arguments = [argument.read(cells) for argument, cells in zip(_OF_SERVICE, described)]
    return broadcast(service_of, arguments, on_error=lambda error: error)


GPU = cell_argument("gpu", choice_of)
_OF_SERVICE = (MODEL, PRECISION, KV_PRECISION, OPTIONAL_OVERHEAD)
