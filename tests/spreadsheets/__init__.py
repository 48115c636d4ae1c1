"""Recalculate workbooks without Excel, in three independent spreadsheet programs with the same small interface.

* ``libreoffice``: LibreOffice 24.8 or newer, headless; the program that shares no code with the others.
* ``ironcalc_program``: IronCalc, in process and fast; native formulas only.
* ``formualizer_program``: formualizer, in process; for cells that call the project's own functions.

``recalculate`` / ``evaluate`` return ``Values``: sheet name -> {"B2": value}. A number is a float, a truth value a
bool, a date its serial number, an error its Excel text such as "#N/A"; empty cells are absent. ``WhatIf`` changes input
cells and reads results; it returns truth values as 1.0 and 0.0 and an empty cell as None.

This module holds what the three share.
"""

from __future__ import annotations

import datetime
import math

from openpyxl.utils.datetime import to_excel

Values = dict[str, dict[str, object]]

Cell = tuple[str, str]
"""A sheet's name and an address without dollar signs, such as ``("Inputs", "C5")``."""

Content = float | str | None
"""What a what-if may write: a number, a text (never read as a formula), or None to clear the cell."""

Case = dict[Cell, Content]
"""The writes of one what-if."""

Target = Cell | str
"""What a what-if may read: a cell, or a workbook-level defined name."""


class ProgramError(Exception):
    """The spreadsheet program failed: bad address, time-out, crash."""


class WriteRefused(ProgramError):
    """A write was refused: the cell is locked on a protected sheet."""


def plain_value(value: object) -> object:
    """Return the value in the form used for all programs: numbers as float, dates as Excel's serial numbers."""
    if isinstance(value, (bool, str)) or value is None:
        return value
    if isinstance(value, (datetime.date, datetime.time, datetime.timedelta)):
        return float(to_excel(value))
    return float(value)


def checked_writes(cells: Case) -> list[tuple[str, str, Content]]:
    """Return the writes of one what-if as (sheet, address, content); reject contents that no cell can hold."""
    writes = []
    for (sheet, address), content in cells.items():
        if isinstance(content, bool) or not isinstance(content, (int, float, str, type(None))):
            raise TypeError(f"{sheet}!{address}: cannot write {content!r}; give a number, a text or None")
        if isinstance(content, (int, float)):
            content = float(content)
            if not math.isfinite(content):
                raise ValueError(f"{sheet}!{address}: a cell cannot hold {content!r}")
        writes.append((sheet, address, content))
    return writes
