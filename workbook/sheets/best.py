"""Write the Best options sheet: the best layout of each of the five cheapest GPUs, and what it comes to.

Plan shows these five; the sentences and charts of Plan are made of them.
"""

from __future__ import annotations

from functools import partial

from openpyxl.utils import get_column_letter

from core.plan.money import BY_MONTH, OUTCOME, SLOPES, SWINGS
from core.plan.terms import Term
from workbook import formulas as f
from workbook import styles, terms
from workbook.book import MONEY_FORMAT, Book, SheetColumn, filled_table, heading, protect, put
from workbook.labels import Labels
from workbook.sheets import gpus, options

TABLE = "Best"
SHOWN = 5
HEADER_ROW = 4
FIRST_ROW = HEADER_ROW + 1

_TEXTS = ("gpu", "layout", "cheaper", "limits")
_FIGURES = (
    "best_gpus", "replicas", "users_per_replica", "users", "low_tokens_per_s", "tokens_per_s_per_user",
    "high_tokens_per_s", "first_token_s", "net_present_cost",
)  # fmt: skip
_TERMS = (*OUTCOME, *SLOPES, *SWINGS)
_OWN = frozenset(term.name for term in _TERMS)
# Inputs of the terms that Options has; the other ones are names of the workbook.
_NAMES = (
    "tax_rate", "average_load", "hours_in_use", "hours_per_month", "site_load", "grid_kg_per_kwh",
    "api_prompt_usd_per_million", "api_output_usd_per_million", "api_other_month", "annuity", "other_month",
    "days_per_month", "residual_share", "discount", "software_usd_per_month", "storage_usd_per_month",
    "egress_usd_per_month", "monthly_rate", "discount_rate_per_year", "months_per_year", "depreciation_years", "month",
)  # fmt: skip
_OF_OPTION = tuple(
    dict.fromkeys(
        name
        for group in (OUTCOME, SLOPES, SWINGS, BY_MONTH)
        for name in group.inputs
        if name not in (*_NAMES, *_OWN, *_FIGURES, "people", "prompt_tokens", "output_tokens")
    )
)
_LOOKED_UP = (*_TEXTS, *_FIGURES, *_OF_OPTION)
_OF_PACE = ("output_tokens", "prompt_tokens")
_COLUMNS = (
    SheetColumn("place", 8, styles.CHECK),
    SheetColumn("rank", 8),
    SheetColumn("option_row", 9),
    *(SheetColumn(key, 20 if key == "gpu" else 14, styles.FORMULA_TEXT, None) for key in _TEXTS),
    SheetColumn("gpu_row", 9),
    SheetColumn("gpu_title", 44, styles.FORMULA_TEXT, None),
    SheetColumn("margin", 10, styles.FORMULA, "0.0%"),
    *(SheetColumn(key, 12, styles.FORMULA, "#,##0.##") for key in (*_FIGURES, *_OF_OPTION)),
    *(SheetColumn(key, 12) for key in (*_OF_PACE, "capacity_row")),
    SheetColumn("reserved_usd_per_gpu_hour", 12, styles.FORMULA, MONEY_FORMAT),
    *(SheetColumn(term.name, 14, styles.FORMULA, terms.number_format(term)) for term in _TERMS),
    SheetColumn("tco_of_parts", 14),
)
_LETTER = {column.key: get_column_letter(number) for number, column in enumerate(_COLUMNS, start=1)}


def write(book: Book) -> None:
    """Write the sheet. Options must exist, and the names of the plan's inputs."""
    labels = book.labels
    ws = book.sheet("best", [column.width for column in _COLUMNS], tab_colour="7F7F7F")
    heading(ws, labels("best.title"), labels("best.subtitle"))
    put(ws, "A3", styles.SUBTITLE, labels("best.note"))
    ws.row_dimensions[HEADER_ROW].height = 58
    rows = ({"place": place} for place in range(1, SHOWN + 1))
    last = filled_table(ws, TABLE, HEADER_ROW, _COLUMNS, partial(header, labels), rows, _formulas(book))
    ws.freeze_panes = f"E{FIRST_ROW}"
    ws.print_title_rows = f"{HEADER_ROW}:{HEADER_ROW}"
    ws.print_area = f"A1:{_LETTER['margin']}{last}"
    protect(ws)


