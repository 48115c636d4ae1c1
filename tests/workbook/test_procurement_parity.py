"""Compare the Procurement sheet, recalculated by LibreOffice and by IronCalc, with `core.plan`."""

from __future__ import annotations

import random
import re
from dataclasses import fields

import openpyxl
import pytest

from core import catalog
from core.errors import PlannerError
from core.plan.costs import (
    COST_LIMITS,
    Assumptions,
    OptionCosts,
    OrderPolicy,
    default_assumptions,
    default_policy,
    option_costs,
)
from core.plan.fleet import Option, Replica, choice_of_gpu
from core.plan.money import OPTION_MONEY
from core.plan.worksheet import WorksheetPlan, needs_of, worksheet_plans
from core.units import GB
from tests.spreadsheets.programs import in_each_program
from tests.workbook.planner_rows import random_row, scenario_of, without_override
from workbook.labels import Labels
from workbook.sheets import procurement
from workbook.template import build

pytestmark = pytest.mark.slow

TOLERANCE = 1e-9
NOTHING = "–"
SCENARIOS, CASES, ROWS = 30, 25, 60


@pytest.fixture(scope="module")
def planner(tmp_path_factory):
    """Write a planner with random scenarios to choose from."""
    rng = random.Random(11)
    rows = [
        random_row(rng, f"scenario {number}", most_context=200_000, most_users=1_000) for number in range(SCENARIOS)
    ]
    path = tmp_path_factory.mktemp("procurement") / "planner.xlsx"
    path.write_bytes(build("en", rows)[0])
    return path, {row["scenario"]: row for row in rows}


@in_each_program
def test_follows_its_inputs(program, planner):
    """With a random scenario and random assumptions, many rows agree: memory, order, owning, renting, break-even."""
    path, scenarios = planner
    rng = random.Random(5)
    cells, sheet = procurement.input_cells(), Labels("en")("sheet.procurement")
    requests = [random_request(rng, list(scenarios)) for _ in range(CASES)]
    cases = [{(sheet, cells[name]): value for name, value in request.items()} for request in requests]
    rows = rng.sample(range(len(procurement.table_rows())), ROWS)
    keys = list(expected_of_row(requests[0], scenarios, rows[0]))
    outputs = [(sheet, f"{procurement.letter(key)}{procurement.FIRST_ROW + row}") for row in rows for key in keys]
    with program.WhatIf(path) as session:
        results = session.run(cases, outputs)
    priced = 0
    for request, values in zip(requests, results):
        found = iter(values)
        for row in rows:
            for key, expected in expected_of_row(request, scenarios, row).items():
                where = (request, procurement.table_rows()[row], key)
                value = next(found)
                priced += key == "net_present_cost" and expected != NOTHING
                if isinstance(expected, str):
                    assert value == expected, where
                else:
                    assert value == pytest.approx(expected, rel=TOLERANCE, abs=1e-6), where
    assert priced > CASES * ROWS / 10


def random_request(rng: random.Random, names: list[str]) -> dict[str, object]:
    drawn = {name: getattr(default_assumptions(), name) for name in _names(Assumptions)}
    drawn |= {name: getattr(default_policy(), name) for name in _names(OrderPolicy)}
    for name in rng.sample(list(drawn), 8):
        limits = COST_LIMITS[name]
        most = min(limits.most, 3 * float(drawn[name]) + 2)
        drawn[name] = rng.randint(int(limits.least), int(most)) if limits.whole else rng.uniform(limits.least, most)
    return {"scenario": rng.choice(names)} | {name: float(value) for name, value in drawn.items()}


def _names(of: type) -> list[str]:
    return [field.name for field in fields(of)]


