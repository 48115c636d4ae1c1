"""Write the Procurement sheet: for one scenario, every layout on every GPU with its order, its cost and its rank."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from openpyxl.chart import BarChart, Reference
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet

from core import catalog
from core.catalog.prices import cost_defaults, date_of
from core.plan.costs import COST_LIMITS, ORDER_STEPS
from core.plan.fleet import USUAL_GPUS_PER_NODE, choice_of_gpu
from core.plan.money import HOURS_PER_MONTH, MONTHS_PER_YEAR, OPTION_MONEY, RATES
from core.plan.nodes import node_takes
from core.plan.worksheet import LAYOUTS, STEP_TOKENS, VLLM
from workbook import formulas as f
from workbook import styles, terms
from workbook.book import (
    COUNT_FORMAT,
    DATE_FORMAT,
    GB_FORMAT,
    MONEY_FORMAT,
    Book,
    SheetColumn,
    absolute,
    between_rule,
    date_rule,
    filled_table,
    heading,
    list_rule,
    protect,
    put,
    put_formula,
    text_rule,
    validate,
)
from workbook.labels import Labels
from workbook.sheets import gpus, models, precisions, scenarios

TABLE = "Procurement"
DEFAULT_SCENARIO = "row_real_fp8"
ANSWER_ROWS = (5, 6, 7)
CHEAPEST = 10  # rows in the list of the cheapest
_CHEAPEST_HEADER_ROW = 10
_CHOICE_ROW = _CHEAPEST_HEADER_ROW + CHEAPEST + 3
_ASSUMPTION_HEADER_ROW = _CHOICE_ROW + 7

# Inputs that only this workbook has: (name, value, unit label, least, most, whole); their source is "a choice".
_OWN_ASSUMPTIONS = (
    ("least_bandwidth_gb_per_s", 1_500, "gb_per_s", 0, 100_000, False),
    ("most_gpus_per_replica", 8, "gpus", 1, 1_000, True),
)
_SHARES = "0.0%"
_COST_FORMATS = {
    "pue": "0.00", "tariff_usd_per_kwh": "0.000", "hosting_usd_per_kw_month": MONEY_FORMAT,
    "hosting_usd_per_node_month": MONEY_FORMAT, "depreciation_years": "0.0", "horizon_months": COUNT_FORMAT,
    "spare_replicas": COUNT_FORMAT, "whole_nodes": COUNT_FORMAT, "spare_gpus": COUNT_FORMAT, "rent_step": COUNT_FORMAT,
    "stale_after_months": COUNT_FORMAT,
}  # fmt: skip
# Constants that formulas name: (name, value, number format).
_FIXED = (
    ("hours_per_month", HOURS_PER_MONTH, COUNT_FORMAT),
    ("months_per_year", MONTHS_PER_YEAR, COUNT_FORMAT),
    ("usual_gpus_per_node", USUAL_GPUS_PER_NODE, COUNT_FORMAT),
    ("most_gpus", COST_LIMITS["gpus"].most, COUNT_FORMAT),
)


def _rows() -> dict[str, int]:
    """Return the row of each assumption and constant: name → row."""
    rows, row = {}, _ASSUMPTION_HEADER_ROW
    for name in (*cost_defaults(), *(name for name, *_ in _OWN_ASSUMPTIONS), *(name for name, *_ in _FIXED)):
        row += 1
        rows[name] = row
    return rows


_ROW = _rows()
_LAST_ASSUMPTION_ROW = max(_ROW.values())
_DERIVED_ROWS = {name: _LAST_ASSUMPTION_ROW + 1 + i for i, name in enumerate(term.name for term in RATES)}
_SCENARIO_HEADER_ROW = max(_DERIVED_ROWS.values()) + 2
# The columns that are looked up for the chosen scenario: (key, number format).
_OF_SCENARIO = (
    ("input_check", None), ("model", None), ("context", COUNT_FORMAT), ("users", COUNT_FORMAT), ("precision", None),
    ("kv_precision", None), ("engine", None), ("overhead_rate", "0%"), ("model_row", COUNT_FORMAT),
    ("tokens", COUNT_FORMAT), ("value_bytes", "0.0###"), ("weights", GB_FORMAT), ("kv", GB_FORMAT), ("total", GB_FORMAT),
    ("padding_all_tokens", "0.000"), ("padding_windows", "0.000"), ("padding_states", "0.000"),
)  # fmt: skip
_SCENARIO_ROW = {key: _SCENARIO_HEADER_ROW + 1 + i for i, (key, _) in enumerate(_OF_SCENARIO)}
_WINDOWS = ("window", "window_2")  # of the chosen model, in tokens
_WINDOW_ROW = {key: max(_SCENARIO_ROW.values()) + 1 + i for i, key in enumerate(_WINDOWS)}
_LAYOUT_HEADER_ROW = max(_WINDOW_ROW.values()) + 2
_FIRST_LAYOUT_ROW = _LAYOUT_HEADER_ROW + 1
_LAST_LAYOUT_ROW = _LAYOUT_HEADER_ROW + len(LAYOUTS)
HEADER_ROW = _LAST_LAYOUT_ROW + 3
FIRST_ROW = HEADER_ROW + 1

# The columns of the table of layouts: (key, column, number format).
_LAYOUT_COLUMNS = (
    ("layout", "A", None), ("tp", "B", COUNT_FORMAT), ("pp", "C", COUNT_FORMAT), ("possible", "E", COUNT_FORMAT),
    ("weights_gpu", "F", GB_FORMAT), ("loading", "G", GB_FORMAT), ("kv_growing", "H", "0.0000"),
    ("kv_window", "I", "0.0000E+00"), ("kv_window_2", "J", "0.0000E+00"), ("kv_fixed", "K", "0.0000"),
    *((f"activation_{i}", column, "0.000") for i, column in enumerate("LMN", start=1)),
)  # fmt: skip
_LAYOUT_LETTER = {key: column for key, column, _ in _LAYOUT_COLUMNS}

_WATERFALL_ROW = _CHOICE_ROW - 1
_WATERFALL_COLUMNS = "GHIJK"  # step, GPUs, hidden base, more, fewer


# The columns that a reader needs first, which are printed.
_PRINTED = (
    SheetColumn("gpu", 34, styles.LABEL, None),
    SheetColumn("layout", 34, styles.LABEL, None),
    SheetColumn("mark", 18, styles.FORMULA_TEXT, None),
    SheetColumn("binds", 50, styles.FORMULA_TEXT, None),
    SheetColumn("cheaper", 12, styles.FORMULA_TEXT, None),
    SheetColumn("best_gpus", 12, styles.TOTAL),
    SheetColumn("nodes", 24),
    SheetColumn("best_month", 14, styles.TOTAL, "#,##0"),
    SheetColumn("best_user_month", 12, styles.FORMULA, "#,##0.00"),
    SheetColumn("net_present_cost", 14, styles.TOTAL, "#,##0"),
    SheetColumn("pays_off", 20),
    SheetColumn("users_per_replica", 12),
)
# Inputs of the terms that are looked up in the table of GPUs: name → column there.
_OF_GPU = {
    "gpus_per_node": "per_node_planned", "on_board": "on_board", "tdp_w": "tdp", "gpu_usd": "purchase_amount",
    "server_per_gpu_usd": "server_per_gpu_amount", "on_demand_usd_per_gpu_hour": "on_demand_per_gpu_hour_amount",
    "reserved_usd_per_gpu_hour": "reserved_per_gpu_hour_amount",
}  # fmt: skip
_COLUMNS = (
    *_PRINTED,
    SheetColumn("weights_gpu", 12, styles.FORMULA, GB_FORMAT),
    SheetColumn("kv_budget", 12, styles.FORMULA, GB_FORMAT),
    SheetColumn("kv_user", 12, styles.FORMULA, "0.0000"),
    SheetColumn("memory_gb", 12, styles.FORMULA, GB_FORMAT),
    SheetColumn("by_division", 12),
    *(
        SheetColumn(term.name, 14, styles.FORMULA, terms.number_format(term))
        for term in OPTION_MONEY
        if term.name not in {column.key for column in _PRINTED}
    ),
    SheetColumn("considered", 12),
    SheetColumn("rank", 14, styles.FORMULA, "#,##0"),
    SheetColumn("gpu_row", 10),
    SheetColumn("layout_row", 10),
    SheetColumn("gpus_per_replica", 10),
    *(SheetColumn(name, 12, styles.FORMULA, MONEY_FORMAT if "usd" in name else COUNT_FORMAT) for name in _OF_GPU),
    SheetColumn("usable_one", 12, styles.FORMULA, GB_FORMAT),
    SheetColumn("usable_several", 12, styles.FORMULA, GB_FORMAT),
)
_LETTER = {column.key: get_column_letter(number) for number, column in enumerate(_COLUMNS, start=1)}
Cell = Callable[[str], str]


def write_names(book: Book, ws: Worksheet) -> None:
    """Define the names of the inputs, which other sheets use before this one is written."""
    book.name("chosen_scenario", ws, f"B{_CHOICE_ROW}")
    book.name("plan_date", ws, f"B{_CHOICE_ROW + 1}")
    book.name("plan_currency", ws, f"B{_CHOICE_ROW + 2}")
    for name, row in (_ROW | _DERIVED_ROWS).items():
        book.name(name, ws, f"B{row}")


def reserve(book: Book) -> Worksheet:
    """Create the empty sheet and the names of its inputs."""
    ws = book.sheet("procurement", [column.width for column in _COLUMNS], tab_colour="BF8F00")
    write_names(book, ws)
    return ws


def write(book: Book, ws: Worksheet, scenario: str) -> None:
    """Write the sheet for the scenario of that name. The sheets Models, GPUs, Precisions and Scenarios must exist."""
    labels = book.labels
    heading(ws, labels("procurement.title"), labels("procurement.subtitle"))
    put(ws, "A3", styles.SUBTITLE, labels("procurement.caveat"))
    _write_choice(book, ws, scenario)
    _write_assumptions(book, ws)
    _write_scenario(book, ws)
    _write_layouts(book, ws)
    last = _write_table(book, ws)
    _write_answer(book, ws)
    _write_cheapest(book, ws)
    _write_waterfall(book, ws)
    ws.print_title_rows = f"{HEADER_ROW}:{HEADER_ROW}"
    ws.freeze_panes = "B4"
    ws.print_area = f"A1:{_LETTER[_PRINTED[-1].key]}{last}"
    protect(ws)


def header(labels: Labels, key: str) -> str:
    """Return the heading of a column of the table."""
    return terms.label(labels, key)


def column(book: Book, key: str) -> str:
    """Return the reference to a whole column."""
    return f.whole_column(TABLE, header(book.labels, key))


def letter(key: str) -> str:
    """Return the letter of a column of the table."""
    return _LETTER[key]


def input_cells() -> dict[str, str]:
    """Return the input cells: name → address."""
    numbers = {name: f"B{_ROW[name]}" for name in (*cost_defaults(), *(name for name, *_ in _OWN_ASSUMPTIONS))}
    return {"scenario": f"B{_CHOICE_ROW}", "plan_date": f"B{_CHOICE_ROW + 1}"} | numbers


def table_rows() -> list[tuple[str, int]]:
    """Return (GPU, number of the layout) of each row of the table: the layouts that fit nodes of the GPU."""
    return [
        (gpu.name, number)
        for gpu in catalog.gpus()
        for number, layout in enumerate(LAYOUTS)
        if node_takes(layout.tp, layout.pp, choice_of_gpu(gpu).gpus_per_node)
    ]


def _section(ws: Worksheet, row: int, letters: str, title: str) -> None:
    put(ws, f"{letters[0]}{row}", styles.SECTION, title)
    for column in letters[1:]:
        put(ws, f"{column}{row}", styles.SECTION)


def _write_choice(book: Book, ws: Worksheet, scenario: str) -> None:
    labels = book.labels
    _section(ws, _CHOICE_ROW - 1, "ABCDE", labels("procurement.choice"))
    rows = (
        ("scenario", styles.INPUT_TEXT, scenario, None, list_rule("scenario_names")),
        ("plan_date", styles.INPUT, _plan_date(), DATE_FORMAT, date_rule()),
        ("plan_currency", styles.INPUT_TEXT, gpus.CURRENCY, None, text_rule(3)),
    )
    for row, (key, role, value, number_format, rule) in enumerate(rows, start=_CHOICE_ROW):
        title, prompt = labels(f"procurement.{key}"), labels(f"prompt.{_PROMPTS.get(key, key)}")
        put(ws, f"A{row}", styles.LABEL, title)
        put(ws, f"B{row}", role, value, number_format)
        put(ws, f"C{row}", styles.NOTE)
        put(ws, f"D{row}", styles.NOTE, prompt)
        put(ws, f"E{row}", styles.NOTE)
        validate(ws, f"B{row}", rule, title=title, prompt=prompt, wrong_title=labels("prompt.wrong_title"))


_PROMPTS = {"scenario": "procurement_scenario"}


def _plan_date():
    """Return the newest date of the defaults instead of today, so that the same version writes the same bytes."""
    return max(date_of(default.as_of) for default in cost_defaults().values())


def _write_assumptions(book: Book, ws: Worksheet) -> None:
    labels = book.labels
    _section(ws, _ASSUMPTION_HEADER_ROW - 1, "ABCDE", labels("procurement.assumptions"))
    for column, key in zip("ABCDE", ("assumption", "value_of", "unit", "source", "as_of")):
        put(ws, f"{column}{_ASSUMPTION_HEADER_ROW}", styles.HEADING, labels(f"procurement.{key}"))

    def line(
        name: str, value: object, number_format: str, unit: str, source: str, as_of: str, role=styles.INPUT
    ) -> None:
        row = _ROW[name]
        put(ws, f"A{row}", styles.LABEL, labels(f"procurement.{name}"))
        put(ws, f"B{row}", role, value, number_format)
        put(ws, f"C{row}", styles.NOTE, unit)
        put(ws, f"D{row}", styles.NOTE, source)
        put(ws, f"E{row}", styles.NOTE, as_of)

    def check(name: str, least: float, most: float, whole: bool) -> None:
        title = labels(f"procurement.{name}")
        prompt = labels("prompt.assumption", least=f"{least:g}", most=f"{most:g}")
        rule = between_rule(f"{least:g}", f"{most:g}", whole=whole)
        validate(ws, f"B{_ROW[name]}", rule, title=title, prompt=prompt, wrong_title=labels("prompt.wrong_title"))

    for name, default in cost_defaults().items():
        source = "; ".join(part for part in (default.source, default.note) if part)
        number_format = _COST_FORMATS.get(name, _SHARES)
        value = int(default.value) if number_format == COUNT_FORMAT else default.value
        line(name, value, number_format, labels(f"procurement.unit_{name}"), source, default.as_of)
        limits = COST_LIMITS.get(name)
        check(name, *((limits.least, limits.most, limits.whole) if limits else (0, 120, name == "stale_after_months")))
    choice = labels("procurement.a_choice")
    for name, value, unit, least, most, whole in _OWN_ASSUMPTIONS:
        line(name, value, COUNT_FORMAT, labels(f"unit.{unit}"), choice, "")
        check(name, least, most, whole)
    for name, value, number_format in _FIXED:
        line(
            name, value, number_format, labels("unit.none"), labels(f"procurement.{name}_source"), "",
            styles.SOURCE_FIGURE,
        )  # fmt: skip
    for term in RATES:
        row = _DERIVED_ROWS[term.name]
        put(ws, f"A{row}", styles.LABEL, header(labels, term.name))
        put_formula(ws, f"B{row}", styles.FORMULA, terms.formula(term, str), terms.number_format(term))
        for column in "CDE":
            put(ws, f"{column}{row}", styles.NOTE)


def _write_scenario(book: Book, ws: Worksheet) -> None:
    labels = book.labels
    _section(ws, _SCENARIO_HEADER_ROW, "ABCDE", labels("procurement.of_scenario"))
    row_of_scenario = f"MATCH($B${_CHOICE_ROW},scenario_names,0)"
    for key, number_format in _OF_SCENARIO:
        row = _SCENARIO_ROW[key]
        put(ws, f"A{row}", styles.LABEL, scenarios.header(labels, key))
        role = styles.LINK if number_format else styles.LINK_TEXT
        put_formula(ws, f"B{row}", role, f"INDEX({scenarios.column(book, key)},{row_of_scenario})", number_format)
        for column in "CDE":
            put(ws, f"{column}{row}", styles.NOTE)
    for key, row in _WINDOW_ROW.items():
        put(ws, f"A{row}", styles.LABEL, labels(f"models.{key}"))
        window = models.field_at(book, key, _scenario("model_row"))
        put_formula(ws, f"B{row}", styles.LINK, f"IF({_is_usable()},{window},0)", COUNT_FORMAT)
        for column in "CDE":
            put(ws, f"{column}{row}", styles.NOTE)


def _is_usable() -> str:
    return f"{_scenario('input_check')}={f.text(f.OK)}"


def scenario_reference(book: Book, key: str) -> str:
    """Return the reference, for other sheets, to the chosen scenario's value in the column `key`."""
    return absolute(book.openpyxl[book.labels("sheet.procurement")], f"B{_SCENARIO_ROW[key]}")


