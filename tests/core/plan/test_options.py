"""Options without a speed: where only the size of the model is known, and where too little of the GPU is."""

from __future__ import annotations

import pytest

from core import catalog
from core.errors import UnsupportedModelError
from core.plan.costs import assumed, default_policy
from core.plan.demand import Tokens
from core.plan.fleet import choice_of_gpu
from core.plan.option_speed import Wish
from core.plan.options import Comparison, RankedOptions, ranked_options
from core.plan.ranking import NO_BANDWIDTH
from core.plan.serving import service_of

TOKENS = Tokens(2500, 2000, 500)


def ranked(name: str, gpu: str, users: int | None, requests_per_hour: float | None = None, **settings) -> RankedOptions:
    _, assumptions = assumed({})
    spec = catalog.model(name).spec
    return ranked_options(
        service_of(spec, None, catalog.precision("kv_precision", "fp16"), None), None,
        [choice_of_gpu(catalog.gpu(gpu))],
        Wish(tokens=TOKENS, users=users, requests_per_hour=requests_per_hour, min_speed=10),
        Comparison(policy=default_policy(), assumptions=assumptions, people=None, tokens=TOKENS), **settings,
    )  # fmt: skip


def test_users_of_a_model_of_which_only_the_size_is_known():
    """The options have no speed, and are ranked by cost."""
    found = ranked("article-llama-70b", "h100-sxm", users=10)
    assert found.no_speed.startswith("only the size of article-llama-70b is known")
    assert {(at_load.users, at_load.speed) for at_load in found.at_loads.values()} == {(10, None)}
    costs = [found.costs[option].net_present_cost for option in found.ranking.keys]
    assert costs and costs == sorted(costs)


def test_requests_need_a_speed():
    with pytest.raises(UnsupportedModelError, match="only the size of article-llama-70b is known"):
        ranked("article-llama-70b", "h100-sxm", users=None, requests_per_hour=3600)


def test_requests_on_a_gpu_without_a_bandwidth():
    """Requests cannot be turned into replicas; users can."""
    found = ranked("llama-3.1-8b", "mi300a", users=None, requests_per_hour=3600)
    assert {at_load.reason for at_load in found.at_loads.values()} == {NO_BANDWIDTH} and not found.ranking.keys
    assert {at_load.reason for at_load in ranked("llama-3.1-8b", "mi300a", users=10).at_loads.values()} == {""}


def test_where_speed_plays_no_part_none_is_computed():
    found = ranked("llama-3.1-8b", "h100-sxm", users=10, with_speed=False)
    assert found.at_loads and {at_load.speed for at_load in found.at_loads.values()} == {None}
    assert found.no_speed == ""
