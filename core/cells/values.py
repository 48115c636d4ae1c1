"""Cell values: blanks, Excel errors, and the grids that ranges and array constants arrive as."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from itertools import chain

from core.errors import OutOfRangeError, PlannerError, UnknownNameError

VALUE_ERROR, NUM_ERROR, NA_ERROR = "#VALUE!", "#NUM!", "#N/A"

# A function can return these and no others: every host makes real errors of their texts, and leaves newer ones texts
# (xlwings/pro/_xlofficejs.py, errorstr_to_errortype; VBA's CVErr).
_RETURNABLE_ERRORS = frozenset({"#NULL!", "#DIV/0!", VALUE_ERROR, "#REF!", "#NAME?", NUM_ERROR, NA_ERROR})
EXCEL_ERRORS = _RETURNABLE_ERRORS | {
    "#GETTING_DATA", "#SPILL!", "#CALC!", "#CONNECT!", "#BLOCKED!", "#UNKNOWN!", "#FIELD!", "#PYTHON!", "#BUSY!",
    "#EXTERNAL!",
}  # fmt: skip

# Excel hands the errors that xlwings does not know by name over COM as integers: CVErr's 0x800A07D0 and on.
_COM_ERRORS = range(-2146826288, -2146826188)

Grid = list[list[object]]


class CellError(PlannerError):
    """An argument is itself an Excel error, which goes through to the result as Excel's own functions let it
    (the errors that no function can return, such as #SPILL!, as #VALUE!).

    Attributes:
        code: the error's text, "#REF!".
    """

    def __init__(self, field: str, code: str) -> None:
        self.code = code
        super().__init__(field, f"it is the Excel error {code}", "Mend the cell that it comes from.")


def excel_error(error: PlannerError) -> str:
    """The text that stands for the Excel error which a cell shows for `error`."""
    if isinstance(error, CellError):
        return error.code if error.code in _RETURNABLE_ERRORS else VALUE_ERROR
    if isinstance(error, OutOfRangeError):
        return NUM_ERROR
    if isinstance(error, UnknownNameError):
        return NA_ERROR
    return VALUE_ERROR


def error_code(value: object) -> str | None:
    """The Excel error that `value` is, or None."""
    if isinstance(value, str):
        return value if value in EXCEL_ERRORS else None
    if type(value) is int and value in _COM_ERRORS:
        return VALUE_ERROR
    return None


def is_blank(value: object) -> bool:
    """Whether a cell counts as empty: nothing in it, or only spaces."""
    return value is None or (isinstance(value, str) and not value.strip())


def single_cells(arguments: Sequence[object]) -> list[object] | None:
    """The cells of arguments of which each is one cell, as most are; None if one is a range."""
    cells = []
    for value in arguments:
        if value is not None and isinstance(value, (list, tuple)):
            if len(value) != 1 or not isinstance(value[0], (list, tuple)) or len(value[0]) != 1:
                return None
            value = value[0][0]
        cells.append(_cell(value) if type(value) is Decimal else value)
    return cells


def grid(value: object) -> Grid:
    """`value` as rows of cells: one cell is one row of one, a flat list is one row."""
    if not isinstance(value, (list, tuple)):
        return [[_cell(value)]]
    if not value:
        return [[None]]
    if not any(isinstance(row, (list, tuple)) for row in value):
        return [[_cell(cell) for cell in value]]
    widths = {len(row) if isinstance(row, list) else None for row in value}
    if len(widths) == 1 and widths.isdisjoint((None, 0)) and Decimal not in set(map(type, chain.from_iterable(value))):
        return list(value)  # as hosts hand over almost every range
    rows = [[_cell(cell) for cell in row] if isinstance(row, (list, tuple)) else [_cell(row)] for row in value]
    width = max(len(row) for row in rows) or 1
    return [row + [None] * (width - len(row)) for row in rows]


def _cell(value: object) -> object:
    """A cell's value; a cell formatted as currency arrives over COM as a Decimal (VT_CY)."""
    if not isinstance(value, Decimal):
        return value
    return math.nan if value.is_nan() else float(value)  # float() refuses a signaling NaN