def _scenario(key: str) -> str:
    return f"$B${(_SCENARIO_ROW | _WINDOW_ROW)[key]}"


def _write_layouts(book: Book, ws: Worksheet) -> None:
    """Write the table of layouts: what one GPU of each layout holds of the chosen scenario, on any GPU."""
    labels = book.labels
    letters = [column for _, column, _ in _LAYOUT_COLUMNS]
    for key, column, _ in _LAYOUT_COLUMNS:
        put(ws, f"{column}{_LAYOUT_HEADER_ROW}", styles.HEADING, labels(f"procurement.layout_{key}"))
    put(ws, f"D{_LAYOUT_HEADER_ROW}", styles.HEADING)
    ws.row_dimensions[_LAYOUT_HEADER_ROW].height = 58
    assert letters == sorted(letters)
    for number, layout in enumerate(LAYOUTS):
        row = _FIRST_LAYOUT_ROW + number
        put(ws, f"A{row}", styles.LABEL, layout.title)
        put(ws, f"B{row}", styles.SOURCE_FIGURE, layout.tp, COUNT_FORMAT)
        put(ws, f"C{row}", styles.SOURCE_FIGURE, layout.pp, COUNT_FORMAT)
        put(ws, f"D{row}", styles.NOTE)
        formulas = _layout_formulas(book, number, row)
        for key, column, number_format in _LAYOUT_COLUMNS[3:]:
            put_formula(ws, f"{column}{row}", styles.FORMULA, formulas[key], number_format)


