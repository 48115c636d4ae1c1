"""Write the Plan sheet, the first one: what is needed at the left, and the answer next to it on the same screen."""

from __future__ import annotations

from openpyxl.worksheet.worksheet import Worksheet

from workbook import formulas as f
from workbook import styles, terms
from workbook.book import Book, between_rule, date_rule, list_rule, protect, put, put_formula, text_rule, validate
from workbook.labels import Labels, all_keys
from workbook.sheets import assumptions, best, plan_charts, plan_inputs, plan_workings
from workbook.sheets.plan_inputs import CHOICE, DATE, NUMBER, PlanInput

DEFAULT_SCENARIO = "row_real_fp8"
# Widths in pixels of a screen at 100 %: a width unit is 8 pixels, as the Normal style is Arial 11.
_PIXELS = {
    "A": 158, "B": 110, "C": 92, "D": 12, "E": 136, "F": 48, "G": 52, "H": 112, "I": 84, "J": 92, "K": 84, "L": 96,
    "M": 86, "N": 12, "O": 316,
}  # fmt: skip
_ROW_POINTS = 14.25  # 19 pixels: what 11 points of Arial need, a height that Excel does not round
_ANSWER, _LAST = "EFGHIJKLM", "M"
_HEADLINE_ROW, _WHAT_ROW, _FIGURES_ROW, _COST_ROW = 3, 5, 7, 12
_OPTIONS_ROW = 15
_FIRST_OPTION = _OPTIONS_ROW + 3
_DOUBTS_ROW = _FIRST_OPTION + best.SHOWN + 3
_SWAPS_ROW = _DOUBTS_ROW + plan_workings.DOUBTS_SHOWN + 1
FIRST_SWAP_ROW = _SWAPS_ROW + 2
_LAST_ROW = max(plan_inputs.LAST_ROW, _SWAPS_ROW + 1 + len(plan_workings.SWAPS))
_PRINTED_ROW = _LAST_ROW + 1  # the line that a footer cannot have
_OPTION_KEYS = ("gpu", "way", "gpus", "layout", "speed", "start", "month", "npc", "margin")
_LONG = ("plan_scenario", "plan_candidates")  # texts that also use the cell of the unit
_ONE_LINE = 255  # characters of a cell's text
# Sentences of the answer → their cells.
SENTENCES = {"headline": f"$E${_HEADLINE_ROW}", "cost": f"$E${_COST_ROW}", "speed": f"$E${_COST_ROW + 1}"}
_MONEY = "#,##0"


def reserve(book: Book) -> Worksheet:
    """Create the empty sheet and the names of its inputs, which other sheets use before it is written."""
    widths = [(pixels - 5) / 8 for pixels in _PIXELS.values()]
    ws = book.sheet("plan", widths, one_page=True)
    for one in plan_inputs.INPUTS:
        for name in filter(None, (one.name, one.term)):
            book.name(name, ws, plan_inputs.cell(one.name))
    return ws


def write(book: Book, ws: Worksheet, scenario: str, places: plan_workings.Places) -> None:
    """Write the sheet for the scenario of that name. All other sheets of the calculation must exist.

    Args:
        places: the cells of Plan workings.
    """
    labels = book.labels
    ws.row_dimensions[1].height = 21
    for row in range(2, _PRINTED_ROW + 1):
        ws.row_dimensions[row].height = _ROW_POINTS
    put(ws, "A1", styles.TITLE, labels("plan.title"))
    put(ws, "E1", styles.PLAN_GREY, labels("plan.caveat"))
    put_formula(ws, "O1", styles.PLAN_STATUS, _status(labels))
    _write_inputs(book, ws, scenario, places)
    _write_answer(book, ws, places)
    _write_options(book, ws)
    _write_out(labels, ws, places)
    _write_doubts(labels, ws, places)
    _write_swaps(labels, ws, places)
    plan_charts.write(book, ws, places)
    put_formula(ws, f"A{_PRINTED_ROW}", styles.PLAN_GREY, "plan_printed")
    ws.print_area = f"A1:O{_PRINTED_ROW}"
    ws.print_options.horizontalCentered = True
    ws.page_margins.left = ws.page_margins.right = 0.24  # inches
    ws.page_margins.top = 0.3
    protect(ws)


