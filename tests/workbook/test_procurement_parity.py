"""Compare the Options and Procurement sheets, recalculated by LibreOffice and by IronCalc, with `core.plan`."""

from __future__ import annotations

import random
from dataclasses import fields, replace

import pytest

from core import catalog
from core.plan.costs import (
    COST_LIMITS,
    Assumptions,
    OptionCosts,
    OrderPolicy,
    assumed,
    candidate_of,
    default_assumptions,
    default_policy,
    option_costs,
)
from core.plan.demand import demand_of, tokens_of
from core.plan.fleet import LAYOUTS, choice_of_gpu, options
from core.plan.layout_figures import has_shapes
from core.plan.money import OPTION_MONEY
from core.plan.option_speed import OptionSpeed, Wish, speeds_of_options
from core.plan.ranking import rank
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
DEMAND = (
    "plan_min_speed",
    "plan_users",
    "plan_people",
    "plan_active_share",
    "plan_requests_per_hour",
    "plan_output_tokens",
)
NOT_OF_COSTS = ("scenario", *DEMAND)
SPEED = ("low_tokens_per_s", "tokens_per_s_per_user", "high_tokens_per_s", "first_token_s", "limits")
Found = tuple[OptionSpeed, OptionCosts]


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
    requests = [random_request(rng, scenarios) for _ in range(CASES)]
    cases = [{(sheet, cells[name]): value for name, value in request.items()} for request in requests]
    rows = rng.sample(range(len(ROWS_OF_OPTIONS)), ROWS)
    keys = list(money_of(None)) + list(choice_of(None, Labels("en")))
    shown = ["users_per_replica", "by_division", *SPEED, *keys]
    outputs = [
        ("Options", f"{options_sheet.letter(key)}{options_sheet.FIRST_ROW + row}") for row in rows for key in shown
    ]
    ranks = [
        ("Options", f"{options_sheet.letter('rank')}{options_sheet.FIRST_ROW + row}")
        for row in range(len(ROWS_OF_OPTIONS))
    ]
    with program.WhatIf(path) as session:
        results = session.run(cases, [*outputs, *ranks])
    priced = fast = 0
    for request, values in zip(requests, results):
        found = iter(values)
        costs, ranking = plan_of(request, scenarios)
        for row in rows:
            scenario = on_gpu(request, scenarios, row)
            for key, expected in expected_of_row(scenario, costs.get(ROWS_OF_OPTIONS[row])).items():
                where = (repr(request), ROWS_OF_OPTIONS[row], key)
                value = next(found)
                priced += key == "net_present_cost" and expected != NOTHING
                fast += key == "first_token_s" and expected != NOTHING
                if isinstance(expected, str):
                    assert value == expected, where
                else:
                    assert value == pytest.approx(expected, rel=TOLERANCE, abs=1e-6), where
        assert list(found) == [ranking.get(row, NOTHING) for row in ROWS_OF_OPTIONS], request
    assert priced > CASES * ROWS / 10
    assert fast > CASES * ROWS / 10


def plan_of(request: dict[str, object], scenarios: dict[str, dict]):
    """Return each option with its costs, and its place in the ranking: (GPU, number of the layout) → figure."""
    found: dict[tuple[str, int], Found] = {}
    row = scenario_of(scenarios[request["scenario"]])
    wish = wish_of(request, row)
    for gpu_name in dict.fromkeys(gpu for gpu, _ in ROWS_OF_OPTIONS):
        scenario = asked_on(request, scenarios, gpu_name)
        fitting = list(options(scenario.service, choice_of_gpu(scenario.gpu), wish.users or 1, scenario.context))
        if has_shapes(scenario.model.spec):
            at_loads = speeds_of_options(scenario.service, fitting, wish)
        else:
            at_loads = [OptionSpeed(option=one, users=wish.users, peak_users=wish.users, speed=None) for one in fitting]
        for fits, at_load in zip(fitting, at_loads):
            number = LAYOUTS.index((fits.replica.tp, fits.replica.pp))
            found[gpu_name, number] = at_load, costs_of(request, scenario, at_load)
    keys = sorted(found, key=ROWS_OF_OPTIONS.index)
    ranking = rank(
        replace(
            candidate_of(
                found[key][0].option, found[key][1].figures, found[key][0].users,
                catalog.gpu(key[0]).bandwidth_gb_per_s, found[key][0].reason,
            ),
            key=key,
        )
        for key in keys
    )  # fmt: skip
    return found, {key: place for place, key in enumerate(ranking.keys, start=1)}


