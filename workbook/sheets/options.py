"""Write the Options sheet: the chosen scenario on every GPU and layout, with its speed, order, cost and rank."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from openpyxl.utils import get_column_letter

from core.plan.demand import REQUESTS
from core.plan.fleet import LAYOUTS
from core.plan.memory import ESTIMATE, REPLICAS
from core.plan.money import OPTION_MONEY
from core.plan.speed_terms import FAST, LOAD, PARTS
from core.plan.terms import Term
from workbook import formulas as f
from workbook import styles, terms
from workbook.book import ABOVE, COUNT_FORMAT, MONEY_FORMAT, Book, SheetColumn, filled_table, heading, protect
from workbook.labels import Labels
from workbook.sheets import capacity, gpus, speed

TABLE = "Options"
HEADER_ROW = 4
FIRST_ROW = HEADER_ROW + 1

# The columns that a reader needs first, which are printed.
SHOWN = (
    SheetColumn("rank", 8, styles.TOTAL),
    SheetColumn("gpu", 24, styles.FORMULA_TEXT, None),
    SheetColumn("layout", 14, styles.FORMULA_TEXT, None),
    SheetColumn("state", 54, styles.FORMULA_TEXT, None),
    SheetColumn("cheaper", 10, styles.FORMULA_TEXT, None),
    SheetColumn("best_gpus", 11, styles.TOTAL),
    SheetColumn("nodes", 9),
    SheetColumn("best_month", 14, styles.TOTAL, "#,##0"),
    SheetColumn("best_user_month", 12, styles.FORMULA, "#,##0.00"),
    SheetColumn("net_present_cost", 14, styles.TOTAL, "#,##0"),
    SheetColumn("pays_off", 16),
    SheetColumn("users_per_replica", 11),
    SheetColumn("low_tokens_per_s", 10, styles.FORMULA, "#,##0.0"),
    SheetColumn("tokens_per_s_per_user", 10, styles.TOTAL, "#,##0.0"),
    SheetColumn("high_tokens_per_s", 10, styles.FORMULA, "#,##0.0"),
    SheetColumn("first_token_s", 10, styles.FORMULA, "#,##0.0"),
    SheetColumn("limits", 14, styles.FORMULA_TEXT, None),
)
_OF_GPU = {**gpus.INPUTS_OF_MONEY, "bandwidth": "bandwidth"}  # inputs that are looked up: name → column of GPUs
_OF_CAPACITY = ("gpu", "layout", "gpu_row", "gpus_per_replica", "memory_bytes", "pp")
# Terms of speed; what is left out needs groups of ranks with their own sequences, or users that wait.
_FAST = tuple(term for term in FAST if term.name != "longest_token_s")
_LOAD = tuple(term for term in LOAD if term.name not in ("own_batch", "tokens_per_day", "limited_by"))
_SPEED = (*_FAST, *_LOAD)
_REQUESTS = {"answered_s": "answered_s", "request_users": "users", "whole_users": "whole_users"}
_RANKING = (
    "free_places", "all_bandwidth", "cost", "sorted_cost", "group_cost", "group_number", "position", "in_group",
    "order_key", "best_so_far", "best_of_gpu",
)  # fmt: skip
_COLUMNS = (
    *SHOWN,
    SheetColumn("capacity_row", 9, styles.SOURCE_FIGURE),
    SheetColumn("pace_row", 9, styles.SOURCE_FIGURE),
    SheetColumn("first_of_gpu", 9, styles.SOURCE_FIGURE),
    SheetColumn("last_of_gpu", 9, styles.SOURCE_FIGURE),
    SheetColumn("reason", 30, styles.FORMULA_TEXT, None),
    SheetColumn("gpu_row", 9),
    SheetColumn("gpus_per_replica", 9),
    SheetColumn("memory_bytes", 16),
    SheetColumn("pp", 7),
    SheetColumn("fitting", 10),
    SheetColumn("runs", 8, styles.FORMULA, "0"),
    SheetColumn("no_figures", 30, styles.FORMULA_TEXT, None),
    SheetColumn("speed_reason", 30, styles.FORMULA_TEXT, None),
    SheetColumn("shown_low", 10, styles.FORMULA, "0.#"),
    SheetColumn("slow", 30, styles.FORMULA_TEXT, None),
    SheetColumn("left_out", 9),
    SheetColumn("why_not", 30, styles.FORMULA_TEXT, None),
    SheetColumn("needed", 10),
    SheetColumn("sequences", 10, styles.FORMULA, "#,##0.0"),
    SheetColumn("running_users", 10),
    *(SheetColumn(key, 12, styles.FORMULA, "#,##0.0") for key in _REQUESTS),
    SheetColumn("users", 10),
    *(
        SheetColumn(term.name, 12, styles.FORMULA, "0.000E+00")
        for term in _SPEED
        if term.name not in {column.key for column in SHOWN}
    ),
    SheetColumn("by_division", 10),
    *(
        SheetColumn(term.name, 14, styles.FORMULA, terms.number_format(term))
        for term in OPTION_MONEY
        if term.name not in {column.key for column in SHOWN}
    ),
    *(SheetColumn(name, 12, styles.FORMULA, MONEY_FORMAT if "usd" in name else COUNT_FORMAT) for name in _OF_GPU),
    *(SheetColumn(key, 18 if key == "order_key" else 14, styles.FORMULA, "#,##0") for key in _RANKING),
)
_LETTER = {column.key: get_column_letter(number) for number, column in enumerate(_COLUMNS, start=1)}
# Inputs of the terms of speed that are the same in every option.
_AT_PACE = {"attention_groups": "1", "waiting_users": "0"}
Cell = Callable[[str], str]


def write(book: Book) -> None:
    """Write the sheet. The sheets GPUs, Scenarios and Capacity and the inputs of Plan must exist."""
    labels = book.labels
    ws = book.sheet("options", [column.width for column in _COLUMNS], tab_colour="BF8F00")
    heading(ws, labels("options.title"), labels("options.subtitle"))
    ws.row_dimensions[HEADER_ROW].height = 58
    last = filled_table(ws, TABLE, HEADER_ROW, _COLUMNS, partial(header, labels), _rows(), _formulas(book))
    ws.freeze_panes = f"D{FIRST_ROW}"
    ws.print_title_rows = f"{HEADER_ROW}:{HEADER_ROW}"
    ws.print_area = f"A1:{_LETTER[SHOWN[-1].key]}{last}"
    protect(ws)


def header(labels: Labels, key: str) -> str:
    """Return the heading of a column."""
    if key in _RANKING or key in _SHEET_KEYS:
        return labels("options.slow_reason" if key == "slow" else f"options.{key}")
    return labels("capacity.gpu_row") if key == "gpu_row" else terms.label(labels, key)


_SHEET_KEYS = {
    "capacity_row", "pace_row", "reason", "state", "limits", "rank", "bandwidth", "fitting", "runs", "no_figures", "speed_reason", "shown_low", "slow", "left_out", "why_not",
    "needed",
    "request_users", "users", "first_of_gpu", "last_of_gpu",
}  # fmt: skip


def column(book: Book, key: str) -> str:
    """Return the reference to a whole column."""
    return f.whole_column(TABLE, header(book.labels, key))


def letter(key: str) -> str:
    """Return the letter of a column."""
    return _LETTER[key]


def _rows() -> Iterator[dict[str, object]]:
    first = capacity.first_option_row()
    paces = {pace: number for number, pace in enumerate(speed.option_rows(), start=speed.scenario_rows() + 1)}
    rows = capacity.option_rows()
    names = [None, *(gpu for gpu, _ in rows), None]
    for number, (gpu, layout) in enumerate(rows):
        yield {
            "capacity_row": first + number,
            "pace_row": paces[gpu, LAYOUTS[layout][0]],
            "first_of_gpu": int(names[number] != gpu),
            "last_of_gpu": int(names[number + 2] != gpu),
        }


def _formulas(book: Book) -> dict[str, str]:
    labels = book.labels

    def cell(key: str) -> str:
        return f.this_row(TABLE, header(labels, key))

    def held(key: str) -> str:
        return f"INDEX({capacity.column(book, key)},{cell('capacity_row')})"

    def gpu(key: str) -> str:
        return f"INDEX({gpus.column(book, key)},{cell('gpu_row')})"

    def reference(name: str) -> str:
        """Return the column, cell or defined name that holds an input of a term."""
        return cell(name) if name in _LETTER else name

    def of_pace(name: str) -> str:
        """Return the cell, look-up on Speed or defined name that holds an input of a term of speed."""
        name = "batch" if name == "own_batch" else name
        if name in _LETTER:
            return cell(name)
        return _AT_PACE.get(name) or (f"INDEX({name},{cell('pace_row')})" if name in speed.NAMED else name)

    def printed(term: Term) -> str:
        return f"IF({cell('runs')}=1,{terms.formula(term, of_pace)},{terms.MISSING})"

    def in_words(formula: str) -> str:
        """Return a formula with what limits the speed in the language of the workbook."""
        for part in PARTS:
            formula = formula.replace(f.text(part), f.text(labels(f"options.part_{part.replace(' ', '_')}")))
        return formula

    def of_request(name: str) -> str:
        names = {"tokens_per_s_per_user": "low_tokens_per_s", "users": "request_users"}
        return "plan_requests_per_hour" if name == "requests_per_hour" else of_pace(names.get(name, name))

    def of_demand(name: str) -> str:
        return "chosen_users" if name == "users" else cell(name)

    def by_division(name: str) -> str:
        return "chosen_total_gb" if name == "total_gb" else cell(name)

    def reason(key: str) -> str:
        return f.text(labels(f"options.{key}"))

    chosen = partial(terms.bought_or_rented, cell("buys"))
    return {
        **{key: held(key) for key in _OF_CAPACITY},
        "fitting": held("users_per_replica"),
        "runs": f"IF({cell('fitting')}>0,INDEX(pace_runs,{cell('pace_row')}),0)",
        **{term.name: printed(term) for term in _SPEED},
        "largest_part": in_words(terms.formula(LOAD["largest_part"], of_pace)),
        "limits": f"IF({cell('runs')}=1,{cell('largest_part')},{terms.MISSING})",
        "users_per_replica": f"IF({cell('runs')}=1,MIN({cell('fitting')},{cell('users_at_speed')}),{cell('fitting')})",
        "needed": terms.formula(REPLICAS["replicas_needed"], of_demand),
        "sequences": f"IF(plan_requests_per_hour>0,{cell('users_per_replica')},"
        f"IF(ISNUMBER({cell('needed')}),MAX(1,chosen_users/{cell('needed')}),1))",
        "running_users": f"IF(ISNUMBER({cell('deployable')}),{cell('sequences')}*{cell('deployable')}/"
        f"{cell('gpus_per_replica')},0)",
        **{
            key: f"IF(AND(plan_requests_per_hour>0,{cell('runs')}=1),{terms.formula(REQUESTS[name], of_request)},0)"
            for key, name in _REQUESTS.items()
        },
        "users": f"IF(plan_requests_per_hour>0,MAX(1,{cell('whole_users')}),chosen_users)",
        "no_figures": f"IF(AND({cell('runs')}={speed.NO_FIGURES},{cell('fitting')}>0,plan_requests_per_hour>0),"
        f"{reason('size_only')},{terms.MISSING})",
        "speed_reason": f"IF({cell('runs')}={speed.NO_KERNEL},{reason('no_kernel')},"
        f"IF(AND({cell('runs')}={speed.NO_RATE},ISNUMBER({cell('bandwidth')})),{reason('no_rate')},{cell('no_figures')}))",
        "shown_low": f"IF({cell('runs')}=1,IF({cell('low_tokens_per_s')}<1,INT({cell('low_tokens_per_s')}*10^1)/10^1,"
        f"INT({cell('low_tokens_per_s')})),{terms.MISSING})",
        "slow": f"IF({cell('runs')}=1,IF({cell('low_tokens_per_s')}<plan_min_speed,{reason('slow')}&"
        f"{cell('shown_low')}&{reason('of')}&plan_min_speed&{reason('per_s')},{terms.MISSING}),{terms.MISSING})",
        "left_out": f"1-{gpu('is_compared')}",
        "why_not": f"IF({cell('left_out')}=1,{reason('left_out_reason')},"
        f"IF({cell('slow')}={terms.MISSING},{cell('speed_reason')},{cell('slow')}))",
        "by_division": terms.formula(ESTIMATE["by_division"], by_division),
        **{name: f"IF(ISNUMBER({gpu(key)}),{gpu(key)},{terms.MISSING})" for name, key in _OF_GPU.items()},
        **{term.name: terms.formula(term, reference) for term in OPTION_MONEY},
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

    The costs are sorted beside the table's rows, and grouped from the cheapest upwards; an option then has the number of
    its group, and within it the order by free places, bandwidth, cost and row, all in one number of up to 15 digits.
    """
    number, cost, in_list = f"ROW()-ROW($A${HEADER_ROW})", cell("cost"), f"ISNUMBER({cell('sorted_cost')})"

    def if_ranked(formula: str) -> str:
        return f"IF(ISNUMBER({cost}),{formula},{terms.MISSING})"

    def more(key: str) -> str:
        return f'COUNTIF({column(book, key)},">"&{cell(key)})'

    above_cost, above_number = (f"{_LETTER[key]}{ABOVE}" for key in ("group_cost", "group_number"))
    group = f"INDEX({column(book, 'group_number')},{cell('position')})"
    npc, bandwidth = cell("net_present_cost"), cell("bandwidth")
    rank, above = cell("rank"), f"{_LETTER['best_so_far']}{ABOVE}"
    places = f"{cell('replicas')}*{cell('users_per_replica')}-{cell('users')}"
    return {
        "cost": f"IF(AND(ISNUMBER({npc}),ISNUMBER({bandwidth}),{cell('why_not')}={terms.MISSING},"
        f"{cell('deployable')}<=most_planned_gpus),{npc},{terms.MISSING})",
        "free_places": if_ranked(places),
        "all_bandwidth": if_ranked(f"{cell('with_spares')}*{bandwidth}"),
        "sorted_cost": f"IF({number}<=COUNT({column(book, 'cost')}),SMALL({column(book, 'cost')},{number}),{terms.MISSING})",
        "group_cost": f"IF({in_list},IF({number}=1,{cell('sorted_cost')},IF({cell('sorted_cost')}>{above_cost}*same_cost,"
        f"{cell('sorted_cost')},{above_cost})),{terms.MISSING})",
        "group_number": f"IF({in_list},IF({number}=1,1,IF({cell('group_cost')}>{above_cost},{above_number}+1,{above_number})),"
        f"{terms.MISSING})",
        "position": if_ranked(f"MATCH({cost},{column(book, 'sorted_cost')},0)"),
        "in_group": if_ranked(f"{more('free_places')}*10^3+{more('all_bandwidth')}"),
        "order_key": if_ranked(f"(({group}*10^6+{cell('in_group')})*10^3+{cell('position')})*10^3+{number}"),
        "rank": if_ranked(f'COUNTIF({column(book, "order_key")},"<"&{cell("order_key")})+1'),
        # The layouts of a GPU stand in neighbouring rows: the last of them has the best rank of all.
        "best_so_far": f"IF({cell('first_of_gpu')}=1,{rank},IF(ISNUMBER({above}),IF(ISNUMBER({rank}),MIN({rank},{above}),"
        f"{above}),{rank}))",
        "best_of_gpu": f"IF({cell('last_of_gpu')}=1,{cell('best_so_far')},{terms.MISSING})",
    }
