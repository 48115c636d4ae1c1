"""A page put together cell by cell in any order, and then written from the top down."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from xlsxwriter.utility import xl_col_to_name

from workbook.export.sheet import Cell, Sheet

At = Callable[[str], str]
"""Gives the cell of a figure by the figure's key ("B7")."""


@dataclass(frozen=True)
class _Placed:
    column: int
    role: str
    value: object
    formula: Callable[[At], str] | None
    number_format: str | None
    link: str | None
    last_column: int | None


class Grid:
    """Cells by row (from 0) and column; formulas are made when every figure's place is known."""

    def __init__(self) -> None:
        self._rows: dict[int, list[_Placed]] = defaultdict(list)
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
        """Places a cell; `key` is the name under which formulas find it."""
        if key is not None:
            self._places[key] = row, column
        self._rows[row].append(_Placed(column, role, value, formula, number_format, link, last_column))

    def at(self, key: str) -> str:
        """The cell of the figure of that key."""
        row, column = self._places[key]
        return f"{xl_col_to_name(column)}{row + 1}"

    def row_of(self, key: str) -> int:
        """The row of the figure of that key, from 0."""
        return self._places[key][0]

    def absolute(self, sheet: str) -> dict[str, str]:
        """Key → absolute reference from anywhere; `sheet` as it stands before "!"."""
        return {key: f"{sheet}!${xl_col_to_name(column)}${row + 1}" for key, (row, column) in self._places.items()}

    def write(self, sheet: Sheet) -> None:
        """Writes every row up to the last that has a cell or a height."""
        for row in range(max([*self._rows, *self.heights]) + 1):
            cells = [
                Cell(
                    p.column, p.role, p.value, p.formula and p.formula(self.at), p.number_format, p.link, p.last_column
                )
                for p in sorted(self._rows[row], key=lambda placed: placed.column)
            ]  # fmt: skip
            sheet.row(cells, self.heights.get(row))
