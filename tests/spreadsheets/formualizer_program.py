"""Evaluate workbooks in formualizer, with cells that call the project's own Python functions.

How a function is called (formualizer 0.13):

* One cell or a 1x1 range arrives as a scalar, any larger range as a list of rows; a number as float, a blank as None,
  an error as its Excel text (the adapter converts it, as xlwings does with ``err_to_str``).
* Arguments omitted at the end are not passed: Python's defaults apply. An empty argument in the middle, ``f(1,,3)``,
  arrives as 0.0, which no adapter can distinguish from a zero; in Excel, xlwings passes the default. Do not test that
  case here.
* The number of arguments is checked against the function's signature; too few or too many: #VALUE!.
* A Python exception gives #VALUE!.

How a result is stored: a list of rows spills, and other cells can refer to the spilled cells; an occupied cell in the
way gives #SPILL! at the anchor. An error inside the array stays in its own cell: SUM over the array is that error, the
neighbours stay numbers. The native error values are dictionaries, ``{"type": "Error", "kind": "Num"}``; the adapter
makes them from the texts of Excel's error cells. Ragged or one-dimensional lists are #VALUE!, as is NaN here.

Limits: formualizer's reader ignores tables, so ``evaluate`` first rewrites ``Table[Column]`` and
``Table[[#This Row],[Column]]`` as plain ranges. An unknown function turns even ISNUMBER(...) into #NAME? (only IFERROR
catches it): to test "the add-in is not installed", use IronCalc or LibreOffice.
"""

from __future__ import annotations

import inspect
import math
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import openpyxl
from openpyxl.formula import Tokenizer
from openpyxl.formula.tokenizer import Token
from openpyxl.utils import absolute_coordinate, get_column_letter, quote_sheetname, range_boundaries
from openpyxl.workbook import Workbook

from tests.required import missing
from tests.spreadsheets import Values, plain_value

try:
    import formualizer
except ImportError:  # reported by the first test that needs it
    formualizer = None

_ERROR_KINDS = {
    "#NUM!": "Num",
    "#VALUE!": "Value",
    "#N/A": "Na",
    "#REF!": "Ref",
    "#DIV/0!": "Div",
    "#NAME?": "Name",
    "#NULL!": "Null",
}
_ERROR_TEXTS = {kind: text for text, kind in _ERROR_KINDS.items()} | {"Spill": "#SPILL!", "Calc": "#CALC!"}

_THIS_ROW = re.compile(r"(?P<table>[^\[\]]+)\[\[#This Row\],\s*\[(?P<column>(?:'.|[^'\[\]])+)\]\]", re.IGNORECASE)
_COLUMNS_OF_ROW = re.compile(
    r"(?P<table>[^\[\]]+)\[\[#This Row\],\s*\[(?P<first>(?:'.|[^'\[\]])+)\]:\[(?P<last>(?:'.|[^'\[\]])+)\]\]",
    re.IGNORECASE,
)
_WHOLE_COLUMN = re.compile(r"(?P<table>[^\[\]]+)\[(?P<column>(?:'.|[^'\[\]#@])+)\]")


def evaluate(xlsx: Path, functions: dict[str, Callable]) -> Values:
    """Return every cell's value, including spilled cells; cells can call ``functions`` by name."""
    if formualizer is None:
        missing("formualizer", "the Python package 'formualizer' is not installed")
    with tempfile.TemporaryDirectory(prefix="vram-formualizer-") as folder:
        source = openpyxl.load_workbook(xlsx)
        _rewrite_table_references(source)
        copy = Path(folder, "book.xlsx")
        source.save(copy)
        book = formualizer.load_workbook(str(copy))
    book.set_temporal_egress("serial")
    adapters = {name: _CellFunction(function) for name, function in functions.items()}
    for name, adapter in adapters.items():
        book.register_function(name, adapter, min_args=adapter.min_args, max_args=adapter.max_args)
    book.evaluate_all()
    # An array may spill beyond the last cell in the file.
    rows_beyond = max((adapter.tallest_result for adapter in adapters.values()), default=0)
    columns_beyond = max((adapter.widest_result for adapter in adapters.values()), default=0)
    return {
        sheet.title: dict(_values(book, sheet.title, sheet.max_row + rows_beyond, sheet.max_column + columns_beyond))
        for sheet in source.worksheets
    }


def _values(book, sheet: str, rows: int, columns: int) -> Iterator[tuple[str, object]]:
    for row in range(1, rows + 1):
        for column in range(1, columns + 1):
            value = _error_text(book.get_value(sheet, row, column))
            if value is not None:
                yield f"{get_column_letter(column)}{row}", plain_value(value)


