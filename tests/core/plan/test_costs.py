"""Owning, renting, and the order quantity: computed by hand, properties, and sums month by month."""

from __future__ import annotations

import csv
import datetime
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import catalog
from core.catalog.prices import ITEMS, cost_defaults, date_of, is_stale, months_later, prices
from core.errors import OutOfRangeError, UnknownNameError, WrongTypeError
from core.plan.costs import (
    COST_LIMITS,
    Assumptions,
    OrderPolicy,
    Purchase,
    Rental,
    break_even_month,
    cheaper,
    comes_on_baseboards,
    default_assumptions,
    default_policy,
    discount_factor,
    monthly_rate,
    order_quantity,
    owning,
    present_value_usd,
    renting,
    server_usd_per_gpu,
    usd_per_user_month,
)
from core.plan.fleet import GpuChoice, Option, Replica, choice_of_gpu
from core.plan.layout_costs import option_costs

DATA = Path(catalog.DATA_FOLDER)
NODE_OF_8 = GpuChoice("80 GB", 80 * 10**9, 8)

# Round figures, so that the results below can be computed by hand.
PURCHASE = Purchase(gpus=8, nodes=1, tdp_w=700, gpu_usd=30_000, server_usd_per_node=60_000)
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
    on_demand_hours_share=0.5,
)
RENTAL = Rental(rented_gpus=8, on_demand_usd_per_gpu_hour=5, reserved_usd_per_gpu_hour=3)


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
    owned = owning(PURCHASE, ASSUMED)
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
    assert usd_per_user_month(owned.usd_per_month, 40) == pytest.approx(219.646)


def test_npv_by_hand():
    """21 % over two years discounts by 1.21² = 1.4641; half a year's rate is 10 %, as 1.1² = 1.21.

    A month's rate i is 1.21^(1/12) − 1 = 0.016012 (1.016012^12 = 1.2100); 24 payments of 1 are worth
    (1 − 1/1.4641) ÷ i = 0.316987 ÷ 0.016012 = 19.797; so owning is 330 000 + 3 835.84 × 19.797 − 211 200 ÷ 1.4641.
    """
    assert discount_factor(0.21, 24) == pytest.approx(1 / 1.4641, rel=1e-12)
    assert discount_factor(0.21, 6) == pytest.approx(1 / 1.1, rel=1e-12)
    assert monthly_rate(0.21) == pytest.approx(0.016012, abs=5e-7)
    assert present_value_usd(1, ASSUMED) == pytest.approx(19.797, abs=1e-3)
    assert owning(PURCHASE, ASSUMED).npv_usd == pytest.approx(330_000 + 3_835.84 * 19.797 - 144_252.44, rel=1e-5)


def test_renting_by_hand():
    """On demand 8 × 5 × 730 × ½ = 14 600 a month; reserved 8 × 3 × 730 = 17 520, all hours paid: on demand is cheaper."""
    rented = renting(RENTAL, ASSUMED)
    assert (rented.on_demand_usd_per_month, rented.reserved_usd_per_month) == pytest.approx((14_600, 17_520))
    assert (rented.plan, rented.usd_per_month, rented.tco_usd) == ("on_demand", 14_600, 14_600 * 24)
    always_up = renting(RENTAL, replace(ASSUMED, on_demand_hours_share=1))
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
    rented = renting(Rental(rented_gpus=8, reserved_usd_per_gpu_hour=usd_per_gpu_hour), assumed)
    assert break_even_month(owning(PURCHASE, assumed), rented, horizon) == month


def test_value_stays_at_the_residual_after_depreciation():
    assert owning(PURCHASE, replace(ASSUMED, horizon_months=60)).value_at_horizon_usd == pytest.approx(33_000)
    assert owning(PURCHASE, replace(ASSUMED, horizon_months=90)).value_at_horizon_usd == pytest.approx(33_000)


