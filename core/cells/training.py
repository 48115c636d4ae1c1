"""The cell function for fine-tuning. `vram_udf` describes it."""

from __future__ import annotations

from functools import partial

from core.cells.arguments import MODEL, cell_argument
from core.cells.spill import evaluate
from core.checks import number, one_of
from core.model.spec import ModelSpec
from core.plan.training import METHODS, Job, Memory, memory, trainable_parameters
from core.units import GB

RESULTS = ("total", *Memory._fields, "all_gpus", "trainable")


def train(
    model: object, method: object, sequence: object, batch: object, rank: object, zero: object, gpus: object,
    result: object,
) -> object:  # fmt: skip
    return evaluate(_figure, _ARGUMENTS, (model, method, sequence, batch, rank, zero, gpus, result))


def _figure(
    model: ModelSpec, method: str, sequence: int, batch: int, rank: int, zero: int, gpus: int, result: str
) -> float:
    job = Job(model=model, method=method, sequence=sequence, batch=batch, rank=rank, zero=zero)
    if result == "trainable":
        return float(trainable_parameters(job))
    found = memory(job, gpus)
    if result == "all_gpus":
        return found.total * gpus / GB
    return float(getattr(found, result)) / GB


METHOD = cell_argument("method", lambda value: one_of("method", value, METHODS))
SEQUENCE = cell_argument("sequence", partial(number, "sequence"), Job.sequence)
BATCH = cell_argument("batch", partial(number, "batch"), Job.batch)
RANK = cell_argument("rank", partial(number, "rank"), Job.rank)
ZERO = cell_argument("zero", partial(number, "zero"), Job.zero)
GPUS = cell_argument("gpus", partial(number, "gpus"), 1)
RESULT = cell_argument("result", lambda value: one_of("result", value, RESULTS), RESULTS[0])
_ARGUMENTS = (MODEL, METHOD, SEQUENCE, BATCH, RANK, ZERO, GPUS, RESULT)
