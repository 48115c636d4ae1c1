"""Laws of speed, demand and money that hold for every load, GPU and price, without expected figures."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from core import catalog
from core.engines.capacity import Count
from core.errors import PlannerError
from core.plan.costs import COST_LIMITS, Assumptions, OptionCosts, OrderPolicy, assumed, default_policy
from core.plan.demand import Tokens, demand_of, requests_served, tokens_of
from core.plan.fleet import choice_of_gpu
from core.plan.option_speed import Wish
from core.plan.options import Comparison, ranked_options
from core.plan.ranking import SAME_COST, Candidate, rank
from core.plan.speed import Load, speed, users_at_speed
from tests.core.plan.test_costs import ASSUMPTIONS, PURCHASES, prices_of
from tests.core.plan.test_outcome import costs
from tests.core.plan.test_speed import service, situations

SLACK = 1e-9
USERS, TOKENS, FACTORS = st.integers(1, 2_000), st.integers(1, 20_000), st.floats(1, 4)
ROOM = Count(10**5, 10**5, 10**5)  # more users than any example has, so that memory sets no limit


def speeds(served, on, loads, **given_layouts):
    """Return the speed under each load, or skip the example if the model cannot be served that way."""
    try:
        return [speed(served, on, load, fitting=ROOM, **given_layouts) for load in loads]
    except PlannerError:
        assume(False)


# ---- speed -------------------------------------------------------------------------------------------


@given(situations(), TOKENS)
def test_a_longer_prompt_is_never_faster(situation, tokens):
    served, on, load, tp = situation
    longer = replace(load, prompt_tokens=load.prompt_tokens + tokens)
    short, long = (found.expected for found in speeds(served, on, (load, longer), tp=tp))
    assert long.first_token_s >= short.first_token_s * (1 - SLACK)
    assert long.tokens_per_s_per_user <= short.tokens_per_s_per_user * (1 + SLACK)


@given(situations(), FACTORS, st.sampled_from(["bandwidth_gb_per_s", "interconnect_gb_per_s", "compute"]))
def test_a_better_gpu_is_never_slower(situation, factor, what):
    served, on, load, tp = situation
    rates = ("bf16_tflops", "fp8_tflops", "fp4_tflops", "int8_tops") if what == "compute" else (what,)
    better = replace(on, **{name: getattr(on, name) * factor for name in rates if getattr(on, name)})
    (slow,), (fast,) = speeds(served, on, [load], tp=tp), speeds(served, better, [load], tp=tp)
    assert fast.expected.tokens_per_s_per_user >= slow.expected.tokens_per_s_per_user * (1 - SLACK)
    assert fast.expected.first_token_s <= slow.expected.first_token_s * (1 + SLACK)


@given(situations(), st.integers(1, 8), st.integers(1, 8))
def test_more_replicas_never_serve_the_same_users_more_slowly(situation, replicas, further):
    served, on, load, tp = situation
    (few,) = speeds(served, on, [load], tp=tp, replicas=replicas)
    (many,) = speeds(served, on, [load], tp=tp, replicas=replicas + further)
    assert many.expected.tokens_per_s_per_user >= few.expected.tokens_per_s_per_user * (1 - SLACK)
    assert many.expected.first_token_s <= few.expected.first_token_s * (1 + SLACK)


@given(situations(), st.floats(1, 100), st.integers(1, 3))
def test_users_at_a_speed_are_the_most_who_get_it(situation, wanted, replicas):
    served, on, load, tp = situation
    layout = {"tp": tp, "replicas": replicas}
    try:
        most = users_at_speed(served, on, load, wanted, **layout)
        room = users_at_speed(served, on, load, 1e-9, **layout)
    except PlannerError:
        assume(False)
    assert most <= room

    def low(users: int) -> float:
        return speed(served, on, replace(load, users=users), **layout).low.tokens_per_s_per_user

    if most:
        assert low(most) >= wanted
    if most < room:
        assert low(most + 1) < wanted


@given(situations())
def test_the_expected_speed_is_within_its_range(situation):
    served, on, load, tp = situation
    (found,) = speeds(served, on, [load], tp=tp)
    for name in ("tokens_per_s_per_user", "output_tokens_per_s"):
        low, expected, high = (getattr(end, name) for end in (found.low, found.expected, found.high))
        assert 0 < low <= expected * (1 + SLACK) and expected <= high * (1 + SLACK)


# ---- demand ------------------------------------------------------------------------------------------


@given(st.integers(1, 10**6), st.integers(0, 10**6), st.floats(1e-6, 1), st.floats(1e-6, 1))
def test_more_people_or_more_of_them_active_are_never_fewer_users(people, further, one, other):
    less, more = sorted((one, other))
    users = demand_of(people=people, active=less).users
    assert max(1, people * less) <= users + 1e-6 and users < max(2, people * less + 1 + 1e-6)
    assert demand_of(people=people + further, active=less).users >= users
    assert demand_of(people=people, active=more).users >= users


REQUEST = st.fixed_dictionaries(
    {
        "first_token_s": st.floats(0.01, 100),
        "output_tokens": st.integers(1, 4_000),
        "tokens_per_s_per_user": st.floats(0.1, 300),
        "users_per_replica": st.integers(1, 256),
    }
)


@given(st.floats(0.1, 1e6), REQUEST, FACTORS, st.sampled_from(["requests", "first_token_s", "output_tokens"]))
def test_more_or_longer_requests_never_need_less(requests, request_, factor, what):
    more = dict(request_)
    if what != "requests":
        more[what] = type(more[what])(more[what] * factor)
    served = requests_served(requests, **request_)
    needed = requests_served(requests * factor if what == "requests" else requests, **more)
    assert needed.users >= served.users and needed.replicas >= served.replicas


@given(st.floats(0.1, 1e6), REQUEST, FACTORS, st.sampled_from(["tokens_per_s_per_user", "users_per_replica"]))
def test_faster_or_larger_replicas_are_never_more(requests, request_, factor, what):
    better = request_ | {what: type(request_[what])(request_[what] * factor)}
    assert requests_served(requests, **better).replicas <= requests_served(requests, **request_).replicas


@given(st.integers(1, 10**6), st.integers(0, 10**6))
def test_a_longer_context_has_no_shorter_prompt_or_answer(context, further):
    short, long = tokens_of(context), tokens_of(context + further)
    assert long.prompt >= short.prompt and long.output >= short.output
    assert context == 1 or short.prompt + short.output == context
    if context > 1:
        assert tokens_of(context, short.prompt) == tokens_of(context, None, short.output) == short


# ---- money -------------------------------------------------------------------------------------------

DEARER_TO_OWN = (
    "network_share", "server_power_share", "pue", "tariff_usd_per_kwh", "power_load", "hosting_usd_per_kw_month",
    "hosting_usd_per_node_month", "support_share_per_year", "tax_rate", "staff_usd_per_month", "software_usd_per_month",
    "storage_usd_per_month", "egress_usd_per_month",
)  # fmt: skip
DEARER_TO_RENT = (
    "hours_per_day", "days_per_month", "tax_rate", "staff_usd_per_month", "software_usd_per_month",
    "storage_usd_per_month", "egress_usd_per_month", "horizon_months",
)  # fmt: skip
CHEAPER_TO_OWN = ("residual_share", "depreciation_years")
SHARES = st.floats(0, 1)


def of(purchase: dict, assumptions: Assumptions, **given_values) -> OptionCosts:
    return costs(assumptions, **{"users": purchase["users"], "each": 1, "prices": purchase["found"]} | given_values)


def higher(assumptions: Assumptions, name: str, share: float) -> Assumptions:
    """Return assumptions of which one is higher: the share of the way to its limit, and at most to ten times as much."""
    value = getattr(assumptions, name)
    raised = value + share * (min(COST_LIMITS[name].most, 10 * value + 1) - value)
    return replace(assumptions, **{name: type(value)(raised)})


def no_less(more: float, less: float, scale: float) -> bool:
    return more >= less - 1e-9 * (abs(scale) + abs(less)) - 1e-9


@given(PURCHASES, ASSUMPTIONS, st.sampled_from(DEARER_TO_OWN), SHARES)
def test_owning_costs_more_with_each_of_its_costs(purchase, assumptions, name, share):
    usual, dear = of(purchase, assumptions).owned, of(purchase, higher(assumptions, name, share)).owned
    assert no_less(dear.npv_usd, usual.npv_usd, dear.capex_usd)
    assert no_less(dear.tco_usd, usual.tco_usd, dear.capex_usd)


@given(PURCHASES, ASSUMPTIONS, st.sampled_from(CHEAPER_TO_OWN), SHARES)
def test_owning_costs_less_if_the_hardware_keeps_its_value(purchase, assumptions, name, share):
    usual, kept = of(purchase, assumptions).owned, of(purchase, higher(assumptions, name, share)).owned
    assert no_less(usual.npv_usd, kept.npv_usd, usual.capex_usd)
    assert no_less(kept.value_at_horizon_usd, usual.value_at_horizon_usd, usual.capex_usd)


@given(PURCHASES, ASSUMPTIONS, st.sampled_from(DEARER_TO_RENT), SHARES)
def test_renting_costs_more_with_each_of_its_costs(purchase, assumptions, name, share):
    usual, dear = of(purchase, assumptions).rented, of(purchase, higher(assumptions, name, share)).rented
    assert no_less(dear.npv_usd, usual.npv_usd, usual.npv_usd)


@given(PURCHASES, ASSUMPTIONS, st.floats(1, 10**5), st.floats(1, 10**5), st.floats(0.1, 20), st.floats(0.1, 20))
def test_a_higher_price_never_costs_less(purchase, assumptions, gpu_usd, server_usd, hour_usd, reserved_usd):
    base = of(purchase, assumptions, prices=prices_of(gpu_usd, server_usd, hour_usd, reserved_usd))
    for raised in (
        prices_of(2 * gpu_usd, server_usd, hour_usd, reserved_usd),
        prices_of(gpu_usd, 2 * server_usd, hour_usd, reserved_usd),
        prices_of(gpu_usd, server_usd, 2 * hour_usd, reserved_usd),
        prices_of(gpu_usd, server_usd, hour_usd, 2 * reserved_usd),
    ):
        dear = of(purchase, assumptions, prices=raised)
        assert no_less(dear.owned.npv_usd, base.owned.npv_usd, dear.owned.capex_usd)
        assert no_less(dear.rented.npv_usd, base.rented.npv_usd, base.rented.npv_usd)
        assert no_less(dear.net_present_cost, base.net_present_cost, dear.owned.capex_usd)


@given(PURCHASES, ASSUMPTIONS, st.integers(1, 60))
def test_rent_for_twice_the_months_costs_twice_as_much_before_interest(purchase, assumptions, months):
    once, twice = (of(purchase, replace(assumptions, horizon_months=n)).rented for n in (months, 2 * months))
    assert twice.tco_usd == pytest.approx(2 * once.tco_usd, rel=1e-12)
    assert once.npv_usd * (1 - SLACK) <= twice.npv_usd <= twice.tco_usd * (1 + SLACK)
    if assumptions.discount_rate_per_year > 1e-3 and once.npv_usd:
        assert once.npv_usd < twice.npv_usd < 2 * once.npv_usd


@given(PURCHASES, ASSUMPTIONS, st.integers(1, 500))
def test_more_users_never_cost_less(purchase, assumptions, further):
    few, many = of(purchase, assumptions), of(purchase, assumptions, users=purchase["users"] + further)
    assert no_less(many.owned.npv_usd, few.owned.npv_usd, many.owned.capex_usd)
    assert no_less(many.rented.npv_usd, few.rented.npv_usd, many.rented.npv_usd)
    assert no_less(many.net_present_cost, few.net_present_cost, many.owned.capex_usd)
    assert many.order.gpus >= few.order.gpus


@given(PURCHASES, ASSUMPTIONS, st.integers(0, 50), st.integers(0, 10), st.integers(1, 16))
def test_the_cost_of_the_plan_is_that_of_its_cheaper_way(purchase, assumptions, percent, spare, step):
    policy = OrderPolicy(headroom=percent / 100, spare_replicas=spare, rent_step=step)
    found = of(purchase, assumptions, policy=policy)
    assert found.net_present_cost == min(found.owned.npv_usd, found.rented.npv_usd)
    assert found.cheaper == ("buy" if found.owned.npv_usd <= found.rented.npv_usd else "rent")


def test_every_assumption_with_a_price_is_in_a_law():
    """What is left: figures of the load, of an API, and rates that pull both ways."""
    left = {field.name for field in fields(Assumptions)} - {*DEARER_TO_OWN, *DEARER_TO_RENT, *CHEAPER_TO_OWN}
    assert left == {
        "average_load", "discount_rate_per_year", "server_share_of_gpus", "api_prompt_usd_per_million",
        "api_output_usd_per_million", "grid_kg_per_kwh",
    }  # fmt: skip


# ---- the plan ----------------------------------------------------------------------------------------

PRICED = st.lists(
    st.builds(
        Candidate, key=st.uuids(), net_present_cost=st.floats(1, 1e9), free_places=st.integers(0, 9),
        bandwidth_per_user=st.floats(1, 1e4), gpu=st.sampled_from("xyz"),
    ), min_size=1,
)  # fmt: skip


@given(PRICED, st.randoms(use_true_random=False))
def test_the_order_in_which_options_are_given_does_not_matter(candidates, chance):
    keys = [(c.net_present_cost, c.free_places, c.bandwidth_per_user) for c in candidates]
    assume(len({key[0] for key in keys}) == len(keys) == len({key[1:] for key in keys}))
    found, again = rank(candidates), rank(chance.sample(candidates, len(candidates)))
    assert (found.keys, found.runner_up, found.margin) == (again.keys, again.runner_up, again.margin)


@given(PRICED, st.floats(1.01, 100))
def test_a_clearly_dearer_option_changes_nothing_before_it(candidates, factor):
    dear = max(c.net_present_cost for c in candidates) * SAME_COST * factor
    other = Candidate(key="other", net_present_cost=dear, free_places=99, bandwidth_per_user=1e9, gpu="x")
    assert rank([other, *candidates]).keys == (*rank(candidates).keys, "other")


@given(st.sampled_from(["llama-3.1-8b", "gpt-oss-20b"]), st.integers(1, 300), st.integers(1, 300), TOKENS, TOKENS)
def test_a_plan_for_more_users_never_costs_less(name, users, further, prompt, output):
    """The cheapest of all options, of which each serves its users at the wanted speed."""
    few, many = (cheapest(name, number, Tokens(prompt + output, prompt, output)) for number in (users, users + further))
    assert (few is None) == (many is None)
    assert few is None or many >= few * (1 - SLACK)


def cheapest(name: str, users: int, tokens: Tokens) -> float | None:
    _, assumptions = assumed({})
    found = ranked_options(
        service(name), None, [choice_of_gpu(catalog.gpu(gpu)) for gpu in ("h100-sxm", "l40s")],
        Wish(tokens=tokens, users=users, requests_per_hour=None, min_speed=10),
        Comparison(policy=default_policy(), assumptions=assumptions, people=None, tokens=tokens),
    )  # fmt: skip
    return min((found.costs[option].net_present_cost for option in found.ranking.keys), default=None)


@given(situations(), USERS, TOKENS)
def test_a_load_is_counted_once(situation, users, prompt):
    """The same load twice gives the same speed: nothing is kept from one call to the next."""
    served, on, load, tp = situation
    other = Load(users=users, prompt_tokens=prompt, output_tokens=load.output_tokens)
    first, _, again = speeds(served, on, (load, other, load), tp=tp)
    assert first == again