@pytest.mark.parametrize(
    "tp, pp, users, each, policy, steps, nodes",
    [
        # 45 users at 20 per replica: 3 replicas of 4; with a headroom of a fifth 45 ÷ 16 = 2.8, still 3; 3 replicas need
        # 2 nodes of 8, bought full: 16; a spare node: 24.
        (4, 1, 45, 20, OrderPolicy(headroom=0.2, spare_nodes=1), (9, 12, 12, 16, 24), 3),
        # The same in nodes with only the GPUs in use: the fuller node has 8, so the spare one has 8.
        (4, 1, 45, 20, OrderPolicy(headroom=0.2, whole_nodes=False, spare_nodes=1), (9, 12, 12, 12, 20), 3),
        # 50 users: 50 ÷ 16 = 3.1, so headroom needs a fourth replica, which fills the second node; two in stock.
        (4, 1, 50, 20, OrderPolicy(headroom=0.2, spare_gpus=2), (9, 12, 16, 16, 18), 2),
        # A single card: a spare node of one card.
        (1, 1, 1, 4, OrderPolicy(whole_nodes=False, spare_nodes=1), (9, 1, 1, 1, 2), 2),
        # A replica over two nodes, twice.
        (8, 2, 30, 15, OrderPolicy(), (9, 32, 32, 32, 32), 4),
        # 297 ÷ (12 × 0.99) is 25, but 25.000000000000004 in floating point: not 26.
        (1, 1, 297, 12, OrderPolicy(headroom=0.01, whole_nodes=False), (9, 25, 25, 25, 25), 4),
    ],
)
def test_order_quantity_by_hand(tp, pp, users, each, policy, steps, nodes):
    order = order_quantity(
        Replica(NODE_OF_8, tp, pp), users=users, users_per_replica=each, gpus_by_division=9, policy=policy
    )
    assert tuple(step.gpus for step in order.steps) == steps
    assert (order.gpus, order.nodes, order.rented_gpus) == (steps[-1], nodes, steps[-2])


@pytest.mark.parametrize(
    "name, whole", [("h100", True), ("mi300x", True), ("gb200", True), ("l4", False), ("a10g", False)]
)
def test_gpus_sold_in_full_nodes(name, whole):
    assert comes_on_baseboards(catalog.gpu(name)) is whole


# ---- properties --------------------------------------------------------------------------------------


def money(field: str, most: float):
    return st.floats(COST_LIMITS[field].least, most)


PURCHASES = st.builds(
    Purchase,
    gpus=st.integers(1, 2_000),
    nodes=st.integers(1, 250),
    tdp_w=st.floats(50, 1_500),
    gpu_usd=st.floats(100, 60_000),
    server_usd_per_node=money("server_usd_per_node", 300_000),
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
    discount_rate_per_year=st.floats(0, 0.5),
    horizon_months=st.integers(1, 120),
    on_demand_hours_share=st.floats(0, 1),
)
RENTALS = st.builds(
    Rental,
    rented_gpus=st.integers(1, 2_000),
    on_demand_usd_per_gpu_hour=st.floats(0, 20),
    reserved_usd_per_gpu_hour=st.one_of(st.none(), st.floats(0, 20)),
)


@given(PURCHASES, ASSUMPTIONS, st.integers(1, 500), st.integers(0, 50))
def test_more_gpus_never_cost_less(purchase, assumed, more_gpus, more_nodes):
    fewer = owning(purchase, assumed)
    more = owning(replace(purchase, gpus=purchase.gpus + more_gpus, nodes=purchase.nodes + more_nodes), assumed)
    for field in ("capex_usd", "it_kw"):
        assert getattr(more, field) > getattr(fewer, field)
    # More GPUs in a node do not change hosting per node, and GPUs with a residual share of 1 have no depreciation.
    assert more.opex_usd_per_month >= fewer.opex_usd_per_month
    assert more.usd_per_month >= fewer.usd_per_month
    slack = 1e-9 * more.capex_usd
    assert more.tco_usd >= fewer.tco_usd - slack
    assert more.npv_usd >= fewer.npv_usd - slack


def test_a_rate_too_small_to_compound():
    """For the smallest number above 0, (1 + r)^(1/12) − 1 is 0, and 24 payments are worth 24."""
    assert present_value_usd(1, replace(ASSUMED, discount_rate_per_year=5e-324)) == 24


