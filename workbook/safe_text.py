"""Write texts so that no text from a user or a catalog is ever read as a formula."""

from __future__ import annotations

from openpyxl.cell import Cell

from core.texts import FORMULA_STARTS

_QUOTED_STARTS = (*FORMULA_STARTS, "_x")


def put_text(cell: Cell, text: str) -> None:
    """Write `text` into `cell` as text, even if it begins with "="."""
    cell.value = text
    cell.data_type = "s"
    if text.startswith(_QUOTED_STARTS):  # "_x003D_" is read as "=" (ECMA-376 part 1, 22.9.2.19)
        cell.quotePrefix = True


def csv_text(text: str) -> str:
    """Return `text` safe for a CSV file opened in a spreadsheet program: an apostrophe precedes a formula."""
    return "'" + text if text.lstrip("'").startswith(FORMULA_STARTS) else text


def without_csv_guard(text: str) -> str:
    """Undo `csv_text`."""
    return text[1:] if text.startswith("'") and text.lstrip("'").startswith(FORMULA_STARTS) else text
