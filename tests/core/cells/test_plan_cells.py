"""Test VRAM_PLAN and VRAM_COST: they give the plan of `vram.plan`, and each other's figures."""

from __future__ import annotations

import dataclasses

import pytest

import vram
from core.cells.plans import HEADINGS, RESULTS
from vram_udf import VRAM_COST, VRAM_PLAN

LLAMA, TOKENS, USERS = "llama-3.1-70b", 32_768, 50


def _way(option) -> tuple[str, float, float]:
    """Return the cheaper way, the GPUs to order and US dollars a month."""
    costs = option.costs
    if costs.rented is None or costs.cheaper == "buy":
        return "buy", costs.order.order, costs.owned.usd_per_month
    return "rent", costs.order.rented_gpus, costs.rented.usd_per_month


def _expected(plan: vram.Plan) -> list[list[object]]:
    rows = []
    for option in plan.options:
        if option.rank is not None:
            way, order, usd_per_month = _way(option)
            speed = option.speed
            rows.append(
                [
                    option.gpu, option.replicas, option.gpus, option.users_per_replica,
                    speed.expected.tokens_per_second_per_user, speed.low.tokens_per_second_per_user, way, order,
                    usd_per_month, option.costs.net_present_cost,
                ]
            )  # fmt: skip
    return rows


def _without_rank_and_layout(table: list[list[object]]) -> list[list[object]]:
    places = [place for place, name in enumerate(HEADINGS) if name not in ("rank", "layout", "first_token_s")]
    return [[row[place] for place in places] for row in table[1:]]


def test_every_gpu_with_a_price_is_ranked_as_by_the_api():
    table = VRAM_PLAN(LLAMA, TOKENS, USERS)
    assert table[0] == list(HEADINGS)
    assert _without_rank_and_layout(table) == _expected(vram.plan(LLAMA, context=TOKENS, users=USERS))
    assert [row[0] for row in table[1:]] == [float(place) for place in range(1, len(table))]
    assert len({row[1] for row in table[1:]}) == len(table) - 1 > 20


@pytest.mark.parametrize(
    ("precision", "kv_precision", "overhead", "min_speed"),
    [(None, None, None, None), ("fp8", "fp8", None, 0), (2, 1, 0.2, 30)],
)
def test_every_argument_is_that_of_the_api(precision, kv_precision, overhead, min_speed):
    table = VRAM_PLAN(LLAMA, TOKENS, USERS, [["h100"], ["h200"], [None]], precision, kv_precision, overhead, min_speed)
    given = {"precision": precision, "kv_precision": kv_precision, "overhead": overhead, "min_speed": min_speed}
    expected = vram.plan(
        LLAMA, context=TOKENS, users=USERS, gpus=["h100", "h200"],
        **{name: value for name, value in given.items() if value is not None},
    )  # fmt: skip
    assert len(expected.options) > 1
    assert _without_rank_and_layout(table) == _expected(expected)


def test_a_model_of_three_numbers_has_no_speed():
    table = VRAM_PLAN([[70, 80, 8196]], TOKENS, 10, "h100")
    speeds = [HEADINGS.index(name) for name in ("tokens_per_s", "low_tokens_per_s", "first_token_s")]
    assert len(table) > 1
    assert {row[place] for row in table[1:] for place in speeds} == {""}


def test_a_cost_is_that_of_the_first_row_of_the_plan():
    best = dict(zip(HEADINGS, VRAM_PLAN(LLAMA, TOKENS, USERS, "h100")[1], strict=True))
    costs = {result: VRAM_COST(LLAMA, TOKENS, USERS, "h100", result=result) for result in RESULTS}
    assert VRAM_COST(LLAMA, TOKENS, USERS, "h100") == costs["per_month"] == best["usd_per_month"]
    assert costs["net_present_cost"] == best["net_present_cost_usd"]
    assert (costs["way"], costs["order"], costs["layout"]) == (best["way"], best["order"], best["layout"])
    assert costs["per_user_month"] == pytest.approx(costs["per_month"] / USERS)


