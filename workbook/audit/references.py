"""Resolve the references in a formula (cell ranges, table columns and names) to areas of sheets."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from openpyxl import Workbook
from openpyxl.utils import column_index_from_string, get_column_letter, quote_sheetname, range_boundaries
from openpyxl.workbook.defined_name import DefinedName
from openpyxl.worksheet.table import Table

LAST_ROW, LAST_COLUMN = 1_048_576, 16_384

_SHEET = re.compile(r"(?:'((?:[^']|'')*)'|([\w.:]*(?:\[[^\]]*\])?[\w.:]*))!(.*)", re.DOTALL)
_CELL = r"\$?[A-Za-z]{1,3}\$?[1-9]\d{0,6}"
_CELLS = re.compile(rf"({_CELL})(?::({_CELL}))?")
_COLUMNS = re.compile(r"\$?([A-Za-z]{1,3}):\$?([A-Za-z]{1,3})")
_ROWS = re.compile(r"\$?([1-9]\d{0,6}):\$?([1-9]\d{0,6})")
_FIXED = re.compile(r"\$[A-Za-z]+\$\d+(:\$[A-Za-z]+\$\d+)?|\$[A-Za-z]+:\$[A-Za-z]+|\$\d+:\$\d+")
_ONE_CELL = re.compile(r"(\$?)([A-Za-z]{1,3})(\$?)([1-9]\d{0,6})")
_TABLE = re.compile(r"([^\[\]!]*)\[(.*)\]", re.DOTALL)
_TABLE_ITEM = re.compile(r"\[((?:[^\[\]']|'.)*)\]", re.DOTALL)
_NAME = re.compile(r"[^\W\d][\w.?\\]*|\\[\w.?\\]*")
# Parameters of LAMBDA and LET, ECMA-376 extension [MS-XLSX] 2.2.2, and names that Excel reserves.
_NOT_WORKBOOK_NAMES = ("_xlpm.", "_xleta.", "_xlop.")


class UnresolvedError(LookupError):
    """A reference to a sheet, table, column or name that does not exist."""


class Area(NamedTuple):
    """A rectangle of cells on one sheet."""

    sheet: str
    first_row: int
    first_column: int
    last_row: int
    last_column: int

    def is_whole_line(self) -> bool:
        return (self.first_row, self.last_row) == (1, LAST_ROW) or (self.first_column, self.last_column) == (
            1,
            LAST_COLUMN,
        )


def address(sheet: str, row: int, column: int) -> str:
    """Return a cell's address for messages: Sheet!B7."""
    title = quote_sheetname(sheet) if re.search(r"[\s'!]", sheet) else sheet
    return f"{title}!{get_column_letter(column)}{row}"


@lru_cache(maxsize=4096)
def sheet_and_rest(operand: str) -> tuple[str | None, str]:
    """Split "'My sheet'!A1" into ("My sheet", "A1"); the sheet is None if the reference names none."""
    match = _SHEET.fullmatch(operand)
    if match is None:
        return None, operand
    quoted, plain, rest = match.groups()
    return (quoted.replace("''", "'") if quoted is not None else plain), rest


def is_external(operand: str) -> bool:
    """Return whether `operand` refers to another workbook: [1]Sheet!A1, '[Book.xlsx]Sheet'!A1."""
    sheet, _ = sheet_and_rest(operand)
    return sheet is not None and "[" in sheet


def is_whole_line(operand: str) -> bool:
    """Return whether `operand` covers whole columns or rows: A:A, Sheet!1:3."""
    _, rest = sheet_and_rest(operand)
    return bool(_COLUMNS.fullmatch(rest) or _ROWS.fullmatch(rest))


def is_fixed(operand: str) -> bool:
    """Return whether `operand` has the same text when it is filled into other cells: no part of it is relative."""
    _, rest = sheet_and_rest(operand)
    if _CELLS.fullmatch(rest) or _COLUMNS.fullmatch(rest) or _ROWS.fullmatch(rest):
        return bool(_FIXED.fullmatch(rest))
    return not rest.startswith("[")  # without its table's name, a column depends on where the formula is


def is_parameter(operand: str) -> bool:
    """Return whether `operand` is a parameter of LAMBDA or LET."""
    return operand.startswith(_NOT_WORKBOOK_NAMES)