def expected_of_row(request: dict[str, object], scenarios: dict[str, dict], row: int) -> dict[str, object]:
    gpu_name, number = procurement.table_rows()[row]
    gpu = catalog.gpu(gpu_name)
    scenario = without_override(scenario_of(scenarios[request["scenario"]]), gpu_name)
    plan = worksheet_plans(scenario.workload)[number]
    try:
        by_division = needs_of(scenario.workload).gpus
    except PlannerError:
        by_division = None
    costs = None
    if plan.users_per_replica:
        costs = costs_of(request, gpu, plan, scenario.users, by_division)
    labels = Labels("en")
    return {
        "users_per_replica": plan.users_per_replica,
        "kv_user": plan.kv_bytes_per_user / GB,
        "binds": labels(f"procurement.binds_{plan.binds}"),
        "by_division": NOTHING if by_division is None else by_division,
        **money_of(costs),
        **choice_of(costs, labels),
    }


def costs_of(request, gpu, plan: WorksheetPlan, users: int, by_division: int | None) -> OptionCosts:
    choice = choice_of_gpu(gpu)
    replica = Replica(choice, plan.layout.tp, plan.layout.pp)
    layout = Option(
        replica=replica, replicas=plan.replicas, users_per_replica=plan.users_per_replica, gpus=plan.gpus,
        nodes=plan.nodes, headroom=0,
    )  # fmt: skip
    whole = {"horizon_months", "spare_replicas", "spare_gpus", "rent_step"}
    given = {name: int(value) if name in whole else value for name, value in request.items() if name != "scenario"}
    given["whole_nodes"] = bool(given["whole_nodes"])
    return option_costs(
        gpu,
        layout,
        users=users,
        gpus_by_division=by_division or 1,
        policy=OrderPolicy(**{name: given[name] for name in _names(OrderPolicy)}),
        assumptions=Assumptions(**{name: given[name] for name in _names(Assumptions)}),
    )


def money_of(costs: OptionCosts | None) -> dict[str, object]:
    """Return every money term; with no user per replica, all are missing (the price of a server is not compared)."""
    names = [term.name for term in OPTION_MONEY if term.name != "server_usd"]
    figures = {} if costs is None else costs.figures
    return {name: NOTHING if figures.get(name) is None else figures[name] for name in names}


def choice_of(costs: OptionCosts | None, labels: Labels) -> dict[str, object]:
    owned, rented = (None, None) if costs is None else (costs.owned, costs.rented)
    if owned is None and rented is None:
        return dict.fromkeys(("cheaper", "best_gpus", "best_month", "best_user_month", "pays_off"), NOTHING)
    buys = rented is None or (owned is not None and costs.cheaper == "buy")
    month = costs.break_even_month
    both = owned is not None and rented is not None
    return {
        "cheaper": labels("procurement.buy" if buys else "procurement.rent"),
        "best_gpus": costs.order.gpus if buys else costs.order.rented_gpus,
        "best_month": (owned if buys else rented).usd_per_month,
        "best_user_month": costs.owning_usd_per_user_month if buys else costs.renting_usd_per_user_month,
        "pays_off": NOTHING if not both else labels("procurement.never") if month is None else month,
    }


def test_every_money_formula_can_be_followed(planner):
    """At most 200 characters as Excel shows them, 8 different references, and IF 3 deep."""
    path, _ = planner
    ws = openpyxl.load_workbook(path)[Labels("en")("sheet.procurement")]
    for term in OPTION_MONEY:
        formula = ws[f"{procurement.letter(term.name)}{procurement.FIRST_ROW}"].value
        shown = re.sub(r"Procurement\[\[#This Row\],\[(.*?)\]\]", r"[@[\1]]", formula)
        assert len(shown) <= 200, shown
        text = re.sub(r'"[^"]*"', "", shown)
        references = set(re.findall(r"\[@\[.*?\]\]|\$[A-Z]+\$\d+|\b[a-z]\w+", text))
        assert 1 <= len(references) <= 8, shown
        assert depth_of_if(text) <= 3, shown


def depth_of_if(formula: str) -> int:
    """Return how deep IF stands within IF."""
    open_calls, deepest = [], 0
    for call in re.findall(r"[A-Z]*\(|\)", re.sub(r"\[@\[.*?\]\]", "", formula)):
        if call == ")":
            open_calls.pop()
        else:
            open_calls.append(call)
            deepest = max(deepest, open_calls.count("IF("))
    return deepest
