"""Write the Procurement sheet: the choice of a scenario, the assumptions of costs, and the best of the Options."""

from __future__ import annotations

from openpyxl.chart import BarChart, Reference
from openpyxl.worksheet.worksheet import Worksheet

from core.catalog.offers import USD
from core.catalog.prices import cost_defaults, date_of
from core.checks import LIMITS
from core.plan.costs import COST_LIMITS, ORDER_STEPS
from core.plan.demand import MIN_SPEED, PEOPLE
from core.plan.fleet import USUAL_GPUS_PER_NODE
from core.plan.money import HOURS_PER_MONTH, MONTHS_PER_YEAR, RATES
from core.plan.ranking import SAME_COST
from workbook import formulas as f
from workbook import styles, terms
from workbook.book import (
    COUNT_FORMAT,
    DATE_FORMAT,
    GB_FORMAT,
    MONEY_FORMAT,
    Book,
    between_rule,
    date_rule,
    heading,
    list_rule,
    protect,
    put,
    put_formula,
    text_rule,
    validate,
)
from workbook.sheets import gpus, options, scenarios

DEFAULT_SCENARIO = "row_real_fp8"
ANSWER_ROWS = (5, 6, 7, 8, 9, 10)
CHEAPEST = 10  # rows in the list of the cheapest
_CHEAPEST_HEADER_ROW = 13
_CHOICE_ROW = _CHEAPEST_HEADER_ROW + CHEAPEST + 3
_ASSUMPTION_HEADER_ROW = _CHOICE_ROW + 8

# Inputs of the demand: (name, value, unit label, the key of its limits in `core.checks.LIMITS`). A blank one is not given:
# the users are then those of the scenario, and the answer is a ninth of its context.
_DEMAND = (
    ("plan_min_speed", MIN_SPEED, "tokens_per_s", "min_speed"),
    ("plan_people", None, "people", "people"),
    ("plan_active_share", None, "of_people", "active"),
    ("plan_users", None, "users", "users"),
    ("plan_requests_per_hour", None, "requests_per_hour", "requests_per_hour"),
    ("plan_output_tokens", None, "tokens", "output_tokens"),
)
_DEMAND_FORMATS = {"plan_active_share": "0.0%"}
_SHARES = "0.0%"
_COST_FORMATS = {
    "pue": "0.00", "tariff_usd_per_kwh": "0.000", "hosting_usd_per_kw_month": MONEY_FORMAT,
    "hosting_usd_per_node_month": MONEY_FORMAT, "depreciation_years": "0.0", "horizon_months": COUNT_FORMAT,
    "spare_replicas": COUNT_FORMAT, "whole_nodes": COUNT_FORMAT, "spare_gpus": COUNT_FORMAT, "rent_step": COUNT_FORMAT,
    "stale_after_months": COUNT_FORMAT, "owned_gpus": COUNT_FORMAT, "hours_per_day": "0.0", "days_per_month": "0.0",
    "grid_kg_per_kwh": "0.000", "api_prompt_usd_per_million": "#,##0.00##", "api_output_usd_per_million": "#,##0.00##",
    **{f"{name}_usd_per_month": MONEY_FORMAT for name in ("staff", "software", "storage", "egress")},
}  # fmt: skip
# Constants that formulas name: (name, value, number format).
_FIXED = (
    ("hours_per_month", HOURS_PER_MONTH, COUNT_FORMAT),
    ("months_per_year", MONTHS_PER_YEAR, COUNT_FORMAT),
    ("usual_gpus_per_node", USUAL_GPUS_PER_NODE, COUNT_FORMAT),
    ("most_gpus", COST_LIMITS["gpus"].most, COUNT_FORMAT),
    ("same_cost", SAME_COST, "0.000"),
    ("per_cent", 100, COUNT_FORMAT),
)


