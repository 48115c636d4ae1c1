"""Name what other sheets look up on Speed, by the number of its row."""

from __future__ import annotations

from core.plan.speed_terms import ANY_LAYOUT, ATTENTION, FAST, LOAD, PACE, WEIGHTS
from workbook import terms

# What runs: 1 a speed is computed, 0 too little is known of the model, -1 no kernel, -2 a rate of the GPU is missing.
RUNS, NO_FIGURES, NO_KERNEL, NO_RATE = 1, 0, -1, -2

# The terms that Speed computes: those that are the same in every layout with one tensor parallel size.
TERMS = (*WEIGHTS, *ATTENTION, *PACE, *(FAST[name] for name in ANY_LAYOUT))
# Figures that the terms of a load and of a wanted speed use.
USED = frozenset({name for group in (FAST, LOAD) for name in group.inputs} | {*ANY_LAYOUT})
# Columns that other sheets look up by the number of the row, each with a workbook-level name for the options; that for
# the scenarios begins with "scenario_".
NAMED = (
    "runs", "bandwidth_bytes_per_s", "output_tokens", "prompt_tokens", "verified_tokens",
    *(term.name for term in TERMS if term.name in USED),
)  # fmt: skip
OF_SCENARIOS = "scenario_"


def name_of(key: str, *, of_scenarios: bool) -> str:
    """Return the workbook-level name of a column of Speed."""
    return f"{OF_SCENARIOS if of_scenarios else ''}{'pace_runs' if key == 'runs' else key}"


def shown_low(runs: str, low: str) -> str:
    """Return the formula of a speed as `core.plan.option_speed.too_slow` states it: rounded down, tenths below 1.

    Args:
        runs, low: the cells of what runs, and of the low end of the tokens per second of a user.
    """
    return f"IF({runs}={RUNS},IF({low}<1,INT({low}*10^1)/10^1,INT({low})),{terms.MISSING})"


def at_pace(name: str, row: str) -> str:
    """Return the figure of a scenario in row `row`, or the defined name of an input that all rows share."""
    return f"INDEX({name_of(name, of_scenarios=True)},{row})" if name in NAMED else name
