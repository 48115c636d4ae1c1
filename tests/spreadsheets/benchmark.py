"""Time LibreOffice takes to recalculate a planner with 10,000 scenarios, compared with as many rows of ten plain formulas."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from openpyxl import Workbook, load_workbook

from benchmarks.timing import Measure, in_turn, print_measures
from core import catalog
from tests.spreadsheets.libreoffice import WhatIf, _find_office
from workbook import template
from workbook.labels import Labels
from workbook.sheets import scenarios

ROWS = 10_000
PLAIN_FORMULAS = 10
ROUNDS = 3
TIMEOUT_S = 600


def measures(most_rounds: int) -> list[Measure]:
    """Time recalculation alone, with the files already open; nothing where LibreOffice is missing."""
    if not _find_office()[0]:
        print("LibreOffice is not installed.", file=sys.stderr)
        return []
    with tempfile.TemporaryDirectory(prefix="vram-bench-") as folder:
        planner, plain = Path(folder, "planner.xlsx"), Path(folder, "plain.xlsx")
        formulas = write_planner(planner)
        write_plain(plain)
        with WhatIf(planner, TIMEOUT_S) as ours, WhatIf(plain, TIMEOUT_S) as baseline:
            found = in_turn(
                "LibreOffice: 10 000 scenarios of the planner, recalculated", ours.recalculation_s,
                f"10 000 × {PLAIN_FORMULAS} plain formulas", baseline.recalculation_s,
                rounds=min(ROUNDS, most_rounds), target=1.5,
            )  # fmt: skip
    times = found.ratio * PLAIN_FORMULAS / formulas
    return [replace(found, note=f"A scenario has {formulas} formulas; one takes {times:.1f} times a plain one.")]


def write_planner(path: Path) -> int:
    """Write a planner with 10,000 scenarios of every model; return the number of formulas in a row."""
    labels, names = Labels("en"), catalog.model_names()
    examples = scenarios.default_rows(labels)
    rows = [
        examples[i % len(examples)] | {"scenario": f"Scenario {i}", "model": names[i % len(names)], "context": 1024 + i}
        for i in range(ROWS)
    ]
    path.write_bytes(template.without_values("en", rows))
    ws = load_workbook(path, read_only=True)[labels("sheet.scenarios")]
    row = next(ws.iter_rows(min_row=scenarios.FIRST_ROW, max_row=scenarios.FIRST_ROW, values_only=True))
    return sum(isinstance(value, str) and value.startswith("=") for value in row)


def write_plain(path: Path) -> None:
    """Write 10,000 rows of two numbers and ten formulas on them."""
    book = Workbook()
    ws = book.active
    for row in range(1, ROWS + 1):
        ws.append([row, 1024 + row, *(f"=A{row}*B{row}+{i}" for i in range(PLAIN_FORMULAS))])
    book.save(path)


if __name__ == "__main__":
    print_measures(measures)
