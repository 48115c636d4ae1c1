"""Compare the Options and Procurement sheets, recalculated by LibreOffice and by IronCalc, with `core.plan`."""

from __future__ import annotations

import random
from dataclasses import fields

import pytest

from core import catalog
from core.plan.costs import (
    COST_LIMITS,
    Assumptions,
    OptionCosts,
    OrderPolicy,
    default_assumptions,
    default_policy,
    option_costs,
)
from core.plan.fleet import LAYOUTS, Option, choice_of_gpu, options
from core.plan.money import OPTION_MONEY
from core.plan.ranking import Candidate, rank
from tests.spreadsheets.programs import in_each_program
from tests.workbook.planner_rows import random_row, scenario_of, without_override
from workbook.labels import Labels
from workbook.scenario import Scenario
from workbook.sheets import capacity, procurement
from workbook.sheets import options as options_sheet
from workbook.template import without_values

pytestmark = pytest.mark.slow

TOLERANCE = 1e-9
NOTHING = "–"
SCENARIOS, CASES, ROWS = 30, 12, 60
ROWS_OF_OPTIONS = capacity.option_rows()
NOT_OF_COSTS = ("scenario", "least_bandwidth_gb_per_s")


@pytest.fixture(scope="module")
def planner(tmp_path_factory):
    """Write a planner with random scenarios to choose from."""
    rng = random.Random(11)
    rows = [
        random_row(rng, f"scenario {number}", most_context=200_000, most_users=1_000) for number in range(SCENARIOS)
    ]
    path = tmp_path_factory.mktemp("procurement") / "planner.xlsx"
    path.write_bytes(without_values("en", rows))
    return path, {row["scenario"]: row for row in rows}


@in_each_program
def test_follows_its_inputs(program, planner):
    """With a random scenario and random assumptions: the ranking, and of many rows users, order, owning and renting."""
    path, scenarios = planner
    rng = random.Random(5)
    cells, sheet = procurement.input_cells(), Labels("en")("sheet.procurement")
    requests = [random_request(rng, list(scenarios)) for _ in range(CASES)]
    cases = [{(sheet, cells[name]): value for name, value in request.items()} for request in requests]
    rows = rng.sample(range(len(ROWS_OF_OPTIONS)), ROWS)
    keys = list(money_of(None)) + list(choice_of(None, Labels("en")))
    shown = ["users_per_replica", "by_division", *keys]
    outputs = [
        ("Options", f"{options_sheet.letter(key)}{options_sheet.FIRST_ROW + row}") for row in rows for key in shown
    ]
    ranks = [
        ("Options", f"{options_sheet.letter('rank')}{options_sheet.FIRST_ROW + row}")
        for row in range(len(ROWS_OF_OPTIONS))
    ]
    with program.WhatIf(path) as session:
        results = session.run(cases, [*outputs, *ranks])
    priced = 0
    for request, values in zip(requests, results):
        found = iter(values)
        costs, ranking = plan_of(request, scenarios)
        for row in rows:
            scenario = on_gpu(request, scenarios, row)
            for key, expected in expected_of_row(scenario, costs.get(ROWS_OF_OPTIONS[row])).items():
                where = (request, ROWS_OF_OPTIONS[row], key)
                value = next(found)
                priced += key == "net_present_cost" and expected != NOTHING
                if isinstance(expected, str):
                    assert value == expected, where
                else:
                    assert value == pytest.approx(expected, rel=TOLERANCE, abs=1e-6), where
        assert list(found) == [ranking.get(row, NOTHING) for row in ROWS_OF_OPTIONS], request
    assert priced > CASES * ROWS / 10


def plan_of(request: dict[str, object], scenarios: dict[str, dict]):
    """Return the costs of each option, and its place in the ranking: (GPU, number of the layout) → figure."""
    costs: dict[tuple[str, int], tuple[Option, OptionCosts]] = {}
    users = scenario_of(scenarios[request["scenario"]]).users
    for gpu_name in dict.fromkeys(gpu for gpu, _ in ROWS_OF_OPTIONS):
        scenario = without_override(scenario_of(scenarios[request["scenario"]]), gpu_name)
        for option in options(scenario.service, choice_of_gpu(scenario.gpu), users, scenario.context):
            number = LAYOUTS.index((option.replica.tp, option.replica.pp))
            costs[gpu_name, number] = option, costs_of(request, scenario, option)
    ranking = rank(
        Candidate(
            key=key,
            net_present_cost=found.net_present_cost,
            free_places=found.order.replicas * option.users_per_replica - users,
            bandwidth_per_user=bandwidth_of(key[0], found.order.with_spares, users),
        )
        for key, (option, found) in sorted(costs.items(), key=lambda item: ROWS_OF_OPTIONS.index(item[0]))
    )
    return costs, {key: place for place, key in enumerate(ranking.keys, start=1)}


def bandwidth_of(gpu_name: str, gpus: int, users: int) -> float | None:
    bandwidth = catalog.gpu(gpu_name).bandwidth_gb_per_s
    return None if bandwidth is None else gpus * bandwidth / users


def on_gpu(request: dict[str, object], scenarios: dict[str, dict], row: int) -> Scenario:
    return without_override(scenario_of(scenarios[request["scenario"]]), ROWS_OF_OPTIONS[row][0])


def random_request(rng: random.Random, names: list[str]) -> dict[str, object]:
    drawn = {name: getattr(default_assumptions(), name) for name in _names(Assumptions)}
    drawn |= {name: getattr(default_policy(), name) for name in _names(OrderPolicy)}
    for name in rng.sample(list(drawn), 8):
        limits = COST_LIMITS[name]
        most = min(limits.most, 3 * float(drawn[name]) + 2)
        drawn[name] = rng.randint(int(limits.least), int(most)) if limits.whole else rng.uniform(limits.least, most)
    return {"scenario": rng.choice(names), "least_bandwidth_gb_per_s": 0.0} | {
        name: float(value) for name, value in drawn.items()
    }


def _names(of: type) -> list[str]:
    return [field.name for field in fields(of)]


def expected_of_row(scenario: Scenario, found: tuple[Option, OptionCosts] | None) -> dict[str, object]:
    costs = None if found is None else found[1]
    return {
        "users_per_replica": 0 if found is None else found[0].users_per_replica,
        "by_division": scenario.gpus_by_division,
        **money_of(costs),
        **choice_of(costs, Labels("en")),
    }


def costs_of(request: dict[str, object], scenario: Scenario, option: Option) -> OptionCosts:
    whole = {"horizon_months", "spare_replicas", "spare_gpus", "rent_step"}
    given = {
        name: int(value) if name in whole else value for name, value in request.items() if name not in NOT_OF_COSTS
    }
    given["whole_nodes"] = bool(given["whole_nodes"])
    return option_costs(
        scenario.gpu,
        option,
        users=scenario.users,
        gpus_by_division=scenario.gpus_by_division,
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