def header(labels: Labels, key: str) -> str:
    """Return the heading of a column."""
    if key in ("place", "option_row", "margin", "tco_of_parts"):
        return labels(f"best.{key}")
    if key == "gpu_title":
        return labels("gpus.gpu_title")
    if key in _OWN or key in (*_OF_PACE, "reserved_usd_per_gpu_hour"):
        return terms.label(labels, key)
    return options.header(labels, key)


def cell(key: str, place: int = 1) -> str:
    """Return the cell of a figure of the option at that place, for formulas of the same sheet."""
    return f"{_LETTER[key]}{FIRST_ROW + place - 1}"


def at(book: Book, key: str, place: int = 1) -> str:
    """Return the reference to a figure of the option at that place."""
    title = book.labels("sheet.best").replace("'", "''")
    return f"'{title}'!${_LETTER[key]}${FIRST_ROW + place - 1}"


def column(book: Book, key: str) -> str:
    """Return the reference to a whole column."""
    return f.whole_column(TABLE, header(book.labels, key))


def _formulas(book: Book) -> dict[str, str]:
    labels = book.labels
    best_of_gpu = options.column(book, "best_of_gpu")

    def cell(key: str) -> str:
        return f.this_row(TABLE, header(labels, key))

    def of_option(key: str) -> str:
        row = cell("option_row")
        return f"IF({row}>0,INDEX({options.column(book, key)},{row}),{terms.MISSING})"

    def of_pace(name: str) -> str:
        row = cell("option_row")
        return f"IF({row}>0,INDEX({name},INDEX({options.column(book, 'pace_row')},{row})),{terms.MISSING})"

    def reference(name: str) -> str:
        if name == "people":
            return "plan_people"
        return cell(name) if name in _LETTER else name

    def printed(term: Term) -> str:
        return terms.formula(term, reference)

    cheapest = f"{column(book, 'net_present_cost')}"
    return {
        "rank": of_option("rank"),
        "option_row": f"IF(COUNT({best_of_gpu})>={cell('place')},"
        f"MATCH(SMALL({best_of_gpu},{cell('place')}),{options.column(book, 'order_key')},0),0)",
        **{key: of_option(key) for key in _LOOKED_UP},
        "gpu_row": of_option("gpu_row"),
        "capacity_row": of_option("capacity_row"),
        "gpu_title": f"IF(ISNUMBER({cell('gpu_row')}),SUBSTITUTE(INDEX({gpus.column(book, 'gpu_title')},{cell('gpu_row')}),"
        f"INDEX({gpus.column(book, 'maker')},{cell('gpu_row')})&{f.text(' ')},{f.text('')}),{terms.MISSING})",
        "reserved_usd_per_gpu_hour": f"IF(ISNUMBER({cell('gpu_row')}),"
        f"INDEX({gpus.column(book, 'reserved_per_gpu_hour_amount')},{cell('gpu_row')}),{terms.MISSING})",
        "margin": f"IF(ISNUMBER({cell('net_present_cost')}),{cell('net_present_cost')}/INDEX({cheapest},1)-1,{terms.MISSING})",
        **{key: of_pace(key) for key in _OF_PACE},
        **{term.name: printed(term) for term in _TERMS},
        # By another route than the term's, for a check: what is paid less what is left.
        "tco_of_parts": f"IF(ISNUMBER({cell('cost_tco')}),{cell('start_cash')}+IF({cell('buys')}=1,{cell('opex')},"
        f"{cell('rent_month')})*horizon_months-{cell('end_value')},{terms.MISSING})",
    }
