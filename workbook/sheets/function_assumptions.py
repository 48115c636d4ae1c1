"""Write the Assumptions sheet of the workbook of functions: what the costs assume, and the constants of speed.

In the planner these cells are on Plan, Assumptions, and Speed.
"""

from __future__ import annotations

from core.catalog.prices import cost_defaults
from core.plan.money import OPTION_MONEY, RATES
from workbook import styles, terms
from workbook.book import DATE_FORMAT, Book, between_rule, date_rule, heading, protect, put, put_formula, validate
from workbook.sheets import assumptions, plan_inputs, speed

HEADER_ROW = 4
_INPUTS = tuple(name for name in cost_defaults() if name in {*RATES.inputs, *OPTION_MONEY.inputs, "stale_after_months"})
_PLAN_DATE = "plan_date"


def write(book: Book) -> None:
    """Write the sheet and define its names."""
    labels = book.labels
    ws = book.sheet("assumptions", [38, 13, 15, 72, 11], tab_colour="BF8F00")
    heading(ws, labels("assumptions.title"), labels("functions.assumptions"))
    for letter, key in zip("ABCDE", ("assumption", "value", "unit", "source", "as_of")):
        text = labels("functions.value") if key == "value" else labels(f"procurement.{key}")
        put(ws, f"{letter}{HEADER_ROW}", styles.HEADING, text)
    for row, name in enumerate(_INPUTS, start=HEADER_ROW + 1):
        _write_input(book, ws, row, name)
    date_row = HEADER_ROW + len(_INPUTS) + 1
    _write_date(book, ws, date_row)
    for row, (name, value, shown) in enumerate(assumptions.FIXED, start=date_row + 1):
        put(ws, f"A{row}", styles.LABEL, labels(f"procurement.{name}"))
        put(ws, f"B{row}", styles.SOURCE_FIGURE, value, shown)
        put(ws, f"D{row}", styles.NOTE, labels(f"procurement.{name}_source"))
        book.name(name, ws, f"B{row}")
    rates_row = date_row + len(assumptions.FIXED) + 1
    for row, term in enumerate(RATES, start=rates_row):
        put(ws, f"A{row}", styles.LABEL, terms.label(labels, term.name))
        put_formula(ws, f"B{row}", styles.FORMULA, terms.formula(term, str), terms.number_format(term))
        book.name(term.name, ws, f"B{row}")
    speed.write_constants(book, ws, rates_row + len(RATES.terms) + 3)
    ws.freeze_panes = f"B{HEADER_ROW + 1}"
    ws.print_title_rows = f"{HEADER_ROW}:{HEADER_ROW}"
    protect(ws)


def _write_input(book: Book, ws, row: int, name: str) -> None:
    labels, default, limits = book.labels, cost_defaults()[name], assumptions.limits_of(name)
    title = labels(f"procurement.{name}")
    shown = assumptions.number_format(name)
    put(ws, f"A{row}", styles.LABEL, title)
    put(ws, f"B{row}", styles.INPUT, default.value, shown)
    put(ws, f"C{row}", styles.NOTE, labels(f"procurement.unit_{name}"))
    put(ws, f"D{row}", styles.NOTE, "; ".join(part for part in (default.source, default.note) if part))
    put(ws, f"E{row}", styles.NOTE, default.as_of)
    prompt = labels("prompt.assumption", least=f"{limits.least:g}", most=f"{limits.most:g}")
    rule = between_rule(f"{limits.least:g}", f"{limits.most:g}", whole=limits.whole)
    validate(ws, f"B{row}", rule, title=title, prompt=prompt, wrong_title=labels("prompt.wrong_title"))
    book.name(name, ws, f"B{row}")


def _write_date(book: Book, ws, row: int) -> None:
    """Write the date on which the prices are judged."""
    labels, one = book.labels, plan_inputs.choice_of(_PLAN_DATE)
    title = labels(f"plan.in_{one.key}")
    put(ws, f"A{row}", styles.LABEL, title)
    put(ws, f"B{row}", styles.INPUT, one.default, DATE_FORMAT)
    prompt = labels(f"prompt.{one.name}")
    validate(ws, f"B{row}", date_rule(), title=title, prompt=prompt, wrong_title=labels("prompt.wrong_title"))
    book.name(_PLAN_DATE, ws, f"B{row}")