def wish_of(request: dict[str, object], scenario: Scenario) -> Wish:
    """Return what the inputs ask for: requests an hour, users, people, or the users of the scenario."""
    users = request["plan_users"] or scenario.users
    if request["plan_people"] and not request["plan_users"]:
        users = demand_of(people=request["plan_people"], active=request["plan_active_share"]).users
    return Wish(
        tokens=tokens_of(scenario.context, None, request["plan_output_tokens"]),
        users=None if request["plan_requests_per_hour"] else int(users),
        requests_per_hour=request["plan_requests_per_hour"],
        min_speed=request["plan_min_speed"],
    )


def asked_on(request: dict[str, object], scenarios: dict[str, dict], gpu_name: str) -> Scenario:
    """Return the scenario on a GPU, with the users that are asked for."""
    scenario = without_override(scenario_of(scenarios[request["scenario"]]), gpu_name)
    users = wish_of(request, scenario).users
    return replace(scenario, users=users or scenario.users)


def on_gpu(request: dict[str, object], scenarios: dict[str, dict], row: int) -> Scenario:
    return asked_on(request, scenarios, ROWS_OF_OPTIONS[row][0])


def random_request(rng: random.Random, scenarios: dict[str, dict]) -> dict[str, object]:
    drawn = {name: getattr(default_assumptions(), name) for name in _names(Assumptions)}
    drawn |= {name: getattr(default_policy(), name) for name in _names(OrderPolicy)}
    drawn = {name: value for name, value in drawn.items() if value is not None}  # prices of an API: no option's cost
    for name in rng.sample(list(drawn), 8):
        limits = COST_LIMITS[name]
        most = min(limits.most, 3 * float(drawn[name]) + 2)
        drawn[name] = rng.randint(int(limits.least), int(most)) if limits.whole else rng.uniform(limits.least, most)
    name = rng.choice(list(scenarios))
    scenario = scenario_of(scenarios[name])
    request: dict[str, object] = {"scenario": name, **dict.fromkeys(DEMAND)}
    request["plan_min_speed"] = rng.choice((0.0, 5.0, 10.0, 30.0))
    kind = rng.choice(("scenario", "users", "people", "requests"))
    if kind == "users":
        request["plan_users"] = float(rng.randint(1, 2000))
    elif kind == "people":
        request |= {"plan_people": float(rng.randint(1, 20_000)), "plan_active_share": round(rng.uniform(0.01, 0.2), 2)}
    elif kind == "requests" and has_shapes(scenario.model.spec):
        request["plan_requests_per_hour"] = float(rng.randint(1, 50_000))
    if rng.random() < 0.5 and scenario.context > 2:
        request["plan_output_tokens"] = float(rng.randint(1, scenario.context - 1))
    return request | {name: float(value) for name, value in drawn.items()}


def _names(of: type) -> list[str]:
    return [field.name for field in fields(of)]


def expected_of_row(scenario: Scenario, found: Found | None) -> dict[str, object]:
    costs, speed = (None, None) if found is None else (found[1], found[0].speed)
    return {
        "users_per_replica": 0 if found is None else found[0].option.users_per_replica,
        "by_division": scenario.gpus_by_division,
        **dict.fromkeys(SPEED, NOTHING),
        **(
            {}
            if speed is None
            else {
                "low_tokens_per_s": speed.low.tokens_per_s_per_user,
                "tokens_per_s_per_user": speed.expected.tokens_per_s_per_user,
                "high_tokens_per_s": speed.high.tokens_per_s_per_user,
                "first_token_s": speed.expected.first_token_s,
                "limits": speed.limited_by,
            }
        ),
        **money_of(costs),
        **choice_of(costs, Labels("en")),
    }


def costs_of(request: dict[str, object], scenario: Scenario, at_load: OptionSpeed) -> OptionCosts:
    policy, assumptions = assumed({name: value for name, value in request.items() if name not in NOT_OF_COSTS})
    return option_costs(
        scenario.gpu,
        at_load.option,
        users=at_load.users,
        gpus_by_division=scenario.gpus_by_division,
        policy=policy,
        assumptions=assumptions,
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
