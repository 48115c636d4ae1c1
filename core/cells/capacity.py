"""The cell functions on how many GPUs, users and tokens. What each is, `vram_udf` says."""

from __future__ import annotations

from core import catalog
from core.cells.arguments import (
    CONTEXT,
    GPUS,
    KV_PRECISION,
    MODEL,
    OVERHEAD_IF_ANY,
    PRECISION,
    USERS,
    field,
)
from core.cells.broadcast import Array, broadcast
from core.cells.spill import spilled
from core.checks import LIMITS, number
from core.plan.fleet import GpuChoice, Service, choice_of_gb, choice_of_gpu, gpus_to_deploy, max_context, max_users
from core.plan.serving import service_of


def gpus(
    model: object, context: object, users: object, gpu: object, precision: object, kv_precision: object,
    overhead: object,
) -> object:  # fmt: skip
    def count(context: int, users: int, gpu: GpuChoice, service: Service) -> float:
        return float(gpus_to_deploy(service, gpu, users, context))

    workload = [CONTEXT.read(context), USERS.read(users), GPU.read(gpu)]
    return spilled(broadcast(count, [*workload, _services(model, precision, kv_precision, overhead)]))


def users(
    model: object, context: object, gpu: object, gpus: object, precision: object, kv_precision: object, overhead: object
) -> object:
    def count(context: int, gpu: GpuChoice, gpus: int, service: Service) -> float:
        return float(max_users(service, gpu, gpus, context))

    workload = [CONTEXT.read(context), GPU.read(gpu), GPUS.read(gpus)]
    return spilled(broadcast(count, [*workload, _services(model, precision, kv_precision, overhead)]))


def context(
    model: object, users: object, gpu: object, gpus: object, precision: object, kv_precision: object, overhead: object
) -> object:
    def tokens(users: int, gpu: GpuChoice, gpus: int, service: Service) -> float:
        return float(max_context(service, gpu, gpus, users, int(LIMITS["context"].most)))

    workload = [USERS.read(users), GPU.read(gpu), GPUS.read(gpus)]
    return spilled(broadcast(tokens, [*workload, _services(model, precision, kv_precision, overhead)]))


def _services(model: object, precision: object, kv_precision: object, overhead: object) -> Array:
    """Everything that does not change with the workload; an overhead left blank reckons with an engine."""
    formats = [PRECISION.read(precision), KV_PRECISION.read(kv_precision)]
    every = [MODEL.read(model), *formats, OVERHEAD_IF_ANY.read(overhead)]
    return broadcast(service_of, every, failed=lambda error: error)


def _gpu(value: object) -> GpuChoice:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return choice_of_gb(number("gpu_memory_gb", value))
    return choice_of_gpu(catalog.gpu(value))


GPU = field("gpu", _gpu)