def _layout_formulas(book: Book, number: int, row: int) -> dict[str, str]:
    def model(key: str) -> str:
        return models.field_at(book, key, _scenario("model_row"))

    def needs(part: str) -> str:
        return model(models.layout_key(number, part))

    value_bytes, tokens = _scenario("value_bytes"), _scenario("tokens")
    growing = f"({needs('values_per_token')}*{value_bytes}+{needs('index_bytes')})"
    fixed = f"({needs('fixed_values')}*{value_bytes}+{needs('fixed_bytes')})"
    stored = f"{_scenario('weights')}*{needs('parameters')}/{model('parameters')}"
    shipped = f"{_scenario('precision')}={f.text(precisions.SHIPPED)}"
    several = f"$B{row}>1"
    figures = {
        "weights_gpu": f"IF({shipped},{f.in_gb(needs('shipped_bytes'))},{stored})",
        "loading": f"IF({_by_vllm()},{f.in_gb(needs('loading'))},0)",
        "kv_growing": f"{growing}*{tokens}*{_scenario('padding_all_tokens')}/{f.GB}",
        "kv_window": f"{needs('windowed_values')}*{value_bytes}*{_scenario('padding_windows')}/{f.GB}",
        "kv_window_2": f"{needs('windowed_values_2')}*{value_bytes}*{_scenario('padding_windows')}/{f.GB}",
        "kv_fixed": f"{fixed}*{_scenario('padding_states')}/{f.GB}",
        **{
            f"activation_{i}": f"IF({_by_vllm()},IF({several},{model(models.activation_key(step, True))},"
            f"{model(models.activation_key(step, False))}),0)"
            for i, step in enumerate(STEP_TOKENS, start=1)
        },
    }
    return {
        "possible": f"IF({_is_usable()},IF(ISNUMBER({needs('parameters')}),1,0),0)",
        **{key: f"IF($E{row}=1,{formula},0)" for key, formula in figures.items()},
    }