@given(PURCHASES, RENTALS, ASSUMPTIONS)
def test_npv_without_discounting_is_tco(purchase, rental, assumed):
    assumed = replace(assumed, discount_rate_per_year=0)
    owned, rented = owning(purchase, assumed), renting(rental, assumed)
    assert owned.npv_usd == pytest.approx(owned.tco_usd, rel=1e-9, abs=1e-9 * owned.capex_usd)
    assert rented.npv_usd == rented.tco_usd


@given(PURCHASES, ASSUMPTIONS)
def test_npv_is_the_discounted_sum_of_each_month(purchase, assumed):
    owned, rate = owning(purchase, assumed), (1 + assumed.discount_rate_per_year) ** (1 / 12)
    months = range(1, assumed.horizon_months + 1)
    flows = sum(owned.opex_usd_per_month / rate**month for month in months)
    expected = owned.capex_usd + flows - owned.value_at_horizon_usd / rate**assumed.horizon_months
    assert owned.npv_usd == pytest.approx(expected, rel=1e-9, abs=1e-8 * owned.capex_usd)


@given(PURCHASES, ASSUMPTIONS)
def test_tco_is_the_months_while_depreciation_lasts(purchase, assumed):
    assumed = replace(assumed, horizon_months=min(assumed.horizon_months, int(assumed.depreciation_years * 12)))
    owned = owning(purchase, assumed)
    months = owned.usd_per_month * assumed.horizon_months
    assert owned.tco_usd == pytest.approx(months, rel=1e-9, abs=1e-9 * owned.capex_usd)


@given(PURCHASES, RENTALS, ASSUMPTIONS)
def test_break_even_is_the_first_month_of_the_running_sums(purchase, rental, assumed):
    owned, rented, horizon = owning(purchase, assumed), renting(rental, assumed), assumed.horizon_months
    slack = 1e-8 * (owned.capex_usd + rented.tco_usd)

    def behind(month: int) -> float:
        """Return how much more owning has cost than renting by then."""
        value = owned.value_at_horizon_usd if month == horizon else 0
        return owned.capex_usd + month * owned.opex_usd_per_month - value - month * rented.usd_per_month

    month = break_even_month(owned, rented, horizon)
    last = horizon if month is None else month - 1
    assert all(behind(m) > -slack for m in range(1, last + 1))
    if month is not None:
        assert 1 <= month <= horizon
        assert behind(month) <= slack


@given(PURCHASES, RENTALS, ASSUMPTIONS)
def test_a_higher_rent_never_makes_renting_cheaper(purchase, rental, assumed):
    owned = owning(purchase, assumed)
    higher = replace(rental, on_demand_usd_per_gpu_hour=rental.on_demand_usd_per_gpu_hour + 1)
    if cheaper(owned, renting(rental, assumed)) == "buy":
        assert cheaper(owned, renting(higher, assumed)) == "buy"


@given(
    st.sampled_from([(1, 1), (2, 1), (4, 1), (8, 1), (8, 2), (8, 3)]),
    st.integers(1, 3_000),
    st.integers(1, 300),
    st.integers(0, 90),
    st.booleans(),
    st.integers(0, 3),
    st.integers(0, 9),
)
def test_an_order_grows_step_by_step_and_serves_the_users(split, users, each, percent, whole, spare_nodes, spare_gpus):
    policy = OrderPolicy(headroom=percent / 100, whole_nodes=whole, spare_nodes=spare_nodes, spare_gpus=spare_gpus)
    replica = Replica(NODE_OF_8, *split)
    order = order_quantity(replica, users=users, users_per_replica=each, gpus_by_division=1, policy=policy)
    assert all(step.added_gpus >= 0 for step in order.steps)
    assert sum(step.added_gpus for step in order.steps) == order.gpus
    assert order.replicas * each * (100 - percent) >= users * 100
    assert (order.replicas - 1) * each * (100 - percent) < users * 100
    assert order.gpus - spare_gpus <= order.nodes * 8
    assert not whole or order.gpus - spare_gpus == order.nodes * 8


# ---- options on GPUs of the catalog ------------------------------------------------------------------


