"""Text that must stay text: nothing that a user or a catalog supplies is ever taken for a formula."""

from __future__ import annotations

from openpyxl.cell import Cell

# What Excel, and whoever pastes from it or reads a CSV made of it, takes for the start of a formula (OWASP, CSV injection).
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def put_text(cell: Cell, text: str) -> None:
    """Writes `text` into `cell` as text, whatever it begins with."""
    cell.value = text
    cell.data_type = "s"
    if text.startswith(_FORMULA_STARTS):
        cell.quotePrefix = True
