"""Write the Changes sheet: what changed in each version, newest first."""

from __future__ import annotations

from workbook import styles
from workbook.book import Book, heading, protect, put

# (version, date, label key)
VERSIONS = (("0.2.0", "2026-11-30", "0_2_0"), ("0.1.0", "2026-11-26", "0_1_0"))
HEADER_ROW = 4


def write(book: Book) -> None:
    """Write the sheet."""
    labels = book.labels
    ws = book.sheet("changes", [14, 14, 100], one_page=True)
    heading(ws, labels("changes.title"), labels("changes.subtitle"))
    for letter, key in zip("ABC", ("version", "date", "what")):
        put(ws, f"{letter}{HEADER_ROW}", styles.HEADING, labels(f"changes.{key}"))
    for row, (version, date, key) in enumerate(VERSIONS, start=HEADER_ROW + 1):
        put(ws, f"A{row}", styles.LABEL, version)
        put(ws, f"B{row}", styles.LABEL, date)
        put(ws, f"C{row}", styles.LABEL, labels(f"changes.{key}"))
    ws.freeze_panes = f"A{HEADER_ROW + 1}"
    protect(ws)