def option(gpu_name: str, tp: int, users: int, per_replica: int) -> Option:
    replicas = -(-users // per_replica)
    replica = Replica(choice_of_gpu(catalog.gpu(gpu_name)), tp, 1)
    return Option(
        replica=replica,
        replicas=replicas,
        users_per_replica=per_replica,
        gpus=replicas * tp,
        nodes=replica.nodes(replicas),
        headroom=1 - users / (replicas * per_replica),
    )


def test_a_layout_at_the_indicative_prices():
    """50 users, 20 per replica of 4 H100s, 30 % headroom, N+1: 50 ÷ 14 is 4 replicas, 2 nodes, 3 with a spare: 24 GPUs.

    capex 24 × 30 000 + 3 × 8 × 9 625 = 951 000, plus 4.86 % for the network: 997 218.6.
    Rent: 16 × 730 × 2.35 = 27 448 a month reserved, less than 3.78 on demand for all hours.
    """
    found = option_costs(catalog.gpu("h100"), option("h100", 4, 50, 20), users=50, gpus_by_division=9)
    assert (found.order.gpus, found.order.nodes, found.order.rented_gpus) == (24, 3, 16)
    assert found.owned.capex_usd == pytest.approx(997_218.6)
    assert (found.rented.plan, found.rented.usd_per_month) == ("reserved", pytest.approx(27_448))
    assert found.owning_usd_per_user_month == pytest.approx(found.owned.usd_per_month / 50)
    assert found.cheaper in ("buy", "rent")


def test_cards_are_bought_one_by_one():
    found = option_costs(catalog.gpu("l4"), option("l4", 1, 3, 2), users=3, gpus_by_division=1)
    assert (found.order.in_nodes, found.order.gpus) == (3, 6)  # 3 ÷ 1.4 is 3 cards, and 3 in the spare node


def test_a_gpu_without_a_price_has_no_costs():
    """The A10G can only be rented; the Ascend has no prices."""
    rent_only = option_costs(catalog.gpu("a10g"), option("a10g", 1, 3, 2), users=3, gpus_by_division=1)
    assert rent_only.owned is None and rent_only.rented is not None
    assert rent_only.cheaper is None and rent_only.break_even_month is None
    unknown = option_costs(catalog.gpu("ascend-910b"), option("ascend-910b", 1, 3, 2), users=3, gpus_by_division=1)
    assert unknown.owned is None and unknown.rented is None and unknown.owning_usd_per_user_month is None


def test_a_gpu_of_unknown_power_has_no_cost_of_owning():
    h100 = replace(catalog.gpu("h100"), tdp_w=None)
    found = option_costs(h100, option("h100", 4, 50, 20), users=50, gpus_by_division=9)
    assert found.owned is None and found.rented is not None


# ---- input -------------------------------------------------------------------------------------------


def test_renting_without_a_price_is_none():
    assert renting(Rental(rented_gpus=8), ASSUMED) is None


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
        owning(PURCHASE, replace(ASSUMED, **{field: value}))


# The limits in the documentation: 10 times the real figures or more, to catch cents, per cent and watts.
LIMITS = {
    "gpus": (1, 1_000_000), "nodes": (1, 1_000_000), "rented_gpus": (1, 1_000_000), "gpus_by_division": (1, 1_000_000),
    "users": (1, 100_000_000), "users_per_replica": (1, 100_000_000), "spare_nodes": (0, 10_000),
    "spare_gpus": (0, 100_000), "whole_nodes": (0, 1), "headroom": (0, 0.95),
    # The highest in the catalog: 1400 W (GB300), 48 611 dollars to buy (GB300), 17.80 per hour (B300).
    "tdp_w": (1, 100_000), "gpu_usd": (0.01, 10_000_000), "server_usd_per_node": (0, 100_000_000),
    "on_demand_usd_per_gpu_hour": (0, 10_000), "reserved_usd_per_gpu_hour": (0, 10_000),
    # Shares of GPUs and servers may be above 1; a PUE below 1 is impossible (ISO/IEC 30134-2).
    "network_share": (0, 5), "server_power_share": (0, 5), "pue": (1, 5), "tariff_usd_per_kwh": (0, 10),
    "power_load": (0, 1), "hosting_usd_per_kw_month": (0, 100_000), "hosting_usd_per_node_month": (0, 1_000_000),
    "support_share_per_year": (0, 1), "residual_share": (0, 1), "discount_rate_per_year": (0, 1),
    "on_demand_hours_share": (0, 1), "depreciation_years": (1, 20), "horizon_months": (1, 240),
}  # fmt: skip
WHOLE = {
    "gpus", "nodes", "rented_gpus", "gpus_by_division", "users", "users_per_replica", "spare_nodes", "spare_gpus",
    "whole_nodes", "horizon_months",
}  # fmt: skip


def test_the_limits():
    assert {field: (limits.least, limits.most) for field, limits in COST_LIMITS.items()} == LIMITS
    assert {field for field, limits in COST_LIMITS.items() if limits.whole} == WHOLE


def test_a_headroom_of_1_is_an_error():
    with pytest.raises(OutOfRangeError, match="^headroom: 1 is above 0.95. "):
        order_quantity(
            Replica(NODE_OF_8, 1, 1), users=1, users_per_replica=1, gpus_by_division=1, policy=OrderPolicy(headroom=1)
        )


# ---- the data ----------------------------------------------------------------------------------------


def rows(file: str) -> list[dict[str, str]]:
    with open(DATA / file, encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.parametrize("row", rows("prices.csv"), ids=lambda row: f"{row['name']}-{row['item']}")
def test_each_price_has_a_gpu_a_source_and_a_date(row):
    assert row["name"] in catalog.gpu_names()
    assert row["item"] in ITEMS
    assert row["currency"] == "USD"
    assert float(row["amount_usd"]) > 0 or row["item"] == "server_per_gpu"
    assert row["source"].startswith(("GitHub ", "https://")) or "https://" in row["source"]
    assert date_of(row["as_of"])
    assert row["note"]


def test_prices_are_unique():
    keys = [(row["name"], row["item"]) for row in rows("prices.csv")]
    assert len(keys) == len(set(keys))


def test_reserved_costs_less_than_on_demand():
    for name in catalog.gpu_names():
        found = prices(name)
        if found.on_demand_per_gpu_hour and found.reserved_per_gpu_hour:
            assert found.reserved_per_gpu_hour.amount_usd < found.on_demand_per_gpu_hour.amount_usd, name


def test_prices_are_found_by_any_name():
    assert prices("H100") is prices("h100-sxm")
    assert prices("ascend-910b").purchase is None
    with pytest.raises(UnknownNameError):
        prices("h1000")


def test_the_server_of_a_gpu():
    """H100: a quotation of 317 000 for eight at 30 000, so 9 625 per GPU. H200: no price, so 54 % of 32 000."""
    assert server_usd_per_gpu(prices("h100-sxm")) == 9_625
    assert server_usd_per_gpu(prices("h200-sxm")) == pytest.approx(17_280)
    assert server_usd_per_gpu(prices("a10g")) is None


def test_the_defaults_are_complete_dated_and_within_their_limits():
    used = {field.name for field in fields(Assumptions)} | {field.name for field in fields(OrderPolicy)}
    assert set(cost_defaults()) == used | {"server_share_of_gpus", "stale_after_months"}
    assert all(date_of(default.as_of) and default.source and default.unit for default in cost_defaults().values())
    assert owning(PURCHASE, default_assumptions()).tco_usd > 0
    assert default_policy().whole_nodes is True and default_policy().spare_nodes == 1


@pytest.mark.parametrize(
    "as_of, today, months, stale",
    [
        ("2026-05-26", (2026, 11, 26), 6, False),
        ("2026-05-25", (2026, 11, 26), 6, True),
        ("2026-05", (2026, 11, 1), 6, False),  # a month means its first day
        ("2026-05", (2026, 11, 2), 6, True),
        ("2026-08-31", (2027, 2, 28), 6, False),  # as EDATE does: the last day of February
        ("2026-08-31", (2027, 3, 1), 6, True),
    ],
)
def test_stale_prices(as_of, today, months, stale):
    assert is_stale(as_of, datetime.date(*today), months) is stale


def test_months_later_over_the_end_of_a_year():
    assert months_later(datetime.date(2026, 12, 31), 2) == datetime.date(2027, 2, 28)
    assert months_later(datetime.date(2027, 12, 31), 2) == datetime.date(2028, 2, 29)


@pytest.mark.parametrize("text", ["", "2026", "2026-13", "soon"])
def test_invalid_dates(text):
    with pytest.raises(ValueError):
        date_of(text)