def _by_vllm() -> str:
    return f"{_scenario('engine')}={f.text(VLLM)}"


def _layout_figure(key: str, row: str) -> str:
    column = _LAYOUT_LETTER[key]
    return f"INDEX(${column}${_FIRST_LAYOUT_ROW}:${column}${_LAST_LAYOUT_ROW},{row})"


def _write_table(book: Book, ws: Worksheet) -> int:
    labels = book.labels
    _section(ws, HEADER_ROW - 1, "ABCDE", labels("procurement.ranking"))
    ws.row_dimensions[HEADER_ROW].height = 58
    rows = ({"gpu": gpu, "layout": LAYOUTS[number].title} for gpu, number in table_rows())
    return filled_table(ws, TABLE, HEADER_ROW, _COLUMNS, partial(header, labels), rows, _formulas(book))


def _formulas(book: Book) -> dict[str, str]:
    labels = book.labels

    def cell(key: str) -> str:
        return f.this_row(TABLE, header(labels, key))

    def gpu(key: str) -> str:
        return f"INDEX({gpus.column(book, key)},{cell('gpu_row')})"

    def layout(key: str) -> str:
        return _layout_figure(key, cell("layout_row"))

    return {
        "gpu_row": f"MATCH({cell('gpu')},{gpus.column(book, 'gpu')},0)",
        "layout_row": f"MATCH({cell('layout')},$A${_FIRST_LAYOUT_ROW}:$A${_LAST_LAYOUT_ROW},0)",
        "gpus_per_replica": f"{layout('tp')}*{layout('pp')}",
        "memory_gb": gpu("memory_gb"),
        **{name: f"IF(ISNUMBER({gpu(key)}),{gpu(key)},{terms.MISSING})" for name, key in _OF_GPU.items()},
        **_memory_formulas(cell, gpu, layout, labels),
        **{term.name: terms.formula(term, partial(_input_of_term, cell)) for term in OPTION_MONEY},
        **_choice_formulas(book, cell, gpu),
    }