def _rows() -> dict[str, int]:
    """Return the row of each assumption and constant: name → row."""
    rows, row = {}, _ASSUMPTION_HEADER_ROW
    for name in (*cost_defaults(), *(name for name, *_ in _DEMAND), *(name for name, *_ in _FIXED)):
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
    ("kv_precision", None), ("engine", None), ("overhead_rate", "0%"), ("weights", GB_FORMAT), ("kv", GB_FORMAT),
    ("total", GB_FORMAT),
)  # fmt: skip
# Figures of the demand that follow from the scenario and from the inputs of the demand, below those of the scenario.
_OF_DEMAND = (("chosen_users", COUNT_FORMAT), ("chosen_total_gb", GB_FORMAT))
_SCENARIO_ROW = {key: _SCENARIO_HEADER_ROW + 1 + i for i, (key, _) in enumerate(_OF_SCENARIO)}
_DEMAND_ROW = {name: max(_SCENARIO_ROW.values()) + 1 + i for i, (name, _) in enumerate(_OF_DEMAND)}
_FACTS_ROW = max(_DEMAND_ROW.values()) + 2  # of the texts that the answer is made of

_WATERFALL_ROW = _CHOICE_ROW - 1
_WATERFALL_COLUMNS = "GHIJK"  # step, GPUs, hidden base, more, fewer


# The columns of Options in the list of the cheapest → their letter here.
_LISTED = {
    "gpu": "A", "layout": "B", "cheaper": "D", "best_gpus": "E", "nodes": "F", "best_month": "G",
    "best_user_month": "H", "net_present_cost": "I", "pays_off": "J", "users_per_replica": "K",
}  # fmt: skip
_WIDTHS = (34, 34, 18, 50, 14, 24, 14, 14, 14, 14, 14, 12)


# Figures of the chosen scenario that other sheets use → their names.
_CHOSEN = {"input_check": "chosen_check", "model": "chosen_model", "context": "chosen_context"}


def write_names(book: Book, ws: Worksheet) -> None:
    """Define the names of the inputs, which other sheets use before this one is written."""
    book.name("chosen_scenario", ws, f"B{_CHOICE_ROW}")
    book.name("plan_date", ws, f"B{_CHOICE_ROW + 1}")
    book.name("plan_currency", ws, f"B{_CHOICE_ROW + 2}")
    for name, row in (_ROW | _DERIVED_ROWS).items():
        book.name(name, ws, f"B{row}")
    for key, name in _CHOSEN.items():
        book.name(name, ws, f"B{_SCENARIO_ROW[key]}")
    for name, row in _DEMAND_ROW.items():
        book.name(name, ws, f"B{row}")


def reserve(book: Book) -> Worksheet:
    """Create the empty sheet and the names of its inputs."""
    ws = book.sheet("procurement", _WIDTHS, tab_colour="BF8F00")
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
    _write_answer(book, ws)
    _write_cheapest(book, ws)
    _write_waterfall(book, ws)
    ws.freeze_panes = "B4"
    ws.print_area = f"A1:K{_FACTS_ROW - 2}"
    protect(ws)