class _CellFunction:
    """Adapts a Python function to formualizer: it converts errors between our texts and formualizer's values."""

    def __init__(self, function: Callable) -> None:
        self._function = function
        self.min_args, self.max_args = _argument_counts(function)
        self.tallest_result = self.widest_result = 0

    def __call__(self, *arguments: object) -> object:
        result = self._function(*map(_error_texts, arguments))
        if not isinstance(result, (list, tuple)):
            return _native(result)
        rows = [[_native(element) for element in row] for row in result]
        self.tallest_result = max(self.tallest_result, len(rows))
        self.widest_result = max(self.widest_result, *map(len, rows))
        return rows


def _argument_counts(function: Callable) -> tuple[int, int | None]:
    """Return the fewest and the most positional arguments; None for any number."""
    kinds = inspect.Parameter
    parameters = inspect.signature(function).parameters.values()
    positional = [p for p in parameters if p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)]
    required = [p for p in positional if p.default is kinds.empty]
    any_number = any(p.kind is kinds.VAR_POSITIONAL for p in parameters)
    return len(required), None if any_number else len(positional)


def _native(value: object) -> object:
    """Convert a function's result to formualizer's form."""
    if isinstance(value, str) and value in _ERROR_KINDS:
        return {"type": "Error", "kind": _ERROR_KINDS[value]}
    if isinstance(value, float) and not math.isfinite(value):
        # formualizer would store a NaN, which no other spreadsheet program has.
        raise ValueError(f"a cell cannot hold {value}")
    return value


def _error_texts(argument: object) -> object:
    """Replace formualizer's errors in an argument by Excel's texts."""
    if isinstance(argument, list):
        return [[_error_text(value) for value in row] for row in argument]
    return _error_text(argument)


def _error_text(value: object) -> object:
    if isinstance(value, dict) and value.get("type") == "Error":
        return _ERROR_TEXTS.get(value["kind"], f"#{value['kind'].upper()}!")
    return value


# ---- table references --------------------------------------------------------------------------------


def _rewrite_table_references(book: Workbook) -> None:
    """Replace ``Table[Column]`` and ``Table[[#This Row],[Column]]`` by plain ranges, in place."""
    columns = dict(_table_columns(book))
    if not columns:
        return
    for sheet in book.worksheets:
        for row in sheet.iter_rows():
            for cell in row:
                if cell.data_type == "f" and isinstance(cell.value, str) and "[" in cell.value:
                    cell.value = _without_table_references(cell.value, cell.row, columns)


def _table_columns(book: Workbook) -> Iterator[tuple[tuple[str, str], tuple[str, str, int, int]]]:
    """Yield (table, column name) -> (sheet, column letter, first data row, last data row), names in lower case."""
    for sheet in book.worksheets:
        for table in sheet.tables.values():
            left, top, _, bottom = range_boundaries(table.ref)
            first, last = top + (table.headerRowCount or 0), bottom - (table.totalsRowCount or 0)
            for offset, column in enumerate(table.tableColumns):
                key = table.displayName.lower(), column.name.lower()
                yield key, (sheet.title, get_column_letter(left + offset), first, last)


def _without_table_references(formula: str, row: int, columns: dict) -> str:
    tokenizer = Tokenizer(formula)
    for token in tokenizer.items:
        if token.type == Token.OPERAND and token.subtype == Token.RANGE:
            token.value = _plain_range(token.value, row, columns)
    return "=" + "".join(token.value for token in tokenizer.items)


def _plain_range(reference: str, row: int, columns: dict) -> str:
    several = _COLUMNS_OF_ROW.fullmatch(reference)
    if several is not None:
        ends = (f"{several['table']}[[#This Row],[{several[end]}]]" for end in ("first", "last"))
        first_cell, last_cell = (_plain_range(end, row, columns) for end in ends)
        return f"{first_cell}:{last_cell.rpartition('!')[2]}"
    found = _THIS_ROW.fullmatch(reference) or _WHOLE_COLUMN.fullmatch(reference)
    if found is None:
        return reference
    # Inside brackets an apostrophe escapes the next character.
    column = re.sub(r"'(.)", r"\1", found["column"])
    place = columns.get((found["table"].lower(), column.lower()))
    if place is None:
        return reference
    sheet, letter, first, last = place
    cells = f"{letter}{row}" if found.re is _THIS_ROW else f"{letter}{first}:{letter}{last}"
    return f"{quote_sheetname(sheet)}!{absolute_coordinate(cells)}"
