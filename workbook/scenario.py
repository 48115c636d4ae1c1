"""A scenario as a user gives it, in a CSV file or in a row of the planner: its fields, their names, their checks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from core import catalog
from core.catalog import CatalogModel
from core.checks import number
from core.errors import OutOfRangeError, PlannerError
from core.fleet import gpus_by_division
from core.precision import Precision
from core.sizing import Estimate, estimate, footprint
from core.texts import NOT_PRINTABLE, plain_letters
from workbook.labels import LANGUAGES, Labels

# field → the label of its column on the planner's Scenarios sheet
COLUMN_LABELS = {
    "scenario": "scenarios.scenario",
    "model": "scenarios.model",
    "context": "scenarios.context",
    "users": "scenarios.users",
    "precision": "scenarios.precision",
    "kv_precision": "scenarios.kv_precision",
    "overhead": "scenarios.overhead_rate",
    "gpu_memory_gb": "scenarios.gpu_memory",
}
FIELDS = tuple(COLUMN_LABELS)
NUMBER_FIELDS = ("context", "users", "overhead", "gpu_memory_gb")

LONGEST_TITLE = 200  # as long as a heading may be that is printed on one page


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What is to be sized, every field checked.

    Attributes:
        title: what the user calls it; one line of printable text.
        context: tokens per sequence.
        users: concurrent sequences.
        overhead: fraction of weights and KV cache.
        gpu_memory_gb: memory of one GPU in GB.
    """

    title: str
    model: CatalogModel
    context: int
    users: int
    precision: Precision
    kv_precision: Precision
    overhead: float
    gpu_memory_gb: float

    def sized(self) -> tuple[Estimate, int]:
        """The memory that it needs, and how many GPUs that is by division (`core.fleet.gpus_by_division`)."""
        needs = estimate(
            self.model.spec,
            context=self.context,
            users=self.users,
            precision=self.precision,
            kv_precision=self.kv_precision,
            overhead=self.overhead,
        )
        return needs, gpus_by_division(needs.total_bytes, self.gpu_memory_gb)


@dataclass(frozen=True)
class GivenRow:
    """A row of a file of scenarios.

    Attributes:
        place: where it stands ("line 3").
        scenario: what it means; None where `problems` says why it means nothing.
    """

    place: str
    scenario: Scenario | None
    problems: tuple[PlannerError, ...]


class GivenScenarios(Protocol):
    """A file of scenarios: can be read more than once, and need not be held in memory."""

    path: Path

    def given_rows(self) -> Iterator[GivenRow]:
        """Every row that is not blank."""
        ...


def checked(values: Mapping[str, object]) -> tuple[Scenario | None, list[PlannerError]]:
    """The scenario that `values` (field → number or text) describe, or else everything that is wrong with them.

    Args:
        values: a field that is missing or None is blank; a blank title is the model's name, nothing else may be blank.
    """
    checks: dict[str, Callable[[object], object]] = {
        "scenario": _title,
        "model": _model,
        "precision": lambda value: catalog.precision("precision", value),
        "kv_precision": lambda value: catalog.precision("kv_precision", value),
    }
    found, problems = {}, []
    for field in FIELDS:
        try:
            check = checks.get(field) or (lambda value, field=field: number(field, value))
            found[field] = check(values.get(field))
        except PlannerError as problem:
            problems.append(problem)
    if problems:
        return None, problems
    return Scenario(title=found.pop("scenario") or found["model"].title, **found), []


def field_of_header(text: object) -> str | None:
    """The field that a column of this header holds, in English, in Chinese, or as its plain key; None if none."""
    return _FIELD_BY_HEADER.get(plain_header(text)) if isinstance(text, str) else None


def plain_header(text: str) -> str:
    """The form under which headers are compared: case, width of letters and spaces dropped."""
    return "".join(plain_letters(text).casefold().replace("_", " ").split())


def _title(value: object) -> str:
    """One line of printable text; nothing for a blank."""
    text = "" if value is None else f"{value:.15g}" if isinstance(value, float) else str(value)
    title = " ".join(NOT_PRINTABLE.sub(" ", text).split())
    if len(title) > LONGEST_TITLE:
        raise OutOfRangeError(
            "scenario", f"its title has {len(title)} characters", f"Write at most {LONGEST_TITLE}; it heads a page."
        )
    return title


def _model(value: object) -> CatalogModel:
    model = catalog.model(value)
    footprint(model.spec)  # whoever cannot be counted is told so here, beside the other fields' problems
    return model


_FIELD_BY_HEADER = {plain_header(field): field for field in FIELDS} | {
    plain_header(Labels(lang)(label)): field for field, label in COLUMN_LABELS.items() for lang in LANGUAGES
}