def _input_of_term(cell: Cell, name: str) -> str:
    """Return the column, cell or defined name that holds an input of a term."""
    if name == "users":
        return _scenario("users")
    return cell(name) if name in _LETTER else name


def _memory_formulas(cell: Cell, gpu: Cell, layout: Cell, labels: Labels) -> dict[str, str]:
    """Return the formulas of `core.plan.worksheet.worksheet_plans`."""
    step = f"IF({_by_vllm()},{gpu('step_tokens')},0)"
    block = f"SIGN({step})*kv_block_tokens"

    def usable(row: str, other: str) -> str:
        """Return a formula for the usable GB of one GPU, with the activations in row `row` of the table of layouts."""
        activation = f.first_of(
            [
                (f"{gpu('step_tokens')}=vllm_step_tokens_{i}", _layout_figure(f"activation_{i}", row))
                for i in range(1, len(STEP_TOKENS) + 1)
            ]
        )
        by_rule = f"{cell('memory_gb')}/(1+{_scenario('overhead_rate')})"
        return f"IF({_by_vllm()},{f.vllm_usable_gb(cell('memory_gb'))}-{activation}-{other},{by_rule})"

    def in_window(number: str, size: str) -> str:
        return f"{layout(size)}*(MIN({_scenario('tokens')},{number}+{step})+{block})"

    tokens_in_windows = "+".join(in_window(_scenario(key), f"kv_{key}") for key in _WINDOWS)
    fitting = f.users_that_fit(cell("kv_budget"), cell("kv_user"))
    most = f"IF({_by_vllm()},MIN({gpu('max_sequences')},{fitting}),{fitting})"
    users = cell("users_per_replica")
    size = f"({_scenario('weights')}+{_scenario('kv')})"
    room = f"IF({size}<={cell('usable_one')},{cell('usable_one')},{cell('usable_several')})"
    # For the engine "rule", usable is the memory ÷ (1 + overhead), so one formula serves both engines.
    division = f.rounded_up(f"{size}/{room}")
    return {
        "by_division": f"IF({room}>0,{division},{terms.MISSING})",
        "usable_one": usable("1", "vllm_other_one_gb"),
        "usable_several": usable("1+1", "vllm_other_several_gb"),
        "weights_gpu": layout("weights_gpu"),
        "kv_budget": f"IF({layout('tp')}=1,{cell('usable_one')},{cell('usable_several')})-{layout('loading')}-{cell('weights_gpu')}",
        "kv_user": f"{layout('kv_growing')}+{tokens_in_windows}+{layout('kv_fixed')}",
        "users_per_replica": f"IF({layout('possible')}=1,MAX(0,{most}),0)",
        "binds": f.first_of(
            [
                (f"{_scenario('input_check')}<>{f.text(f.OK)}", f.text(labels("procurement.binds_input"))),
                (f"{layout('possible')}=0", f.text(labels("procurement.binds_split"))),
                (f"{users}=0", f.text(labels("procurement.binds_weights"))),
                (f"{users}<{fitting}", f.text(labels("procurement.binds_sequences"))),
                ("TRUE", f.text(labels("procurement.binds_cache"))),
            ]
        ),
    }


