"""Owning, renting, and the order quantity: computed by hand, properties, and sums month by month."""

from __future__ import annotations

import datetime
from dataclasses import asdict, fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import catalog
from core.catalog.offer_choice import GpuPrices
from core.catalog.prices import cost_defaults, date_of, months_later
from core.errors import OutOfRangeError, WrongTypeError
from core.plan.costs import (
    COST_LIMITS,
    Assumptions,
    OptionCosts,
    OrderPolicy,
    default_assumptions,
    default_policy,
    money_figures,
    option_costs,
)
from core.plan.fleet import Option, Replica, choice_of_gpu
from core.plan.money import RATES
from tests.core.catalog.offer_examples import gpu_prices, price

GPU = catalog.gpu("h100")  # 700 W, eight per node, sold on boards

NO_EXTRAS = OrderPolicy()


def prices_of(
    gpu_usd: float | None = None,
    server_per_gpu: float | None = None,
    on_demand: float | None = None,
    reserved: float | None = None,
) -> GpuPrices:
    return gpu_prices(GPU.name, gpu_usd, server_per_gpu, on_demand, reserved)


# Round figures, so that the results below can be computed by hand: a node of eight for 300 000, and two ways to rent it.
PRICES = prices_of(30_000, 60_000 / 8, on_demand=5, reserved=3)
ASSUMED = Assumptions(
    network_share=0.1,
    server_power_share=0.5,
    pue=1.5,
    tariff_usd_per_kwh=0.1,
    power_load=0.8,
    hosting_usd_per_kw_month=200,
    hosting_usd_per_node_month=320,
    support_share_per_year=0.04,
    depreciation_years=5,
    residual_share=0.1,
    discount_rate_per_year=0.21,
    horizon_months=24,
    server_share_of_gpus=0.5,
    hours_per_day=12,
    days_per_month=365 / 12,
    average_load=0.5,
)


def costs(
    assumed: Assumptions = ASSUMED,
    *,
    found: GpuPrices = PRICES,
    users: int = 40,
    each: int = 40,
    split: tuple[int, int] = (8, 1),
    policy: OrderPolicy = NO_EXTRAS,
    by_division: int = 9,
) -> OptionCosts:
    """Return the costs of an option; by default one replica of eight GPUs, which is one node."""
    return option_costs(
        GPU,
        option(GPU.name, split, users, each),
        users=users,
        gpus_by_division=by_division,
        policy=policy,
        assumptions=assumed,
        prices=found,
    )