def input_cells(labels: Labels) -> dict[str, tuple[str, str]]:
    """Return the input cells of Plan and of Assumptions: name → (sheet, address)."""
    here = {one.name: (labels("sheet.plan"), plan_inputs.cell(one.name)) for one in plan_inputs.INPUTS}
    of_terms = {one.term: here[one.name] for one in plan_inputs.INPUTS if one.term}
    there = {name: (labels("sheet.assumptions"), cell) for name, cell in assumptions.input_cells().items()}
    return here | of_terms | there


def _status(labels: Labels) -> str:
    verdict = f"IF(master_check=1,{f.text(labels('plan.checks_pass'))},{f.text(labels('plan.checks_fail'))})"
    return f"{verdict}&{f.text('   ▲ ')}&plan_doubts&{f.text(labels('plan.doubts_count'))}"


# ---- inputs ------------------------------------------------------------------------------------------------


def _write_inputs(book: Book, ws: Worksheet, scenario: str, places: plan_workings.Places) -> None:
    labels = book.labels
    _section(ws, "ABC", 2, labels("plan.group_need"))
    for group, one, row in plan_inputs.PLACES:
        if one is None:
            put(ws, f"A{row}", styles.PLAN_GROUP, labels(f"plan.group_{group}"))
            continue
        put(ws, f"A{row}", styles.PLAN_TEXT, labels(f"plan.in_{one.key}"))
        value = scenario if one.name == "plan_scenario" else _default(labels, one)
        role = styles.PLAN_INPUT if one.kind in (NUMBER, DATE) else styles.PLAN_INPUT_TEXT
        role = styles.PLAN_INPUT_LONG if one.name in _LONG else role
        put(ws, f"B{row}", role, value, one.number_format if one.kind in (NUMBER, DATE) else None)
        unit = _unit(labels, f"plan.of_{one.key}")
        put(ws, f"C{row}", styles.PLAN_INPUT_REST if one.name in _LONG else styles.PLAN_UNIT, unit)
        _validate(labels, ws, one)
    for row, key in zip(plan_inputs.ECHO_ROWS, ("echo_model", "echo_tokens")):
        put_formula(ws, f"A{row}", styles.PLAN_GREY, plan_workings.reference_to(labels, places.texts[key]))


def _unit(labels: Labels, key: str) -> str | None:
    """Return the unit of an input or a column; None if it has none."""
    return labels(key) if key in all_keys() else None


def _default(labels: Labels, one: PlanInput) -> object:
    if isinstance(one.default, str) and one.name != "plan_currency":
        return plan_inputs.choice_text(labels, one.default)
    return one.default


def _validate(labels: Labels, ws: Worksheet, one: PlanInput) -> None:
    if one.kind == NUMBER and one.limits:
        rule = between_rule(f"{one.limits.least:g}", f"{one.limits.most:g}", whole=one.limits.whole)
        prompt = labels("prompt.assumption", least=f"{one.limits.least:g}", most=f"{one.limits.most:g}")
    elif one.kind == DATE:
        rule, prompt = date_rule(), labels("prompt.plan_date")
    elif one.kind == CHOICE:
        texts = one.choices if isinstance(one.choices, str) else ",".join(
            plan_inputs.choice_text(labels, key) for key in one.choices
        )  # fmt: skip
        rule = list_rule(texts if isinstance(one.choices, str) else f'"{texts}"')
        prompt = labels(f"plan.prompt_{one.key}")
    else:
        rule, prompt = text_rule(_ONE_LINE), labels(f"plan.prompt_{one.key}")
    validate(
        ws, plan_inputs.cell(one.name), rule, title=labels(f"plan.in_{one.key}").strip(), prompt=prompt,
        wrong_title=labels("prompt.wrong_title"),
    )  # fmt: skip
    rule.allow_blank = one.default is None


def _section(ws: Worksheet, letters: str, row: int, title: str, right: str = "") -> None:
    for letter in letters:
        put(ws, f"{letter}{row}", styles.PLAN_SECTION, title if letter == letters[0] else None)
    if right:
        put(ws, f"{letters[-1]}{row}", styles.PLAN_SECTION_RIGHT, right)


# ---- the answer --------------------------------------------------------------------------------------------