def relative_form(operand: str, row: int, column: int) -> str:
    """Return `operand` in R1C1 notation, in which a formula filled down or across has the same text in every cell."""
    sheet, rest = sheet_and_rest(operand)
    if not (_CELLS.fullmatch(rest) or _COLUMNS.fullmatch(rest) or _ROWS.fullmatch(rest)):
        return operand

    def r1c1(cell: re.Match[str]) -> str:
        fixed_column, letters, fixed_row, digits = cell.groups()
        column_part = (
            f"C{letters.upper()}" if fixed_column else f"C[{column_index_from_string(letters.upper()) - column}]"
        )
        row_part = f"R{digits}" if fixed_row else f"R[{int(digits) - row}]"
        return row_part + column_part

    prefix = "" if sheet is None else f"{sheet}!"
    return prefix + _ONE_CELL.sub(r1c1, rest)


class Resolver:
    """Resolves the references in one workbook."""

    def __init__(self, workbook: Workbook) -> None:
        self._titles = [ws.title for ws in workbook.worksheets]
        self._sheet_of = {title.casefold(): title for title in self._titles}
        self._tables = {
            table.displayName.casefold(): (ws.title, table)
            for ws in workbook.worksheets
            for table in ws.tables.values()
        }
        # Parsed brackets of structured references, cached because every row of a table repeats them.
        self._items: dict[tuple[str, str], tuple[set[str], list[int]]] = {}
        self._names: dict[tuple[str | None, str], DefinedName] = {
            (None, name.casefold()): defined for name, defined in workbook.defined_names.items()
        }
        for ws in workbook.worksheets:
            self._names |= {(ws.title, name.casefold()): defined for name, defined in ws.defined_names.items()}

    def names(self) -> Iterator[tuple[str | None, str, DefinedName]]:
        """Yield (sheet or None, name, definition) of every name."""
        for (sheet, _), defined in self._names.items():
            yield sheet, defined.name, defined

    def name(self, name: str, sheet: str) -> tuple[str | None, str] | None:
        """Return the key of the name `name` as seen from `sheet`: the sheet's own name, or the workbook's, or None."""
        keys: tuple[tuple[str | None, str], ...] = ((sheet, name.casefold()), (None, name.casefold()))
        return next((key for key in keys if key in self._names), None)

    def text_of(self, key: tuple[str | None, str]) -> str:
        """Return the text of the definition of the name `key`."""
        return self._names[key].attr_text or ""

    def areas(self, operand: str, sheet: str, row: int, column: int) -> list[Area] | tuple[str | None, str]:
        """Return the areas that `operand` covers, or the key of the name if it is one.

        Args:
            operand: as written in a formula.
            sheet: with `row` and `column`, the cell of the formula.

        Raises:
            UnresolvedError: it refers to something that does not exist.
        """
        if is_external(operand):
            return []
        prefix, rest = sheet_and_rest(operand)
        if "#REF!" in operand.upper():
            raise UnresolvedError(operand)
        sheets = [sheet] if prefix is None else self._sheets(prefix)
        if match := _TABLE.fullmatch(rest):
            return [self._table_area(match[1], match[2], sheet, row, column)]
        if match := _CELLS.fullmatch(rest):
            corners = range_boundaries(":".join(corner for corner in match.groups() if corner).replace("$", "").upper())
            return [Area(title, *_ordered(corners)) for title in sheets]
        if match := _COLUMNS.fullmatch(rest):
            first, last = sorted(column_index_from_string(letters.upper()) for letters in match.groups())
            return [Area(title, 1, first, LAST_ROW, last) for title in sheets]
        if match := _ROWS.fullmatch(rest):
            first, last = sorted(map(int, match.groups()))
            return [Area(title, first, 1, last, LAST_COLUMN) for title in sheets]
        if rest.casefold() in self._tables:
            return [self._table_area(rest, "", sheet, row, column)]
        if is_parameter(rest) or not _NAME.fullmatch(rest):
            return []
        found = self.name(rest, sheets[0])
        if found is None:
            raise UnresolvedError(operand)
        return found

    def _sheets(self, prefix: str) -> list[str]:
        """Return the sheets named before "!": one, or a range of sheets ("Jan:Dec")."""
        if prefix.casefold() in self._sheet_of:
            return [self._sheet_of[prefix.casefold()]]
        first, colon, last = prefix.partition(":")
        if not colon or first.casefold() not in self._sheet_of or last.casefold() not in self._sheet_of:
            raise UnresolvedError(f"{prefix}!")
        start, end = (self._titles.index(self._sheet_of[title.casefold()]) for title in (first, last))
        return self._titles[start : end + 1]

    def _table_area(self, name: str, inside: str, sheet: str, row: int, column: int) -> Area:
        title, table = self._table(name, sheet, row, column)
        first_column, first_row, last_column, last_row = range_boundaries(table.ref)
        key = table.displayName, inside
        if key not in self._items:
            specifiers, columns = _table_items(inside)
            self._items[key] = specifiers, [_column_index(table, item) for item in columns]
        specifiers, places = self._items[key]
        if places:
            first_column, last_column = first_column + min(places), first_column + max(places)
        headers = 1 if table.headerRowCount is None else table.headerRowCount
        totals = table.totalsRowCount or 0
        if "#this row" in specifiers:
            return Area(title, row, first_column, row, last_column)
        if "#all" in specifiers:
            return Area(title, first_row, first_column, last_row, last_column)
        if "#headers" in specifiers:
            last_data = last_row - totals if "#data" in specifiers else first_row
            return Area(title, first_row, first_column, last_data, last_column)
        if "#totals" in specifiers:
            first_data = first_row + headers if "#data" in specifiers else last_row
            return Area(title, first_data, first_column, last_row, last_column)
        return Area(title, first_row + headers, first_column, last_row - totals, last_column)

    def _table(self, name: str, sheet: str, row: int, column: int) -> tuple[str, Table]:
        if name:
            if name.casefold() not in self._tables:
                raise UnresolvedError(name)
            return self._tables[name.casefold()]
        for title, table in self._tables.values():
            first_column, first_row, last_column, last_row = range_boundaries(table.ref)
            if title == sheet and first_row <= row <= last_row and first_column <= column <= last_column:
                return title, table
        raise UnresolvedError("a table column outside any table")


