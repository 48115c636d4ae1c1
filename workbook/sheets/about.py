"""Write the About sheet: the purpose of the workbook, the answer, the result of its checks, and links to all sheets."""

from __future__ import annotations

from openpyxl.styles import Protection

from core import __version__, catalog
from workbook import formulas as f
from workbook import styles
from workbook.book import Book, link_to_sheet, protect, put, put_formula
from workbook.sheets import plan

CONTENTS = (
    "plan", "scenarios", "options", "prices", "assumptions", "sensitivity", "article", "how_it_works", "checks", "best",
    "plan_workings", "capacity", "speed", "models", "layouts", "speed_figures", "gpus", "precisions", "functions",
    "changes",
)  # fmt: skip
_COLOURS = ("input", "formula", "link", "source", "total")
_COLOUR_ROLES = {
    "input": styles.INPUT,
    "formula": styles.FORMULA,
    "link": styles.LINK,
    "source": styles.SOURCE_FIGURE,
    "total": styles.TOTAL,
}
_CAVEATS = ("memory", "reserved", "gpus", "overhead")


def reserve(book: Book):
    """Create the empty sheet."""
    return book.sheet("about", [24, 100])


def write(book: Book, ws) -> None:
    """Write the sheet. All other sheets must exist, because it links to them."""
    labels = book.labels
    put(ws, "A1", styles.TITLE, labels("about.title"))
    ws.row_dimensions[1].height = 28
    put(ws, "A2", styles.SUBTITLE, labels("about.purpose"))
    row = _write_answer(book, ws, 4) + 1
    put(ws, f"A{row}", styles.LABEL, labels("about.status"))
    verdict = f"IF(master_check=1,{f.text(labels('about.all_pass'))},{f.text(labels('about.some_fail'))})"
    put_formula(ws, f"B{row}", styles.ANSWER, verdict)
    put(ws, f"A{row + 1}", styles.LABEL, labels("about.version"))
    put(ws, f"B{row + 1}", styles.LABEL, __version__)
    put(ws, f"A{row + 2}", styles.LABEL, labels("about.data_date"))
    put(ws, f"B{row + 2}", styles.LABEL, max(model.as_of for model in catalog.models()))

    row = _section(ws, row + 4, labels("about.contents"))
    for key in CONTENTS:
        link_to_sheet(put(ws, f"A{row}", styles.LINK, labels(f"sheet.{key}")), book.openpyxl[labels(f"sheet.{key}")])
        put(ws, f"B{row}", styles.LABEL, labels(f"about.{key}"))
        row += 1
    row = _section(ws, row + 1, labels("about.how"))
    for number in range(1, 6):
        put(ws, f"A{row}", styles.CHECK, number)
        put(ws, f"B{row}", styles.LABEL, labels(f"about.how_{number}"))
        row += 1
    row = _section(ws, row + 1, labels("about.colours"))
    for key in _COLOURS:
        put(ws, f"A{row}", _COLOUR_ROLES[key], 1034, "#,##0").protection = Protection(locked=True)
        put(ws, f"B{row}", styles.LABEL, labels(f"about.colour_{key}"))
        row += 1
    row = _section(ws, row + 1, labels("about.caveats"))
    for key in _CAVEATS:
        put(ws, f"A{row}", styles.CHECK, "!")
        put(ws, f"B{row}", styles.LABEL, labels(f"about.caveat_{key}"))
        row += 1
    put(ws, f"A{row + 1}", styles.SUBTITLE, labels("about.units"))
    ws.freeze_panes = "A3"
    protect(ws)


def _write_answer(book: Book, ws, row: int) -> int:
    """Write the three lines of the answer for the scenario chosen on Plan and return the row below them."""
    labels = book.labels
    row = _section(ws, row, labels("about.answer"))
    values = {
        "model": "chosen_model", "users": f.fixed("chosen_users", 0), "context": f.fixed("chosen_context", 0),
        "total": f.fixed("chosen_total_gb", 1),
    }  # fmt: skip
    needs, wrong = f.sentence(labels("about.answer_memory"), values), f.text(labels("about.answer_none"))
    memory = f"IF(chosen_check={f.text(f.OK)},{needs},{wrong})"
    for number, formula in enumerate((memory, _answer(book, "headline"), _answer(book, "cost")), start=1):
        put(ws, f"A{row}", styles.CHECK, number)
        put_formula(ws, f"B{row}", styles.ANSWER, formula)
        ws.row_dimensions[row].height = 34
        row += 1
    return row


def _answer(book: Book, sentence: str) -> str:
    """Return the reference to a sentence of Plan."""
    title = book.labels("sheet.plan")
    return f"'{title}'!{plan.SENTENCES[sentence]}"


def _section(ws, row: int, title: str) -> int:
    """Write a section's heading over both columns and return the row below it."""
    put(ws, f"A{row}", styles.SECTION, title)
    put(ws, f"B{row}", styles.SECTION)
    return row + 1
