"""What swaps two options: by hand, at the value itself, and in the terms that a sheet shows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.plan.costs import Assumptions, OrderPolicy, money_inputs
from core.plan.money import BY_MONTH, OPTION_MONEY, OUTCOME, RATES, SLOPES, SWAP
from core.plan.swaps import LINEAR, OF_BOTH, crossing_month, limits_of, swap_value, way_of
from tests.core.plan.test_costs import ASSUMED, ASSUMPTIONS, GPU, NO_EXTRAS, option, prices_of

SLOPE_OF = {
    "gpu_usd": "gpu_usd_slope", "on_demand_usd_per_gpu_hour": "rent_usd_slope",
    "reserved_usd_per_gpu_hour": "rent_usd_slope", "tariff_usd_per_kwh": "tariff_slope", "hours_per_day": "hours_slope",
}  # fmt: skip
WAY_OF_PRICE = {"gpu_usd": "buy", "on_demand_usd_per_gpu_hour": "on_demand", "reserved_usd_per_gpu_hour": "reserved"}


def inputs_of(
    found, assumptions: Assumptions = ASSUMED, users: int = 8, policy: OrderPolicy = NO_EXTRAS
) -> dict[str, Any]:
    """Return the inputs of an option of one replica of eight GPUs for each 8 users."""
    return money_inputs(
        GPU, option(GPU.name, (8, 1), users, 8), users=users, policy=policy, assumptions=assumptions, prices=found
    )


NOT_DISCOUNTED = replace(ASSUMED, discount_rate_per_year=0)


def test_a_rent_by_hand():
    """Rents of 8 GPUs for 365 hours and 24 months at 5 and at 6 dollars: the first swaps at 6, and the second at 5."""
    best, second = inputs_of(prices_of(on_demand=5)), inputs_of(prices_of(on_demand=6))
    assert swap_value("on_demand_usd_per_gpu_hour", best, second, "best") == pytest.approx(6)
    assert swap_value("on_demand_usd_per_gpu_hour", best, second, "second") == pytest.approx(5)
    assert swap_value("tariff_usd_per_kwh", best, second) is None


def test_a_purchase_against_a_rent_by_hand():
    """Owning costs 210 860.16 over 24 months; renting at p costs 8 × 365 × 24 × p = 70 080 p. Equal at 3.00885.

    A dollar of a GPU costs 8 × 1.1 × (1 + 2 × 0.04 − (1 − 0.9 × 24 ÷ 60)) = 8.8 × 0.44 = 3.872, so at a rent of 4
    (280 320) the GPU may cost 30 000 + (280 320 − 210 860.16) ÷ 3.872 = 47 939.0. A dollar of the tariff costs
    7 358.4 × 24 = 176 601.6, so the tariff may rise by 69 459.84 ÷ 176 601.6 = 0.39331. Each hour of use a day costs
    the tenant 8 × 4 × 30.4167 × 24 = 23 360, so with 12 − 69 459.84 ÷ 23 360 = 9.0266 hours they are equal.
    """
    buy = inputs_of(prices_of(30_000, 7_500), NOT_DISCOUNTED)
    rent = inputs_of(prices_of(on_demand=4), NOT_DISCOUNTED)
    assert swap_value("on_demand_usd_per_gpu_hour", buy, rent, "second") == pytest.approx(210_860.16 / 70_080)
    assert swap_value("gpu_usd", buy, rent, "best") == pytest.approx(47_939.0, abs=0.1)
    assert swap_value("tariff_usd_per_kwh", buy, rent) == pytest.approx(0.1 + 0.39331, abs=1e-5)
    assert swap_value("hours_per_day", buy, rent) == pytest.approx(9.0266, abs=1e-4)
    assert swap_value("gpu_usd", buy, rent, "second") is None  # a tenant pays no GPU


def test_a_value_that_the_input_cannot_have_is_missing():
    """Free GPUs would still be dearer than a rent of a tenth of a cent, and no tariff makes up for it."""
    buy, rent = inputs_of(prices_of(30_000, 7_500)), inputs_of(prices_of(on_demand=0.001))
    assert swap_value("gpu_usd", rent, buy, "second") is None
    assert swap_value("tariff_usd_per_kwh", rent, buy) is None
    assert swap_value("gpu_usd", inputs_of(prices_of()), buy, "second") is None


def test_the_month_in_which_two_options_cross():
    """Owning costs 8 785.84 a month at any horizon up to 60 months, as the equipment has its book value at the end.

    After that nothing is written off any more: 297 000 + 3 835.84 m. A rent of 8 000 is less until month
    297 000 ÷ 4 164.16 = 71.3, one of 8 × 0.5 × 730 = 2 920 at every horizon, and one of 10 000 at none.
    """
    buy = inputs_of(prices_of(30_000, 7_500), NOT_DISCOUNTED)
    for rent_usd in (0.5, 10_000 / 8 / 730):
        assert crossing_month(buy, inputs_of(prices_of(reserved=rent_usd), NOT_DISCOUNTED)) is None
    rent = inputs_of(prices_of(reserved=8_000 / 8 / 730), NOT_DISCOUNTED)
    assert crossing_month(rent, buy) == crossing_month(buy, rent) == 72
    assert crossing_month(rent, buy, most=71) is None
    assert crossing_month(rent, inputs_of(prices_of())) is None


FOUND = st.builds(
    prices_of, st.none() | st.floats(100, 60_000), st.none() | st.floats(0, 40_000), st.none() | st.floats(0.1, 20),
    st.none() | st.floats(0.1, 20),
)  # fmt: skip


@given(FOUND, FOUND, ASSUMPTIONS, st.integers(1, 80), st.integers(0, 30), st.sampled_from(LINEAR), st.booleans())
def test_both_cost_the_same_at_the_value_and_sheets_compute_it(found, other, assumptions, users, owned, name, of_best):
    """Put the value in: the costs of the ways that were chosen are equal. The closed terms of a sheet give the same value."""
    best = inputs_of(found, assumptions, users, OrderPolicy(owned_gpus=owned))
    second = inputs_of(other, assumptions, 2 * users)
    of = "both" if name in OF_BOTH else "best" if of_best else "second"
    value = swap_value(name, best, second, of)
    figures = [figures_of(inputs) for inputs in (best, second)]
    given_values = sheet_inputs(name, figures, of)
    if given_values is None:
        assert value is None
        return
    slope = abs(given_values["best_slope"] - given_values["second_slope"])
    scale = abs(given_values["best_npc"]) + abs(given_values["second_npc"]) + figures_scale(figures)
    if slope * max(1.0, abs(given_values["now"])) < 1e-6 * scale:
        return  # almost parallel: rounding decides
    of_sheet = SWAP.compute(given_values)["swap_value"]
    if value is None or of_sheet is None:
        crossing, limits = SWAP.compute(given_values)["swap"], (given_values["lowest"], given_values["highest"])
        assert value == of_sheet or any(crossing == pytest.approx(limit, rel=1e-4, abs=1e-4) for limit in limits)
        return
    assert value == pytest.approx(of_sheet, rel=1e-4, abs=1e-5 * scale / slope)
    changed = [
        inputs | ({name: value} if of in ("both", who) else {}) for inputs, who in ((best, "best"), (second, "second"))
    ]
    costs = [cost_of_way(inputs, way_of(figure)) for inputs, figure in zip(changed, figures)]
    assert costs[0] == pytest.approx(costs[1], rel=1e-6, abs=1e-6 * scale)


def figures_of(inputs: dict[str, Any]) -> dict[str, Any]:
    figures = {**inputs, **OPTION_MONEY.compute(inputs)}
    usage = {"people": None, "output_tokens_per_s": None, "prompt_tokens": 0, "output_tokens": 1}
    figures |= OUTCOME.compute(figures | usage)
    return figures | SLOPES.compute(figures)


def sheet_inputs(name: str, figures: list[dict[str, Any]], of: str) -> dict[str, float] | None:
    """Return the inputs of `SWAP` as a sheet takes them from the rows of two options."""
    now = figures[1 if of == "second" else 0][name]
    if now is None or any(found["buys"] is None for found in figures):
        return None
    slopes = [
        found[SLOPE_OF[name]] if of in ("both", who) and (name in OF_BOTH or way_of(found) == WAY_OF_PRICE[name]) else 0
        for found, who in zip(figures, ("best", "second"))
    ]
    lowest, highest = limits_of(name, figures[0])
    return {
        "now": min(now, highest), "best_npc": figures[0]["net_present_cost"], "second_npc": figures[1]["net_present_cost"],
        "best_slope": slopes[0], "second_slope": slopes[1], "lowest": lowest, "highest": highest,
    }  # fmt: skip


def figures_scale(figures: list[dict[str, Any]]) -> float:
    return sum(abs(found["capex"] or 0) for found in figures)


def cost_of_way(inputs: dict[str, Any], way: str) -> float:
    figures = OPTION_MONEY.compute(inputs | RATES.compute(inputs))
    if way == "buy":
        return figures["own_npv"]
    rent = figures["on_demand_month" if way == "on_demand" else "reserved_month"]
    given_values = inputs | RATES.compute(inputs)
    return (rent * (1 + inputs["tax_rate"]) + given_values["other_month"]) * given_values["annuity"]


@given(FOUND, FOUND, ASSUMPTIONS)
def test_the_first_crossing_is_where_the_order_changes(found, other, assumptions):
    best, second = inputs_of(found, assumptions), inputs_of(other, assumptions, 16)
    month = crossing_month(best, second, most=60)
    if month is None:
        return
    figures = [figures_of(inputs) for inputs in (best, second)]

    def best_is_cheaper(at: int) -> bool:
        first, other = (BY_MONTH.compute(found | {"month": at})["npv_by"] for found in figures)
        return first <= other

    assert best_is_cheaper(1) == best_is_cheaper(month - 1) != best_is_cheaper(month)
