"""Text that must stay text: nothing that a user or a catalog supplies is ever taken for a formula."""

from __future__ import annotations

from openpyxl.cell import Cell

from core.texts import FORMULA_STARTS

_QUOTED_STARTS = (*FORMULA_STARTS, "_x")


def put_text(cell: Cell, text: str) -> None:
    """Writes `text` into `cell` as text, whatever it begins with."""
    cell.value = text
    cell.data_type = "s"
    if text.startswith(_QUOTED_STARTS):  # "_x003D_" is read as "=" (ECMA-376 part 1, 22.9.2.19)
        cell.quotePrefix = True


def csv_text(text: str) -> str:
    """`text` as it may stand in a CSV file that somebody opens in a spreadsheet: an apostrophe before a formula."""
    return "'" + text if text.lstrip("'").startswith(FORMULA_STARTS) else text


def without_csv_guard(text: str) -> str:
    """The text of which `csv_text` made `text`."""
    return text[1:] if text.startswith("'") and text.lstrip("'").startswith(FORMULA_STARTS) else text
