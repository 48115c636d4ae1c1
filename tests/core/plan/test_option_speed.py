"""The speed of a plan's options: at their load, the reason where they are too slow, and Little's law by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from core import catalog
from core.errors import OutOfRangeError, UnsupportedModelError
from core.plan import fleet
from core.plan import option_speed as module
from core.plan.demand import Tokens
from core.plan.option_speed import NO_COMPUTE_RATE, Wish, no_kernel, speed_in_full, speeds_of_options, too_slow
from core.plan.serving import service_of
from core.plan.speed import Load, speed, users_at_speed

WISH = Wish(tokens=Tokens(2500, 2000, 500), users=50, requests_per_hour=None, min_speed=20)


def service(name: str = "llama-3.1-70b", precision: str | None = None, **settings):
    spec = catalog.model(name).spec
    weights = None if precision is None else catalog.weights_precision(precision)
    return service_of(spec, weights, catalog.precision("kv_precision", "fp16"), None, **settings)


def options(served, gpu: str, users: int = 50, context: int = 2500) -> list[fleet.Option]:
    return list(fleet.options(served, fleet.choice_of_gpu(catalog.gpu(gpu)), users, context))


@pytest.mark.parametrize(
    ("low", "wanted", "reason"),
    [
        (1.23, 10, "too slow: 1 of 10 tokens/s"),
        (9.99, 10, "too slow: 9 of 10 tokens/s"),
        (0.97, 1.5, "too slow: 0.9 of 1.5 tokens/s"),
        (10, 10, ""),
        (3, 0, ""),
    ],
)
def test_the_reason_never_promises_more_than_there_is(low, wanted, reason):
    assert too_slow(low, wanted) == reason


@pytest.mark.parametrize("gpu", ["h100", "l40s", "dgx-spark"])
def test_an_option_is_as_fast_as_its_layout_is(gpu):
    served = service()
    for at_load in speeds_of_options(served, options(served, gpu), WISH):
        replica = at_load.option.replica
        alone = speed(served, catalog.gpu(gpu), WISH.load(50), tp=replica.tp, pp=replica.pp,
                      replicas=at_load.option.replicas)  # fmt: skip
        assert at_load.speed is not None
        assert at_load.speed.low.tokens_per_s_per_user == alone.low.tokens_per_s_per_user
        assert speed_in_full(served, at_load, WISH) == alone
        assert bool(at_load.reason) == (alone.low.tokens_per_s_per_user < 20)


def test_requests_take_the_replicas_of_littles_law():
    """λ W ÷ N, with the users N that a replica runs at the wanted speed, and W = first token + output ÷ speed."""
    served = service()
    wish = replace(WISH, users=None, requests_per_hour=36_000.0)
    for at_load in speeds_of_options(served, options(served, "h100", users=1), wish):
        layout = {"tp": at_load.option.replica.tp, "pp": at_load.option.replica.pp}
        gpu, load = catalog.gpu("h100"), Load(users=1, prompt_tokens=2000, output_tokens=500)
        most = min(users_at_speed(served, gpu, load, 20, **layout), at_load.option.users_per_replica)
        if not most:
            assert at_load.reason.startswith("too slow: ")
            continue
        full = speed(served, gpu, replace(load, users=most), **layout)
        seconds = full.expected.first_token_s + 500 / full.low.tokens_per_s_per_user
        assert at_load.users == math.ceil(10 * seconds)
        assert at_load.option.users_per_replica == most
        assert at_load.option.replicas == math.ceil(10 * seconds / most)
        assert at_load.option.gpus == at_load.option.replicas * at_load.option.replica.gpus
        assert not at_load.reason


def test_more_requests_than_the_gpus_that_are_planned():
    served = service()
    wish = replace(WISH, users=None, requests_per_hour=1e9)
    reasons = {at_load.reason for at_load in speeds_of_options(served, options(served, "h100", users=1), wish)}
    assert any("GPUs are more than 100,000, the most that are planned" in reason for reason in reasons)


def test_a_gpu_of_which_too_little_is_known(monkeypatch):
    served = service()
    found = speeds_of_options(served, options(served, "mi300a"), WISH)
    assert {(at_load.speed, at_load.reason) for at_load in found} == {(None, "")}  # the ranking says why
    monkeypatch.setattr(module, "gpu_of_choice", lambda choice: replace(catalog.gpu("h100"), bf16_tflops=None))
    found = speeds_of_options(served, options(served, "h100"), WISH)
    assert {at_load.reason for at_load in found} == {NO_COMPUTE_RATE}


def test_a_format_without_a_kernel():
    served = service("llama-3.1-8b", "nvfp4")
    found = speeds_of_options(served, options(served, "v100-sxm2-32gb"), WISH)
    assert {at_load.reason for at_load in found} == {"no kernel for NVFP4 on NVIDIA V100 SXM2 32 GB"}
    shipped = catalog.model("gpt-oss-120b").spec
    assert no_kernel(shipped, None, catalog.gpu("t4")) == "no kernel for MXFP4 on NVIDIA T4"


def test_other_errors_are_no_reason():
    """Three GPUs cannot share 64 heads."""
    served = service()
    option = options(served, "h100")[0]
    odd = replace(option, replica=replace(option.replica, tp=3))
    with pytest.raises(OutOfRangeError, match=r"^tp: .*64"):
        speeds_of_options(served, [odd], WISH)


def test_places_are_the_options_own_with_average_tokens():
    served = service(average_tokens=1000)
    for at_load in speeds_of_options(served, options(served, "h200"), WISH):
        found = speed_in_full(served, at_load, WISH)
        assert found is not None
        assert found.expected.users_at_once == at_load.option.replicas * at_load.option.users_per_replica


def test_a_model_of_which_only_the_size_is_known():
    served = service("article-llama-70b")
    with pytest.raises(UnsupportedModelError, match="only the size of article-llama-70b is known"):
        speeds_of_options(served, options(served, "h100"), WISH)
