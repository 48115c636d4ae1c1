"""Time two things in turn, so that other load on the machine slows both.

pytest-benchmark, pyperf and hyperfine time one thing after the other: on a shared machine they divide times that were
measured minutes apart. Here each round times the baseline and then what is measured, and the ratio is the median of the
rounds' ratios.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

Timed = Callable[[], float]
"""Does the work once and returns the seconds it took."""


@dataclass(frozen=True)
class Measure:
    """One row of the table in docs/performance.md.

    Attributes:
        name, baseline: what is measured, and what it is compared with.
        seconds, baseline_seconds: medians over the rounds.
        ratio: median over the rounds of seconds / baseline_seconds.
        target: the largest ratio that meets our goal; None if there is no goal.
        note: a sentence about the result, or "".
    """

    name: str
    baseline: str
    seconds: float
    baseline_seconds: float
    ratio: float
    target: float | None = None
    note: str = ""

    @property
    def is_reached(self) -> bool:
        return self.target is None or round(self.ratio, 2) <= self.target


def compared(
    name: str, seconds: Sequence[float], baseline: str, baseline_seconds: Sequence[float], target: float | None = None
) -> Measure:
    """Return the measure of two series of times, one pair a round."""
    ratio = statistics.median(a / b for a, b in zip(seconds, baseline_seconds))
    return Measure(name, baseline, statistics.median(seconds), statistics.median(baseline_seconds), ratio, target)


def in_turn(
    name: str, measured: Timed, baseline_name: str, baseline: Timed, *, rounds: int, target: float | None = None
) -> Measure:
    """Run both once to warm up, then time one after the other, `rounds` times."""
    baseline(), measured()
    pairs = [(_alone(baseline), _alone(measured)) for _ in range(rounds)]
    return compared(name, [b for _, b in pairs], baseline_name, [a for a, _ in pairs], target)


def _alone(timed: Timed) -> float:
    """Time without the garbage of what ran before, whose collection may otherwise fall into this time."""
    gc.collect()
    return timed()


def calls(function: Callable[..., object], arguments: Sequence[tuple]) -> Timed:
    """Call `function` with each tuple of `arguments`; the time is that of one call."""

    def timed() -> float:
        start = time.perf_counter()
        for each in arguments:
            function(*each)
        return (time.perf_counter() - start) / len(arguments)

    return timed


def process(command: Sequence[str], **options) -> Timed:
    """Run a program from start to end."""

    def timed() -> float:
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **options)
        return time.perf_counter() - start

    return timed


def with_unit(seconds: float) -> str:
    """Return a time with three digits and its unit: s, ms or µs."""
    for unit, factor in (("s", 1.0), ("ms", 1e3)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def print_measures(measure: Callable[..., list[Measure]]) -> None:
    """Run a benchmark as a program: `python -m MODULE [--rounds N] [ARGUMENT ...]` prints its measures as JSON.

    `measure` gets the largest number of rounds, and the arguments.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=1000, help="at most N rounds of each measure", metavar="N")
    parser.add_argument("arguments", nargs="*")
    options = parser.parse_args()
    json.dump([asdict(each) for each in measure(options.rounds, *options.arguments)], sys.stdout, indent=1)
