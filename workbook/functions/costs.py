"""The workbook's function for costs: of the layout with the fewest GPUs, bought or rented, and its parts."""

from __future__ import annotations

from collections.abc import Iterable

from core.plan.memory import SIZE
from core.plan.money import COMPARISON, ORDER, OUTCOME, OWNING, RENTING
from core.plan.nodes import NODES
from core.plan.terms import Term
from workbook import terms
from workbook.functions.layouts import FIRST_ROW, FRACTION, GPUS_NEEDED, OF_LAYOUT, SIZES, USERS_OF_LAYOUT, checked
from workbook.functions.parts import (
    CONTEXT,
    FORMATS,
    GPU,
    MODEL,
    NOT_FOUND,
    OUT_OF_RANGE,
    Columns,
    Steps,
    array,
    elements,
    number,
    of_each_layout,
    renamed,
    steps_of,
)
from workbook.lambdas import Function, of_numbers
from workbook.sheets import capacity, gpus

_COMPARED = ("own_npv", "own_month", "rent_npv", "rent_month")


_OWNING = terms.needed(OWNING, _COMPARED[:2])
_RENTING = terms.needed(RENTING, _COMPARED[2:])
_COST = terms.needed((*COMPARISON, *OUTCOME), ("cost_month",))
# Figures of the order that owning and renting need.
_USED = {name for term in (*_OWNING, *_RENTING) for name in term.formula.names()}
_OF_ORDER = tuple(term.name for term in ORDER if term.name in _USED)


_OF_DEMAND = ("users", "users_per_replica", "gpus_per_replica")


def cost_functions(columns: Columns) -> tuple[Function, ...]:
    """Return the functions, parts first."""
    size = f"_LLM_LAYOUT_SIZE({','.join(OF_LAYOUT)},sequences)"
    of_best = USERS_OF_LAYOUT.replace(",layout,", ",smallest,")
    return (
        _layout_size(columns),
        _money(columns, "_LLM_ORDER", terms.needed(ORDER, _OF_ORDER), _OF_DEMAND, _OF_ORDER),
        _money(columns, "_LLM_OWNING", _OWNING, ("quantities",), _COMPARED[:2]),
        _money(columns, "_LLM_RENTING", _RENTING, ("quantities",), _COMPARED[2:]),
        Function(
            "LLM_COST",
            ("model", "context", "users", "gpu"),
            checked(f"IF(MIN(sizes)>0,IF(ISNUMBER(cost_month),cost_month,{NOT_FOUND}),{OUT_OF_RANGE})", "sequences"),
            ("precision", "kv_precision", "overhead"),
            steps={
                **MODEL, **CONTEXT, "sequences": number("users"), **GPU, **FORMATS, **FRACTION,
                "sizes": of_each_layout(size),
                "smallest": "MATCH(MIN(sizes),sizes,0)",
                "first_row": "_LLM_LAYOUT_ROW(model_row,smallest)",
                **SIZES,
                "quantities": f"_LLM_ORDER(gpu_row,sequences,{of_best},gpus_per_replica)",
                "owning": "_LLM_OWNING(gpu_row,quantities)",
                "renting": "_LLM_RENTING(gpu_row,quantities)",
                **elements("owning", _COMPARED[:2], _COMPARED),
                **elements("renting", _COMPARED[2:], _COMPARED),
                **_steps(_COST),
            },
            inner=("layout",),
        ),
    )  # fmt: skip


def _steps(of: Iterable[Term]) -> Steps:
    """Return the steps of terms whose operands can be missing."""
    return {name: of_numbers(formula) for name, formula in steps_of(of).items()}


def _layout_size(columns: Columns) -> Function:
    """Return the function for the number by which layouts are ordered: fewest GPUs, then nodes, then stages."""
    return Function(
        "_LLM_LAYOUT_SIZE",
        (*OF_LAYOUT, "sequences"),
        "size_key",
        steps={
            **FIRST_ROW,
            **SIZES,
            "gpus_per_node": columns.gpu("per_node_planned"),
            **GPUS_NEEDED,
            **steps_of(NODES, renamed(capacity.RENAMED)),
            **steps_of(SIZE),
        },
    )


def _money(
    columns: Columns, name: str, of: tuple[Term, ...], arguments: tuple[str, ...], results: tuple[str, ...]
) -> Function:
    """Return the function for an array of figures of an order, of owning it or of renting it."""
    used = {name for term in of for name in term.formula.names()}
    looked_up = {
        key: f"IF(ISNUMBER({columns.gpu(column)}),{columns.gpu(column)},{terms.MISSING})"
        for key, column in gpus.INPUTS_OF_MONEY.items()
        if key in used
    }
    quantities = elements("quantities", _OF_ORDER, used) if "quantities" in arguments else {}
    steps = looked_up | quantities | _steps(of)
    return Function(name, ("gpu_row", *arguments), array(results), steps=steps)
