"""What the chosen way comes to: tax, other lines, tokens, energy, an API, owned GPUs, by hand and as properties."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from core.catalog.countries import country
from core.errors import OutOfRangeError, UnknownNameError, WrongTypeError
from core.plan.costs import NAMES, Assumptions, OptionCosts, OrderPolicy, Usage, assumed, default_policy, option_costs
from core.plan.money import BY_MONTH
from tests.core.plan.test_costs import ASSUMED, ASSUMPTIONS, GPU, NO_EXTRAS, PRICES, PURCHASES, option, prices_of

# 8 GPUs in one node of 8, bought for 330 000 with network; 24 months; on demand 5 dollars in 365 hours a month.
USAGE = Usage(people=400, output_tokens_per_s=1_000, prompt_tokens=3_000, output_tokens=500)
TAXED = replace(
    ASSUMED, tax_rate=0.2, staff_usd_per_month=1_000, software_usd_per_month=300, storage_usd_per_month=200,
    egress_usd_per_month=100,
)  # fmt: skip
RENT_ONLY = prices_of(on_demand=5)


def costs(
    assumptions: Assumptions = ASSUMED, *, users: int = 40, each: int = 40, usage: Usage | None = USAGE, **given: Any
) -> OptionCosts:
    found = {"prices": PRICES, "policy": NO_EXTRAS} | given
    return option_costs(
        GPU, option(GPU.name, (8, 1), users, each), users=users, gpus_by_division=9, assumptions=assumptions, usage=usage,
        **found,
    )  # fmt: skip


# ---- by hand -----------------------------------------------------------------------------------------


def test_a_purchase_with_tax_and_other_lines():
    """As `test_costs.test_owning_by_hand`, with 20 % tax.

    capex         330 000 × 1.2                                      = 396 000
    other         1 000 + (300 + 200 + 100) × 1.2                    = 1 720
    payments      (735.84 + 2 000 + 1 100) × 1.2 + 1 720             = 6 323.008
    depreciation  (396 000 − 33 000) ÷ 60                            = 6 050; the residual is 10 % of the price before tax
    value         396 000 − 24 × 6 050                               = 250 800
    TCO           396 000 + 24 × 6 323.008 − 250 800                 = 296 952.192
    """
    found = costs(TAXED, prices=prices_of(30_000, 7_500))
    owned, outcome = found.owned, found.outcome
    assert owned.capex_usd == outcome["start_cash"] == pytest.approx(396_000)
    assert owned.opex_usd_per_month == pytest.approx(6_323.008)
    assert owned.depreciation_usd_per_month == pytest.approx(6_050)
    assert owned.value_at_horizon_usd == outcome["end_value"] == pytest.approx(250_800)
    assert owned.tco_usd == outcome["cost_tco"] == pytest.approx(296_952.192)
    assert outcome["start_tax"] == pytest.approx(66_000)
    assert outcome["month_tax"] == pytest.approx((735.84 + 2_000 + 1_100 + 600) * 0.2)
    assert outcome["cost_month"] == pytest.approx(12_373.008)
    assert outcome["person_month"] == pytest.approx(12_373.008 / 400)


def test_a_rent_with_tax_and_other_lines():
    """On demand 8 × 5 × 365 = 14 600 before tax; 17 520 with tax, and 1 720 of other lines."""
    found = costs(TAXED, prices=RENT_ONLY)
    assert found.figures["rent_bill"] == pytest.approx(14_600)
    assert found.rented.usd_per_month == found.outcome["cost_month"] == pytest.approx(19_240)
    assert (found.outcome["start_cash"], found.outcome["end_value"], found.outcome["start_tax"]) == (0, 0, 0)
    assert found.outcome["month_tax"] == pytest.approx((14_600 + 600) * 0.2)


def test_tokens_energy_and_an_api():
    """1 000 tokens a second × half × 365 hours × 3 600 are 657 million output tokens, and 6 times as many prompt tokens.

    An API at 0.5 and 2 dollars: 3 942 × 0.5 + 657 × 2 = 3 285; with 20 % tax 3 942, and 1 000 + (300 + 100) × 1.2 of
    other lines, as its provider stores the model: 5 422.
    Energy of a buyer: 8.4 kW × 0.8 × 1.5 × 730 = 7 358.4 kWh; of a tenant on demand half of that. At 0.5 kg: half in kg.
    """
    priced = replace(TAXED, api_prompt_usd_per_million=0.5, api_output_usd_per_million=2.0, grid_kg_per_kwh=0.5)
    outcome = costs(priced, prices=prices_of(30_000, 7_500)).outcome
    assert (outcome["output_million"], outcome["prompt_million"]) == pytest.approx((657, 3_942))
    assert outcome["million_cost"] == pytest.approx(12_373.008 / 657)
    assert (outcome["api_bill"], outcome["api_month"]) == pytest.approx((3_285, 5_422))
    assert outcome["api_npv"] == pytest.approx(5_422 * 19.797, rel=1e-4)
    assert (outcome["energy_kwh"], outcome["co2_kg"]) == pytest.approx((7_358.4, 3_679.2))
    rented = costs(priced, prices=RENT_ONLY).outcome
    assert (rented["running_hours"], rented["energy_kwh"], rented["co2_kg"]) == pytest.approx((365, 3_679.2, 1_839.6))
    reserved = costs(priced, prices=prices_of(reserved=3)).outcome
    assert (reserved["running_hours"], reserved["energy_kwh"]) == pytest.approx((730, 7_358.4))


def test_what_is_not_known_is_missing():
    outcome = costs(usage=None).outcome
    assert outcome["persons"] == 40 and outcome["person_month"] == pytest.approx(outcome["cost_month"] / 40)
    missing = {name for name, value in outcome.items() if value is None}
    tokens = {"output_million", "prompt_million", "million_cost"}
    assert missing == {*tokens, "co2_kg", "api_prompt_bill", "api_output_bill", "api_bill", "api_month", "api_npv"}
    assert costs(replace(ASSUMED, api_output_usd_per_million=2.0)).outcome["api_month"] is None
    assert costs(replace(ASSUMED, average_load=0)).outcome["million_cost"] is None


@pytest.mark.parametrize(
    "owned, order, new_nodes", [(0, 16, 2), (4, 12, 2), (8, 8, 1), (12, 4, 1), (16, 0, 0), (100, 0, 0)]
)
def test_owned_gpus_need_not_be_bought(owned, order, new_nodes):
    """Two nodes of 8. A server is bought for each node that owned GPUs do not fill; all 16 GPUs draw power."""
    found = costs(users=80, policy=OrderPolicy(owned_gpus=owned))
    assert (found.order.gpus, found.figures["new_nodes"], found.order.nodes) == (order, new_nodes, 2)
    assert found.owned.it_kw == pytest.approx(16.8)
    assert found.owned.capex_usd == pytest.approx((order * 30_000 + new_nodes * 60_000) * 1.1)


def test_who_owns_all_gpus_has_paid_off_in_the_first_month():
    assert costs(policy=OrderPolicy(owned_gpus=8)).break_even_month == 1
    free = replace(ASSUMED, tariff_usd_per_kwh=0, hosting_usd_per_kw_month=0, hosting_usd_per_node_month=0)
    nothing = costs(free, policy=OrderPolicy(owned_gpus=8), prices=prices_of(30_000, 7_500, on_demand=0))
    assert nothing.break_even_month == 1 and nothing.net_present_cost == 0


def test_hours_beyond_a_month_are_all_hours():
    always = costs(replace(ASSUMED, hours_per_day=24, days_per_month=31))
    assert always.rented.on_demand_usd_per_month == pytest.approx(8 * 5 * 730)


# ---- properties --------------------------------------------------------------------------------------


@given(PURCHASES, ASSUMPTIONS, st.integers(0, 3_000))
def test_buying_and_renting_have_the_same_other_lines(purchase, assumptions, owned):
    """Staff, software, storage and egress move both costs by the same, and never their difference."""
    bare = replace(
        assumptions, staff_usd_per_month=0, software_usd_per_month=0, storage_usd_per_month=0, egress_usd_per_month=0
    )
    given = {
        "users": purchase["users"],
        "each": 1,
        "prices": purchase["found"],
        "policy": OrderPolicy(owned_gpus=owned),
    }
    more, less = costs(assumptions, **given), costs(bare, **given)
    added = [more.owned.npv_usd - less.owned.npv_usd, more.rented.npv_usd - less.rented.npv_usd]
    assert added[0] == pytest.approx(added[1], rel=1e-6, abs=1e-9 * (more.owned.npv_usd + more.rented.npv_usd) + 1e-6)
    assert added[1] >= -1e-6


@given(PURCHASES, ASSUMPTIONS, st.integers(0, 3_000), st.integers(0, 3_000))
def test_more_owned_gpus_never_cost_more(purchase, assumptions, owned, further):
    given = {"users": purchase["users"], "each": 1, "prices": purchase["found"]}
    fewer = costs(assumptions, **given, policy=OrderPolicy(owned_gpus=owned)).owned
    more = costs(assumptions, **given, policy=OrderPolicy(owned_gpus=owned + further)).owned
    assert more.it_kw == fewer.it_kw and more.capex_usd <= fewer.capex_usd
    assert more.npv_usd <= fewer.npv_usd + 1e-9 * fewer.capex_usd


@given(PURCHASES, ASSUMPTIONS)
def test_tax_is_a_part_of_each_cost(purchase, assumptions):
    """Cost with tax − cost without tax is the tax; the cash at the start and a month's payments have their share in it."""
    given = {"users": purchase["users"], "each": 1, "prices": purchase["found"]}
    found, free = costs(assumptions, **given), costs(replace(assumptions, tax_rate=0), **given)
    assert found.owned.capex_usd == pytest.approx(free.owned.capex_usd * (1 + assumptions.tax_rate))
    outcome = found.outcome
    month = outcome["month_tax"]
    if found.figures["buys"]:
        assert outcome["start_tax"] == pytest.approx(outcome["start_cash"] - free.owned.capex_usd, abs=1e-6)
        assert month == pytest.approx(
            found.owned.opex_usd_per_month - free.owned.opex_usd_per_month, rel=1e-6, abs=1e-6
        )
    else:
        assert month == pytest.approx(found.rented.usd_per_month - free.rented.usd_per_month, rel=1e-6, abs=1e-6)


