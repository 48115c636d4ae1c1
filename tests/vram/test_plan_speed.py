"""`vram plan` and `vram.plan`: the speed of each layout, and why slow ones are ruled out."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import pytest

import vram as api
from core import catalog

LLAMA = "llama-3.1-70b"
ASKED = {"users": 50, "context": 32_768}
COMMAND = ("plan", LLAMA, "--users", 50, "--context", 32_768)
KEYS = ("tokens_per_second_per_user", "output_tokens_per_second", "time_to_first_token_s", "users_at_once",
        "limited_by", "low", "high")  # fmt: skip


def answer(vram, *arguments):
    status, out, err = vram(*arguments, "--json")
    assert (status, err) == (0, "")
    return json.loads(out)


def test_fifty_users_are_offered_no_slow_cluster(vram):
    """Each GPU of the catalog is offered, or ruled out with a reason, never both."""
    found = answer(vram, *COMMAND, "--costs")
    offered = [layout["gpu"] for layout in found["layouts"]]
    reasons = {row["gpu"]: row["reason"] for row in found["ruled_out"]}
    for slow in ("dgx-spark", "a2", "rtx-3060-12gb"):
        assert slow not in offered
        assert "too slow: " in reasons[slow] and "of 10 tokens/s" in reasons[slow]
    assert set(offered).isdisjoint(reasons)
    assert set(offered) | set(reasons) == {gpu.name for gpu in catalog.gpus()}
    assert all(layout["low"]["tokens_per_second_per_user"] >= 10 for layout in found["layouts"] if layout["low"])
    assert (found["prompt_tokens"], found["output_tokens"], found["min_speed"]) == (29_128, 3640, 10)


def test_options_without_a_price_are_in_one_order():
    """Those that are equal in all by which they are sorted are in the order of the catalog."""
    places = {gpu.name: place for place, gpu in enumerate(catalog.gpus())}
    found = api.plan("qwen3-32b", requests_per_hour=2000, prompt_tokens=2000, output_tokens=500)
    unpriced = [option for option in found.options if option.rank is None]
    equal = [
        (places[one.gpu], places[other.gpu])
        for one, other in pairwise(unpriced)
        if replace(one, gpu="", speed=None, costs=None) == replace(other, gpu="", speed=None, costs=None)
        and catalog.gpu(one.gpu).memory_bytes == catalog.gpu(other.gpu).memory_bytes
    ]
    assert len(equal) > 1 and all(before < after for before, after in equal)


def test_a_gpu_that_is_named_twice_counts_once():
    once = api.plan(LLAMA, **ASKED, gpus=["l4", "80"])
    assert once.ruled_out and api.plan(LLAMA, **ASKED, gpus=["l4", "80", "nvidia-l4", "l4", 80]) == once


def test_a_layout_is_as_fast_as_vram_speed_says():
    found = api.plan(LLAMA, **ASKED, gpus=["h100", "mi300x", "rtx-5090"])
    for layout in found.as_dict()["layouts"]:
        alone = api.speed(LLAMA, gpu=layout["gpu"], tp=layout["tp"], pp=layout["pp"], replicas=layout["replicas"],
                          users=50, prompt_tokens=29_128, output_tokens=3640).as_dict()  # fmt: skip
        assert {key: layout[key] for key in KEYS} == {key: alone[key] for key in KEYS}


def test_a_faster_wish_leaves_fewer_options_on_no_fewer_gpus():
    def gpus(min_speed):
        found = api.plan(LLAMA, **ASKED, gpus=["h100", "h200", "l40s"], min_speed=min_speed)
        return {(option.gpu, option.tp, option.pp): option.gpus for option in found.options}, found

    before, found = gpus(None)
    assert all(option.speed is None for option in found.options)
    assert found.note == "memory only: this is not a latency promise"
    assert gpus(0)[0] == before
    in_all = len(before)
    for wanted in (5, 10, 20, 40, 1000):
        layouts, found = gpus(wanted)
        assert layouts.keys() <= before.keys()
        assert all(count >= before[layout] for layout, count in layouts.items())
        assert all(option.speed.low.tokens_per_second_per_user >= wanted for option in found.options)
        slow = [out for out in found.ruled_out if f"of {wanted} tokens/s" in out.reason]
        assert len(layouts) + len(slow) == in_all
        before = layouts
    assert not layouts


def test_replicas_are_added_until_users_get_the_wanted_speed():
    """100 users fit on four H200 with TP 2; at 40 tokens/s a replica serves fewer of them, so there are more."""
    asked = {"users": 100, "prompt_tokens": 2000, "output_tokens": 500, "precision": "fp8", "gpus": ["h200"]}
    slow, fast = (
        next(one for one in api.plan(LLAMA, **asked, min_speed=speed).options if (one.tp, one.pp) == (2, 1))
        for speed in (0, 40)
    )
    assert fast.replicas > slow.replicas
    assert fast.replicas * fast.users_per_replica >= 100
    assert fast.speed.low.tokens_per_second_per_user >= 40 > slow.speed.low.tokens_per_second_per_user


def test_demand_by_people_and_by_requests(vram):
    load = ("--prompt-tokens", 2000, "--output-tokens", 500, "--gpu", "h100")
    users = answer(vram, "plan", LLAMA, "--users", 50, *load)
    assert answer(vram, "plan", LLAMA, "--people", 500, "--active", 0.1, *load) == users
    assert users["context"] == 2500
    found = answer(vram, "plan", LLAMA, "--requests-per-hour", 36_000, *load)
    assert (found["users"], found["requests_per_hour"]) == (None, 36_000)
    for layout in found["layouts"]:
        assert layout["users"] <= layout["replicas"] * layout["users_per_replica"]
        assert layout["low"]["tokens_per_second_per_user"] >= 10
    twice = answer(vram, "plan", LLAMA, "--requests-per-hour", 72_000, *load)
    assert twice["layouts"][0]["gpus"] > found["layouts"][0]["gpus"]
    status, out, _ = vram("plan", LLAMA, "--requests-per-hour", 36_000, *load)
    assert status == 0 and "36,000 requests an hour × 2,500 tokens (2,000 prompt, 500 output)" in out


def test_requests_on_gpus_without_a_speed():
    found = api.plan(LLAMA, requests_per_hour=3600, context=4096, gpus=["mi300a", 96], min_speed=None)
    assert not found.options
    assert {out.reason.partition(": ")[2] for out in found.ruled_out} >= {"no memory bandwidth is known"}


def test_average_tokens_make_room_for_more_users():
    whole, paged = (api.plan(LLAMA, **ASKED, gpus=["h200"], average_tokens=average, min_speed=0).options
                    for average in (None, 4000))  # fmt: skip
    most = {(option.tp, option.pp): option.users_per_replica for option in whole}
    shared = [option for option in paged if (option.tp, option.pp) in most]
    assert shared and all(option.users_per_replica > most[option.tp, option.pp] for option in shared)


def test_a_format_that_a_gpu_cannot_run_is_ruled_out():
    found = api.plan("gpt-oss-20b", users=1, context=4096, gpus=["v100-sxm2-32gb", "t4"])
    assert {option.gpu for option in found.options} <= {"t4"}
    assert "TP 1: no kernel for MXFP4 on NVIDIA V100 SXM2 32 GB" in {out.reason for out in found.ruled_out}


def test_a_model_without_shapes_has_no_speed(vram):
    found = api.plan("article-llama-70b", users=1, context=32_000, gpus=[80, "h100"])
    assert found.options and found.no_speed.startswith("only the size of article-llama-70b is known")
    status, out, _ = vram("plan", "article-llama-70b", "--users", 1, "--context", 32_000, "--gpu", "h100")
    assert status == 0 and "No speed: only the size of article-llama-70b is known" in out


def test_the_table_shows_speed_with_its_range(vram):
    status, out, err = vram(*COMMAND, "--gpu", "h100", "--costs")
    assert (status, err) == (0, "")
    for text in ("at least 10 tokens/s for each", "tokens/s", "limited by", "bandwidth", "30 (22–41)", "indicative"):
        assert text in out
    assert "Nothing can be chosen." in vram(*COMMAND, "--gpu", "a2")[1]
    assert "Brysbaert 2019" in " ".join(vram("plan", "--help")[1].split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "users: no demand is given. Give one of users, people and requests_per_hour."),
        (("--users", 5, "--people", 50, "--active", 0.1), "people: users and people are given."),
        (("--people", 50), "active: it is missing."),
        (("--users", 5, "--min-speed", -1), "min_speed: -1 is below 0."),
        (("--users", 5, "--min-speed", "fast"), "'fast' is not a number. Write tokens per second"),
        (("--users", 5, "--prompt-tokens", 9000), "prompt_tokens: 9,000 do not fit into a context of 8,192."),
    ],
)
def test_bad_input_is_one_sentence(vram, arguments, message):
    status, out, err = vram("plan", "llama-3.1-8b", "--context", 8192, *arguments)
    assert (status, out) == (2, "")
    assert message in err and "Traceback" not in err


def test_a_plan_needs_tokens(vram):
    assert "context: it is missing. Give context, or both" in vram("plan", "llama-3.1-8b", "--users", 5)[2]


def test_a_measured_speed_takes_the_place_of_the_computed_one(vram):
    """On TP 8 each of 50 users got 40 tokens/s: as many share a replica as fit, and 2 replicas still hold them."""
    found = answer(vram, *COMMAND, "--gpu", "h100", "--measured-speed", "h100:8=40")
    measured = next(option for option in found["layouts"] if (option["tp"], option["pp"]) == (8, 1))
    ends = [measured["tokens_per_second_per_user"], measured["low"], measured["high"]]
    assert [end if isinstance(end, float) else end["tokens_per_second_per_user"] for end in ends] == [40, 40, 40]
    assert (measured["users_per_replica"], measured["replicas"]) == (43, 2)
    assert found["assumed"] == ["measured_speed: on h100-sxm, TP 8, each user gets 40 tokens/s, as you measured"]
    plain = answer(vram, *COMMAND, "--gpu", "h100")
    others, computed = (
        [option for option in plan["layouts"] if (option["tp"], option["pp"]) != (8, 1)] for plan in (found, plain)
    )
    assert others == computed


def test_a_measured_speed_can_be_too_slow():
    found = api.plan(LLAMA, **ASKED, gpus=["h100"], measured_speeds={"h100:8": 5, " H100:8x2 ": 9.5})
    assert {(8, 1), (8, 2)}.isdisjoint((option.tp, option.pp) for option in found.options)
    reasons = [out.reason for out in found.ruled_out]
    assert "TP 8: too slow: 5 of 10 tokens/s" in reasons
    assert "TP 8 × PP 2: too slow: 9 of 10 tokens/s" in reasons


def test_requests_take_as_long_as_was_measured():
    """3600 requests an hour of 500 tokens at 50 tokens/s: one a second, 10 s each after its first token."""
    asked = {"requests_per_hour": 3600, "prompt_tokens": 2000, "output_tokens": 500, "gpus": ["h100"]}
    found = api.plan(LLAMA, **asked, measured_speeds={"h100:4": 50})
    measured = next(option for option in found.options if (option.tp, option.pp) == (4, 1))
    first = measured.speed.expected.time_to_first_token_s
    assert measured.users == -(-(first + 10) // 1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"h100": 25}, r"measured_speed: 'h100' is not a GPU with a layout. .*h100:8x2"),
        ({"h100:3": 25}, r"measured_speed: 3x1 is no layout that is planned. Write one of 1x1, 2x1"),
        ({"h100:4": 0}, r"measured_speed: 0 is below 0.001"),
        ({"h1000:4": 25}, r"gpu: 'h1000' is not known"),
    ],
)
def test_wrong_measured_speeds_are_refused(given, message):
    with pytest.raises(api.PlannerError, match=message):
        api.plan(LLAMA, **ASKED, measured_speeds=given)


def test_a_measured_speed_without_a_number_is_refused(vram):
    status, _, err = vram(*COMMAND, "--measured-speed", "h100:4")
    assert status == 2 and "has no number after '='" in err


def test_too_many_gpus_are_the_reason_however_many_they_are():
    """Fifty million requests an hour take millions of GPUs, whose order is computed no more."""
    found = api.plan(LLAMA, requests_per_hour=50_000_000, prompt_tokens=2000, output_tokens=5000, gpus=["h100"])
    assert found.options == ()
    assert any("GPUs are more than 100,000, the most that are planned" in out.reason for out in found.ruled_out)
