"""LibreOffice computing a planner with 10 000 scenarios anew, against as many rows of ten plain formulas."""

from __future__ import annotations

import tempfile
from pathlib import Path

from openpyxl import Workbook, load_workbook

from benchmarks.timing import Measure, in_turn
from core import catalog
from tests.spreadsheets.libreoffice import WhatIf
from workbook import template
from workbook.labels import Labels
from workbook.sheets import scenarios

ROWS = 10_000
PLAIN_FORMULAS = 10
TIMEOUT_S = 600


def measure(rounds: int) -> Measure:
    """Recalculation alone, the file being open."""
    with tempfile.TemporaryDirectory(prefix="vram-bench-") as folder:
        planner, plain = Path(folder, "planner.xlsx"), Path(folder, "plain.xlsx")
        formulas = write_planner(planner)
        write_plain(plain)
        with WhatIf(planner, TIMEOUT_S) as ours, WhatIf(plain, TIMEOUT_S) as baseline:
            found = in_turn(
                "LibreOffice: 10 000 scenarios of the planner, computed anew", ours.recalculation_s,
                f"10 000 × {PLAIN_FORMULAS} plain formulas", baseline.recalculation_s, rounds=rounds, most=1.5,
            )  # fmt: skip
    each = f"A scenario has {formulas} formulas; one of them takes {found.ratio * PLAIN_FORMULAS / formulas:.1f} times a plain one."
    return Measure(found.name, found.baseline, found.seconds, found.baseline_seconds, found.most, (each,))


def write_planner(path: Path) -> int:
    """A planner with 10 000 scenarios, of every model; gives the formulas of one."""
    examples, names = scenarios.default_rows(Labels("en")), catalog.model_names()
    rows = [
        {
            **examples[i % len(examples)],
            "scenario": f"Scenario {i}",
            "model": names[i % len(names)],
            "context": 1024 + i,
        }
        for i in range(ROWS)
    ]
    path.write_bytes(template.without_values("en", rows))
    ws = load_workbook(path, read_only=True)[Labels("en")("sheet.scenarios")]
    row = next(ws.iter_rows(min_row=scenarios.FIRST_ROW, max_row=scenarios.FIRST_ROW, values_only=True))
    return sum(isinstance(value, str) and value.startswith("=") for value in row)


def write_plain(path: Path) -> None:
    """10 000 rows of two numbers and ten formulas of them."""
    book = Workbook()
    ws = book.active
    for row in range(1, ROWS + 1):
        ws.append([row, 1024 + row, *(f"=A{row}*B{row}+{i}" for i in range(PLAIN_FORMULAS))])
    book.save(path)
