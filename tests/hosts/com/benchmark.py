"""Time of cell functions as Excel on Windows calls them: xlwings converts arguments and results; pywin32 is replaced.

The baseline is a function with the same arguments that returns a constant of the same size. Run it as a program,
`python -m tests.hosts.com.benchmark`: the replacement of pywin32 changes xlwings for the rest of the process.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from itertools import count, islice
from pathlib import Path

from benchmarks.timing import Measure, calls, in_turn, print_measures
from core import catalog
from tests.hosts.com import pywin32_stand_in
from tests.hosts.com.pywin32_stand_in import Range

ROWS, COLUMNS = 100, 100
SCENARIOS = 10_000

_CONSTANTS = f"""
import vram_udf

def constant(name, value):
    def function(model, context, users=None, precision=None, kv_precision=None, overhead=None, unit=None):
        return value
    function.__name__ = name
    code = vram_udf.VRAM_TOTAL.__code__
    for argument in code.co_varnames[: code.co_argcount]:
        function = vram_udf.xw.arg(argument, ndim=2, err_to_str=True)(function)
    return vram_udf.xw.func(function)

GRID = constant("GRID", [[float(i * j) for j in range({COLUMNS})] for i in range({ROWS})])
COLUMN = constant("COLUMN", [[float(i)] for i in range({SCENARIOS})])
SCALAR = constant("SCALAR", 1.0)
"""


def measures(most_rounds: int) -> list[Measure]:
    with tempfile.TemporaryDirectory(prefix="vram-bench-") as folder:
        # In a file, as any module of cell functions: before each call xlwings checks whether the file has changed.
        Path(folder, "constants.py").write_text(_CONSTANTS, encoding="utf-8")
        sys.path.insert(0, folder)
        pywin32_stand_in.install()
        importlib.import_module("constants")
        return _measures(most_rounds)


def _measures(most_rounds: int) -> list[Measure]:
    from xlwings.com_server import XLPython

    server, caller = XLPython(), pywin32_stand_in._ComRange([[None]])

    def call(module: str, function: str, arguments: list[object]) -> object:
        return server.CallUDF(module, function, list(arguments), None, caller)

    def com(*arguments: object) -> list[object]:
        return [pywin32_stand_in._com_argument(argument) for argument in arguments]

    contexts = Range([[1024 * (i + 1)] for i in range(ROWS)])
    users = Range([[i + 1 for i in range(COLUMNS)]])
    grid = com("llama-3.1-70b", contexts, users)
    names, formats = catalog.model_names(), ("fp16", "fp8", "int4", "awq")
    column = com(
        Range([[names[i % len(names)]] for i in range(SCENARIOS)]),
        Range([[1024 + i] for i in range(SCENARIOS)]),
        Range([[1 + i % 97] for i in range(SCENARIOS)]),
        Range([[formats[i % len(formats)]] for i in range(SCENARIOS)]),
    )
    scalars = [com(Range([["llama-3.1-70b"]]), Range([[1024 + i]]), Range([[1 + i % 97]])) for i in range(50)]

    def gpus_of_new_contexts() -> float:
        new = [("vram_udf", "VRAM_GPUS", com("llama-3.1-70b", context, 50, "h100")) for context in islice(fresh, 50)]
        return calls(call, new)()

    fresh = count(1024)
    given = com("llama-3.1-70b", 1024, 50, "h100")

    def pair(name, baseline, function, batches, *, rounds, target):
        measured = calls(call, [("vram_udf", "VRAM_TOTAL", arguments) for arguments in batches])
        constant = calls(call, [("constants", function, arguments) for arguments in batches])
        return in_turn(name, measured, baseline, constant, rounds=min(rounds, most_rounds), target=target)

    return [
        pair(
            "a grid of 100 contexts × 100 users in one VRAM_TOTAL", "a function that returns a constant grid",
            "GRID", [grid], rounds=60, target=1.2,
        ),
        pair(
            "one VRAM_TOTAL, other contexts and users each time", "a function that returns a constant",
            "SCALAR", scalars, rounds=200, target=1.3,
        ),
        pair(
            "10 000 scenarios of all models in one column of VRAM_TOTAL", "a function that returns a constant column",
            "COLUMN", [column], rounds=30, target=2,
        ),
        in_turn(
            "one VRAM_GPUS, a context not seen before each time", gpus_of_new_contexts,
            "a function that returns a constant", calls(call, [("constants", "SCALAR", given)] * 50),
            rounds=min(100, most_rounds),
        ),
    ]  # fmt: skip


if __name__ == "__main__":
    print_measures(measures)