def input_cells() -> dict[str, str]:
    """Return the input cells: name → address."""
    numbers = {name: f"B{_ROW[name]}" for name in (*cost_defaults(), *(name for name, *_ in _DEMAND))}
    return {"scenario": f"B{_CHOICE_ROW}", "plan_date": f"B{_CHOICE_ROW + 1}"} | numbers


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
        ("plan_currency", styles.INPUT_TEXT, USD, None, text_rule(3)),
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
        value = default.value
        if value is not None and number_format == COUNT_FORMAT:
            value = int(value)
        line(name, value, number_format, labels(f"procurement.unit_{name}"), source, default.as_of)
        limits = COST_LIMITS.get(name)
        check(name, *((limits.least, limits.most, limits.whole) if limits else (0, 120, name == "stale_after_months")))
    for name, value, unit, key in _DEMAND:
        note = labels("procurement.min_speed_source" if name == "plan_min_speed" else f"procurement.{name}_note")
        line(name, value, _DEMAND_FORMATS.get(name, COUNT_FORMAT), labels(f"unit.{unit}"), note, "")
        limits = LIMITS[key]
        check(name, limits.least, limits.most, limits.whole)
        ws.data_validations.dataValidation[-1].allow_blank = True
    for name, value, number_format in _FIXED:
        line(
            name, value, number_format, labels("unit.none"), labels(f"procurement.{name}_source"), "",
            styles.SOURCE_FIGURE,
        )  # fmt: skip
    for term in RATES:
        row = _DERIVED_ROWS[term.name]
        put(ws, f"A{row}", styles.LABEL, terms.label(labels, term.name))
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
    people = terms.formula(PEOPLE["users"], lambda name: {"people": "plan_people", "active": "plan_active_share"}[name])
    kv = f"{_scenario('kv')}*chosen_users/{_scenario('users')}"
    formulas = {
        "chosen_users": f"IF(plan_users>0,plan_users,IF(plan_people>0,{people},{_scenario('users')}))",
        "chosen_total_gb": f"({_scenario('weights')}+{kv})*(1+{_scenario('overhead_rate')})",
    }
    for name, number_format in _OF_DEMAND:
        row = _DEMAND_ROW[name]
        put(ws, f"A{row}", styles.LABEL, labels(f"procurement.{name}"))
        put_formula(ws, f"B{row}", styles.FORMULA, formulas[name], number_format)
        for column in "CDE":
            put(ws, f"{column}{row}", styles.NOTE)


def _scenario(key: str) -> str:
    return f"$B${_SCENARIO_ROW[key]}"


def _write_answer(book: Book, ws: Worksheet) -> None:
    """Write the answer, sentences about the best option and the runner-up, and the number of the best row."""
    labels = book.labels
    rank = options.column(book, "rank")
    _section(ws, ANSWER_ROWS[0] - 1, "ABCDE", labels("procurement.answer"))
    for row, name, place in ((_CHOICE_ROW + 3, "best_row", "1"), (_CHOICE_ROW + 4, "runner_up_row", "1+1")):
        book.name(name, ws, f"B{row}")
        put(ws, f"A{row}", styles.LABEL, labels(f"procurement.{name}"))
        put_formula(ws, f"B{row}", styles.FORMULA, f"IFERROR(MATCH({place},{rank},0),0)", COUNT_FORMAT)
        for letter, text in zip("CDE", (None, labels("procurement.best_row_note"), None)):
            put(ws, f"{letter}{row}", styles.NOTE, text)

    facts = _write_facts(book, ws)
    values = facts | {"currency": "plan_currency", "months": f.fixed("horizon_months", 0)}
    for number, row in enumerate(ANSWER_ROWS, start=1):
        sentence = f.sentence(labels(f"procurement.answer_{number}"), values)
        none = f.text(labels("procurement.no_answer")) if number == 1 else f.text("–")
        needed = "runner_up_row" if row == ANSWER_ROWS[-1] else "best_row"
        put(ws, f"A{row}", styles.STATEMENT)
        put_formula(ws, f"A{row}", styles.STATEMENT, f"IF({needed}>0,{sentence},{none})")
        book.name(f"answer_{number}", ws, f"A{row}")