def test_the_other_costs_are_those_of_the_api():
    (option, *_) = vram.plan(LLAMA, context=TOKENS, users=USERS, gpus=["h100"]).options
    costs = dataclasses.replace(option.costs)
    assert VRAM_COST(LLAMA, TOKENS, USERS, "h100", result="own_per_month") == costs.owned.usd_per_month
    assert VRAM_COST(LLAMA, TOKENS, USERS, "h100", result="RENT_PER_MONTH") == costs.rented.usd_per_month
    assert VRAM_COST(LLAMA, TOKENS, USERS, "h100", result="purchase") == costs.owned.capex_usd
    assert VRAM_COST(LLAMA, TOKENS, USERS, "h100", result="break_even_month") == costs.break_even_month
    assert VRAM_COST(LLAMA, TOKENS, USERS, "h100", result="per_million_tokens") == costs.outcome["million_cost"]


def test_a_gpu_that_is_only_rented_has_no_purchase():
    rented = next(row for row in VRAM_PLAN("qwen3-32b", 8192, 5)[1:] if row[HEADINGS.index("way")] == "rent")
    gpu = rented[HEADINGS.index("gpu")]
    per_user = VRAM_COST("qwen3-32b", 8192, 5, gpu, result="per_user_month")
    assert per_user == pytest.approx(rented[HEADINGS.index("usd_per_month")] / 5)
    if VRAM_COST("qwen3-32b", 8192, 5, gpu, result="own_per_month") == "#N/A":
        assert VRAM_COST("qwen3-32b", 8192, 5, gpu, result="break_even_month") == "#N/A"


def test_costs_spill_a_grid_and_fail_one_by_one():
    grid = VRAM_COST(LLAMA, TOKENS, [[10], [USERS], [-1]], [["h100", "no such", "l4"]])
    assert grid[1][0] == VRAM_COST(LLAMA, TOKENS, USERS, "h100")
    assert [row[1] for row in grid] == ["#N/A", "#N/A", "#NUM!"]
    assert [row[2] for row in grid] == ["#NUM!"] * 3, "the layouts of this GPU are too slow"
    assert grid[2][0] == "#NUM!"


# A size in GB is a GPU of which no price is known.
@pytest.mark.parametrize("function", [VRAM_PLAN, VRAM_COST])
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("no such model", TOKENS, USERS, "h100"), "#N/A"),
        ((LLAMA, -1, USERS, "h100"), "#NUM!"),
        ((LLAMA, TOKENS, "many", "h100"), "#VALUE!"),
        ((LLAMA, TOKENS, USERS, "no such GPU"), "#N/A"),
        ((LLAMA, TOKENS, USERS, "h100", "no such format"), "#N/A"),
        ((LLAMA, TOKENS, USERS, "h100", None, None, 2), "#NUM!"),
        ((LLAMA, TOKENS, USERS, "h100", None, None, None, -1), "#NUM!"),
        ((LLAMA, TOKENS, USERS, "h100", None, None, None, 10_000), "#NUM!"),
        (("deepseek-v3", TOKENS, USERS, "4090"), "#NUM!"),
        ((LLAMA, TOKENS, USERS, 80), "#N/A"),
        ((LLAMA, TOKENS, USERS, "#REF!"), "#REF!"),
    ],
)
def test_errors(function, arguments, error):
    assert function(*arguments) == error


@pytest.mark.parametrize("place", [0, 1, 2, 4, 7])
def test_a_table_is_for_one_scenario(place):
    arguments = [LLAMA, TOKENS, USERS, "h100", "fp8", "fp8", None, 10]
    arguments[place] = [[arguments[place]], [arguments[place]]]
    assert VRAM_PLAN(*arguments) == "#VALUE!"


def test_an_unknown_result():
    assert VRAM_COST(LLAMA, TOKENS, USERS, "h100", result="per_week") == "#N/A"
