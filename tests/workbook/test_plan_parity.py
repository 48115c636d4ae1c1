"""Compare the sheets Options and Plan, recalculated by LibreOffice and by IronCalc, with `core.plan`."""

from __future__ import annotations

import os
import random
from dataclasses import fields, replace
from itertools import repeat

import openpyxl
import pytest

from core import catalog
from core.plan.candidates import Wanted, makers, why_left_out
from core.plan.costs import (
    COST_LIMITS,
    WAYS,
    Assumptions,
    OptionCosts,
    OrderPolicy,
    Usage,
    assumed,
    candidate_of,
    default_assumptions,
    default_policy,
    money_inputs,
    option_costs,
)
from core.plan.demand import demand_of, tokens_of
from core.plan.fleet import LAYOUTS, MAX_GPUS, choice_of_gpu, layout_title, options
from core.plan.money import OPTION_MONEY
from core.plan.option_speed import OptionSpeed, Wish, speeds_of_options
from core.plan.ranking import Ranking, rank
from core.plan.speed_figures import has_speed
from core.plan.swaps import crossing_month, swap_value, way_of
from tests.spreadsheets.programs import in_each_program
from tests.workbook.planner_rows import drafting_rows, few, grouped_rows, random_row, scenario_of, without_override
from workbook.labels import Labels
from workbook.scenario import Scenario
from workbook.sheets import capacity, option_terms, plan, plan_inputs, plan_workings
from workbook.sheets import options as options_sheet
from workbook.template import without_values

pytestmark = pytest.mark.slow

TOLERANCE = 1e-9
NOTHING = "–"
CASES = 12 if "VRAM_PARITY_CASES" in os.environ else 8
ROWS = 60
NUMBERS = (*range(1, 10), 20, 28)  # of the random scenarios, those that a test names among them
ROWS_OF_OPTIONS = capacity.option_rows()
RANKS = [
    ("Options", f"{options_sheet.letter('rank')}{options_sheet.FIRST_ROW + row}") for row in range(len(ROWS_OF_OPTIONS))
]
DEMAND = (
    "plan_min_speed",
    "plan_users",
    "plan_people",
    "plan_active_share",
    "plan_requests_per_hour",
    "plan_output_tokens",
)
CANDIDATES = ("plan_candidates", "plan_data_centre", "plan_maker", "plan_way_wanted")
MEASURED = "measured"  # row of Options → the speed that was measured there, or None
NOT_OF_COSTS = ("plan_scenario", *DEMAND, *CANDIDATES, MEASURED)
LABELS = Labels("en")
# Results of Plan that are figures of the best option: name → term of the way chosen.
OUTCOMES = {
    "plan_capex": "start_cash",
    "plan_cost_per_month": "cost_month",
    "plan_cost_per_person_month": "person_month",
    "plan_cost_per_million_tokens": "million_cost",
}
RESULTS = (
    "plan_gpu", "plan_way", "plan_gpus", "plan_layout", "plan_replicas", "plan_net_present_cost", "plan_speed",
    "plan_speed_low", "plan_speed_high", "plan_first_token_s", "plan_runner_up", "plan_margin", *OUTCOMES,
)  # fmt: skip
SPEED = ("low_tokens_per_s", "tokens_per_s_per_user", "high_tokens_per_s", "first_token_s", "limits")
PRICE_OF_WAY = {"buy": "gpu_usd", "on_demand": "on_demand_usd_per_gpu_hour", "reserved": "reserved_usd_per_gpu_hour"}
ANY_USERS = ("server_usd", "fills_nodes")  # what follows from the GPU alone
_WITH_SETTINGS = [*grouped_rows()[:1], *drafting_rows()[1:2], *drafting_rows()[6:7]]
Found = tuple[OptionSpeed, OptionCosts | None]  # None: of too many GPUs
Key = tuple[str, int]  # GPU and number of the layout


