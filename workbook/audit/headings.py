"""Find the column heading, the row label and the unit of a cell, as a reader would."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache

from openpyxl.utils import range_boundaries

from workbook.audit.subject import Place, Subject
from workbook.labels import LANGUAGES, Labels

_UNIT_COLUMN = {Labels(lang)("article.unit").casefold() for lang in LANGUAGES}
_PARENTHESISED = re.compile(r"[(（]([^()（）]{1,30})[)）]\s*$")


class Headings:
    """Finds the headings of a workbook's cells."""

    def __init__(self, subject: Subject) -> None:
        self._texts: dict[str, dict[int, list[tuple[int, str]]]] = defaultdict(lambda: defaultdict(list))
        self._row_labels: dict[tuple[str, int], str] = {}
        self._unit_columns: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self._row_texts: dict[tuple[str, int, int], str] = {}
        for place in sorted(place for place, cell in subject.constants.items() if cell.data_type == "s"):
            text = str(subject.constants[place].value).strip()
            self._texts[place.sheet][place.column].append((place.row, text))
            self._row_labels.setdefault((place.sheet, place.row), text)
            self._row_texts[place] = text
            if text.casefold() in _UNIT_COLUMN:
                self._unit_columns[place.sheet].append((place.row, place.column))
        self._tables = {
            ws.title: [
                (range_boundaries(table.ref), [column.name for column in table.tableColumns])
                for table in ws.tables.values()
            ]
            for ws in subject.sheets
        }

    def column_heading(self, place: Place) -> str:
        """Return the table column's name, or the nearest text above the cell."""
        for (first_column, first_row, last_column, last_row), columns in self._tables[place.sheet]:
            if first_row <= place.row <= last_row and first_column <= place.column <= last_column:
                return columns[place.column - first_column]
        above = self._texts[place.sheet][place.column]
        position = bisect_left(above, (place.row, ""))
        return above[position - 1][1] if position else ""

    def row_label(self, place: Place) -> str:
        """Return the first text in the cell's row."""
        return self._row_labels.get((place.sheet, place.row), "")

    def units(self, place: Place) -> Iterator[str]:
        """Yield possible units: the end of the heading in parentheses, and the row's cell in a column "Unit"."""
        in_heading = _unit_in(self.column_heading(place))
        if in_heading:
            yield in_heading
        for row, column in reversed(self._unit_columns[place.sheet]):
            if row < place.row:
                yield self._row_texts.get((place.sheet, place.row, column), "").casefold()
                return


@lru_cache(maxsize=1)
def headings(subject: Subject) -> Headings:
    """Return the headings of `subject`, shared by the checks that need them."""
    return Headings(subject)


@lru_cache(maxsize=4096)
def _unit_in(heading: str) -> str:
    """Return the end of a heading in parentheses, or ""."""
    found = _PARENTHESISED.search(heading)
    return found[1].strip().casefold() if found else ""
