"""The cell functions for the number of GPUs, users and tokens. `vram_udf` describes each function."""

from __future__ import annotations

from core.cells.arguments import CONTEXT, GPUS, KV_PRECISION, MODEL, OPTIONAL_OVERHEAD, PRECISION, USERS, cell_argument
from core.cells.broadcast import Array, broadcast
from core.cells.spill import value_or_rows
from core.checks import LIMITS
from core.plan.fleet import GpuChoice, Service, choice_of, gpus_to_deploy, max_context, max_users
from core.plan.serving import service_of


def gpus(
    model: object, context: object, users: object, gpu: object, precision: object, kv_precision: object,
    overhead: object,
) -> object:  # fmt: skip
    def count(context: int, users: int, gpu: GpuChoice, service: Service) -> float:
        return float(gpus_to_deploy(service, gpu, users, context))

    workload = [CONTEXT.read(context), USERS.read(users), GPU.read(gpu)]
    return value_or_rows(broadcast(count, [*workload, services(model, precision, kv_precision, overhead)]))


def users(
    model: object, context: object, gpu: object, gpus: object, precision: object, kv_precision: object, overhead: object
) -> object:
    def count(context: int, gpu: GpuChoice, gpus: int, service: Service) -> float:
        return float(max_users(service, gpu, gpus, context))

    workload = [CONTEXT.read(context), GPU.read(gpu), GPUS.read(gpus)]
    return value_or_rows(broadcast(count, [*workload, services(model, precision, kv_precision, overhead)]))


def context(
    model: object, users: object, gpu: object, gpus: object, precision: object, kv_precision: object, overhead: object
) -> object:
    def tokens(users: int, gpu: GpuChoice, gpus: int, service: Service) -> float:
        return float(max_context(service, gpu, gpus, users, int(LIMITS["context"].most)))

    workload = [USERS.read(users), GPU.read(gpu), GPUS.read(gpus)]
    return value_or_rows(broadcast(tokens, [*workload, services(model, precision, kv_precision, overhead)]))


def services(model: object, precision: object, kv_precision: object, overhead: object = None) -> Array:
    """Return the services, each without its workload; a blank overhead means the memory budget of vLLM."""
    formats = [PRECISION.read(precision), KV_PRECISION.read(kv_precision)]
    arguments = [MODEL.read(model), *formats, OPTIONAL_OVERHEAD.read(overhead)]
    return broadcast(service_of, arguments, on_error=lambda error: error)


GPU = cell_argument("gpu", choice_of)