@pytest.fixture(scope="module")
def planner(tmp_path_factory):
    """Write a planner with random scenarios to choose from."""
    rng = random.Random(11)
    drawn = [random_row(rng, f"scenario {number}", most_context=200_000, most_users=1_000) for number in range(29)]
    rows = [*_WITH_SETTINGS, *(drawn[number] for number in NUMBERS)]
    path = tmp_path_factory.mktemp("plan") / "planner.xlsx"
    with few({row["model"] for row in rows}, gpus=None, most_scenarios=len(rows)):
        path.write_bytes(without_values("en", rows))
    return path, {row["scenario"]: row for row in rows}


def _about(value: object) -> object:
    """Return 0.0 for what rounding may have made of a zero."""
    return 0.0 if isinstance(value, float) and abs(value) < 1e-9 else value


@in_each_program
def test_follows_its_inputs(program, planner):
    """With a random scenario and random assumptions: the ranking, and of many rows users, order, owning and renting."""
    path, scenarios = planner
    rng = random.Random(5)
    cells = plan.input_cells(LABELS)
    rows = rng.sample(range(len(ROWS_OF_OPTIONS)), ROWS)
    with_settings = [{row["scenario"]: row} for row in _WITH_SETTINGS]
    some = [*with_settings, *repeat(scenarios, CASES - len(with_settings))]
    requests = [random_request(rng, given) for given in some]
    requests = [request | {MEASURED: measured_on(rng, rows, request)} for request in requests]
    cases = [typed(request, cells) for request in requests]
    keys = list(money_of(None)) + list(choice_of(None, Labels("en")))
    shown = ["users_per_replica", "by_division", *SPEED, *keys]
    outputs = [
        ("Options", f"{options_sheet.letter(key)}{options_sheet.FIRST_ROW + row}") for row in rows for key in shown
    ]
    answers = results_of_plan(path)
    with program.WhatIf(path) as session:
        results = session.run(cases, [*outputs, *RANKS, *answers.values()])
    priced = fast = ranked = 0
    for request, values in zip(requests, results):
        found = iter(values)
        found_options, ranking = plan_of(request, scenarios)
        for row in rows:
            scenario = on_gpu(request, scenarios, row)
            option = found_options.get(ROWS_OF_OPTIONS[row])
            for key, expected in expected_of_row(scenario, option).items():
                where = (repr(request), ROWS_OF_OPTIONS[row], key)
                value = next(found)
                if option and option[1] is None and key != "users_per_replica":
                    continue  # core has no figures of an option of too many GPUs
                priced += key == "net_present_cost" and expected != NOTHING
                fast += key == "first_token_s" and expected != NOTHING
                if isinstance(expected, str):
                    assert value == expected, where
                else:
                    assert value == pytest.approx(expected, rel=TOLERANCE, abs=1e-6), where
        ranked_rows = [next(found) for _ in ROWS_OF_OPTIONS]
        assert ranked_rows == ranks_of_rows(ranking), request
        expected = expected_answer(request, scenarios, found_options, ranking)
        for name, value in zip(answers, found, strict=True):
            wanted = expected[name]
            if {_about(wanted), _about(value)} == {0.0, NOTHING}:
                continue  # two on-demand rents swap at no use at all, which rounding may put below 0
            if isinstance(wanted, str):
                assert value == wanted, (request, name)
            else:
                assert value == pytest.approx(wanted, rel=TOLERANCE, abs=1e-6), (request, name)
        ranked += bool(ranking.keys)
    assert ranked > CASES / 2
    assert priced > CASES * ROWS / 10
    assert fast > CASES * ROWS / 10


def measured_on(rng: random.Random, rows: list[int], request: dict[str, object]) -> dict[int, float | None]:
    """Return speeds that were measured on some of the first rows; too slow ones give each user a replica."""
    slowest = 31 if request["plan_requests_per_hour"] else 1  # slow ones would take more GPUs than are planned
    return {row: rng.choice((None, round(rng.uniform(slowest, 60), 1))) for row in rows[:20]}


def given_speed(row: int) -> tuple[str, str]:
    """Return the cell of a row of Options in which a measured speed is typed."""
    return "Options", f"{options_sheet.letter(options_sheet.GIVEN_SPEED)}{options_sheet.FIRST_ROW + row}"


