"""The ranking: cheapest first, about equal costs by room and bandwidth, and a reason for each option that is left out."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.plan.ranking import NO_BANDWIDTH, NO_PRICE, SAME_COST, Candidate, LeftOut, rank


def candidate(key, cost, free=0, bandwidth=1.0, reason="", gpu="") -> Candidate:
    return Candidate(
        key=key, net_present_cost=cost, free_places=free, bandwidth_per_user=bandwidth, reason=reason, gpu=gpu
    )


def test_the_cheapest_is_first_and_the_margin_is_the_runner_ups():
    found = rank([candidate("a", 120.0), candidate("b", 100.0), candidate("c", 130.0)])
    assert found.keys == ("b", "a", "c")
    assert found.margin == pytest.approx(0.2)


def test_the_runner_up_is_of_another_gpu_if_there_is_one():
    of_two = [candidate("a", 100.0, gpu="x"), candidate("b", 110.0, gpu="x"), candidate("c", 150.0, gpu="y")]
    found = rank(of_two)
    assert found.keys == ("a", "b", "c") and found.runner_up == "c"
    assert found.margin == pytest.approx(0.5)
    found = rank(of_two[:2])
    assert found.runner_up == "b" and found.margin == pytest.approx(0.1)
    assert rank(of_two[:1]).runner_up is None


def test_about_equal_costs_are_decided_by_free_places_then_by_bandwidth():
    """100 and 100.09 are within 0.1 %; 100.11 is not, though it is within 0.1 % of 100.09."""
    found = rank(
        [candidate("cheap", 100.0, 1), candidate("roomy", 100.09, 5), candidate("fast", 100.05, 5, 9.0),
         candidate("next", 100.11, 50)]
    )  # fmt: skip
    assert found.keys == ("fast", "roomy", "cheap", "next")


def test_every_option_left_out_has_a_reason():
    found = rank(
        [candidate("unpriced", None), candidate("unknown", 1.0, bandwidth=None), candidate("slow", 1.0, reason="too slow"),
         candidate("in", 5.0)]
    )  # fmt: skip
    assert found.keys == ("in",) and found.margin is None
    assert found.left_out == (
        LeftOut("unpriced", NO_PRICE),
        LeftOut("unknown", NO_BANDWIDTH),
        LeftOut("slow", "too slow"),
    )


def test_nothing_to_rank():
    assert rank([]).keys == ()


COSTS = st.floats(1, 1e9)
CANDIDATES = st.lists(
    st.builds(
        Candidate,
        key=st.integers(),
        net_present_cost=st.none() | COSTS,
        free_places=st.integers(0, 100),
        bandwidth_per_user=st.none() | st.floats(1, 1e4),
    )
)


@given(CANDIDATES)
def test_each_option_is_ranked_or_left_out_once(candidates):
    found = rank(candidates)
    assert sorted([*found.keys, *(out.key for out in found.left_out)]) == sorted(c.key for c in candidates)


@given(st.lists(st.tuples(COSTS, st.integers(0, 3)), min_size=1))
def test_none_is_placed_before_one_that_is_clearly_cheaper(pairs):
    found = rank([candidate(number, cost, free) for number, (cost, free) in enumerate(pairs)])
    costs = [pairs[key][0] for key in found.keys]
    assert all(earlier <= later * SAME_COST for earlier, later in pairwise(costs))
    assert costs[0] <= min(costs) * SAME_COST
