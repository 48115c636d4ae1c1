"""Two things timed in turn, so that whatever else the machine does hits both.

A ratio is the median over the rounds of what is measured over the baseline beside it. pytest-benchmark, pyperf and
hyperfine time one thing after the other: on a shared machine their ratios are of two different minutes.
"""

from __future__ import annotations

import gc
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Timed = Callable[[], float]
"""Does what is measured, and gives the seconds that it took."""


@dataclass(frozen=True)
class Measure:
    """One row of the table.

    Attributes:
        name, baseline: what is measured, and against what.
        seconds, baseline_seconds: of each round.
        most: the ratio to reach; None where there is none.
        notes: what else is to be said, in sentences.
    """

    name: str
    baseline: str
    seconds: Sequence[float]
    baseline_seconds: Sequence[float]
    most: float | None
    notes: tuple[str, ...] = ()

    @property
    def ratio(self) -> float:
        return statistics.median(a / b for a, b in zip(self.seconds, self.baseline_seconds))

    @property
    def is_reached(self) -> bool:
        return self.most is None or round(self.ratio, 2) <= self.most


def in_turn(
    name: str, measure: Timed, baseline_name: str, baseline: Timed, *, rounds: int, most: float | None, notes=()
) -> Measure:
    """Times both once to warm up, then one after the other, `rounds` times."""
    baseline(), measure()
    gc.collect()
    pairs = [(baseline(), measure()) for _ in range(rounds)]
    return Measure(name, baseline_name, [b for _, b in pairs], [a for a, _ in pairs], most, tuple(notes))


def calls(function: Callable[..., object], arguments: Sequence[tuple]) -> Timed:
    """Calls `function` with each of `arguments`; the seconds are those of one call."""

    def timed() -> float:
        start = time.perf_counter()
        for each in arguments:
            function(*each)
        return (time.perf_counter() - start) / len(arguments)

    return timed


def process(command: Sequence[str], **options) -> Timed:
    """Runs a program from start to end."""

    def timed() -> float:
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **options)
        return time.perf_counter() - start

    return timed


def written(seconds: float) -> str:
    """A time as people read it."""
    for unit, factor in (("s", 1.0), ("ms", 1e3)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"