@given(PURCHASES, ASSUMPTIONS, st.floats(0.1, 1e5), st.integers(1, 10**5), st.integers(1, 10**4))
def test_tokens_times_their_cost_is_the_month(purchase, assumptions, speed, prompt, output):
    usage = Usage(output_tokens_per_s=speed, prompt_tokens=prompt, output_tokens=output)
    outcome = costs(assumptions, users=purchase["users"], each=1, prices=purchase["found"], usage=usage).outcome
    assume(outcome["output_million"] > 1e-9)
    assert outcome["million_cost"] * outcome["output_million"] == pytest.approx(outcome["cost_month"])
    assert outcome["prompt_million"] * output == pytest.approx(outcome["output_million"] * prompt)


@given(PURCHASES, ASSUMPTIONS)
def test_figures_by_month_end_in_those_of_the_horizon(purchase, assumptions):
    found = costs(assumptions, users=purchase["users"], each=1, prices=purchase["found"])
    inputs = by_month_inputs(found, assumptions)
    last = BY_MONTH.compute(inputs | {"month": assumptions.horizon_months})
    assert last["own_npv_by"] == pytest.approx(found.owned.npv_usd, rel=1e-9, abs=1e-9 * found.owned.capex_usd)
    assert last["rent_npv_by"] == pytest.approx(found.rented.npv_usd, rel=1e-12)
    assert last["npv_by"] == pytest.approx(found.net_present_cost, rel=1e-9, abs=1e-9 * found.owned.capex_usd)
    assert last["own_paid"] - last["month_value"] == pytest.approx(
        found.owned.tco_usd, abs=1e-9 * found.owned.capex_usd
    )
    assert last["rent_paid"] == pytest.approx(found.rented.tco_usd)
    start = BY_MONTH.compute(inputs | {"month": 0})
    assert (start["own_paid"], start["rent_paid"], start["api_paid"]) == (found.owned.capex_usd, 0, None)


