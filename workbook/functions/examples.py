"""The examples of the sheet Functions, with what they give in a new planner."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from core import catalog
from core.cells import capacity, memory, speed
from core.plan.costs import option_costs
from core.plan.fleet import choice_of_gpu, options, smallest_first
from core.plan.serving import service_of

_MODEL, _GPU, _CONTEXT, _USERS, _GPUS, _PROMPT, _ANSWER = "llama-3.1-70b", "h100-sxm", 32_768, 10, 8, 2_000, 500


@dataclass(frozen=True)
class Example:
    """A call of a function.

    Attributes:
        function: its name.
        arguments: in their order.
        computed: returns what it gives.
        unit: the key of the unit's label.
        number_format: of the result.
    """

    function: str
    arguments: tuple[str | int, ...]
    computed: Callable[[], Any]
    unit: str
    number_format: str

    @property
    def text(self) -> str:
        """The formula as a user writes it."""
        arguments = (f'"{value}"' if isinstance(value, str) else str(value) for value in self.arguments)
        return f"={self.function}({','.join(arguments)})"


def _cost() -> object:
    gpu = catalog.gpu(_GPU)
    service = service_of(catalog.model(_MODEL).spec, None, None, None)
    smallest = min(options(service, choice_of_gpu(gpu), _USERS, _CONTEXT), key=smallest_first)
    return option_costs(gpu, smallest, users=_USERS, gpus_by_division=1).outcome["cost_month"]


EXAMPLES = (
    Example("LLM_WEIGHTS", (_MODEL,), lambda: memory.weights(_MODEL, None, None), "unit.gb", "#,##0.00"),
    Example(
        "LLM_KV", (_MODEL, _CONTEXT, _USERS), lambda: memory.kv(_MODEL, _CONTEXT, _USERS, None, None), "unit.gb",
        "#,##0.00",
    ),
    Example(
        "LLM_TOTAL", (_MODEL, _CONTEXT, _USERS),
        lambda: memory.total(_MODEL, _CONTEXT, _USERS, None, None, None, None), "unit.gb", "#,##0.00",
    ),
    Example(
        "LLM_GPUS", (_MODEL, _CONTEXT, _USERS, _GPU),
        lambda: capacity.gpus(_MODEL, _CONTEXT, _USERS, _GPU, None, None, None), "unit.gpus", "#,##0",
    ),
    Example(
        "LLM_USERS", (_MODEL, _CONTEXT, _GPU, _GPUS),
        lambda: capacity.users(_MODEL, _CONTEXT, _GPU, _GPUS, None, None, None), "unit.users", "#,##0",
    ),
    Example(
        "LLM_SPEED", (_MODEL, _PROMPT, _ANSWER, _USERS, _GPU, _GPUS),
        lambda: speed.speed(_MODEL, _PROMPT, _ANSWER, _USERS, _GPU, _GPUS, None, None, None), "term_unit.tokens/s",
        "#,##0.0",
    ),
    Example("LLM_COST", (_MODEL, _CONTEXT, _USERS, _GPU), _cost, "term_unit.USD/month", "#,##0"),
)  # fmt: skip
