"""The fields of a scenario in a CSV file or a row of the planner: their column names and their checks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from core import catalog
from core.catalog import CatalogModel
from core.catalog.hardware import Gpu
from core.checks import number, whole
from core.errors import OutOfRangeError, PlannerError
from core.model.precision import Precision
from core.plan.allocation import PAGED, RESERVED, allocation_named
from core.plan.fleet import choice_of_gb, choice_of_gpu
from core.plan.worksheet import RULE, Needs, Workload, engine_named, needs_of, planned_gpu
from core.texts import NOT_PRINTABLE, plain_letters
from core.units import GB
from workbook.labels import LANGUAGES, Labels

# field → the label of its column on the planner's Scenarios sheet
COLUMN_LABELS = {
    "scenario": "scenarios.scenario",
    "model": "scenarios.model",
    "context": "scenarios.context",
    "users": "scenarios.users",
    "allocation": "scenarios.allocation",
    "average_tokens": "scenarios.average_tokens",
    "precision": "scenarios.precision",
    "kv_precision": "scenarios.kv_precision",
    "engine": "scenarios.engine",
    "overhead": "scenarios.overhead_rate",
    "gpu": "scenarios.gpu",
    "gpu_memory_gb": "scenarios.gpu_memory",
}
FIELDS = tuple(COLUMN_LABELS)
NUMBER_FIELDS = ("context", "users", "average_tokens", "overhead", "gpu_memory_gb")
# Headings of earlier versions, which are still read.
_FORMER_HEADINGS = {"GPU memory (GB)": "gpu_memory_gb", "单卡显存 (GB)": "gpu_memory_gb"}
# The values of fields whose column is missing.
DEFAULTS = {"allocation": RESERVED, "engine": RULE}

LONGEST_TITLE = 200  # characters; a longer heading does not fit on one printed page


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One scenario to size, with every field checked.

    Attributes:
        title: the user's name for it, one line of printable text.
        context: tokens per sequence.
        users: concurrent sequences.
        precision: of the weights; None: as the model is shipped.
        allocation, average_tokens: see `core.plan.allocation`.
        engine: one of `core.plan.worksheet.ENGINES`.
        overhead: fraction of weights and KV cache, used by the engine "rule".
        gpu: the catalog's GPU; None if only a memory size is given.
        gpu_memory_gb: memory of one GPU in GB.
    """

    title: str
    model: CatalogModel
    context: int
    users: int
    allocation: str = RESERVED
    average_tokens: int | None = None
    precision: Precision | None
    kv_precision: Precision
    engine: str = RULE
    overhead: float
    gpu: Gpu | None = None
    gpu_memory_gb: float

    @property
    def precision_name(self) -> str:
        """The weights' precision as written in a cell."""
        return catalog.SHIPPED if self.precision is None else self.precision.name

    @property
    def gpu_name(self) -> str:
        """The GPU as written in a cell; "" if only a memory size is given."""
        return "" if self.gpu is None else self.gpu.name

    @cached_property
    def workload(self) -> Workload:
        """The scenario as input of `core.plan.worksheet`."""
        choice = choice_of_gb(self.gpu_memory_gb) if self.gpu is None else choice_of_gpu(self.gpu)
        return Workload(
            model=self.model.spec,
            precision=self.precision,
            kv_precision=self.kv_precision,
            context=self.context,
            users=self.users,
            allocation=self.allocation,
            average_tokens=self.average_tokens,
            engine=self.engine,
            overhead=self.overhead,
            gpu=replace(planned_gpu(choice), memory_bytes=round(self.gpu_memory_gb * GB)),
        )

    @cached_property
    def needs(self) -> Needs:
        """The memory that the scenario needs, and that memory divided by the memory of one GPU.

        Raises:
            PlannerError: the memory cannot be computed, or vLLM leaves nothing of the GPU's memory.
        """
        return needs_of(self.workload)


@dataclass(frozen=True)
class GivenRow:
    """A row of a file of scenarios.

    Attributes:
        place: its position in the file ("line 3").
        scenario: the scenario that it describes; None if it is not usable.
        problems: why the row is not usable.
    """

    place: str
    scenario: Scenario | None
    problems: tuple[PlannerError, ...]