def by_month_inputs(found: OptionCosts, assumptions: Assumptions) -> dict[str, Any]:
    rate = (1 + assumptions.discount_rate_per_year) ** (1 / 12) - 1
    return {**vars(assumptions), **found.figures, **found.outcome, "monthly_rate": rate, "months_per_year": 12}


# ---- assumptions by name -------------------------------------------------------------------------------


def test_assumptions_by_name():
    policy, assumptions = assumed({"spare_replicas": 0, "whole_nodes": 0, "tax_rate": 0.19, "horizon_months": 48.0})
    assert policy == replace(default_policy(), spare_replicas=0, whole_nodes=False)
    assert (assumptions.tax_rate, assumptions.horizon_months) == (0.19, 48)
    assert assumed({"grid_kg_per_kwh": None})[1].grid_kg_per_kwh is None  # not known


def test_a_country_stands_between_defaults_and_what_is_given():
    _, assumptions = assumed({"pue": 1.2}, country("EU"))
    assert (assumptions.pue, assumptions.tariff_usd_per_kwh) == (1.2, pytest.approx(0.1902 / 0.84415))
    assert assumptions.tax_rate == 0  # who gets the tax back has no cost
    assert assumed({}, country("us")) == assumed({})


@pytest.mark.parametrize(
    "given_values, error, text",
    [
        ({"taxrate": 0.19}, UnknownNameError, "^assumptions: 'taxrate' is not known. Did you mean 'tax_rate'"),
        ({"pue": "high"}, WrongTypeError, "^pue: "),
        ({"pue": None}, WrongTypeError, "^pue: "),
        ({"tax_rate": 19}, OutOfRangeError, "^tax_rate: 19 is above 1. "),
        ({"spare_replicas": 1.5}, OutOfRangeError, "^spare_replicas: "),
    ],
)
def test_wrong_assumptions_are_named(given_values, error, text):
    with pytest.raises(error, match=text):
        assumed(given_values)


def test_every_assumption_can_be_given_at_its_default():
    policy, assumptions = assumed({})
    values = vars(policy) | vars(assumptions)
    assert tuple(values) == NAMES
    assert assumed(values) == (policy, assumptions)