def _write_answer(book: Book, ws: Worksheet, places: plan_workings.Places) -> None:
    labels = book.labels

    def text(key: str) -> str:
        return plan_workings.reference_to(labels, places.texts[key])

    _section(ws, _ANSWER, 2, labels("plan.answer"))
    ws.row_dimensions[_HEADLINE_ROW].height = 27
    put_formula(ws, f"E{_HEADLINE_ROW}", styles.PLAN_HEADLINE, text("headline"))
    put_formula(ws, f"E{_WHAT_ROW}", styles.PLAN_TEXT, text("what"))
    for row in range(_FIGURES_ROW, _FIGURES_ROW + 4):
        for letter in _ANSWER:
            put(ws, f"{letter}{row}", styles.PLAN_PALE)
    ws.row_dimensions[_FIGURES_ROW + 1].height = 24
    person = f"IF(ISNUMBER(plan_people),{f.text(labels('plan.figure_person'))},{f.text(labels('plan.figure_user'))})"
    # Texts, which may be wider than their column.
    figures = (
        ("E", f.text(labels("plan.figure_start")), "start_cash", "plan_currency"),
        ("F", f.text(labels("plan.figure_month")), "cost_month", "plan_currency"),
        ("H", person, "person_month", f"plan_currency&{f.text(labels('plan.a_month'))}"),
        ("I", f.text(labels("plan.figure_million")), "million_cost", "plan_currency"),
        ("K", f.text(labels("plan.figure_speed")), "speed_range", text("typical")),
        ("M", f.text(labels("plan.figure_first")), "first_token_s", f.text(labels("plan.unit_s"))),
    )
    for letter, caption, key, unit in figures:
        put_formula(ws, f"{letter}{_FIGURES_ROW}", styles.PLAN_CAPTION, caption)
        put_formula(ws, f"{letter}{_FIGURES_ROW + 1}", styles.PLAN_FIGURE, text(key))
        put_formula(ws, f"{letter}{_FIGURES_ROW + 2}", styles.PLAN_CAPTION, unit)
    put_formula(ws, f"E{_COST_ROW}", styles.PLAN_TEXT, text("cost"))
    put_formula(ws, f"E{_COST_ROW + 1}", styles.PLAN_TEXT, text("speed"))


def _write_options(book: Book, ws: Worksheet) -> None:
    """Write the five options, one line each, and the names of the results."""
    labels = book.labels
    _section(ws, _ANSWER, _OPTIONS_ROW, labels("plan.options"))
    for letter, key in zip(_ANSWER, _OPTION_KEYS):
        head, role, _, _ = _looks(key)
        put(ws, f"{letter}{_OPTIONS_ROW + 1}", head, labels(f"plan.head_{key}"))
        address = f"{letter}{_OPTIONS_ROW + 2}"
        if key in ("start", "month", "npc"):
            put_formula(ws, address, role, "plan_currency")
        else:
            put(ws, address, role, _unit(labels, f"plan.head_unit_{key}"))
    for place in range(1, best.SHOWN + 1):
        _write_option(book, ws, place)
    first = _FIRST_OPTION
    for name, letter in (("plan_gpu", "E"), ("plan_way", "F"), ("plan_gpus", "G"), ("plan_net_present_cost", "L")):
        book.name(name, ws, f"{letter}{first}")
    book.name("plan_runner_up", ws, f"E{first + 1}")
    book.name("plan_margin", ws, f"M{first + 1}")
    there = book.openpyxl[labels("sheet.best")]
    of_best = (
        ("plan_layout", "layout"), ("plan_replicas", "replicas"), ("plan_speed", "tokens_per_s_per_user"),
        ("plan_speed_low", "low_tokens_per_s"), ("plan_speed_high", "high_tokens_per_s"),
    )  # fmt: skip
    for name, key in of_best:
        book.name(name, there, best.cell(key))