def _choice_formulas(book: Book, cell: Cell, gpu: Cell) -> dict[str, str]:
    """Return the formulas that show the cheaper of buying and renting, and those of the ranking."""
    labels = book.labels
    chosen = partial(terms.bought_or_rented, cell("buys"))
    fast = f"{gpu('bandwidth')}>=least_bandwidth_gb_per_s"
    considered = f"AND({gpu('shortlist')}=1,{fast},{cell('gpus_per_replica')}<=most_gpus_per_replica)"
    ranked = f"IF({cell('considered')}=1,{cell('net_present_cost')}*(1+ROW()*{f.ROUNDING_NOISE}),{terms.MISSING})"
    is_first = f"{cell('rank')}=MIN({column(book, 'rank')})"
    cheapest = f"IF({is_first},{f.text(labels('procurement.cheapest'))},{terms.MISSING})"
    return {
        "cheaper": chosen(f.text(labels("procurement.buy")), f.text(labels("procurement.rent"))),
        "best_gpus": chosen(cell("order"), cell("rented")),
        "best_month": chosen(cell("own_month"), cell("rent_month")),
        "best_user_month": chosen(cell("own_user_month"), cell("rent_user_month")),
        "pays_off": terms.pays_off(cell("saved"), cell("break_even"), labels("procurement.never")),
        "considered": f"IF({considered},1,0)",
        "rank": f"IF(ISNUMBER({cell('net_present_cost')}),{ranked},{terms.MISSING})",
        "mark": f"IF(ISNUMBER({cell('rank')}),{cheapest},{terms.MISSING})",
    }


