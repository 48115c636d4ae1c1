"""Write the Functions sheet: each function of the workbook with an example, and whether the program knows it.

No cell calls the functions, so that none shows an error in a program without LAMBDA.
"""

from __future__ import annotations

from openpyxl.worksheet.worksheet import Worksheet

from workbook import formulas as f
from workbook import styles
from workbook.book import Book, heading, protect, put, put_formula
from workbook.functions.all import KNOWN, define_functions, functions
from workbook.functions.examples import EXAMPLES
from workbook.labels import Labels

_WIDTHS = (35, 52, 40, 12, 10, 15)
_COLUMNS = ("function", "gives", "example", "result", "unit", "here")
_STATUS_ROW, _CHECKS_ROW, _HEADER_ROW = 3, 4, 5
_KNOWS = f"F{_STATUS_ROW}"
_ROW_HEIGHT = 42  # points: three lines
_NOTES = ("names", "errors", "columns", "parts", "agree")


def write(book: Book, *, note: str = "", with_checks: bool = False) -> None:
    """Define the functions and write the sheet; the sheets of the catalog must exist.

    Args:
        note: a further note, first.
        with_checks: whether to show the master check, for a workbook that begins with this sheet.
    """
    labels = book.labels
    define_functions(book)
    ws = book.sheet("functions", _WIDTHS, one_page=True)
    heading(ws, labels("functions.title"), labels("functions.subtitle"))
    for address, formula in _formulas(labels).items():
        role = {f"A{_STATUS_ROW}": styles.SUBTITLE, _KNOWS: styles.CHECK}.get(address, styles.FORMULA_TEXT)
        put_formula(ws, address, role, formula, "0" if role == styles.CHECK else None)
    if with_checks:
        put(ws, f"A{_CHECKS_ROW}", styles.SUBTITLE, labels("checks.master"))
        put_formula(ws, f"F{_CHECKS_ROW}", styles.CHECK, "master_check", labels("check.format"))
    _write_examples(labels, ws)
    last = _HEADER_ROW + len(EXAMPLES) + 1
    for text in filter(None, [note, *(labels(f"functions.note_{key}") for key in _NOTES)]):
        last += 1
        put(ws, f"A{last}", styles.SUBTITLE, text)
    ws.freeze_panes = f"A{_HEADER_ROW + 1}"
    ws.print_area = f"A1:F{last}"
    protect(ws)


def _formulas(labels: Labels) -> dict[str, str]:
    """Return the formula of each cell that says whether the program knows LAMBDA."""

    def either(works: str, missing: str) -> str:
        knows = f"${_KNOWS[0]}${_KNOWS[1:]}"
        return f"IF({knows}=1,{f.text(labels(f'functions.{works}'))},{f.text(labels(f'functions.{missing}'))})"

    rows = range(_HEADER_ROW + 1, _HEADER_ROW + 1 + len(EXAMPLES))
    return {
        f"A{_STATUS_ROW}": either("works", "missing"),
        _KNOWS: f"IFERROR({KNOWN},0)",
        **{f"F{row}": either("ready", "needs") for row in rows},
    }


def _write_examples(labels: Labels, ws: Worksheet) -> None:
    by_name = {function.name: function for function in functions(labels)}
    for letter, key in zip("ABCDEF", _COLUMNS):
        put(ws, f"{letter}{_HEADER_ROW}", styles.HEADING, labels(f"functions.{key}"))
    for row, example in enumerate(EXAMPLES, start=_HEADER_ROW + 1):
        put(ws, f"A{row}", styles.LABEL, f"{example.function}({by_name[example.function].arguments})")
        put(ws, f"B{row}", styles.LABEL, labels(f"functions.{example.function}"))
        put(ws, f"C{row}", styles.LABEL, example.text)
        put(ws, f"D{row}", styles.SOURCE_FIGURE, example.computed(), example.number_format)
        put(ws, f"E{row}", styles.LABEL, labels(example.unit))
        ws.row_dimensions[row].height = _ROW_HEIGHT
