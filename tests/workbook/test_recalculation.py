"""What IronCalc is given is what the workbook says."""

from __future__ import annotations

from io import BytesIO

from openpyxl import Workbook
from openpyxl.worksheet.table import Table

from workbook.recalculation import computed_values


def test_formulas_that_fill_a_column_are_computed_in_each_row():
    """Also those with a reference to one cell, which is the same in each row, and to the row above, which is not."""
    workbook = Workbook()
    ws = workbook.active
    ws.append(["a", "b", "c", "d", "e"])
    own = "T[[#This Row],[a]]"
    for row in (2, 3, 4):
        ws.append([row, f"={own}*10", f"={own}+$A$2", f"={own}+A{row - 1 if row > 2 else 2}", f"={own}+A3"])
    ws.add_table(Table(displayName="T", ref="A1:E4"))
    ws["G1"] = "=SUM(T[b])"
    out = BytesIO()
    workbook.save(out)
    values = computed_values(out.getvalue())["Sheet"]
    assert [[values[f"{letter}{row}"] for letter in "BCDE"] for row in (2, 3, 4)] == [
        [20, 4, 4, 5], [30, 5, 5, 6], [40, 6, 7, 7],
    ]  # fmt: skip
    assert values["G1"] == 90
