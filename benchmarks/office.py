"""LibreOffice computing a planner with 10 000 scenarios anew, against as many rows of ten plain formulas."""

from __future__ import annotations

import tempfile
from io import BytesIO
from pathlib import Path

from openpyxl import Workbook, load_workbook
from openpyxl.worksheet.worksheet import Worksheet

from benchmarks.timing import Measure, in_turn
from core import catalog
from tests.engines.libreoffice import WhatIf
from workbook.sheets.scenarios import TABLE
from workbook.template import build

ROWS = 10_000
PLAIN_FORMULAS = 10
TIMEOUT_S = 600


def measure() -> Measure:
    """Recalculation alone, the file being open."""
    with tempfile.TemporaryDirectory(prefix="vram-bench-") as folder:
        planner, plain = Path(folder, "planner.xlsx"), Path(folder, "plain.xlsx")
        formulas = write_planner(planner)
        write_plain(plain)
        with WhatIf(planner, TIMEOUT_S) as ours, WhatIf(plain, TIMEOUT_S) as baseline:
            found = in_turn(
                "LibreOffice: 10 000 scenarios of the planner, computed anew", ours.recalculation_s,
                f"10 000 × {PLAIN_FORMULAS} plain formulas", baseline.recalculation_s, rounds=5, most=1.5,
            )  # fmt: skip
    each = f"A scenario has {formulas} formulas; for one formula the ratio is {found.ratio * PLAIN_FORMULAS / formulas:.2f}."
    return Measure(found.name, found.baseline, found.seconds, found.baseline_seconds, found.most, (each,))


def write_planner(path: Path) -> int:
    """A planner whose table of scenarios has 10 000 rows; gives the formulas of one."""
    content, _ = build("en")
    book = load_workbook(BytesIO(content))
    ws: Worksheet = next(sheet for sheet in book if TABLE in sheet.tables)
    table = ws.tables[TABLE]
    first, last = (int(corner.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")) for corner in table.ref.split(":"))
    rows = [[cell.value for cell in row] for row in ws.iter_rows(min_row=first + 1, max_row=last)]
    headings = [cell.value for cell in ws[first]]
    model, context = headings.index("Model"), next(i for i, h in enumerate(headings) if str(h).startswith("Context"))
    names = catalog.model_names()
    width = len(table.tableColumns)
    for number in range(ROWS):
        values = list(rows[number % len(rows)])
        values[model], values[context] = names[number % len(names)], 1024 + number % 3000
        for column in range(width):
            ws.cell(first + 1 + number, column + 1).value = values[column]
    table.ref = f"{table.ref.split(':')[0]}:{''.join(filter(str.isalpha, table.ref.split(':')[1]))}{first + ROWS}"
    ws._charts.clear()
    book.save(path)
    return sum(isinstance(value, str) and value.startswith("=") for value in rows[0])


def write_plain(path: Path) -> None:
    """10 000 rows of two numbers and ten formulas of them."""
    book = Workbook()
    ws = book.active
    for row in range(1, ROWS + 1):
        ws.append([row, 1024 + row, *(f"=A{row}*B{row}+{i}" for i in range(PLAIN_FORMULAS))])
    book.save(path)