class GivenScenarios(Protocol):
    """A file of scenarios, read as a stream and readable more than once."""

    path: Path

    def given_rows(self) -> Iterator[GivenRow]:
        """Yield every row that is not blank."""
        ...


def parse_scenario(
    values: Mapping[str, object], own_models: Mapping[str, CatalogModel] = MappingProxyType({})
) -> tuple[Scenario | None, list[PlannerError]]:
    """Return the scenario that `values` describe, or None and every problem with them.

    Args:
        values: field → number or text; None is blank. A blank title becomes the model's name. The average tokens may
            be blank if the allocation is "reserved", and either the GPU or its memory may be blank. A missing field
            has the value in `DEFAULTS`.
        own_models: models described in the file itself, by name.
    """
    values = {**DEFAULTS, **values}
    checks: dict[str, Callable[[object], object]] = {
        "scenario": _title,
        "model": lambda value: _model(value, own_models),
        "allocation": allocation_named,
        "average_tokens": lambda value: _average_tokens(value, values["allocation"]),
        "precision": catalog.weights_precision,
        "kv_precision": lambda value: catalog.precision("kv_precision", value),
        "engine": engine_named,
        "gpu": lambda value: _gpu(value, values.get("gpu_memory_gb")),
        "gpu_memory_gb": lambda value: _gpu_memory_gb(value, values.get("gpu")),
    }
    found: dict[str, Any] = {}
    problems: list[PlannerError] = []
    for field in FIELDS:
        try:
            check = checks.get(field) or partial(number, field)
            found[field] = check(values.get(field))
        except PlannerError as problem:
            problems.append(problem)
    if not problems:
        scenario = Scenario(title=found.pop("scenario") or found["model"].title, **found)
        try:
            _ = scenario.needs  # report a model or GPU that cannot be computed together with the other problems
            return scenario, []
        except PlannerError as problem:
            problems.append(problem)
    return None, problems


def _is_blank(value: object) -> bool:
    return value is None or value == ""


def _average_tokens(value: object, allocation: object) -> int | None:
    """Read the field only for a paged cache; otherwise it has no meaning."""
    if isinstance(allocation, str) and allocation.strip().lower() == PAGED:
        return whole("average_tokens", value)
    return None


def _gpu(value: object, gpu_memory_gb: object) -> Gpu | None:
    """Return the GPU; None if the field is blank and the memory is given."""
    return None if _is_blank(value) and not _is_blank(gpu_memory_gb) else catalog.gpu(value)


def _gpu_memory_gb(value: object, gpu: object) -> float:
    """Return the given memory, or else that of the named GPU as its driver reports it."""
    if not _is_blank(value):
        return number("gpu_memory_gb", value)
    try:
        return catalog.gpu(gpu).memory_bytes / GB
    except PlannerError:
        return 0.0  # the field "gpu" reports the problem


def field_of_header(text: object) -> str | None:
    """Return the field of a column by its header: English, Chinese, or the plain key; None if it is unknown."""
    return _FIELD_BY_HEADER.get(plain_header(text)) if isinstance(text, str) else None


def plain_header(text: str) -> str:
    """Normalize a header for comparison: ignore case, spaces, and full-width letters."""
    return "".join(plain_letters(text).casefold().replace("_", " ").split())


def _title(value: object) -> str:
    """Return the title as one line of printable text; "" for a blank."""
    text = "" if value is None else f"{value:.15g}" if isinstance(value, float) else str(value)
    title = " ".join(NOT_PRINTABLE.sub(" ", text).split())
    if len(title) > LONGEST_TITLE:
        remedy = f"Write at most {LONGEST_TITLE} characters; the title is printed as the heading of a page."
        raise OutOfRangeError("scenario", f"its title has {len(title)} characters", remedy)
    return title


def _model(value: object, own_models: Mapping[str, CatalogModel]) -> CatalogModel:
    if isinstance(value, str) and value in own_models:
        return own_models[value]
    return catalog.model(value)


_FIELD_BY_HEADER = (
    {plain_header(field): field for field in FIELDS}
    | {plain_header(heading): field for heading, field in _FORMER_HEADINGS.items()}
    | {plain_header(Labels(lang)(label)): field for field, label in COLUMN_LABELS.items() for lang in LANGUAGES}
)
