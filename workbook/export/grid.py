"""Collect the cells of a page in any order, then write them from the top down."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from xlsxwriter.utility import xl_col_to_name

from workbook.export.sheet import Cell, Sheet

At = Callable[[str], str]
"""Returns the cell of a figure ("B7") by its key, or a name that all sheets share."""


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

    def at(self, key: str, line: str = "") -> str:
        """Return the cell of a figure, what `key` is defined as, or the name of a figure that all sheets share."""
        for known in (f"{line}{key}", key):
            if known in self._places:
                row, column = self._places[known]
                return f"{xl_col_to_name(column)}{row + 1}"
            if known in self._defined:
                return self._defined[known]()
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

    def write(self, sheet: Sheet) -> None:
        """Write every row up to the last one with a cell or a height."""
        for row in range(max([*self._rows, *self.heights]) + 1):
            cells = sorted(self._rows[row], key=lambda cell: cell.column)
            sheet.row(map(self._cell, cells), self.heights.get(row))

    def _cell(self, p: _PlacedCell) -> Cell:
        formula = p.formula and p.formula(lambda key: self.at(key, p.line))
        return Cell(p.column, p.role, p.value, formula, p.number_format, p.link, p.last_column)