def _write_facts(book: Book, ws: Worksheet) -> dict[str, str]:
    """Write the figures of the best option and of the runner-up as texts, and return their cells: name → address."""
    labels = book.labels

    def of(row: str, key: str) -> str:
        return f"IF({row}>0,INDEX({options.column(book, key)},{row}),0)"

    def whole(key: str) -> str:
        return f.fixed(of("best_row", key), 0)

    def looked_up(column: str, key: str) -> str:
        return f"INDEX({column},MAX(1,{of('best_row', key)}))"

    even = f"INDEX({options.column(book, 'pays_off')},best_row)"
    second, first = (of(row, "net_present_cost") for row in ("runner_up_row", "best_row"))
    facts = {
        "verb": of("best_row", "cheaper"),
        "order": whole("best_gpus"),
        "gpu": looked_up(gpus.column(book, "gpu_title"), "gpu_row"),
        "layout": of("best_row", "layout"),
        "replicas": whole("replicas"),
        "month": whole("best_month"),
        "user_month": whole("best_user_month"),
        "npv": whole("net_present_cost"),
        "users": f.fixed("chosen_users", 0),
        "context": f.fixed(_scenario("context"), 0),
        "model": _scenario("model"),
        "each": whole("users_per_replica"),
        "speed_low": f"IF(ISNUMBER({of('best_row', 'low_tokens_per_s')}),{whole('low_tokens_per_s')},{terms.MISSING})",
        "speed_high": f"IF(ISNUMBER({of('best_row', 'high_tokens_per_s')}),{whole('high_tokens_per_s')},{terms.MISSING})",
        "first_token": f"IF(ISNUMBER({of('best_row', 'first_token_s')}),{f.fixed(of('best_row', 'first_token_s'), 1)},"
        f"{terms.MISSING})",
        "limited_by": of("best_row", "limits"),
        "priced": f.fixed(f"COUNT({options.column(book, 'rank')})", 0),
        "break_even": f"IF(best_row>0,IF(ISNUMBER({even}),FIXED({even},0),{even}),{terms.MISSING})",
        "second_gpu": of("runner_up_row", "gpu"),
        "second_layout": of("runner_up_row", "layout"),
        "margin": f.fixed(f"IF(runner_up_row>0,per_cent*({second}/{first}-1),0)", 1),
    }
    _section(ws, _FACTS_ROW, "ABCDE", labels("procurement.facts"))
    cells = {}
    for row, (key, formula) in enumerate(facts.items(), start=_FACTS_ROW + 1):
        put(ws, f"A{row}", styles.LABEL, labels(f"procurement.fact_{key}"))
        put_formula(ws, f"B{row}", styles.FORMULA_TEXT, formula)
        for column in "CDE":
            put(ws, f"{column}{row}", styles.NOTE)
        cells[key] = f"$B${row}"
    return cells


def _write_cheapest(book: Book, ws: Worksheet) -> None:
    """Write the list of the cheapest options by their rank."""
    labels = book.labels
    shown = {column.key: column for column in options.SHOWN if column.key in _LISTED}
    _section(ws, _CHEAPEST_HEADER_ROW - 1, "ABCDE", labels("procurement.cheapest_ten"))
    put(ws, f"C{_CHEAPEST_HEADER_ROW}", styles.HEADING, labels("procurement.position"))
    for key, letter in _LISTED.items():
        put(ws, f"{letter}{_CHEAPEST_HEADER_ROW}", styles.HEADING, options.header(labels, key))
    ws.row_dimensions[_CHEAPEST_HEADER_ROW].height = 46
    for position in range(1, CHEAPEST + 1):
        row = _CHEAPEST_HEADER_ROW + position
        put(ws, f"C{row}", styles.CHECK, position)
        for key, letter in _LISTED.items():
            found = f"IFERROR({options.at_place(book, key, f'$C{row}')},{terms.MISSING})"
            put_formula(ws, f"{letter}{row}", shown[key].role, found, shown[key].number_format)


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
            f"IF(best_row>0,INDEX({options.column(book, column_key)},best_row),0)",
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
    chart.height, chart.width = 9, 13.5
    chart.legend = None
    chart.x_axis.delete = chart.y_axis.delete = False
    chart.y_axis.title, chart.y_axis.number_format = labels("unit.gpus"), "#,##0"
    book.add_chart(ws, chart, f"G{last + 3}", labels("procurement.chart_alt"))