def _write_option(book: Book, ws: Worksheet, place: int) -> None:
    labels, row = book.labels, _FIRST_OPTION + place - 1

    def of(key: str) -> str:
        return best.at(book, key, place)

    def money(key: str) -> str:
        return f"IF(ISNUMBER({of(key)}),{of(key)}*plan_exchange_rate,{terms.MISSING})"

    low, high = (f.fixed(of(key), 0) for key in ("low_tokens_per_s", "high_tokens_per_s"))
    speed = f"IF(ISNUMBER({of('low_tokens_per_s')}),{low}&{f.text(' – ')}&{high},{terms.MISSING})"
    layout = f"IF(ISNUMBER({of('replicas')}),{of('layout')}&{f.text(' × ')}&{of('replicas')},{terms.MISSING})"
    best_word, equal = labels("plan.best"), f'[<={assumptions.ABOUT_EQUAL:g}]"≈ +"0.0%;"+"0.0%'
    formulas: dict[str, tuple[str, str | None]] = {
        "gpu": (of("gpu"), None),
        "way": (of("cheaper"), None),
        "gpus": (of("best_gpus"), _MONEY),
        "layout": (layout, None),
        "speed": (speed, None),
        "start": (money("start_cash"), '#,##0;-#,##0;"–"'),
        "month": (money("cost_month"), _MONEY),
        "npc": (money("net_present_cost"), _MONEY),
        "margin": (of("margin"), f'[=0]"{best_word}";{equal}'),
    }
    for letter, key in zip(_ANSWER, _OPTION_KEYS):
        put_formula(ws, f"{letter}{row}", _looks(key)[2 if place == 1 else 3], *formulas[key])


def _looks(key: str) -> tuple[str, str, str, str]:
    """Return the styles of a column of the options: its heading, its unit, the best option, the others."""
    if key in ("gpu", "way"):
        return styles.PLAN_HEAD, styles.PLAN_GREY, styles.PLAN_BEST, styles.PLAN_CELL
    if key == "layout":
        return styles.PLAN_HEAD_CENTRE, styles.PLAN_GREY_CENTRE, styles.PLAN_BEST_CENTRE, styles.PLAN_CENTRE
    return styles.PLAN_HEAD_RIGHT, styles.PLAN_GREY_RIGHT, styles.PLAN_BEST_NUMBER, styles.PLAN_NUMBER


def _write_out(labels: Labels, ws: Worksheet, places: plan_workings.Places) -> None:
    row = _FIRST_OPTION + best.SHOWN
    put(ws, f"E{row}", styles.PLAN_GREY, labels("plan.equal", share=f"{assumptions.ABOUT_EQUAL:.0%}"))
    put_formula(ws, f"E{row + 1}", styles.PLAN_GREY, plan_workings.reference_to(labels, places.texts["out"]))


def _write_doubts(labels: Labels, ws: Worksheet, places: plan_workings.Places) -> None:
    _section(ws, _ANSWER, _DOUBTS_ROW, labels("plan.doubts"), labels("plan.doubts_more"))
    for row, cell in enumerate(places.doubts, start=_DOUBTS_ROW + 1):
        put_formula(ws, f"E{row}", styles.PLAN_DOUBT, plan_workings.reference_to(labels, cell))


def _write_swaps(labels: Labels, ws: Worksheet, places: plan_workings.Places) -> None:
    _section(ws, _ANSWER, _SWAPS_ROW, labels("plan.swaps"), labels("plan.swaps_note"))
    for letter, key in (("E", "input"), ("I", "now"), ("J", "swap"), ("K", "change")):
        put(
            ws,
            f"{letter}{_SWAPS_ROW + 1}",
            styles.PLAN_HEAD if key == "input" else styles.PLAN_HEAD_RIGHT,
            labels(f"plan.head_{key}"),
        )
    for row, (key, cells) in enumerate(places.swaps.items(), start=FIRST_SWAP_ROW):
        for letter in _ANSWER:
            put(ws, f"{letter}{row}", styles.PLAN_CELL)
        label, now, swap, change, unit = (plan_workings.reference_to(labels, cell) for cell in cells)
        decimals = "#,##0" if key == "horizon" else "#,##0.00"
        put_formula(ws, f"E{row}", styles.PLAN_CELL, label)
        put_formula(ws, f"I{row}", styles.PLAN_NUMBER, now, decimals)
        put_formula(ws, f"J{row}", styles.PLAN_BOLD, swap, decimals)
        put_formula(ws, f"K{row}", styles.PLAN_NUMBER, change, "+0%;-0%;0%")
        put_formula(ws, f"L{row}", styles.PLAN_SWAP_UNIT, unit)