def in_cell(name: str, value: object) -> object:
    """Return what the cell of an input holds."""
    if name in CANDIDATES and not (name == "plan_candidates" and value != "all"):
        return plan_inputs.choice_text(LABELS, value)
    return value


def results_of_plan(path) -> dict[str, tuple[str, str]]:
    """Return the cells of the named results, and of the swaps on Plan: name → (sheet, address)."""
    names = openpyxl.load_workbook(path, read_only=True).defined_names
    cells = {}
    for name in RESULTS:
        ((sheet, address),) = names[name].destinations
        cells[name] = sheet, address.replace("$", "")
    first = plan.FIRST_SWAP_ROW
    return cells | {
        f"swap {key}": (LABELS("sheet.plan"), f"J{first + number}") for number, key in enumerate(plan_workings.SWAPS)
    }


def expected_answer(
    request: dict[str, object], scenarios: dict[str, dict], costs: dict[Key, Found], ranking: Ranking
) -> dict[str, object]:
    """Return what Plan should show for the best option and the runner-up of another GPU."""
    swaps = [f"swap {key}" for key in plan_workings.SWAPS]
    if not ranking.keys:
        return dict.fromkeys((*RESULTS, *swaps), NOTHING)
    at_load, found = costs[ranking.keys[0]]
    replica, speed = at_load.option.replica, at_load.speed
    second = ranking.runner_up if ranking.runner_up and ranking.runner_up[0] != ranking.keys[0][0] else None
    answer: dict[str, object] = {
        "plan_gpu": ranking.keys[0][0],
        "plan_way": LABELS(f"procurement.{found.way}"),
        "plan_gpus": found.gpus,
        "plan_layout": layout_title(replica.tp, replica.pp),
        "plan_replicas": found.figures["replicas"],
        "plan_net_present_cost": found.net_present_cost,
        "plan_speed": speed and speed.expected.tokens_per_s_per_user,
        "plan_speed_low": speed and speed.low.tokens_per_s_per_user,
        "plan_speed_high": speed and speed.high.tokens_per_s_per_user,
        "plan_first_token_s": speed and speed.expected.first_token_s,
        **{name: found.outcome[term] for name, term in OUTCOMES.items()},
        "plan_runner_up": second and second[0],
        "plan_margin": second and ranking.margin,
        **dict.fromkeys(swaps),
    }
    if second:
        best, other = (inputs_of(request, scenarios, costs, key) for key in (ranking.keys[0], second))
        for key, which, inputs in (("price_best", "best", best), ("price_second", "second", other)):
            answer[f"swap {key}"] = swap_value(PRICE_OF_WAY[way_of(inputs)], best, other, which)
        answer["swap tariff"] = swap_value("tariff_usd_per_kwh", best, other)
        answer["swap hours"] = swap_value("hours_per_day", best, other)
        answer["swap horizon"] = crossing_month(best, other, plan_workings.MOST_MONTHS)
    return {name: NOTHING if value is None else value for name, value in answer.items()}


def inputs_of(request, scenarios, costs, key) -> dict[str, object]:
    """Return the inputs and terms of money of an option."""
    at_load, found = costs[key]
    policy, assumptions = assumptions_of(request)
    inputs = money_inputs(
        catalog.gpu(key[0]), at_load.option, users=at_load.users, policy=policy, assumptions=assumptions
    )
    return inputs | found.figures


def plan_of(request: dict[str, object], scenarios: dict[str, dict]) -> tuple[dict[Key, Found], Ranking]:
    """Return each option that fits, and the ranking of the keys of those that have costs."""
    found: dict[Key, Found] = {}
    row = scenario_of(scenarios[request["plan_scenario"]])
    wish = wish_of(request, row)
    for gpu_name in dict.fromkeys(gpu for gpu, _ in ROWS_OF_OPTIONS):
        scenario = asked_on(request, scenarios, gpu_name)
        fitting = list(options(scenario.service, choice_of_gpu(scenario.gpu), wish.users or 1, scenario.context))
        if has_speed(scenario.model.spec):
            at_loads = speeds_of_options(scenario.service, fitting, wish)
        else:
            at_loads = [OptionSpeed(option=one, users=wish.users, peak_users=wish.users, speed=None) for one in fitting]
        left_out = why_left_out(scenario.gpu, wanted_of(request))
        for fits, at_load in zip(fitting, at_loads):
            at_load = replace(at_load, reason=left_out or at_load.reason)
            number = LAYOUTS.index((fits.replica.tp, fits.replica.pp))
            costs = costs_of(request, scenario, at_load) if at_load.option.gpus <= MAX_GPUS else None
            found[gpu_name, number] = at_load, costs
    keys = sorted((key for key, (_, costs) in found.items() if costs), key=ROWS_OF_OPTIONS.index)
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
    return found, ranking


