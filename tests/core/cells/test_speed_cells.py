"""Test the cell functions for speed: the layout that they choose, and that they agree with `vram speed`."""

from __future__ import annotations

import pytest

import vram
from core.plan.fleet import LAYOUTS
from vram_udf import VRAM_SPEED, VRAM_USERS_AT_SPEED

LLAMA, LOAD = "llama-3.1-70b", (2000, 500)
ARGUMENTS = {"prompt_tokens": 2000, "output_tokens": 500}


def layouts(gpus: int, users: int):
    """Every layout on a number of H100s, with the speed that the API computes for it."""
    for tp, pp in LAYOUTS:
        replicas = gpus // (tp * pp)
        try:
            if replicas:
                yield vram.speed(LLAMA, gpu="h100", tp=tp, pp=pp, replicas=replicas, users=users, **ARGUMENTS)
        except vram.PlannerError:
            continue  # it does not fit


@pytest.mark.parametrize("users", [1, 50, 500])
def test_the_fastest_layout_that_holds_all_users(users):
    holding = [found for found in layouts(8, users) if found.expected.users_at_once >= users]
    best = max(holding, key=lambda found: found.expected.tokens_per_second_per_user)
    figures = {
        None: best.expected.tokens_per_second_per_user,
        "per_user": best.expected.tokens_per_second_per_user,
        "low": best.low.tokens_per_second_per_user,
        "HIGH": best.high.tokens_per_second_per_user,
        "total": best.expected.output_tokens_per_second,
        "first_token": best.expected.time_to_first_token_s,
        "users_at_once": best.expected.users_at_once,
        "limited_by": best.limited_by,
    }
    assert {result: VRAM_SPEED(LLAMA, *LOAD, users, "h100", 8, result=result) for result in figures} == figures


def test_more_users_than_any_layout_holds_wait():
    most = max(found.expected.users_at_once for found in layouts(8, 1))
    assert VRAM_SPEED(LLAMA, *LOAD, 10 * most, "h100", 8, result="users_at_once") == most
    assert VRAM_SPEED(LLAMA, *LOAD, 10 * most, "h100", 8, result="limited_by") == "memory"
    assert VRAM_SPEED(LLAMA, *LOAD, 10 * most, "h100", 8) == VRAM_SPEED(LLAMA, *LOAD, most, "h100", 8)


def test_the_layout_is_named():
    assert VRAM_SPEED(LLAMA, *LOAD, 50, "h100", 8, result="layout") == "TP 8"
    assert VRAM_SPEED("llama-3.1-8b", *LOAD, 1, "h100", 1, result="layout") == "TP 1"


def test_the_most_users_at_a_speed():
    most = VRAM_USERS_AT_SPEED(LLAMA, *LOAD, 20, "h100", 8)
    assert most == max(
        vram.users_at_speed(LLAMA, 20, gpu="h100", tp=found.tp, pp=found.pp, replicas=found.replicas, **ARGUMENTS)
        for found in layouts(8, 1)
    )
    assert VRAM_USERS_AT_SPEED(LLAMA, *LOAD, [[5, 20, 60, 10**6]], "h100", 8)[0] == sorted(
        (VRAM_USERS_AT_SPEED(LLAMA, *LOAD, speed, "h100", 8) for speed in (5, 20, 60, 10**6)), reverse=True
    )
    assert VRAM_USERS_AT_SPEED(LLAMA, *LOAD, 10**6, "h100", 8) == 0
    assert VRAM_USERS_AT_SPEED(LLAMA, *LOAD, 20, "h100", 1) == 0  # it does not fit


def test_grids_spill():
    grid = VRAM_SPEED(LLAMA, *LOAD, [[1], [10], [100]], [["h100", "h101"]], 8)
    assert [row[0] for row in grid] == sorted((row[0] for row in grid), reverse=True)
    assert [row[1] for row in grid] == ["#N/A"] * 3


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((LLAMA, 0, 500, 1, "h100", 8), "#NUM!"),
        ((LLAMA, 2000, "many", 1, "h100", 8), "#VALUE!"),
        ((LLAMA, *LOAD, 1, "h101", 8), "#N/A"),
        ((LLAMA, *LOAD, 1, 80, 8), "#NUM!"),  # GB have no bandwidth
        ((LLAMA, *LOAD, 1, "mi300a", 8), "#NUM!"),  # its bandwidth is not known
        ((LLAMA, *LOAD, 1, "h100", 1), "#NUM!"),  # it does not fit
        (("gpt-oss-20b", *LOAD, 1, "v100", 8), "#NUM!"),  # no kernel
        (([[70, 80, 8196]], *LOAD, 1, "h100", 8), "#VALUE!"),  # only the size is known
        ((LLAMA, *LOAD, 1, "h100", 8, None, None, "fast"), "#N/A"),
        ((LLAMA, *LOAD, 1, "h100", "#REF!"), "#REF!"),
    ],
)
def test_invalid_arguments_give_excel_errors(arguments, error):
    assert VRAM_SPEED(*arguments) == error
    if len(arguments) == 6:
        assert VRAM_USERS_AT_SPEED(*arguments) == (0 if arguments[5] == 1 else error)
