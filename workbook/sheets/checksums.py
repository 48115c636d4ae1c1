"""Write checksums of the catalog next to the checks: of each column a constant, and what the workbook has now.

The constant is written with the workbook, so a figure that was overwritten later makes them differ. Cells that users
fill in (own models, own quotes) and computed ones are not among them.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile
from math import fsum

from openpyxl.cell import Cell
from openpyxl.utils import get_column_letter
from openpyxl.utils.datetime import to_excel
from openpyxl.worksheet.worksheet import Worksheet

from core.catalog.offers import catalog_offers
from workbook import formulas as f
from workbook import styles
from workbook.book import Book, absolute, put, put_formula
from workbook.labels import Labels
from workbook.sheets import gpus, layouts, models, precisions, prices, speed_figures

# Sheets of the catalog → the row of their headings.
SHEETS = {
    "models": models.HEADER_ROW, "gpus": gpus.HEADER_ROW, "layouts": layouts.HEADER_ROW,
    "speed_figures": speed_figures.HEADER_ROW, "precisions": precisions.FIRST_ROW - 1, "prices": prices.HEADER_ROW,
}  # fmt: skip
_COLUMNS = {"sheet": "E", "column": "F", "expected": "G", "now": "H", "same": "I"}
_WIDTHS = (16, 40, 20, 20, 10)
_FORMAT = "#,##0.00"  # without one, LibreOffice shows a sum of dates as a date
_FINER = "10^-3"  # sums of figures have rounding errors below 10^-12, and a single figure may be small
_WILDCARDS = "?*~"
_FIRST_OF_TEXTS = 12  # the column L


@dataclass(frozen=True)
class _Checked:
    """A column of the catalog: its sheet, its heading, its figures and texts, and the reference to it."""

    sheet: str
    column: str
    numbers: Sequence[float]
    texts: Sequence[str]
    place: str


def write(book: Book, ws: Worksheet, header_row: int) -> dict[str, str]:
    """Write the table at the right of the checks, and return sheet → the formula of its check, 1 or 0."""
    for (key, letter), width in zip(_COLUMNS.items(), _WIDTHS):
        ws.column_dimensions[letter].width = width
        put(ws, f"{letter}{header_row}", styles.HEADING, book.labels(f"checks.sum_{key}"))
    texts = _texts(book.labels)
    found = [
        column for sheet in SHEETS for column in _columns(book, sheet)
        if column.numbers or (column.sheet, column.column) in texts
    ]  # fmt: skip
    of_texts = _write_patterns(book, ws, header_row, [column for column in found if not column.numbers])
    for row, column in enumerate(found, start=header_row + 1):
        put(ws, f"E{row}", styles.LABEL, column.sheet)
        put(ws, f"F{row}", styles.LABEL, column.column)
        # The figures with their count, because a blank that becomes 0 leaves the sum as it is.
        expected, now = fsum(column.numbers) + len(column.numbers), f"SUM({column.place})+COUNT({column.place})"
        if not column.numbers:
            expected, now = of_texts[column.place]
        put(ws, f"G{row}", styles.SOURCE_FIGURE, expected, _FORMAT)
        put_formula(ws, f"H{row}", styles.FORMULA, now, _FORMAT)
        is_same = f"ABS(H{row}-G{row})<={f.ROUNDING_NOISE}*{_FINER}*MAX(1,G{row})"
        put_formula(ws, f"I{row}", styles.CHECK, f"IF({is_same},1,0)")
    last = header_row + len(found)
    of_sheets, results = (f"${letter}${header_row + 1}:${letter}${last}" for letter in "EI")

    def all_same(sheet: str) -> str:
        title = f.text(book.labels(f"sheet.{sheet}"))
        return f"IF(SUMIF({of_sheets},{title},{results})=COUNTIF({of_sheets},{title}),1,0)"

    return {sheet: all_same(sheet) for sheet in SHEETS}


def _texts(labels: Labels) -> set[tuple[str, str]]:
    """Return the titles of sheets and the headings of the columns of texts by which figures are found."""
    of_models = models.headers(labels)
    headings = {
        "models": [of_models["model"], *(text for key, text in of_models.items() if key.startswith("served"))],
        "gpus": [gpus.header(labels, key) for key in ("gpu", "maker", "segment")],
        "prices": [prices.header(labels, key) for key in ("gpu", "kind", "terms", "currency")],
    }
    return {(labels(f"sheet.{sheet}"), heading) for sheet, found in headings.items() for heading in found}


def _write_patterns(
    book: Book, ws: Worksheet, header_row: int, found: Sequence[_Checked]
) -> dict[str, tuple[float, str]]:
    """Write how many texts of each column have each character, and return column → its checksum and the formula for it.

    The counts are weighted by the number of their row. The lengths of the texts would be simpler, but IronCalc 0.9.1
    does not compute LEN of several cells.
    """
    used = sorted({character for column in found for text in column.texts for character in text} - {*_WILDCARDS})
    first, last = header_row + 1, header_row + len(used)
    put(ws, f"K{header_row}", styles.HEADING, book.labels("checks.sum_pattern"))
    for row, character in enumerate(used, start=first):
        put(ws, f"K{row}", styles.LABEL, f"*{character}*")
    sums: dict[str, tuple[float, str]] = {}
    for number, column in enumerate(found, start=_FIRST_OF_TEXTS):
        letter = get_column_letter(number)
        put(ws, f"{letter}{header_row}", styles.HEADING, f"{column.sheet}: {column.column}")
        for row in range(first, last + 1):
            counted = f"COUNTIF({column.place},$K{row})*(ROW()-ROW($K${header_row}))"
            put_formula(ws, f"{letter}{row}", styles.FORMULA, counted, _FORMAT)
        weights = {character: weight for weight, character in enumerate(used, start=1)}
        expected = sum(weights[character] for text in column.texts for character in {*text} & weights.keys())
        sums[column.place] = expected, f"SUM({letter}{first}:{letter}{last})"
    return sums


def _columns(book: Book, sheet: str) -> Iterator[_Checked]:
    """Yield the columns of a sheet that have constants of the catalog."""
    ws = book.openpyxl[book.labels(f"sheet.{sheet}")]
    header_row, last_row = SHEETS[sheet], ws.max_row  # openpyxl looks at every cell for the last row
    by_column: dict[int, dict[int, Cell]] = {}
    for (row, number), cell in ws._cells.items():
        if row > header_row:
            by_column.setdefault(number, {})[row] = cell
    for number, cells in sorted(by_column.items()):
        letter = get_column_letter(number)
        heading = str(ws[f"{letter}{header_row}"].value or letter)
        runs = _runs_of_prices(book, number) if sheet == "prices" else _runs(book, header_row, last_row, cells)
        for rows in runs:
            values = [cell._value for cell in map(cells.get, rows) if cell is not None and cell._value is not None]
            numbers = [_number(value) for value in values if not isinstance(value, str)]
            texts = [value.casefold() for value in values if isinstance(value, str)]
            if values:
                place = absolute(ws, f"{letter}{rows.start}:{letter}{rows.stop - 1}")
                yield _Checked(ws.title, heading, numbers, texts, place)


def _runs(book: Book, header_row: int, last_row: int, cells: dict[int, Cell]) -> Iterator[range]:
    """Yield the rows of a column between its computed or unlocked cells."""
    unlocked = {number for number, protection in enumerate(book.openpyxl._protections) if not protection.locked}
    others = [row for row, cell in cells.items() if cell.data_type == "f" or cell._style.protectionId in unlocked]
    ends = [header_row, *sorted(others), last_row + 1]
    yield from (range(above + 1, below) for above, below in pairwise(ends) if above + 1 < below)


def _runs_of_prices(book: Book, number: int) -> list[range]:
    """Return the rows of the catalog's offers in a column; none of a computed column."""
    of_catalog = len([*takewhile({*catalog_offers()}.__contains__, book.offers)])
    is_input = number in prices.input_numbers()
    return [range(prices.FIRST_ROW, prices.FIRST_ROW + of_catalog)] if is_input and of_catalog else []


def _number(value: object) -> float:
    """Return a number, or the number that a spreadsheet program has for a date."""
    return to_excel(value) if isinstance(value, datetime.date) else float(value)  # type: ignore[arg-type]