def wanted_of(request: dict[str, object]) -> Wanted:
    named, maker = request["plan_candidates"], request["plan_maker"]
    return Wanted(
        names=() if named == "all" else tuple(name.strip() for name in str(named).split(",")),
        maker="" if maker == plan_inputs.ANY else str(maker),
        data_centre_only=request["plan_data_centre"] == plan_inputs.YES,
    )


def assumptions_of(request: dict[str, object]) -> tuple[OrderPolicy, Assumptions]:
    given = {name: value for name, value in request.items() if name not in NOT_OF_COSTS}
    return assumed(given | WAYS[str(request["plan_way_wanted"])])


def wish_of(request: dict[str, object], scenario: Scenario) -> Wish:
    """Return what the inputs ask for: requests an hour, users, people, or the users of the scenario."""
    users = request["plan_users"] or scenario.users
    if request["plan_people"] and not request["plan_users"]:
        users = demand_of(people=request["plan_people"], active=request["plan_active_share"]).users
    return Wish(
        tokens=tokens_of(scenario.context, None, request["plan_output_tokens"] or scenario.output_tokens),
        users=None if request["plan_requests_per_hour"] else int(users),
        requests_per_hour=request["plan_requests_per_hour"],
        min_speed=request["plan_min_speed"],
        measured={
            (ROWS_OF_OPTIONS[row][0], *LAYOUTS[ROWS_OF_OPTIONS[row][1]]): speed
            for row, speed in request[MEASURED].items()
            if speed
        },
    )


def asked_on(request: dict[str, object], scenarios: dict[str, dict], gpu_name: str) -> Scenario:
    """Return the scenario on a GPU, with the users that are asked for."""
    scenario = without_override(scenario_of(scenarios[request["plan_scenario"]]), gpu_name)
    users = wish_of(request, scenario).users
    return replace(scenario, users=users or scenario.users)


def on_gpu(request: dict[str, object], scenarios: dict[str, dict], row: int) -> Scenario:
    return asked_on(request, scenarios, ROWS_OF_OPTIONS[row][0])


@in_each_program
def test_ranks_of_requests_per_hour(program, planner):
    """Options have other users each: of equal costs and free places, the bandwidth for each user decides."""
    path, scenarios = planner
    cells, usual = plan.input_cells(LABELS), vars(default_assumptions()) | vars(default_policy())
    given = {name: float(value) for name, value in usual.items() if name in cells and value is not None}
    given |= {
        "plan_candidates": "all", "plan_data_centre": plan_inputs.NO, "plan_maker": plan_inputs.ANY,
        "plan_way_wanted": "either", "plan_min_speed": 10.0, MEASURED: {},
    }  # fmt: skip
    requests = [
        dict.fromkeys(DEMAND) | given | {"plan_scenario": f"scenario {number}", "plan_requests_per_hour": per_hour}
        for number, per_hour in ((20, 27_838.0), (28, 126_189.0))
    ]
    with program.WhatIf(path) as session:
        results = session.run([typed(request, cells) for request in requests], RANKS)
    for request, found in zip(requests, results):
        assert found == ranks_of_rows(plan_of(request, scenarios)[1]), request


def typed(request: dict[str, object], cells: dict[str, tuple[str, str]]) -> dict[tuple[str, str], object]:
    """Return what a user types for a request: cell → value."""
    values = {cells[name]: in_cell(name, value) for name, value in request.items() if name != MEASURED}
    return values | {given_speed(row): speed for row, speed in request[MEASURED].items()}


