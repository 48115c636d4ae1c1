"""Declare the figures of an option, and join them where the Options sheet shows them."""

from __future__ import annotations

from functools import lru_cache, partial

from core.plan.demand import REQUESTS
from core.plan.memory import ESTIMATE, REPLICAS
from core.plan.money import BY_MONTH, OPTION_MONEY, OUTCOME, SLOPES, SWINGS
from core.plan.speed_terms import ANY_LAYOUT, FAST, LOAD, MEASURED, SERVED, SERVED_LOAD
from core.plan.terms import (
    MISSING,
    Expression,
    Term,
    all_of,
    equal,
    if_known,
    known,
    most,
    spreadsheet_formula,
    v,
    when,
)
from workbook import formulas as f
from workbook import terms
from workbook.joining import Formulas, fits_in_sheet, joined, replaced
from workbook.labels import LANGUAGES, Labels, all_keys
from workbook.sheets import capacity, gpus, speed

TABLE = "Options"
MEASURED_SPEED = "measured_speed"  # the column of the speeds that the user measured, 0 for none
# What is looked up in the table of GPUs: name → column there.
OF_GPU = {**gpus.INPUTS_OF_MONEY, "bandwidth": "bandwidth"}
_KNOWN_OF_GPU = ("gpus_per_node", "on_board")
# What is looked up in the table of capacity: name → column there.
OF_CAPACITY = {
    "gpu_row": "gpu_row", "gpus_per_replica": "gpus_per_replica", "memory_bytes": "memory_bytes", "pp": "pp",
    "fitting": "users_per_replica",
}  # fmt: skip
REQUEST_KEYS = {"answered_s": "answered_s", "request_users": "users", "whole_users": "whole_users"}
_FAST = tuple(term for term in FAST if term.name not in ANY_LAYOUT)
_TEXTS = ("largest_part",)  # shown by another column, where a speed is computed
_OF_ALL_REPLICAS = ("output_tokens_per_s",)
# Figures that the sheets of the plan look up: what their terms use.
_OF_PLAN = {name for group in (OUTCOME, SLOPES, SWINGS, BY_MONTH) for name in group.inputs}
# Columns that others read (the ranking, sheets, tests), which no other column takes the place of.
KEPT = frozenset({
    "gpu_row", "fitting", "runs", "users", "bandwidth", "users_per_replica", "largest_part", "low_tokens_per_s",
    "tokens_per_s_per_user", "high_tokens_per_s", "first_token_s", "output_tokens_per_s", "by_division", "deployable",
    "with_headroom", "replicas", "with_spares", "nodes", "order", "rented", "capex", "value", "opex", "own_month",
    "own_user_month", "own_tco", "rent_month", "rent_user_month", "saved", "break_even", "net_present_cost", "buys",
    "pp", "fills_nodes",  # make other formulas shorter
}) | _OF_PLAN  # fmt: skip
# Cells of the chains of precedents before this sheet, about: of a figure of Speed, and of one of Capacity.
_SPEED_CHAIN, _CAPACITY_CHAIN = 14, 14


def _at(name: str) -> Expression:
    """Return the name of what is looked up in another table."""
    return Expression("name", (f"at_{name}",))


def declared() -> Formulas:
    """Return the formula of each figure of an option, after those that it uses."""
    runs, by_requests = equal(v.runs, speed.RUNS), v.plan_requests_per_hour > 0
    of_plan = {"users": v.chosen_users, "replicas_needed": v.needed}
    # A speed that the user measured, in a column of Options, takes the place of the computed one.
    measured = {name: replaced(formula, {"min_speed": v.plan_min_speed}) for name, formula in MEASURED.items()}
    of_request = {"tokens_per_s_per_user": v.low_tokens_per_s, "users": v.request_users}
    of_request["requests_per_hour"] = v.plan_requests_per_hour

    def of_speed(term: Term) -> Expression:
        formula = measured.get(term.name, term.formula)
        return formula if term.name in _TEXTS else when(runs, formula, MISSING)

    return {
        **{name: _at(name) for name in OF_CAPACITY},
        **{name: _at(name) if name in _KNOWN_OF_GPU else if_known([_at(name)], _at(name)) for name in OF_GPU},
        "runs": when(v.fitting > 0, v.pace_runs, 0),
        **{term.name: of_speed(term) for term in _FAST},
        "users_per_replica": when(runs, measured["users_per_replica"], v.fitting),
        "needed": replaced(REPLICAS["replicas_needed"].formula, {"users": v.chosen_users}),
        "sequences": when(by_requests, v.users_per_replica, replaced(SERVED["sequences"].formula, of_plan)),
        **{term.name: of_speed(term) for term in SERVED_LOAD if term.name not in _OF_ALL_REPLICAS},
        **{
            key: when(all_of(by_requests, runs), replaced(REQUESTS[name].formula, of_request), 0)
            for key, name in REQUEST_KEYS.items()
        },
        "users": when(by_requests, most(1, v.whole_users), v.chosen_users),
        "by_division": replaced(ESTIMATE["by_division"].formula, {"total_gb": v.chosen_total_gb}),
        **{term.name: term.formula for term in OPTION_MONEY},
        "running_users": when(known(v.deployable), v.sequences * v.deployable / v.gpus_per_replica, 0),
        **{name: of_speed(LOAD[name]) for name in _OF_ALL_REPLICAS},
    }


@lru_cache(maxsize=1)
def shown() -> Formulas:
    """Return the formula of each column, the same in every language."""
    references = [partial(reference, Labels(lang)) for lang in LANGUAGES]
    optional = {f"at_{name}" for name in OF_GPU if name not in _KNOWN_OF_GPU}
    lengths = dict.fromkeys((*speed.NAMED, "pace_runs"), _SPEED_CHAIN) | {"at_fitting": _CAPACITY_CHAIN}
    return joined(declared(), KEPT & NAMES, fits_in_sheet(*references), optional, lengths)


def formulas(labels: Labels) -> dict[str, str]:
    """Return the native formula of each column, without its "="."""
    return {name: spreadsheet_formula(formula, partial(reference, labels)) for name, formula in shown().items()}


def reference(labels: Labels, name: str) -> str:
    """Return the cell, look-up or defined name that holds a name of the formulas."""
    if name == "w_per_kw":
        return terms.POWERS[name]
    key = name.removeprefix("at_")
    if name != key and key in OF_GPU:
        return f"INDEX({f.whole_column(gpus.TABLE, gpus.header(labels, OF_GPU[key]))},{_cell(labels, 'gpu_row')})"
    if name != key:
        column = f.whole_column(capacity.TABLE, capacity.header(labels, OF_CAPACITY[key]))
        return f"INDEX({column},{_cell(labels, 'capacity_row')})"
    if name in (*NAMES, MEASURED_SPEED):
        return _cell(labels, name)
    return f"INDEX({name},{_cell(labels, 'pace_row')})" if name in (*speed.NAMED, "pace_runs") else name


def _cell(labels: Labels, key: str) -> str:
    return f.this_row(TABLE, header(labels, key))


NAMES = frozenset(declared())


def header(labels: Labels, key: str) -> str:
    """Return the heading of a column of a figure, or of the number of a row."""
    if key == "gpu_row":
        return labels("capacity.gpu_row")
    return labels(f"options.{key}") if f"options.{key}" in all_keys() else terms.label(labels, key)
