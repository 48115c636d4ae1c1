"""Collect the cells of a page in any order, then write them from the top down."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from xlsxwriter.utility import xl_col_to_name

from workbook.export.sheet import Cell, Sheet

At = Callable[[str], str]
"""Returns the cell of a figure ("B7") by its key."""


@dataclass(frozen=True)
class _PlacedCell:
    column: int
    role: str
    value: object
    formula: Callable[[At], str] | None
    number_format: str | None
    link: str | None
    last_column: int | None


class Grid:
    """Cells by row (from 0) and column; formulas are built last, so they may refer to any cell."""

    def __init__(self) -> None:
        self._rows: dict[int, list[_PlacedCell]] = defaultdict(list)
        self._places: dict[str, tuple[int, int]] = {}
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
    ) -> None:
        """Place a cell; formulas refer to it by `key`."""
        if key is not None:
            self._places[key] = row, column
        self._rows[row].append(_PlacedCell(column, role, value, formula, number_format, link, last_column))

    def at(self, key: str) -> str:
        """Return the cell of a figure."""
        row, column = self._places[key]
        return f"{xl_col_to_name(column)}{row + 1}"

    def row_of(self, key: str) -> int:
        """Return the row of a figure, counted from 0."""
        return self._places[key][0]

    def absolute(self, sheet: str) -> dict[str, str]:
        """Return key → absolute reference; `sheet` is the quoted name of the sheet."""
        return {key: f"{sheet}!${xl_col_to_name(column)}${row + 1}" for key, (row, column) in self._places.items()}

    def write(self, sheet: Sheet) -> None:
        """Write every row up to the last one with a cell or a height."""
        for row in range(max([*self._rows, *self.heights]) + 1):
            cells = [
                Cell(
                    p.column, p.role, p.value, p.formula and p.formula(self.at), p.number_format, p.link, p.last_column
                )
                for p in sorted(self._rows[row], key=lambda cell: cell.column)
            ]  # fmt: skip
            sheet.row(cells, self.heights.get(row))