def _ordered(corners: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """Return (first row, first column, last row, last column) from openpyxl's column-first boundaries."""
    (first_column, last_column), (first_row, last_row) = sorted(corners[::2]), sorted(corners[1::2])
    return first_row, first_column, last_row, last_column


def _table_items(inside: str) -> tuple[set[str], list[str]]:
    """Return the specifiers ("#this row", in lower case) and the column names in a structured reference's brackets."""
    this_row = inside.startswith("@")
    inside = inside.removeprefix("@")
    items = _TABLE_ITEM.findall(inside) if inside.startswith("[") else [inside] if inside else []
    specifiers = {item.lower() for item in items if item.startswith("#")} | ({"#this row"} if this_row else set())
    return specifiers, [re.sub(r"'(.)", r"\1", item) for item in items if not item.startswith("#")]


def _column_index(table: Table, name: str) -> int:
    for index, column in enumerate(table.tableColumns):
        if column.name.casefold() == name.casefold():
            return index
    raise UnresolvedError(f"{table.displayName}[{name}]")


class Grid:
    """An index of cells, to find those within an area without looking at each."""

    def __init__(self, cells: Iterable[tuple[str, int, int]]) -> None:
        rows: dict[str, dict[int, list[int]]] = {}
        for sheet, row, column in cells:
            rows.setdefault(sheet, {}).setdefault(column, []).append(row)
        self._rows = {sheet: {column: sorted(of) for column, of in columns.items()} for sheet, columns in rows.items()}

    def columns(self, area: Area) -> Iterator[tuple[int, list[int], int, int]]:
        """Yield (column, its rows, first and end position within `area`) of each column with cells in `area`."""
        columns = self._rows.get(area.sheet, {})
        span = range(area.first_column, area.last_column + 1)
        for column in span if len(span) < len(columns) else columns:
            if column in columns and column in span:
                rows = columns[column]
                first, end = bisect_left(rows, area.first_row), bisect_right(rows, area.last_row)
                if first < end:
                    yield column, rows, first, end

    def rows(self, sheet: str, column: int) -> list[int]:
        """Return the rows of the cells in one column, sorted."""
        return self._rows[sheet][column]

    def within(self, area: Area) -> Iterator[tuple[int, int]]:
        """Yield (row, column) of each cell within `area`."""
        for column, rows, first, end in self.columns(area):
            for row in rows[first:end]:
                yield row, column