def _write_answer(book: Book, ws: Worksheet) -> None:
    """Write the answer, three sentences about the cheapest row, and the number of that row."""
    labels = book.labels
    rank = column(book, "rank")
    _section(ws, ANSWER_ROWS[0] - 1, "ABCDE", labels("procurement.answer"))
    best = f"MATCH(MIN({rank}),{rank},0)"
    book.name("best_row", ws, f"B{_CHOICE_ROW + 3}")
    put(ws, f"A{_CHOICE_ROW + 3}", styles.LABEL, labels("procurement.best_row"))
    put_formula(ws, f"B{_CHOICE_ROW + 3}", styles.FORMULA, f"IF(COUNT({rank})>0,{best},0)", COUNT_FORMAT)
    for letter_, text in zip("CDE", (None, labels("procurement.best_row_note"), None)):
        put(ws, f"{letter_}{_CHOICE_ROW + 3}", styles.NOTE, text)

    def of_best(key: str) -> str:
        return f"INDEX({column(book, key)},best_row)"

    def whole(key: str) -> str:
        return f.fixed(of_best(key), 0)

    values = {
        "verb": of_best("cheaper"),
        "order": whole("best_gpus"),
        "gpu": f"INDEX({gpus.column(book, 'gpu_title')},{of_best('gpu_row')})",
        "layout": of_best("layout"),
        "replicas": whole("replicas"),
        "month": whole("best_month"),
        "user_month": f.fixed(of_best("best_user_month"), 0),
        "npv": whole("net_present_cost"),
        "months": f.fixed("horizon_months", 0),
        "currency": "plan_currency",
        "users": f.fixed(_scenario("users"), 0),
        "context": f.fixed(_scenario("context"), 0),
        "model": _scenario("model"),
        "each": whole("users_per_replica"),
        "binds": of_best("binds"),
        "priced": f.fixed(f"COUNT({rank})", 0),
        "break_even": f"IF(ISNUMBER({of_best('break_even')}),{whole('break_even')},"
        f"IF(ISNUMBER({of_best('saved')}),{of_best('pays_off')},{f.text(labels('procurement.no_comparison'))}))",
    }
    for number, row in enumerate(ANSWER_ROWS, start=1):
        sentence = f.sentence(labels(f"procurement.answer_{number}"), values)
        none = f.text(labels("procurement.no_answer")) if number == 1 else f.text("–")
        put(ws, f"A{row}", styles.STATEMENT)
        put_formula(ws, f"A{row}", styles.STATEMENT, f"IF(best_row>0,{sentence},{none})")
        book.name(f"answer_{number}", ws, f"A{row}")


