"""Compare the Procurement sheet, recalculated by LibreOffice and by IronCalc, with `core.plan`."""

from __future__ import annotations

import random
from dataclasses import fields

import pytest

from core import catalog
from core.errors import PlannerError
from core.plan.costs import COST_LIMITS, Assumptions, OrderPolicy, default_assumptions, default_policy
from core.plan.fleet import Option, Replica, choice_of_gpu
from core.plan.layout_costs import OptionCosts, option_costs
from core.plan.worksheet import WorksheetPlan, needs_of, worksheet_plans
from core.units import GB
from tests.spreadsheets.programs import in_each_program
from tests.workbook.planner_rows import random_row, scenario_of, without_override
from workbook.labels import Labels
from workbook.sheets import procurement
from workbook.template import build

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
                priced += key == "best_npv" and expected != NOTHING
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
        **order_of(costs),
        **owning_of(costs),
        **renting_of(costs),
        **choice_of(costs, labels),
    }


def costs_of(request, gpu, plan: WorksheetPlan, users: int, by_division: int | None) -> OptionCosts:
    choice = choice_of_gpu(gpu)
    replica = Replica(choice, plan.layout.tp, plan.layout.pp)
    layout = Option(
        replica=replica, replicas=plan.replicas, users_per_replica=plan.users_per_replica, gpus=plan.gpus,
        nodes=plan.nodes, headroom=0,
    )  # fmt: skip
    whole = {"horizon_months", "spare_nodes", "spare_gpus"}
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


def order_of(costs: OptionCosts | None) -> dict[str, object]:
    keys = ("deployable", "with_headroom", "in_nodes", "with_spares", "nodes")
    return {key: NOTHING if costs is None else getattr(costs.order, key) for key in keys}


def owning_of(costs: OptionCosts | None) -> dict[str, object]:
    names = {
        "capex": "capex_usd", "it_kw": "it_kw", "power": "power_usd_per_month", "hosting": "hosting_usd_per_month",
        "support": "support_usd_per_month", "depreciation": "depreciation_usd_per_month", "own_month": "usd_per_month",
        "own_tco": "tco_usd", "own_npv": "npv_usd", "value": "value_at_horizon_usd",
    }  # fmt: skip
    owned = costs and costs.owned
    return {key: NOTHING if owned is None else getattr(owned, name) for key, name in names.items()}


def renting_of(costs: OptionCosts | None) -> dict[str, object]:
    names = {
        "on_demand_month": "on_demand_usd_per_month", "reserved_month": "reserved_usd_per_month",
        "rent_month": "usd_per_month", "rent_tco": "tco_usd", "rent_npv": "npv_usd",
    }  # fmt: skip
    rented = costs and costs.rented
    found = {key: None if rented is None else getattr(rented, name) for key, name in names.items()}
    return {key: NOTHING if value is None else value for key, value in found.items()}


def choice_of(costs: OptionCosts | None, labels: Labels) -> dict[str, object]:
    owned, rented = (None, None) if costs is None else (costs.owned, costs.rented)
    if owned is None and rented is None:
        return dict.fromkeys(
            ("cheaper", "best_gpus", "best_month", "best_user_month", "best_npv", "break_even"), NOTHING
        )
    buys = rented is None or (owned is not None and costs.cheaper == "buy")
    month = costs.break_even_month
    both = owned is not None and rented is not None
    return {
        "cheaper": labels("procurement.buy" if buys else "procurement.rent"),
        "best_gpus": costs.order.gpus if buys else costs.order.rented_gpus,
        "best_month": (owned if buys else rented).usd_per_month,
        "best_user_month": costs.owning_usd_per_user_month if buys else costs.renting_usd_per_user_month,
        "best_npv": (owned if buys else rented).npv_usd,
        "break_even": NOTHING if not both else labels("procurement.never") if month is None else month,
    }
