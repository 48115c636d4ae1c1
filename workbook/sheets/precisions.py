"""The Precisions sheet: the number formats of the catalog."""

from __future__ import annotations

from core import catalog
from workbook import styles
from workbook.book import Book, heading, protect, put, table
from workbook.formulas import looked_up, whole_column

TABLE = "Precisions"
FIRST_ROW = 5


def write(book: Book) -> None:
    """Writes the sheet and defines `precision_names`."""
    labels = book.labels
    ws = book.sheet("precisions", [16, 42, 16, 70, 10])
    heading(ws, labels("precisions.title"), labels("precisions.subtitle"))
    columns = [labels(f"precisions.{key}") for key in ("name", "meaning", "bytes", "source", "as_of")]
    for letter, column in zip("ABCDE", columns):
        put(ws, f"{letter}{FIRST_ROW - 1}", styles.HEADING, column)
    # A formula knows one number of bytes for all parameters; formats that leave tensors in 16 bits have more than one.
    rows = [row for row in catalog.precisions() if row.precision.is_nominal and not row.use]
    for i, row in enumerate(rows, start=FIRST_ROW):
        put(ws, f"A{i}", styles.LABEL, row.precision.name)
        put(ws, f"B{i}", styles.LABEL, row.titles[labels.lang])
        put(ws, f"C{i}", styles.FORMULA, row.precision.bytes_per_value, "0.0###")
        put(ws, f"D{i}", styles.NOTE, row.precision.source)
        put(ws, f"E{i}", styles.NOTE, row.as_of)
    last = FIRST_ROW + len(rows) - 1
    table(ws, TABLE, f"A{FIRST_ROW - 1}:E{last}", columns, {})
    book.name("precision_names", ws, f"A{FIRST_ROW}:A{last}")
    ws.freeze_panes = f"B{FIRST_ROW}"
    protect(ws)


def names(book: Book) -> str:
    """The column of names, for formulas."""
    return whole_column(TABLE, book.labels("precisions.name"))


def bytes_per_value(book: Book, name: str) -> str:
    """Formula: the bytes per value of the precision that the cell `name` names."""
    return looked_up(name, names(book), whole_column(TABLE, book.labels("precisions.bytes")))