def _write_cheapest(book: Book, ws: Worksheet) -> None:
    """Write the list of the cheapest rows, in the same columns as the table below."""
    labels = book.labels
    rank = column(book, "rank")
    shown = [column_.key for column_ in _PRINTED]
    _section(ws, _CHEAPEST_HEADER_ROW - 1, "ABCDE", labels("procurement.cheapest_ten"))
    by_key = {column_.key: column_ for column_ in _COLUMNS}
    for key in shown:
        title = labels("procurement.position") if key == "mark" else header(labels, key)
        put(ws, f"{_LETTER[key]}{_CHEAPEST_HEADER_ROW}", styles.HEADING, title)
    ws.row_dimensions[_CHEAPEST_HEADER_ROW].height = 46
    for position in range(1, CHEAPEST + 1):
        row = _CHEAPEST_HEADER_ROW + position
        place = f"$C{row}"
        at = f"MATCH(SMALL({rank},{place}),{rank},0)"
        put(ws, place.replace("$", ""), styles.CHECK, position)
        for key in shown:
            if key != "mark":
                role = styles.FORMULA_TEXT if by_key[key].role == styles.LABEL else by_key[key].role
                found = f"IF({place}<=COUNT({rank}),INDEX({column(book, key)},{at}),{terms.MISSING})"
                put_formula(ws, f"{_LETTER[key]}{row}", role, found, by_key[key].number_format)


def _write_waterfall(book: Book, ws: Worksheet) -> None:
    """Write the steps from the fewest GPUs that hold the memory to the order, for the cheapest row, with a chart."""
    labels = book.labels
    step, level, base, more, fewer = tuple(_WATERFALL_COLUMNS)
    for column_, key in zip(
        _WATERFALL_COLUMNS, ("waterfall", "waterfall_gpus", "waterfall_base", "waterfall_more", "waterfall_fewer")
    ):
        put(ws, f"{column_}{_WATERFALL_ROW}", styles.HEADING, labels(f"procurement.{key}"))
    ws.row_dimensions[_WATERFALL_ROW].height = 32
    for i, key in enumerate((*ORDER_STEPS, "best_gpus")):
        column_key = "best_gpus" if key == "order" else key  # the last step depends on whether GPUs are bought
        row, before = _WATERFALL_ROW + 1 + i, f"{level}{_WATERFALL_ROW + i}"
        put(ws, f"{step}{row}", styles.LABEL, labels(f"procurement.step_{key}"))
        put_formula(
            ws,
            f"{level}{row}",
            styles.FORMULA,
            f"IF(best_row>0,INDEX({column(book, column_key)},best_row),0)",
            COUNT_FORMAT,
        )
        first_or_last = key in (ORDER_STEPS[0], "best_gpus")
        start = "0" if first_or_last else before
        put_formula(ws, f"{base}{row}", styles.FORMULA, f"MIN({start},{level}{row})", COUNT_FORMAT)
        put_formula(ws, f"{more}{row}", styles.FORMULA, f"MAX(0,{level}{row}-{start})", COUNT_FORMAT)
        put_formula(ws, f"{fewer}{row}", styles.FORMULA, f"MAX(0,{start}-{level}{row})", COUNT_FORMAT)
    first, last = _WATERFALL_ROW + 1, _WATERFALL_ROW + 1 + len(ORDER_STEPS)
    chart = BarChart()
    chart.grouping, chart.overlap, chart.gapWidth = "stacked", 100, 40
    columns = {
        name: ord(letter_) - ord("A") + 1 for name, letter_ in zip(("base", "more", "fewer"), (base, more, fewer))
    }
    for name, colour in (("base", None), ("more", styles.PART_COLOURS[1]), ("fewer", styles.PART_COLOURS[2])):
        chart.add_data(
            Reference(ws, min_col=columns[name], min_row=_WATERFALL_ROW, max_row=last), titles_from_data=True
        )
        properties = chart.series[-1].graphicalProperties
        if colour is None:
            properties.noFill = True
            properties.line.noFill = True
        else:
            properties.solidFill = colour
            properties.line.solidFill = styles.INK
    chart.set_categories(Reference(ws, min_col=columns["base"] - 2, min_row=first, max_row=last))
    chart.title = labels("procurement.chart")
    chart.height, chart.width = 9, 19
    chart.legend = None
    chart.x_axis.delete = chart.y_axis.delete = False
    chart.y_axis.title, chart.y_axis.number_format = labels("unit.gpus"), "#,##0"
    book.add_chart(ws, chart, f"G{last + 2}", labels("procurement.chart_alt"))
