"""Time to start: importing the cell functions, and an estimate and a plan on the command line.

Compiled bytecode is in place, as in every installed package.
"""

from __future__ import annotations

import os
import sys
import tempfile

from benchmarks.timing import Measure, in_turn, print_measures, process

ROUNDS = 15
_COMMAND = "import sys; sys.argv[0] = 'vram'; from vram.cli.main import main; main()"
_PLAN = ("plan", "llama-3.1-70b", "--context", "32768", "--users", "50", "--costs")
_ARGUMENTS = ("estimate", "llama-3.1-70b", "--context", "32768", "--users", "10")


def measures(most_rounds: int) -> list[Measure]:
    with tempfile.TemporaryDirectory(prefix="vram-bench-") as folder:
        variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        variables |= {"PYTHONPYCACHEPREFIX": folder, "PYTHONPATH": os.getcwd()}

        def python(*arguments: str):
            return process([sys.executable, *arguments], env=variables)

        rounds = min(ROUNDS, most_rounds)
        return [
            in_turn(
                "import vram_udf", python("-c", "import vram_udf"), "import xlwings", python("-c", "import xlwings"),
                rounds=rounds, target=1.15,
            ),
            in_turn(
                "vram estimate", python("-c", _COMMAND, *_ARGUMENTS), "python -c pass", python("-c", "pass"),
                rounds=rounds, target=5,
            ),
            in_turn(
                "vram plan of every GPU, with speed and costs", python("-c", _COMMAND, *_PLAN),
                "python -c pass", python("-c", "pass"), rounds=rounds,
            ),
        ]  # fmt: skip


if __name__ == "__main__":
    print_measures(measures)