def option(gpu_name: str, split: tuple[int, int], users: int, each: int) -> Option:
    replicas, replica = -(-users // each), Replica(choice_of_gpu(catalog.gpu(gpu_name)), *split)
    return Option(replica=replica, replicas=replicas, users_per_replica=each, users=users)


def test_a_replica_may_hold_more_users_than_anyone_has():
    """The rule gives a tiny model billions of users a replica: 8 GPUs of 80 GB hold 6.4e10 of 10 bytes."""
    few, many = (costs(users=10, each=each) for each in (100, 64_000_000_000))
    assert many.owned == few.owned is not None and many.order == few.order


def rates(assumed: Assumptions) -> dict[str, object]:
    return RATES.compute(asdict(assumed) | {"months_per_year": 12, "hours_per_month": 730})


# ---- by hand -----------------------------------------------------------------------------------------


def test_owning_by_hand():
    """One node of eight.

    capex         (8 × 30 000 + 60 000) × 1.1                        = 330 000
    rated power   8 × 700 W × 1.5                                    = 8.4 kW
    power         8.4 × 0.8 × 1.5 × 0.1 × 730                        = 735.84 a month
    hosting       8.4 × 200 + 1 × 320                                = 2 000
    support       330 000 × 0.04 ÷ 12                                = 1 100
    cash          735.84 + 2 000 + 1 100                             = 3 835.84
    depreciation  330 000 × 0.9 ÷ 60                                 = 4 950
    month         3 835.84 + 4 950                                   = 8 785.84
    value         330 000 − 24 × 4 950                               = 211 200
    TCO           330 000 + 24 × 3 835.84 − 211 200                  = 210 860.16 = 24 × 8 785.84
    """
    found = costs()
    owned = found.owned
    assert owned.capex_usd == pytest.approx(330_000)
    assert owned.it_kw == pytest.approx(8.4)
    assert owned.power_usd_per_month == pytest.approx(735.84)
    assert owned.hosting_usd_per_month == pytest.approx(2_000)
    assert owned.support_usd_per_month == pytest.approx(1_100)
    assert owned.opex_usd_per_month == pytest.approx(3_835.84)
    assert owned.depreciation_usd_per_month == pytest.approx(4_950)
    assert owned.usd_per_month == pytest.approx(8_785.84)
    assert owned.value_at_horizon_usd == pytest.approx(211_200)
    assert owned.tco_usd == pytest.approx(210_860.16)
    assert found.owning_usd_per_user_month == pytest.approx(219.646)


def test_npv_by_hand():
    """21 % over two years discounts by 1.21² = 1.4641; half a year's rate is 10 %, as 1.1² = 1.21.

    A month's rate i is 1.21^(1/12) − 1 = 0.016012 (1.016012^12 = 1.2100); 24 payments of 1 are worth
    (1 − 1/1.4641) ÷ i = 0.316987 ÷ 0.016012 = 19.797; so owning is 330 000 + 3 835.84 × 19.797 − 211 200 ÷ 1.4641.
    """
    found = rates(ASSUMED)
    assert found["discount"] == pytest.approx(1 / 1.4641, rel=1e-12)
    assert rates(replace(ASSUMED, horizon_months=6))["discount"] == pytest.approx(1 / 1.1, rel=1e-12)
    assert found["monthly_rate"] == pytest.approx(0.016012, abs=5e-7)
    assert found["annuity"] == pytest.approx(19.797, abs=1e-3)
    assert costs().owned.npv_usd == pytest.approx(330_000 + 3_835.84 * 19.797 - 144_252.44, rel=1e-5)


def test_renting_by_hand():
    """On demand 8 × 5 × 730 × ½ = 14 600 a month; reserved 8 × 3 × 730 = 17 520, all hours paid: on demand is cheaper."""
    rented = costs().rented
    assert (rented.on_demand_usd_per_month, rented.reserved_usd_per_month) == pytest.approx((14_600, 17_520))
    assert (rented.plan, rented.usd_per_month, rented.tco_usd) == ("on_demand", 14_600, 14_600 * 24)
    always_up = costs(replace(ASSUMED, hours_per_day=24)).rented
    assert (always_up.plan, always_up.usd_per_month) == ("reserved", 17_520)


@pytest.mark.parametrize(
    "usd_per_gpu_hour, horizon, month",
    [
        # Saved a month: 8 × 730 × price − 3 835.84. Price 5: 25 364.16; 330 000 ÷ 25 364.16 = 13.01, so the 14th.
        (5, 24, 14),
        (5, 14, 14),
        # In 13 months only the node's value makes up the difference: 330 000 − 13 × 4 950 = 265 650.
        (5, 13, 13),
        # Price 3: 13 684.16 saved, 24.12 months: the 25th is within 36 months; within 24 the value decides.
        (3, 36, 25),
        (3, 24, 24),
        # Price 1.5: 8 760 a month is less than the 8 785.84 of owning, for any horizon up to five years.
        (1.5, 24, None),
        (1.5, 60, None),
        # Price 0.5: renting costs less than power and hosting.
        (0.5, 240, None),
    ],
)
def test_break_even_by_hand(usd_per_gpu_hour, horizon, month):
    assumed = replace(ASSUMED, horizon_months=horizon)
    found = prices_of(30_000, 60_000 / 8, reserved=usd_per_gpu_hour)
    assert costs(assumed, found=found).break_even_month == month


def test_value_stays_at_the_residual_after_depreciation():
    for months in (60, 90):
        assert costs(replace(ASSUMED, horizon_months=months)).owned.value_at_horizon_usd == pytest.approx(33_000)


@pytest.mark.parametrize(
    "split, users, each, policy, steps, nodes, rented",
    [
        # 45 users at 20 per replica: 3 replicas of 4; with a headroom of a fifth 45 ÷ 16 = 2.8, still 3; a spare one: 4
        # replicas, 16 GPUs, in 2 nodes of 8.
        ((4, 1), 45, 20, OrderPolicy(headroom=0.2, spare_replicas=1), (9, 12, 12, 16, 16), 2, 16),
        # Two spare ones: 5 replicas, 20 GPUs, in 3 nodes, which are bought full; a tenant needs only the 20.
        ((4, 1), 45, 20, OrderPolicy(headroom=0.2, spare_replicas=2), (9, 12, 12, 20, 24), 3, 20),
        # The same in nodes with only the GPUs in use, and from a provider with instances of 8: 3 instances.
        (
            (4, 1), 45, 20, OrderPolicy(headroom=0.2, spare_replicas=2, whole_nodes=False, rent_step=8),
            (9, 12, 12, 20, 20), 3, 24,
        ),
        # 50 users: 50 ÷ 16 = 3.1, so headroom needs a fourth replica, which fills the second node; two in stock.
        ((4, 1), 50, 20, OrderPolicy(headroom=0.2, spare_gpus=2), (9, 12, 16, 16, 18), 2, 16),
        # A single card and a spare one, which share a node.
        ((1, 1), 1, 4, OrderPolicy(whole_nodes=False, spare_replicas=1), (9, 1, 1, 2, 2), 1, 2),
        # A replica over two nodes, twice, and a spare one.
        ((8, 2), 30, 15, OrderPolicy(), (9, 32, 32, 32, 32), 4, 32),
        ((8, 2), 30, 15, OrderPolicy(spare_replicas=1), (9, 32, 32, 48, 48), 6, 48),
        # 297 ÷ (12 × 0.99) is 25, but 25.000000000000004 in floating point: not 26.
        ((1, 1), 297, 12, OrderPolicy(headroom=0.01, whole_nodes=False), (9, 25, 25, 25, 25), 4, 25),
    ],
)  # fmt: skip
def test_order_quantity_by_hand(split, users, each, policy, steps, nodes, rented):
    order = costs(users=users, each=each, split=split, policy=policy).order
    assert tuple(step.gpus for step in order.steps) == steps
    assert (order.gpus, order.nodes, order.rented_gpus) == (steps[-1], nodes, rented)


def test_orders_and_rentals_are_multiples_of_what_the_offers_sell():
    """18 GPUs in replicas of two. Racks of 72: 72. On demand in machines of 8: 24; reserved one by one: 18.

    A month on demand costs 24 × 730 × 1 = 17 520 USD, reserved 18 × 730 × 2 = 26 280. The plan's own step of 5 gives
    20 reserved.
    """
    found = gpu_prices(GPU.name, 30_000, 0, 1, 2, steps=(72, 1, 8, 1))
    given = {"users": 9, "each": 1, "split": (2, 1), "found": found}
    assumed = replace(ASSUMED, hours_per_day=24, days_per_month=31)
    figures = costs(assumed, **given, policy=OrderPolicy(whole_nodes=False)).figures
    assert [figures[name] for name in ("with_spares", "order_needed", "order")] == [18, 18, 72]
    assert [figures[name] for name in ("on_demand_gpus", "reserved_gpus", "rented")] == [24, 18, 24]
    assert (figures["on_demand_month"], figures["reserved_month"]) == (17_520, 26_280)
    figures = costs(assumed, **given, policy=OrderPolicy(whole_nodes=False, rent_step=5)).figures
    assert [figures[name] for name in ("on_demand_gpus", "reserved_gpus")] == [24, 20]
    dear = replace(found, on_demand_per_gpu_hour=price(9, "rent on demand", 8))
    assert costs(assumed, **given | {"found": dear}).figures["rented"] == 18


@pytest.mark.parametrize(
    "name, whole", [("h100", True), ("mi300x", True), ("gb200", True), ("l4", False), ("a10g", False)]
)
def test_gpus_sold_in_full_nodes(name, whole):
    assert catalog.gpu(name).is_on_board is whole


# ---- properties --------------------------------------------------------------------------------------


# Options of up to 250 replicas of eight GPUs, with prices.
PURCHASES = st.fixed_dictionaries(
    {
        "users": st.integers(1, 250),
        "each": st.just(1),
        "found": st.builds(
            prices_of, st.floats(100, 60_000), st.floats(0, 40_000), st.floats(0, 20), st.none() | st.floats(0, 20)
        ),
    }
)
ASSUMPTIONS = st.builds(
    Assumptions,
    network_share=st.floats(0, 0.5),
    server_power_share=st.floats(0, 2),
    pue=st.floats(1, 2),
    tariff_usd_per_kwh=st.floats(0, 0.5),
    power_load=st.floats(0, 1),
    hosting_usd_per_kw_month=st.floats(0, 500),
    hosting_usd_per_node_month=st.floats(0, 5_000),
    support_share_per_year=st.floats(0, 0.3),
    depreciation_years=st.floats(1, 10),
    residual_share=st.floats(0, 1),
    # 1 - (1 + i)^-n has few digits if the rate is below a thousandth of a per cent.
    discount_rate_per_year=st.just(0) | st.floats(1e-5, 0.5),
    horizon_months=st.integers(1, 120),
    server_share_of_gpus=st.floats(0, 2),
    hours_per_day=st.floats(0, 24),
    days_per_month=st.floats(0, 31),
    average_load=st.floats(0, 1),
    tax_rate=st.just(0) | st.floats(0, 0.5),
    staff_usd_per_month=st.just(0) | st.floats(0, 1e5),
    software_usd_per_month=st.just(0) | st.floats(0, 1e5),
    storage_usd_per_month=st.just(0) | st.floats(0, 1e4),
    egress_usd_per_month=st.just(0) | st.floats(0, 1e4),
)


@given(PURCHASES, ASSUMPTIONS, st.integers(0, 50), st.integers(1, 500))
def test_more_gpus_never_cost_less(purchase, assumed, spare_replicas, spare_gpus):
    fewer = costs(assumed, **purchase).owned
    more = costs(assumed, **purchase, policy=OrderPolicy(spare_replicas=spare_replicas, spare_gpus=spare_gpus)).owned
    for field in ("capex_usd", "it_kw"):
        assert getattr(more, field) > getattr(fewer, field)
    # GPUs in stock do not change hosting per node, and GPUs with a residual share of 1 have no depreciation.
    assert more.opex_usd_per_month >= fewer.opex_usd_per_month
    assert more.usd_per_month >= fewer.usd_per_month
    slack = 1e-9 * more.capex_usd
    assert more.tco_usd >= fewer.tco_usd - slack
    assert more.npv_usd >= fewer.npv_usd - slack


def test_a_rate_too_small_to_compound():
    """For the smallest number above 0, (1 + r)^(1/12) − 1 is 0, and 24 payments are worth 24."""
    assert rates(replace(ASSUMED, discount_rate_per_year=5e-324))["annuity"] == 24


@given(PURCHASES, ASSUMPTIONS)
def test_npv_without_discounting_is_tco(purchase, assumed):
    assumed = replace(assumed, discount_rate_per_year=0)
    found = costs(assumed, **purchase)
    owned, rented = found.owned, found.rented
    assert owned.npv_usd == pytest.approx(owned.tco_usd, rel=1e-9, abs=1e-9 * owned.capex_usd)
    assert rented.npv_usd == rented.tco_usd


@given(PURCHASES, ASSUMPTIONS)
def test_npv_is_the_discounted_sum_of_each_month(purchase, assumed):
    owned, rate = costs(assumed, **purchase).owned, (1 + assumed.discount_rate_per_year) ** (1 / 12)
    months = range(1, assumed.horizon_months + 1)
    flows = sum(owned.opex_usd_per_month / rate**month for month in months)
    expected = owned.capex_usd + flows - owned.value_at_horizon_usd / rate**assumed.horizon_months
    assert owned.npv_usd == pytest.approx(expected, rel=1e-9, abs=1e-8 * owned.capex_usd)


@given(PURCHASES, ASSUMPTIONS)
def test_tco_is_the_months_while_depreciation_lasts(purchase, assumed):
    assumed = replace(assumed, horizon_months=min(assumed.horizon_months, int(assumed.depreciation_years * 12)))
    owned = costs(assumed, **purchase).owned
    months = owned.usd_per_month * assumed.horizon_months
    assert owned.tco_usd == pytest.approx(months, rel=1e-9, abs=1e-9 * owned.capex_usd)


@given(PURCHASES, ASSUMPTIONS)
def test_break_even_is_the_first_month_of_the_running_sums(purchase, assumed):
    found, horizon = costs(assumed, **purchase), assumed.horizon_months
    owned, rented = found.owned, found.rented
    slack = 1e-8 * (owned.capex_usd + rented.tco_usd)

    def behind(month: int) -> float:
        """Return how much more owning has cost than renting by then."""
        value = owned.value_at_horizon_usd if month == horizon else 0
        return owned.capex_usd + month * owned.opex_usd_per_month - value - month * rented.usd_per_month

    month = found.break_even_month
    last = horizon if month is None else month - 1
    assert all(behind(m) > -slack for m in range(1, last + 1))
    if month is not None:
        assert 1 <= month <= horizon
        assert behind(month) <= slack


@given(PURCHASES, ASSUMPTIONS)
def test_a_higher_rent_never_makes_renting_cheaper(purchase, assumed):
    on_demand = purchase["found"].on_demand_per_gpu_hour
    higher = replace(purchase["found"], on_demand_per_gpu_hour=replace(on_demand, usd=on_demand.usd + 1))
    if costs(assumed, **purchase).cheaper == "buy":
        assert costs(assumed, **purchase | {"found": higher}).cheaper == "buy"


@given(
    st.sampled_from([(1, 1), (2, 1), (4, 1), (8, 1), (8, 2), (8, 3)]),
    st.integers(1, 3_000),
    st.integers(1, 300),
    st.integers(0, 90),
    st.booleans(),
    st.integers(0, 3),
    st.integers(0, 9),
    st.integers(1, 16),
)
def test_an_order_grows_step_by_step_and_serves_the_users(split, users, each, percent, whole, spare, stock, rent_step):
    policy = OrderPolicy(
        headroom=percent / 100, spare_replicas=spare, whole_nodes=whole, spare_gpus=stock, rent_step=rent_step
    )
    order = costs(users=users, each=each, split=split, policy=policy, by_division=1).order
    assert all(step.added_gpus >= 0 for step in order.steps)
    assert sum(step.added_gpus for step in order.steps) == order.gpus
    needed = order.replicas - spare
    assert needed * each * (100 - percent) >= users * 100
    assert (needed - 1) * each * (100 - percent) < users * 100
    # Buying and renting both provide every replica.
    all_replicas = order.replicas * split[0] * split[1]
    assert order.with_spares == all_replicas <= order.gpus - stock <= order.nodes * 8
    assert not whole or order.gpus - stock == order.nodes * 8
    assert order.rented_gpus % rent_step == 0 and 0 <= order.rented_gpus - all_replicas < rent_step


def test_too_many_gpus_are_refused():
    """A million replicas of one GPU and a spare one."""
    with pytest.raises(OutOfRangeError, match="^gpus: 1000001 is above 1,000,000"):
        costs(users=10**6, each=1, split=(1, 1), policy=OrderPolicy(spare_replicas=1))


# ---- options on GPUs of the catalog ------------------------------------------------------------------


def test_a_layout_at_the_indicative_prices():
    """50 users, 20 per replica of 4 H100s, 30 % headroom, N+1: 50 ÷ 14 is 4 replicas, 5 with a spare: 20 GPUs, 3 nodes.

    Bought in full nodes: 24. Capex 24 × 30 000 + 3 × 8 × 9 625 = 951 000, plus 4.86 % for the network: 997 218.6.
    Rent: 20 × 730 × 2.35 = 34 310 a month reserved, less than 6.88 on demand for all hours.
    """
    found = option_costs(catalog.gpu("h100"), option("h100", (4, 1), 50, 20), users=50, gpus_by_division=9)
    assert (found.order.gpus, found.order.nodes, found.order.rented_gpus) == (24, 3, 20)
    assert found.owned.capex_usd == pytest.approx(997_218.6)
    assert (found.rented.plan, found.rented.usd_per_month) == ("reserved", pytest.approx(34_310))
    assert found.owning_usd_per_user_month == pytest.approx(found.owned.usd_per_month / 50)
    assert found.cheaper in ("buy", "rent")
    assert found.net_present_cost == min(found.owned.npv_usd, found.rented.npv_usd)


def test_cards_are_bought_one_by_one():
    found = option_costs(catalog.gpu("l4"), option("l4", (1, 1), 3, 2), users=3, gpus_by_division=1)
    assert (found.order.with_headroom, found.order.gpus) == (3, 4)  # 3 ÷ 1.4 is 3 cards, and a spare one


def test_a_gpu_without_a_price_has_no_costs():
    """The A10G can only be rented; the Ascend has no prices."""
    rent_only = option_costs(catalog.gpu("a10g"), option("a10g", (1, 1), 3, 2), users=3, gpus_by_division=1)
    assert rent_only.owned is None and rent_only.rented is not None
    assert rent_only.cheaper is None and rent_only.break_even_month is None
    assert rent_only.net_present_cost == rent_only.rented.npv_usd
    unknown = option_costs(catalog.gpu("ascend-910b"), option("ascend-910b", (1, 1), 3, 2), users=3, gpus_by_division=1)
    assert unknown.owned is None and unknown.rented is None and unknown.owning_usd_per_user_month is None
    assert unknown.net_present_cost is None


def test_a_gpu_of_unknown_power_has_no_cost_of_owning():
    h100 = replace(catalog.gpu("h100"), tdp_w=None)
    found = option_costs(h100, option("h100", (4, 1), 50, 20), users=50, gpus_by_division=9)
    assert found.owned is None and found.rented is not None


# ---- input -------------------------------------------------------------------------------------------


def test_nothing_is_ordered_where_no_layout_fits():
    figures = money_figures(GPU, None, users=10)
    assert {name for name, value in figures.items() if value is not None} == {"fills_nodes", "server_usd"}


@pytest.mark.parametrize(
    "field, value, error",
    [
        ("pue", 0.9, OutOfRangeError),
        ("pue", "1.5", WrongTypeError),
        ("residual_share", 10, OutOfRangeError),
        ("discount_rate_per_year", float("nan"), OutOfRangeError),
        ("horizon_months", 12.5, OutOfRangeError),
        ("depreciation_years", 0, OutOfRangeError),
    ],
)
def test_an_input_out_of_range_is_named(field, value, error):
    with pytest.raises(error, match=f"^{field}: "):
        costs(replace(ASSUMED, **{field: value}))


# The limits in the documentation: 10 times the real figures or more, to catch cents, per cent and watts.
LIMITS = {
    "gpus": (1, 1_000_000), "gpus_by_division": (1, 1_000_000), "users": (1, 100_000_000),
    "users_per_replica": (1, 100_000_000), "spare_replicas": (0, 10_000), "spare_gpus": (0, 100_000),
    "rent_step": (1, 10_000), "whole_nodes": (0, 1), "may_buy": (0, 1), "may_rent": (0, 1), "headroom": (0, 0.95),
    # The highest in the catalog: 1400 W (GB300), 48 611 dollars to buy (GB300), 17.80 per hour (B300).
    "tdp_w": (1, 100_000), "gpu_usd": (0.01, 10_000_000), "server_per_gpu_usd": (0, 100_000_000),
    "on_demand_usd_per_gpu_hour": (0, 10_000), "reserved_usd_per_gpu_hour": (0, 10_000),
    # Shares of GPUs and servers may be above 1; a PUE below 1 is impossible (ISO/IEC 30134-2).
    "network_share": (0, 5), "server_power_share": (0, 5), "pue": (1, 5), "tariff_usd_per_kwh": (0, 10),
    "power_load": (0, 1), "hosting_usd_per_kw_month": (0, 100_000), "hosting_usd_per_node_month": (0, 1_000_000),
    "support_share_per_year": (0, 1), "residual_share": (0, 1), "discount_rate_per_year": (0, 1),
    "server_share_of_gpus": (0, 5), "depreciation_years": (1, 20), "horizon_months": (1, 240),
    "hours_per_day": (0, 24), "days_per_month": (0, 31), "average_load": (0, 1), "tax_rate": (0, 1),
    "staff_usd_per_month": (0, 1e8), "software_usd_per_month": (0, 1e8), "storage_usd_per_month": (0, 1e8),
    "egress_usd_per_month": (0, 1e8), "owned_gpus": (0, 1_000_000),
    # Above them: grams for kilograms, and the price of a token that was multiplied too often.
    "grid_kg_per_kwh": (0, 3), "api_prompt_usd_per_million": (0, 1e5), "api_output_usd_per_million": (0, 1e5),
}  # fmt: skip
WHOLE = {
    "gpus", "gpus_by_division", "users", "users_per_replica", "spare_replicas", "spare_gpus", "rent_step",
    "whole_nodes", "horizon_months", "owned_gpus", "may_buy", "may_rent",
}  # fmt: skip


def test_the_limits():
    assert {field: (limits.least, limits.most) for field, limits in COST_LIMITS.items()} == LIMITS
    assert {field for field, limits in COST_LIMITS.items() if limits.whole} == WHOLE


def test_a_headroom_of_1_is_an_error():
    with pytest.raises(OutOfRangeError, match="^headroom: 1 is above 0.95. "):
        costs(policy=OrderPolicy(headroom=1))


# ---- the data ----------------------------------------------------------------------------------------


def test_the_server_of_a_gpu():
    """H100: a quotation of 317 000 for eight at 30 000, so 9 625 per GPU. H200: no price, so 54 % of 32 000."""
    found = {name: money_figures(catalog.gpu(name), None, users=1) for name in ("h100-sxm", "h200-sxm", "a10g")}
    assert found["h100-sxm"]["server_usd"] == 9_625
    assert found["h200-sxm"]["server_usd"] == pytest.approx(17_280)
    assert found["a10g"]["server_usd"] is None


def test_the_defaults_are_complete_dated_and_within_their_limits():
    used = {field.name for field in fields(Assumptions)} | {field.name for field in fields(OrderPolicy)}
    assert set(cost_defaults()) == used | {"stale_after_months"}
    assert all(date_of(default.as_of) and default.source and default.unit for default in cost_defaults().values())
    assert costs(default_assumptions()).owned.tco_usd > 0
    assert default_policy() == OrderPolicy(headroom=0.3, spare_replicas=1, whole_nodes=True, spare_gpus=0, rent_step=1)


def test_months_later_over_the_end_of_a_year():
    assert months_later(datetime.date(2026, 12, 31), 2) == datetime.date(2027, 2, 28)
    assert months_later(datetime.date(2027, 12, 31), 2) == datetime.date(2028, 2, 29)


@pytest.mark.parametrize("text", ["", "2026", "2026-13", "soon"])
def test_invalid_dates(text):
    with pytest.raises(ValueError):
        date_of(text)
