"""Write the Options sheet: the chosen scenario on every GPU and layout, with its speed, order, cost and rank."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from openpyxl.utils import get_column_letter

from core.checks import LIMITS
from core.plan.fleet import LAYOUTS
from core.plan.money import OPTION_MONEY
from core.plan.speed_terms import FAST, LOAD, PARTS
from workbook import formulas as f
from workbook import styles, terms
from workbook.book import (
    ABOVE,
    COUNT_FORMAT,
    MONEY_FORMAT,
    Book,
    SheetColumn,
    between_rule,
    filled_table,
    filterable,
    heading,
    one_line,
    protect,
    put_formula,
    validate,
)
from workbook.labels import Labels
from workbook.sheets import capacity, gpus, option_terms, pace, speed

TABLE = option_terms.TABLE
GIVEN_SPEED = "given_speed"  # the input: tokens per second of a user that the user measured
HEADER_ROW = 4
FIRST_ROW = HEADER_ROW + 1

# The columns that a reader needs first, which are printed.
SHOWN = (
    SheetColumn("rank", 6, styles.TOTAL),
    SheetColumn("gpu", 20, styles.FORMULA_TEXT, None),
    SheetColumn("layout", 13, styles.FORMULA_TEXT, None),
    SheetColumn("state", 33, styles.FORMULA_TEXT, None),
    SheetColumn("cheaper", 8, styles.FORMULA_TEXT, None),
    SheetColumn("best_gpus", 8, styles.TOTAL),
    SheetColumn("best_month", 11, styles.TOTAL, "#,##0"),
    SheetColumn("net_present_cost", 12, styles.TOTAL, "#,##0"),
    SheetColumn("users_per_replica", 9),
    SheetColumn("low_tokens_per_s", 9, styles.FORMULA, "#,##0.0"),
    SheetColumn("tokens_per_s_per_user", 9, styles.TOTAL, "#,##0.0"),
    SheetColumn("high_tokens_per_s", 9, styles.FORMULA, "#,##0.0"),
    SheetColumn("first_token_s", 9, styles.FORMULA, "#,##0.0"),
    SheetColumn("limits", 11, styles.FORMULA_TEXT, None),
)
_RANKING = (
    "free_places", "all_bandwidth", "cost", "sorted_cost", "group_cost", "position", "in_group", "order_key",
    "best_of_gpu",
)  # fmt: skip


def _format(name: str) -> str:
    """Return the number format of a figure of an option."""
    if name in OPTION_MONEY.by_name:
        return terms.number_format(OPTION_MONEY[name])
    if name in (*(term.name for term in (*FAST, *LOAD)), "sequences"):
        return "#,##0.0" if name == "sequences" else "0.000E+00"
    return MONEY_FORMAT if "usd" in name else COUNT_FORMAT


_COLUMNS = (
    *SHOWN,
    SheetColumn(GIVEN_SPEED, 10, styles.INPUT, "#,##0.0"),
    SheetColumn("best_user_month", 12, styles.FORMULA, "#,##0.00"),
    SheetColumn("pays_off", 16),
    SheetColumn("capacity_row", 9, styles.SOURCE_FIGURE),
    SheetColumn("pace_row", 9, styles.SOURCE_FIGURE),
    SheetColumn(option_terms.MEASURED_SPEED, 10),
    SheetColumn("reason", 30, styles.FORMULA_TEXT, None),
    SheetColumn("no_figures", 30, styles.FORMULA_TEXT, None),
    SheetColumn("speed_reason", 30, styles.FORMULA_TEXT, None),
    SheetColumn("shown_low", 10, styles.FORMULA, "0.#"),
    SheetColumn("slow", 30, styles.FORMULA_TEXT, None),
    SheetColumn("left_out", 9),
    SheetColumn("why_not", 30, styles.FORMULA_TEXT, None),
    *(
        SheetColumn(name, 12, styles.FORMULA, _format(name))
        for name in option_terms.shown()
        if name not in {column.key for column in SHOWN}
    ),
    *(SheetColumn(key, 18 if key == "order_key" else 14, styles.FORMULA, "#,##0") for key in _RANKING),
)
_LETTER = {column.key: get_column_letter(number) for number, column in enumerate(_COLUMNS, start=1)}
Cell = Callable[[str], str]


def write(book: Book) -> None:
    """Write the sheet. The sheets GPUs, Scenarios and Capacity and the inputs of Plan must exist."""
    labels = book.labels
    ws = book.sheet("options", [column.width for column in _COLUMNS], tab_colour="BF8F00")
    heading(ws, labels("options.title"), labels("options.subtitle"))
    put_formula(ws, "A3", styles.SUBTITLE, "plan_printed")
    ws.row_dimensions[HEADER_ROW].height = 58
    last = filled_table(ws, TABLE, HEADER_ROW, _COLUMNS, partial(header, labels), _rows(book), _formulas(book))
    one_line(ws, FIRST_ROW, last)
    filterable(ws, TABLE)
    given = f"{_LETTER[GIVEN_SPEED]}{FIRST_ROW}:{_LETTER[GIVEN_SPEED]}{last}"
    limits = LIMITS[option_terms.MEASURED_SPEED]
    rule = between_rule(str(limits.least), str(limits.most), whole=False)
    validate(
        ws, given, rule, title=header(labels, GIVEN_SPEED), prompt=labels("prompt.given_speed"),
        wrong_title=labels("prompt.wrong_title"),
    )  # fmt: skip
    rule.allow_blank = True
    book.name("given_speeds", ws, given)
    ws.freeze_panes = f"D{FIRST_ROW}"
    ws.print_title_rows = f"{HEADER_ROW}:{HEADER_ROW}"
    ws.print_area = f"A1:{_LETTER[SHOWN[-1].key]}{last}"
    protect(ws)


def header(labels: Labels, key: str) -> str:
    """Return the heading of a column."""
    if key in _RANKING or key in _SHEET_KEYS:
        return labels("options.slow_reason" if key == "slow" else f"options.{key}")
    return option_terms.header(labels, key)


_SHEET_KEYS = {
    "reason", "state", "limits", "rank", "no_figures", "speed_reason", "shown_low", "slow", "left_out", "why_not",
    GIVEN_SPEED, option_terms.MEASURED_SPEED,
}  # fmt: skip


def column(book: Book, key: str) -> str:
    """Return the reference to a whole column; one that others use must be in `option_terms.KEPT`."""
    if key not in _LETTER:
        raise KeyError(key)
    return f.whole_column(TABLE, header(book.labels, key))


def letter(key: str) -> str:
    """Return the letter of a column."""
    return _LETTER[key]


def _rows(book: Book) -> Iterator[dict[str, object]]:
    paces = {pace: number for number, pace in enumerate(speed.option_rows(book.offers), start=1)}
    rows = capacity.option_rows(book.offers)
    for number, (gpu, layout) in enumerate(rows):
        yield {"capacity_row": number + 1, "pace_row": paces[gpu, LAYOUTS[layout][0]], GIVEN_SPEED: None}


def _formulas(book: Book) -> dict[str, str]:
    labels = book.labels

    def cell(key: str) -> str:
        return f.this_row(TABLE, header(labels, key))

    def held(key: str) -> str:
        return f"INDEX({capacity.column(book, key)},{cell('capacity_row')})"

    def in_words(formula: str) -> str:
        """Return a formula with what limits the speed in the language of the workbook."""
        for part in PARTS:
            formula = formula.replace(f.text(part), f.text(labels(f"options.part_{part.replace(' ', '_')}")))
        return formula

    def reason(key: str) -> str:
        return f.text(labels(f"options.{key}"))

    chosen = partial(terms.bought_or_rented, cell("buys"))
    return {
        **{key: held(key) for key in ("gpu", "layout")},
        **{name: in_words(formula) for name, formula in option_terms.formulas(labels).items()},
        option_terms.MEASURED_SPEED: f"IF(ISNUMBER({cell(GIVEN_SPEED)}),MAX(0,{cell(GIVEN_SPEED)}),0)",
        "limits": f"IF({cell('runs')}=1,{cell('largest_part')},{terms.MISSING})",
        "no_figures": f"IF(AND({cell('runs')}={pace.NO_FIGURES},{cell('fitting')}>0,plan_requests_per_hour>0),"
        f"{reason('size_only')},{terms.MISSING})",
        "speed_reason": f"IF({cell('runs')}={pace.NO_KERNEL},{reason('no_kernel')},"
        f"IF(AND({cell('runs')}={pace.NO_RATE},ISNUMBER({cell('bandwidth')})),{reason('no_rate')},{cell('no_figures')}))",
        "shown_low": pace.shown_low(cell("runs"), cell("low_tokens_per_s")),
        "slow": f"IF({cell('runs')}=1,IF({cell('low_tokens_per_s')}<plan_min_speed,{reason('slow')}&"
        f"{cell('shown_low')}&{reason('of')}&plan_min_speed&{reason('per_s')},{terms.MISSING}),{terms.MISSING})",
        "left_out": f"1-INDEX({gpus.column(book, 'is_compared')},{cell('gpu_row')})",
        "why_not": f"IF({cell('left_out')}=1,{reason('left_out_reason')},"
        f"IF({cell('slow')}={terms.MISSING},{cell('speed_reason')},{cell('slow')}))",
        "reason": f"IF({cell('why_not')}={terms.MISSING},IF({cell('deployable')}>most_planned_gpus,{reason('cap')},"
        f"IF(ISNUMBER({cell('net_present_cost')}),{reason('no_bandwidth')},{reason('no_price')})),{cell('why_not')})",
        "state": f"IF(ISNUMBER({cell('cost')}),{reason('in')},IF({cell('fitting')}=0,{held('binds')},{cell('reason')}))",
        "cheaper": chosen(f.text(labels("procurement.buy")), f.text(labels("procurement.rent"))),
        "best_gpus": chosen(cell("order"), cell("rented")),
        "best_month": chosen(cell("own_month"), cell("rent_month")),
        "best_user_month": chosen(cell("own_user_month"), cell("rent_user_month")),
        "pays_off": terms.pays_off(cell("saved"), cell("break_even"), labels("procurement.never")),
        **_ranking(book, cell),
    }


def _ranking(book: Book, cell: Cell) -> dict[str, str]:
    """Return the formulas of `core.plan.ranking.rank`.

    The costs are sorted beside the table's rows, and grouped from the cheapest upwards; an option then has the place of
    its group's first cost, and within it the order by free places, bandwidth, cost and row, all in one number of up to
    15 digits.
    """
    number, cost, in_list = f"ROW()-ROW($A${HEADER_ROW})", cell("cost"), f"ISNUMBER({cell('sorted_cost')})"

    def if_ranked(formula: str) -> str:
        return f"IF(ISNUMBER({cost}),{formula},{terms.MISSING})"

    def more(key: str) -> str:
        return f'COUNTIF({column(book, key)},">"&{cell(key)})'

    above_cost = f"{_LETTER['group_cost']}{ABOVE}"
    group = f"MATCH(INDEX({column(book, 'group_cost')},{cell('position')}),{column(book, 'sorted_cost')},0)"
    npc, bandwidth = cell("net_present_cost"), cell("bandwidth")
    better_of_gpu = f'COUNTIFS({column(book, "gpu")},{cell("gpu")},{column(book, "order_key")},"<"&{cell("order_key")})'
    places = f"{cell('replicas')}*{cell('users_per_replica')}-{cell('users')}"
    return {
        "cost": f"IF(AND(ISNUMBER({npc}),ISNUMBER({bandwidth}),{cell('why_not')}={terms.MISSING},"
        f"{cell('deployable')}<=most_planned_gpus),{npc},{terms.MISSING})",
        "free_places": if_ranked(places),
        "all_bandwidth": if_ranked(f"{cell('with_spares')}*{bandwidth}/{cell('users')}"),
        "sorted_cost": f"IF({number}<=COUNT({column(book, 'cost')}),SMALL({column(book, 'cost')},{number}),{terms.MISSING})",
        "group_cost": f"IF({in_list},IF({number}=1,{cell('sorted_cost')},IF({cell('sorted_cost')}>{above_cost}*same_cost,"
        f"{cell('sorted_cost')},{above_cost})),{terms.MISSING})",
        "position": if_ranked(f"MATCH({cost},{column(book, 'sorted_cost')},0)"),
        "in_group": if_ranked(f"{more('free_places')}*10^3+{more('all_bandwidth')}"),
        "order_key": if_ranked(f"(({group}*10^6+{cell('in_group')})*10^3+{cell('position')})*10^3+{number}"),
        "rank": if_ranked(f'COUNTIF({column(book, "order_key")},"<"&{cell("order_key")})+1'),
        "best_of_gpu": if_ranked(f"IF({better_of_gpu}=0,{cell('order_key')},{terms.MISSING})"),
    }
