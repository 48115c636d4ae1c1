"""Cell values: blanks, Excel errors, and the grids that ranges and array constants arrive as."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from itertools import chain

from core.errors import OutOfRangeError, PlannerError, UnknownNameError

VALUE_ERROR, NUM_ERROR, NA_ERROR = "#VALUE!", "#NUM!", "#N/A"

# The only errors that a function can return: hosts convert these texts to errors, but leave newer ones as text
# (xlwings' conversion for Office.js; VBA's CVErr).
_RETURNABLE_ERRORS = frozenset({"#NULL!", "#DIV/0!", VALUE_ERROR, "#REF!", "#NAME?", NUM_ERROR, NA_ERROR})
EXCEL_ERRORS = _RETURNABLE_ERRORS | {
    "#GETTING_DATA", "#SPILL!", "#CALC!", "#CONNECT!", "#BLOCKED!", "#UNKNOWN!", "#FIELD!", "#PYTHON!", "#BUSY!",
    "#EXTERNAL!",
}  # fmt: skip

# Over COM, the errors that xlwings does not know by name arrive as integers: CVErr's 0x800A07D0 and following.
_COM_ERRORS = range(-2146826288, -2146826188)

Grid = list[list[object]]


class CellError(PlannerError):
    """An argument is an Excel error, which becomes the result, as in Excel's own functions.

    Attributes:
        code: the error's text, for example "#REF!".
    """

    def __init__(self, field: str, code: str) -> None:
        self.code = code
        super().__init__(field, f"it is the Excel error {code}", "Correct the cell that the error comes from.")


def excel_error(error: PlannerError) -> str:
    """Return the text of the Excel error that a cell shows for `error`."""
    if isinstance(error, CellError):
        return error.code if error.code in _RETURNABLE_ERRORS else VALUE_ERROR
    if isinstance(error, OutOfRangeError):
        return NUM_ERROR
    if isinstance(error, UnknownNameError):
        return NA_ERROR
    return VALUE_ERROR


def error_code(value: object) -> str | None:
    """Return the text of the Excel error that a cell's `value` is, or None."""
    if isinstance(value, str):
        return value if value in EXCEL_ERRORS else None
    if type(value) is int and value in _COM_ERRORS:
        return VALUE_ERROR
    return None


def is_blank(value: object) -> bool:
    """Return whether a cell counts as empty: no content, or only spaces."""
    return value is None or (isinstance(value, str) and not value.strip())


def single_cells(arguments: Sequence[object]) -> list[object] | None:
    """Return the cell of each argument if all arguments are single cells; None if one is a range."""
    cells = []
    for value in arguments:
        if value is not None and isinstance(value, (list, tuple)):
            if len(value) != 1 or not isinstance(value[0], (list, tuple)) or len(value[0]) != 1:
                return None
            value = value[0][0]
        cells.append(_cell(value) if type(value) is Decimal else value)
    return cells


def grid(value: object) -> Grid:
    """Return `value` as rows of cells; a flat list becomes one row, a single cell one row with one cell."""
    if not isinstance(value, (list, tuple)):
        return [[_cell(value)]]
    if not value:
        return [[None]]
    if not any(isinstance(row, (list, tuple)) for row in value):
        return [[_cell(cell) for cell in value]]
    if set(map(type, value)) == {list}:
        widths = set(map(len, value))
        if len(widths) == 1 and 0 not in widths and Decimal not in set(map(type, chain.from_iterable(value))):
            return list(value)  # the usual form of a range
    rows = [[_cell(cell) for cell in row] if isinstance(row, (list, tuple)) else [_cell(row)] for row in value]
    width = max(len(row) for row in rows) or 1
    return [row + [None] * (width - len(row)) for row in rows]


def _cell(value: object) -> object:
    """Convert a Decimal to float: a cell formatted as currency arrives over COM as one (VT_CY)."""
    if not isinstance(value, Decimal):
        return value
    return math.nan if value.is_nan() else float(value)  # float() raises for a signaling NaN
