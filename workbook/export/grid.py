"""Collect the cells of a page in any order, then write them from the top down."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from xlsxwriter.utility import xl_col_to_name

from workbook.export.sheet import Cell, Sheet

At = Callable[[str], str]
"""Returns the cell of a figure ("B7") by its key, or a name that all sheets share."""


_ROW = "\0"


@dataclass(frozen=True)
class _PlacedCell:
    column: int
    role: str
    value: object
    formula: Callable[[At], str] | None
    number_format: str | None
    link: str | None
    last_column: int | None
    line: str


class Grid:
    """Cells by row (from 0) and column; formulas are built last, so they may refer to any cell.

    Args:
        shared: workbook-level names of figures on another sheet.
    """

    def __init__(self, shared: Collection[str]) -> None:
        self._shared = shared
        self._rows: dict[int, list[_PlacedCell]] = defaultdict(list)
        self._places: dict[str, tuple[int, int]] = {}
        self._defined: dict[str, Callable[[], str]] = {}
        self._parents: dict[str, str] = {}
        # Of formulas of tables and the lines that theirs look further in, with `_ROW` instead of a row.
        self._texts: dict[tuple[Callable[[At], str], str], str] = {}
        self.heights: dict[int, float] = {}

    def put(
        self,
        row: int,
        column: int,
        role: str,
        value: object = None,
        formula: Callable[[At], str] | None = None,
        number_format: str | None = None,
        *,
        key: str | None = None,
        link: str | None = None,
        last_column: int | None = None,
        line: str = "",
    ) -> None:
        """Place a cell; formulas refer to it by `key`, which those of the same `line` of a table look up first."""
        if key is not None:
            self._places[f"{line}{key}"] = row, column
        self._rows[row].append(_PlacedCell(column, role, value, formula, number_format, link, last_column, line))

    def define(self, key: str, reference: Callable[[], str], *, line: str = "") -> None:
        """Let formulas use `key` for what `reference` returns once all cells are placed, such as a range."""
        self._defined[f"{line}{key}"] = reference

    def look_further(self, line: str, parent: str) -> None:
        """Let formulas of a line of a table look up what it does not have in a line of another table."""
        self._parents[line] = parent

    def at(self, key: str) -> str:
        """Return the cell of a figure, what `key` is defined as, or the name of a figure that all sheets share."""
        if key in self._places:
            row, column = self._places[key]
            return f"{xl_col_to_name(column)}{row + 1}"
        if key in self._defined:
            return self._defined[key]()
        if key in self._shared:
            return key
        raise KeyError(key)

    def has(self, key: str) -> bool:
        """Return whether a figure has a cell, or a name that all sheets share."""
        return key in self._places or key in self._shared

    def column(self, key: str, first: str, last: str) -> str:
        """Return the range of a column of a table from one line to another."""
        (top, column), (bottom, _) = self._places[first + key], self._places[last + key]
        letter = xl_col_to_name(column)
        return f"${letter}${top + 1}:${letter}${bottom + 1}"

    def row_of(self, key: str) -> int:
        """Return the row of a figure, counted from 0."""
        return self._places[key][0]

    def absolute(self, sheet: str, keys: Iterable[str]) -> dict[str, str]:
        """Return key → absolute reference of those `keys` that have a cell; `sheet` is the quoted name of the sheet."""
        places = {key: self._places[key] for key in keys if key in self._places}
        return {key: f"{sheet}!${xl_col_to_name(column)}${row + 1}" for key, (row, column) in places.items()}

    def texts(self, row: int) -> Iterator[tuple[int, int, str, str]]:
        """Yield the texts of a row: first and last column, role and text."""
        for cell in self._rows[row]:
            if isinstance(cell.value, str):
                yield cell.column, cell.column if cell.last_column is None else cell.last_column, cell.role, cell.value

    def write(self, sheet: Sheet) -> None:
        """Write every row up to the last one with a cell or a height."""
        for row in range(max([*self._rows, *self.heights]) + 1):
            cells = sorted(self._rows[row], key=lambda cell: cell.column)
            sheet.row((self._cell(cell, row + 1) for cell in cells), self.heights.get(row))

    def _cell(self, p: _PlacedCell, row: int) -> Cell:
        formula = p.formula and (self._in_line(p.formula, p.line, row) if p.line else p.formula(self.at))
        return Cell(p.column, p.role, p.value, formula, p.number_format, p.link, p.last_column)

    def _in_line(self, formula: Callable[[At], str], line: str, row: int) -> str:
        """Return a formula of a table, which is built once for all lines unless it uses what a line defines."""
        parent = self._parents.get(line, "")
        known = formula, parent
        if known in self._texts:
            return self._texts[known].replace(_ROW, str(row))
        is_same = True

        def at(key: str) -> str:
            nonlocal is_same
            if line + key in self._places:
                return f"{xl_col_to_name(self._places[line + key][1])}{_ROW}"
            if line + key in self._defined:
                is_same = False
                return self._defined[line + key]()
            return self.at(parent + key if parent and parent + key in self._places else key)

        text = formula(at)
        if is_same:
            self._texts[known] = text
        return text.replace(_ROW, str(row))
