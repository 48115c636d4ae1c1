"""Write the How it works sheet: the label, unit, meaning, formula and source of every term."""

from __future__ import annotations

from core.plan.memory import MEMORY_TERMS
from core.plan.money import MONEY_TERMS
from core.plan.speed_terms import SPEED_TERMS
from workbook import styles, terms
from workbook.book import Book, heading, protect, put
from workbook.sheets import option_terms

HEADER_ROW = 4
COLUMNS = ("figure", "unit", "means", "formula", "source", "on_options")
TERMS = (*MEMORY_TERMS, *SPEED_TERMS, *MONEY_TERMS)


def write(book: Book) -> None:
    """Write the sheet. Formulas are texts, in which the label of each figure is in brackets."""
    labels = book.labels
    ws = book.sheet("how_it_works", [24, 10, 42, 48, 27, 22])
    heading(ws, labels("how_it_works.title"), labels("how_it_works.subtitle"))
    for letter, key in zip("ABCDEF", COLUMNS):
        put(ws, f"{letter}{HEADER_ROW}", styles.HEADING, labels(f"how_it_works.{key}"))
    for row, term in enumerate(TERMS, start=HEADER_ROW + 1):
        formula = terms.formula(term, lambda name: f"[{terms.label(labels, name)}]")
        put(ws, f"A{row}", styles.LABEL, terms.label(labels, term.name))
        put(ws, f"B{row}", styles.NOTE, labels(f"term_unit.{term.unit}" if term.unit else "unit.none"))
        put(ws, f"C{row}", styles.LABEL, labels(f"term.{term.name}.means"))
        put(ws, f"D{row}", styles.LABEL, formula)
        put(ws, f"E{row}", styles.NOTE, term.source)
        on_options = option_terms.header(labels, term.name) if term.name in option_terms.shown() else None
        put(ws, f"F{row}", styles.NOTE, on_options)
    ws.freeze_panes = f"B{HEADER_ROW + 1}"
    ws.print_title_rows = f"{HEADER_ROW}:{HEADER_ROW}"
    ws.print_area = f"A1:E{HEADER_ROW + len(TERMS)}"
    protect(ws)
