"""Build the planner template: all sheets, with computed values, as the bytes of an .xlsx."""

from __future__ import annotations

import datetime
import gc
import sys
import tempfile
import traceback
import zipfile
from collections.abc import Sequence
from functools import partial
from io import BytesIO

from lxml.etree import SerialisationError
from openpyxl import Workbook
from openpyxl.workbook.properties import CalcProperties

from core import __version__, catalog
from core.catalog.offers import Offer, catalog_offers
from core.errors import PlannerError
from workbook import garbage_collection, styles
from workbook.book import Book
from workbook.cached_values import with_values
from workbook.chart_texts import with_chart_texts
from workbook.files import UnwritableFileError
from workbook.labels import Labels
from workbook.package import rewritten
from workbook.recalculation import Values, computed_values
from workbook.sheet_writer import QuickExcelWriter
from workbook.sheets import (
    about,
    article,
    assumptions,
    best,
    capacity,
    changes,
    checks,
    functions,
    gpus,
    how_it_works,
    layouts,
    models,
    options,
    plan,
    plan_workings,
    precisions,
    prices,
    scenarios,
    sensitivity,
    speed,
    speed_figures,
)

SHEET_ORDER = (
    "plan", "scenarios", "options", "prices", "assumptions", "sensitivity", "article", "about", "how_it_works",
    "checks", "best", "plan_workings", "capacity", "speed", "models", "layouts", "speed_figures", "gpus", "precisions",
    "functions", "changes",
)  # fmt: skip

MOST_MODELS = 2_500  # rows of Models; each takes about 0.03 s to compute
CREATOR = f"VRAM planner {__version__}"


def build(
    lang: str, rows: Sequence[scenarios.Values] | None = None, offers: Sequence[Offer] | None = None
) -> tuple[bytes, Values]:
    """Build the planner in `lang` with the value of every formula; the bytes are the same at every call.

    Args:
        rows: the rows of the Scenarios sheet; the examples if omitted.
        offers: the rows of the Prices sheet, whose GPUs have rows on Options; the catalog's if omitted.

    Returns:
        The .xlsx, and the values: sheet → address → value.
    """
    formulas = without_values(lang, rows, offers, compression=zipfile.ZIP_STORED)
    values = computed_values(formulas)
    return with_values(formulas, values), values


def without_values(
    lang: str,
    rows: Sequence[scenarios.Values] | None = None,
    offers: Sequence[Offer] | None = None,
    *,
    compression: int = zipfile.ZIP_DEFLATED,
) -> bytes:
    """Build the planner without computing its formulas."""
    with garbage_collection.paused():
        book = build_sheets(lang, rows, offers)
        return saved(book, book.labels("about.title"), CREATOR, compression)


def build_sheets(
    lang: str, rows: Sequence[scenarios.Values] | None = None, offers: Sequence[Offer] | None = None
) -> Book:
    """Build the sheets of the planner without computing their formulas.

    Raises:
        PlannerError: more models are known than the sheet Models takes.
    """
    _check_number_of_models()
    offers = catalog_offers() if offers is None else offers
    workbook = Workbook()
    workbook.remove(workbook.active)
    book = Book(workbook, Labels(lang), offers)
    styles.register(workbook, lang)
    reserved = (about, checks, plan, assumptions, plan_workings, capacity)
    about_sheet, checks_sheet, plan_sheet, assumptions_sheet, workings_sheet, capacity_sheet = (
        sheet.reserve(book) for sheet in reserved
    )
    precisions.write(book)
    models.write(book)
    layouts.write(book)
    speed_figures.write(book)
    gpus.write(book)
    prices.write(book)
    article.write(book)
    rows = scenarios.default_rows(book.labels) if rows is None else rows
    scenarios.write(book, rows, partial(capacity.scenario_column, book))
    sensitivity.write(book)
    capacity.write(book, capacity_sheet)
    speed.write(book)
    options.write(book)
    assumptions.write(book, assumptions_sheet)
    best.write(book)
    plan.write(book, plan_sheet, _first_choice(book, rows), plan_workings.write(book, workings_sheet))
    how_it_works.write(book)
    functions.write(book)
    changes.write(book)
    checks.write(book, checks_sheet)
    about.write(book, about_sheet)
    titles = [book.labels(f"sheet.{key}") for key in SHEET_ORDER]
    workbook._sheets.sort(key=lambda ws: titles.index(ws.title))
    workbook.active = 0
    return book


def _check_number_of_models() -> None:
    known = len(catalog.models())
    if known > MOST_MODELS:
        raise PlannerError(
            "models",
            f"{known:,} models are known, and the workbook takes at most {MOST_MODELS:,}",
            "Name a file of fewer models with --models.",
        )


def _first_choice(book: Book, rows: Sequence[scenarios.Values]) -> str:
    """Return the scenario that Plan shows in a new planner."""
    example = book.labels(f"scenarios.{plan.DEFAULT_SCENARIO}")
    names = [str(row["scenario"]) for row in rows]
    return example if example in names else names[0]


def _set_properties(book: Book, title: str, creator: str) -> None:
    properties = book.openpyxl.properties
    properties.title, properties.creator = title, creator
    # The catalog's date instead of the clock's, so that the same version writes the same bytes.
    as_of = max(model.as_of for model in catalog.models())
    properties.created = properties.modified = datetime.datetime.fromisoformat(as_of)


def _close_open_files(error: SerialisationError) -> None:
    """Close the files that openpyxl leaves open; at exit Python would print the same error again."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    traceback.clear_frames(error.__traceback__)
    gc.collect()
    sys.unraisablehook = hook


def saved(book: Book, title: str, creator: str, compression: int) -> bytes:
    """Return a workbook as a file that spreadsheet programs compute when they open it."""
    out = BytesIO()
    _set_properties(book, title, creator)
    book.openpyxl.calculation = CalcProperties(fullCalcOnLoad=True)
    try:
        # openpyxl's save() would store the current time, and compress the parts that `rewritten` compresses below.
        with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as package:
            QuickExcelWriter(book.openpyxl, package).write_data()
    except SerialisationError as error:  # lxml cannot write the temporary file of a sheet
        _close_open_files(error)
        folder, remedy = tempfile.gettempdir(), "Free some space there, or set TMPDIR to another folder."
        raise UnwritableFileError(folder, f"a temporary file cannot be written ({error})", remedy) from error
    texts = [book.chart_texts[ws.title] for ws in book.openpyxl if ws.title in book.chart_texts]
    return rewritten(
        out.getvalue(), lambda part, content: with_chart_texts(part, content, texts), compression=compression
    )
