"""How the cost of a call grows with its cells, and what a model costs that is asked for the first time."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass

import vram_udf

CELLS = (1, 100, 1_000, 10_000, 100_000)
_FIRST_TIME = """
import time
from core import catalog
from core.model.counts import model_counts
catalog.model("llama-3.1-8b")
start = time.perf_counter()
for model in catalog.models():
    model_counts(model.spec)
print((time.perf_counter() - start) / len(catalog.models()))
"""


@dataclass(frozen=True)
class Growth:
    """Seconds of one VRAM_TOTAL by the number of its cells, as a column and as a grid; and of a model's first time."""

    column: dict[int, float]
    grid: dict[int, float]
    first_time_of_a_model: float


def growth() -> Growth:
    """The least of several rounds each, in plain Python: without the host's conversion."""
    first_time = subprocess.run([sys.executable, "-c", _FIRST_TIME], check=True, capture_output=True).stdout
    grids = {}
    for cells in CELLS[1:]:
        rows = 10 if cells < 10_000 else 100
        contexts, users = [[1024.0 + i] for i in range(rows)], [[1.0 + i for i in range(cells // rows)]]
        grids[cells] = _least("llama-3.1-70b", contexts, users)
    columns = {cells: _least("llama-3.1-70b", [[1024.0 + i] for i in range(cells)]) for cells in CELLS}
    return Growth(columns, grids, float(first_time))


def _least(*arguments: object) -> float:
    vram_udf.VRAM_TOTAL(*arguments)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        vram_udf.VRAM_TOTAL(*arguments)
        seconds.append(time.perf_counter() - start)
    return min(seconds)
