"""The cell functions for memory: weights, KV cache, and total of a scenario. `vram_udf` describes each function.

`*scenario` are the arguments in `core.cells.arguments.SCENARIO`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.catalog import cache_precision
from core.cells.arguments import CONTEXT, KV_PRECISION, MODEL, MODEL_OR_SIZE, PRECISION, SCENARIO, UNIT, USERS
from core.cells.broadcast import LineFunction, broadcast
from core.cells.spill import evaluate, labelled_rows
from core.model.kv_cache import kv_profile
from core.model.precision import Precision
from core.model.spec import ModelSpec
from core.model.weights import weights_bytes
from core.plan.estimate import Estimate, estimate, sizing


def weights(model: object, precision: object, unit: object) -> object:
    def size(spec: ModelSpec, precision: Precision, unit: int) -> float:
        return weights_bytes(spec, precision) / unit

    return evaluate(size, (MODEL_OR_SIZE, PRECISION, UNIT), (model, precision, unit))


def kv(model: object, context: object, users: object, kv_precision: object, unit: object) -> object:
    def size(spec: ModelSpec, context: int, users: int, requested: Precision | None, unit: int) -> float:
        return kv_profile(spec).bytes_of_sequences(users, context, cache_precision(spec, requested)) / unit

    arguments = (MODEL, CONTEXT, USERS, KV_PRECISION, UNIT)
    return evaluate(size, arguments, (model, context, users, kv_precision, unit))


def kv_per_token(model: object, kv_precision: object, unit: object) -> object:
    def size(spec: ModelSpec, requested: Precision | None, unit: int) -> float:
        return kv_profile(spec).bytes_per_token(cache_precision(spec, requested)) / unit

    return evaluate(size, (MODEL, KV_PRECISION, UNIT), (model, kv_precision, unit))


def total(*scenario: object) -> object:
    return evaluate(_total, SCENARIO, scenario, line_function=_TOTALS_OF_USERS)


def _total(
    spec: ModelSpec, context: int, users: int, precision: Precision | None, requested: Precision | None,
    overhead: float, unit: int,
) -> float:  # fmt: skip
    kept = cache_precision(spec, requested)
    return sizing(spec, precision).total_bytes(context, users, kept, overhead) / unit


def _totals(
    spec: ModelSpec, context: int, users: Sequence[int], precision: Precision | None, requested: Precision | None,
    overhead: float, unit: int,
) -> list[float]:  # fmt: skip
    return sizing(spec, precision).totals(context, users, cache_precision(spec, requested), overhead, unit)


_TOTALS_OF_USERS = LineFunction(_totals, varying=SCENARIO.index(USERS))


def breakdown(*scenario: object) -> object:
    def sizes(*values: Any) -> list[float]:
        result, unit = scenario_estimate(*values[:-1]), values[-1]
        return [size / unit for size in (*(item.size_bytes for item in result.line_items), result.total_bytes)]

    columns = broadcast(sizes, [argument.read(cells) for argument, cells in zip(SCENARIO, scenario)])
    return labelled_rows(["weights", "KV cache", "overhead", "total"], columns.elements)


def scenario_estimate(
    spec: ModelSpec, context: int, users: int, precision: Precision | None, kv_precision: Precision | None,
    overhead: float,
) -> Estimate:  # fmt: skip
    """Return the estimate of a scenario whose arguments are read."""
    return estimate(
        spec, context=context, users=users, precision=precision, kv_precision=kv_precision, overhead=overhead
    )