def ranks_of_rows(ranking: Ranking) -> list[object]:
    """Return the rank of each row of Options."""
    places = {key: place for place, key in enumerate(ranking.keys, start=1)}
    return [places.get(row, NOTHING) for row in ROWS_OF_OPTIONS]


def random_request(rng: random.Random, scenarios: dict[str, dict]) -> dict[str, object]:
    drawn = {name: getattr(default_assumptions(), name) for name in _names(Assumptions)}
    drawn |= {name: getattr(default_policy(), name) for name in _names(OrderPolicy)}
    drawn = {name: value for name, value in drawn.items() if value is not None}  # prices of an API: no option's cost
    del drawn["may_buy"], drawn["may_rent"]  # they follow from the choice on Plan
    for name in rng.sample(list(drawn), 8):
        limits = COST_LIMITS[name]
        most = min(limits.most, 3 * float(drawn[name]) + 2)
        drawn[name] = rng.randint(int(limits.least), int(most)) if limits.whole else rng.uniform(limits.least, most)
    name = rng.choice(list(scenarios))
    scenario = scenario_of(scenarios[name])
    request: dict[str, object] = {"plan_scenario": name, **dict.fromkeys(DEMAND)}
    request["plan_candidates"] = rng.choice(("all", "all", "h200-sxm, mi300x,l40s, a100-sxm-80gb"))
    request["plan_data_centre"] = rng.choice((plan_inputs.YES, plan_inputs.NO))
    request["plan_maker"] = rng.choice((plan_inputs.ANY, plan_inputs.ANY, *makers()[:2]))
    request["plan_way_wanted"] = rng.choice(("either", "either", "buy", "rent"))
    request["plan_min_speed"] = rng.choice((0.0, 5.0, 10.0, 30.0))
    kind = rng.choice(("scenario", "users", "people", "requests"))
    if kind == "users":
        request["plan_users"] = float(rng.randint(1, 2000))
    elif kind == "people":
        request |= {"plan_people": float(rng.randint(1, 20_000)), "plan_active_share": round(rng.uniform(0.01, 0.2), 2)}
    elif kind == "requests" and has_speed(scenario.model.spec):
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
    policy, assumptions = assumptions_of(request)
    tokens = wish_of(request, scenario).tokens
    return option_costs(
        scenario.gpu,
        at_load.option,
        users=at_load.users,
        gpus_by_division=scenario.gpus_by_division,
        policy=policy,
        assumptions=assumptions,
        usage=Usage(
            people=None if request["plan_people"] is None else int(request["plan_people"]),
            output_tokens_per_s=at_load.speed.expected.output_tokens_per_s if at_load.speed else None,
            prompt_tokens=tokens.prompt,
            output_tokens=tokens.output,
        ),
    )


def money_of(costs: OptionCosts | None) -> dict[str, object]:
    """Return every money term that has a column and that users decide; with no user per replica, all are missing."""
    names = [name for name in OPTION_MONEY.by_name if name in option_terms.shown() and name not in ANY_USERS]
    figures = {} if costs is None else costs.figures
    return {name: NOTHING if figures.get(name) is None else figures[name] for name in names}


def choice_of(costs: OptionCosts | None, labels: Labels) -> dict[str, object]:
    owned, rented = (None, None) if costs is None else (costs.owned, costs.rented)
    buys = None if costs is None else costs.figures["buys"]
    if buys is None:
        return dict.fromkeys(("cheaper", "best_gpus", "best_month", "best_user_month", "pays_off"), NOTHING)
    month = costs.break_even_month
    both = owned is not None and rented is not None
    return {
        "cheaper": labels("procurement.buy" if buys else "procurement.rent"),
        "best_gpus": costs.order.gpus if buys else costs.order.rented_gpus,
        "best_month": (owned if buys else rented).usd_per_month,
        "best_user_month": costs.owning_usd_per_user_month if buys else costs.renting_usd_per_user_month,
        "pays_off": NOTHING if not both else labels("procurement.never") if month is None else month,
    }
