"""Compute how fast the layouts of an exported scenario are, by the terms that pages print as formulas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.catalog.hardware import Gpu
from core.catalog.speeds import constant_values
from core.errors import OutOfRangeError, UnsupportedModelError
from core.plan.defaults import ENGINE
from core.plan.demand import TOKENS
from core.plan.fleet import Option
from core.plan.option_speed import OptionSpeed, Wish, served, speeds_of_options
from core.plan.speed import engine_inputs, speed_inputs
from core.plan.speed_terms import ATTENTION, DRAFTS, FAST, LOAD, PACE, SERVED, SERVED_LOAD
from core.plan.terms import Terms
from workbook.scenario import Scenario

# Constants of the engine in the terms, and the factor of the slow end of the time to the first token.
CONSTANTS = engine_inputs(ENGINE, constant_values()) | {"range_first_token": constant_values()["range_first_token"]}
# What the GPU is, for every layout.
OF_GPU = (
    "bandwidth_bytes_per_s", "sixteen_bit_flops_per_s", "maker_read", "maker_compute", "kernel_s", "step_fixed_s",
    "sequence_s", "own_range",
)  # fmt: skip
# What a step and a prompt take with one tensor parallel size, and the longest time per token at the wanted speed.
PACE_TERMS = Terms(*ATTENTION, *PACE, FAST["longest_token_s"])
# A layout: the users that it serves fast enough, then its load.
FAST_TERMS = Terms(*(term for term in FAST if term.name != "longest_token_s"))
LOAD_TERMS = SERVED_LOAD
_SEQUENCES = Terms(SERVED["sequences"])
# Names of the terms → what they are on a page.
RENAMED = {"running_users": "users"}
_KNOWN = {
    *CONSTANTS, *OF_GPU, *(term.name for term in TOKENS), "value_bytes", "min_speed", "tp", "pp", "shared_tokens",
    "attention_groups", "kv_block_tokens", "mtp_tokens", "acceptance", *DRAFTS.by_name,
}  # fmt: skip
_COMPUTED = {term.name for terms in (PACE_TERMS, FAST_TERMS, LOAD_TERMS) for term in terms}
# Figures of the model with tensor parallel size N, and of the link between N GPUs.
PACE_INPUTS = tuple(
    name
    for name in dict.fromkeys((*PACE_TERMS.inputs, *FAST_TERMS.inputs, *LOAD_TERMS.inputs))
    if name not in {*_KNOWN, *_COMPUTED, *RENAMED, "sequences"}
)
# Why a page has no speed. With the last two no layout is chosen, as in `vram plan`.
NOT_ASKED, NO_GPU, NO_BANDWIDTH, NO_FIGURES, NO_RATE, NO_KERNEL = (
    "not_asked", "no_gpu", "no_bandwidth", "no_figures", "no_rate", "no_kernel",
)  # fmt: skip
REFUSING = (NO_RATE, NO_KERNEL)


def wish_of(scenario: Scenario, min_speed: float) -> Wish:
    """Return what is asked of every option."""
    return Wish(tokens=scenario.request_tokens, users=scenario.users, requests_per_hour=None, min_speed=min_speed)


def gap_of(scenario: Scenario) -> str:
    """Return why the speed of a scenario cannot be computed; "" if it can."""
    gpu = scenario.gpu
    if gpu is None:
        return NO_GPU
    if gpu.bandwidth_gb_per_s is None:
        return NO_BANDWIDTH
    try:
        _inputs(scenario, gpu, scenario.service.groups)
    except UnsupportedModelError:
        return NO_FIGURES
    except OutOfRangeError as error:
        return NO_KERNEL if error.field == "precision" else NO_RATE
    return ""


def at_loads(
    scenario: Scenario, min_speed: float | None, options: Sequence[Option] | None = None
) -> tuple[OptionSpeed, ...]:
    """Return the options of a scenario at their loads, as `vram plan` has them; without a wanted speed, by memory.

    Args:
        options: those to look at; all of the scenario's if omitted.
    """
    options = scenario.options if options is None else options
    if min_speed is not None:
        try:
            return tuple(speeds_of_options(scenario.service, options, wish_of(scenario, min_speed)))
        except UnsupportedModelError:
            pass  # only the size of the model is known
    users = scenario.users
    return tuple(OptionSpeed(option=option, users=users, peak_users=users, speed=None) for option in options)


def pace_figures(scenario: Scenario, tp: int, min_speed: float) -> dict[str, Any]:
    """Return the inputs and terms of `PACE_TERMS` by name, for a GPU whose speed can be computed."""
    assert scenario.gpu is not None
    given = _inputs(scenario, scenario.gpu, tp) | {"tp": tp, "min_speed": min_speed}
    given |= TOKENS.compute({"context": scenario.context, "given_output_tokens": scenario.output_tokens})
    return given | PACE_TERMS.compute(given)


def _inputs(scenario: Scenario, gpu: Gpu, tp: int) -> dict[str, Any]:
    load = wish_of(scenario, 0).load(1)
    return dict(speed_inputs(served(scenario.service), gpu, load, tp=tp))


def fast_figures(pace: Mapping[str, Any], pp: int) -> dict[str, Any]:
    """Return the terms of `FAST_TERMS` of a layout by name."""
    return FAST_TERMS.compute({**pace, "pp": pp})


def load_figures(pace: Mapping[str, Any], pp: int, users: int, replicas: int | None) -> dict[str, Any]:
    """Return the terms of `LOAD_TERMS` of a layout by name, and the sequences of a replica.

    Args:
        replicas: those that are needed; None if the users do not fit.
    """
    sequences = _SEQUENCES.compute({"users": users, "replicas_needed": replicas})["sequences"]
    given = {**pace, "pp": pp, "sequences": sequences, "running_users": users, "waiting_users": 0}
    found = LOAD.compute(given)
    return {"sequences": sequences} | {term.name: found[term.name] for term in LOAD_TERMS}
