"""Classes for the values that pass between Excel and Python: cell contents and ranges, and VARIANTs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

# DISP_E_PARAMNOTFOUND: the value of an omitted argument in COM.
PARAMETER_NOT_FOUND = -2147352572

# The interface by which xlwings recognises Excel's Range objects.
RANGE_INTERFACE = "{00020846-0000-0000-C000-000000000046}"

# An error cell's value is 0x800A0000 plus the number for VBA's CVErr, as a signed integer.
EXCEL_ERRORS = {
    text: 0x800A0000 + number - 2**32
    for text, number in {
        "#NULL!": 2000,
        "#DIV/0!": 2007,
        "#VALUE!": 2015,
        "#REF!": 2023,
        "#NAME?": 2029,
        "#NUM!": 2036,
        "#N/A": 2042,
        "#GETTING_DATA": 2043,
        "#SPILL!": 2045,
        "#CONNECT!": 2046,
        "#BLOCKED!": 2047,
        "#UNKNOWN!": 2048,
        "#FIELD!": 2049,
        "#CALC!": 2050,
    }.items()
}


class Omitted(Enum):
    """The type of ``MISSING``."""

    ARGUMENT = "an argument that the formula leaves out"


MISSING = Omitted.ARGUMENT


@dataclass(frozen=True)
class Variant:
    """The type and value of a VARIANT that Excel receives.

    An array is Variant("VT_ARRAY", rows of Variants), even if xlwings returns a single row as a flat list. A Python
    exception is Variant("Err.Description", text), where VBA finds its text.
    """

    type: str
    value: object


class Range:
    """A block of cells that a formula passes by reference, for example ``Range([["llama", 3], [None, "#N/A"]])``.

    Contents are texts, numbers (a Decimal for a cell formatted as currency), booleans, dates, or None for a blank cell;
    the text of an Excel error is an error cell.
    """

    def __init__(self, rows: list[list[object]]) -> None:
        if not rows or not rows[0] or any(len(row) != len(rows[0]) for row in rows):
            raise ValueError("a range is a non-empty rectangle of cells")
        self.rows = rows

    def __repr__(self) -> str:
        return f"Range({self.rows})"
