"""Build the workbook of functions: the functions with the sheets of the catalog that they need, and nothing else."""

from __future__ import annotations

import zipfile

from openpyxl import Workbook

from core import __version__
from core.catalog.offers import catalog_offers
from workbook import styles
from workbook.book import Book
from workbook.cached_values import with_values
from workbook.labels import Labels
from workbook.recalculation import computed_values
from workbook.sheets import (
    changes,
    checks,
    function_assumptions,
    functions,
    gpus,
    layouts,
    models,
    precisions,
    prices,
    speed_figures,
)
from workbook.template import saved

CREATOR = f"VRAM functions {__version__}"
SHEET_ORDER = (
    "functions", "assumptions", "prices", "models", "layouts", "speed_figures", "gpus", "precisions", "checks",
    "changes",
)  # fmt: skip


def build(lang: str) -> bytes:
    """Build the workbook in `lang` with the value of every formula; the bytes are the same at every call."""
    formulas = without_values(lang)
    return with_values(formulas, computed_values(formulas))


def without_values(lang: str, *, compression: int = zipfile.ZIP_STORED) -> bytes:
    """Build the workbook without computing its formulas."""
    book = build_sheets(lang)
    return saved(book, book.labels("functions.book_title"), CREATOR, compression)


def build_sheets(lang: str) -> Book:
    """Build the sheets without computing their formulas."""
    workbook = Workbook()
    workbook.remove(workbook.active)
    book = Book(workbook, Labels(lang), catalog_offers())
    styles.register(workbook, lang)
    precisions.write(book)
    models.write(book)
    layouts.write(book)
    speed_figures.write(book)
    function_assumptions.write(book)
    gpus.write(book, with_plan=False)
    prices.write(book)
    changes.write(book)
    checks.write_of_catalog(book)
    functions.write(book, with_checks=True, note=book.labels("functions.book_note"))
    titles = [book.labels(f"sheet.{key}") for key in SHEET_ORDER]
    workbook._sheets.sort(key=lambda ws: titles.index(ws.title))
    workbook.active = 0
    return book
