"""Demand: people, requests per hour and users, one of which is given."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import OutOfRangeError, PlannerError
from core.plan.demand import Demand, Served, Tokens, demand_of, requests_served, tokens_of


def test_people_of_whom_a_share_is_active():
    assert demand_of(people=500, active=0.1) == Demand(users=50, requests_per_hour=None)
    assert demand_of(people=501, active=0.1).users == 51  # 50.1 users need room for 51
    assert demand_of(people=3, active=0.01).users == 1


def test_users_and_requests_are_taken_as_given():
    assert demand_of(users=50) == Demand(users=50, requests_per_hour=None)
    assert demand_of(requests_per_hour=3600) == Demand(users=None, requests_per_hour=3600)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "users: no demand is given. Give one of users, people and requests_per_hour."),
        ({"users": 5, "people": 50, "active": 0.1}, "people: users and people are given."),
        ({"users": 5, "requests_per_hour": 50}, "requests_per_hour: users and requests_per_hour are given."),
        ({"people": 50}, "active: it is missing."),
        ({"users": 50, "active": 0.1}, "people: it is missing."),
    ],
)
def test_demand_that_is_given_twice_or_not_at_all(arguments, message):
    with pytest.raises(OutOfRangeError) as caught:
        demand_of(**arguments)
    assert message in str(caught.value)


@pytest.mark.parametrize("wrong", [{"people": 0, "active": 0.1}, {"people": 5, "active": 2}, {"users": "ten"}])
def test_figures_out_of_range(wrong):
    with pytest.raises(PlannerError):
        demand_of(**wrong)


def test_littles_law_by_hand():
    """3600 requests an hour are one a second; each takes 1 + 200 ÷ 20 = 11 s: 11 at once, 3 replicas of 4."""
    figures = {"first_token_s": 1, "output_tokens": 200, "tokens_per_s_per_user": 20, "users_per_replica": 4}
    assert requests_served(3600, **figures) == Served(users=11, replicas=3)
    assert requests_served(1, **figures) == Served(users=1, replicas=1)


@given(st.floats(1, 1e6), st.floats(0.01, 10), st.integers(1, 4000), st.floats(1, 300), st.integers(1, 256))
def test_the_replicas_are_just_enough(requests, first, tokens, rate, users):
    replicas = requests_served(
        requests, first_token_s=first, output_tokens=tokens, tokens_per_s_per_user=rate, users_per_replica=users
    ).replicas
    served = replicas * users / (first + tokens / rate) * 3600
    assert served >= requests * (1 - 1e-6)
    assert replicas == 1 or served * (replicas - 1) / replicas < requests * (1 + 1e-6)


@pytest.mark.parametrize(
    ("given", "tokens"),
    [
        ({"context": 9216}, Tokens(9216, 8192, 1024)),  # the load that the shares are from
        ({"context": 1}, Tokens(1, 1, 1)),
        ({"prompt_tokens": 2000, "output_tokens": 500}, Tokens(2500, 2000, 500)),
        ({"context": 4000, "prompt_tokens": 3000}, Tokens(4000, 3000, 1000)),
        ({"context": 4000, "output_tokens": 500}, Tokens(4000, 3500, 500)),
        ({"context": 32_768, "prompt_tokens": 2000, "output_tokens": 500}, Tokens(32_768, 2000, 500)),
    ],
)
def test_prompt_and_answer_fill_the_context(given, tokens):
    assert tokens_of(**given) == tokens


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "context: it is missing. Give context, or both prompt_tokens and output_tokens."),
        ({"prompt_tokens": 5}, "context: it is missing."),
        ({"context": 100, "prompt_tokens": 100}, "prompt_tokens: 100 do not fit into a context of 100."),
        ({"context": 100, "prompt_tokens": 60, "output_tokens": 50}, "prompt_tokens: 60 and 50 output tokens are more"),
    ],
)
def test_tokens_that_do_not_agree(given, message):
    with pytest.raises(OutOfRangeError) as caught:
        tokens_of(**given)
    assert message in str(caught.value)
