"""Write the Assumptions sheet: what the costs assume, a country's values, constants, and the chosen scenario.

A value of the user's own counts first, then the one of the country that is chosen on Plan, then the default.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from openpyxl.worksheet.worksheet import Worksheet

from core.catalog.countries import OLD_AFTER_MONTHS, countries
from core.catalog.prices import cost_defaults, date_of
from core.checks import Limits
from core.plan.costs import COST_LIMITS
from core.plan.demand import PEOPLE
from core.plan.fleet import USUAL_GPUS_PER_NODE
from core.plan.money import HOURS_PER_MONTH, MONTHS_PER_YEAR, RATES
from core.plan.ranking import SAME_COST
from workbook import formulas as f
from workbook import styles, terms
from workbook.book import (
    COUNT_FORMAT,
    GB_FORMAT,
    MONEY_FORMAT,
    Book,
    SheetColumn,
    between_rule,
    filled_table,
    heading,
    protect,
    put,
    put_formula,
    validate,
)
from workbook.labels import Labels
from workbook.sheets import plan_inputs, scenarios

HEADER_ROW = 5
FIRST_ROW = HEADER_ROW + 1
ABOUT_EQUAL = 0.05  # options that cost up to 5 % more are called about equal: list prices are not known better
_SHARES = "0.0%"
_FORMATS = {
    "pue": "0.00", "tariff_usd_per_kwh": "0.000", "hosting_usd_per_kw_month": MONEY_FORMAT,
    "hosting_usd_per_node_month": MONEY_FORMAT, "depreciation_years": "0.0", "whole_nodes": COUNT_FORMAT,
    "may_buy": COUNT_FORMAT, "may_rent": COUNT_FORMAT, "spare_gpus": COUNT_FORMAT, "rent_step": COUNT_FORMAT, "stale_after_months": COUNT_FORMAT,
    "grid_kg_per_kwh": "0.000",
    **{f"{name}_usd_per_month": MONEY_FORMAT for name in ("staff", "software", "storage", "egress")},
}  # fmt: skip
# The other assumptions stand on Plan, and follow from its choice of buying or renting.
FIELDS = tuple(
    name for name in cost_defaults() if name not in plan_inputs.OF_TERM and name not in ("may_buy", "may_rent")
)
# Constants that formulas name: (name, value, number format).
FIXED = (
    ("hours_per_month", HOURS_PER_MONTH, COUNT_FORMAT),
    ("months_per_year", MONTHS_PER_YEAR, COUNT_FORMAT),
    ("usual_gpus_per_node", USUAL_GPUS_PER_NODE, COUNT_FORMAT),
    ("most_gpus", COST_LIMITS["gpus"].most, COUNT_FORMAT),
    ("same_cost", SAME_COST, "0.000"),
    ("nearly_equal", ABOUT_EQUAL, "0%"),
    ("per_cent", 100, COUNT_FORMAT),
    ("old_after_months", OLD_AFTER_MONTHS, COUNT_FORMAT),
)
# The columns that are looked up for the chosen scenario: (key, number format).
_OF_SCENARIO = (
    ("input_check", None), ("model", None), ("context", COUNT_FORMAT), ("output_tokens", COUNT_FORMAT),
    ("users", COUNT_FORMAT), ("precision", None), ("cache_format", None), ("engine", None), ("attention_groups", COUNT_FORMAT), ("overhead_rate", "0%"), ("weights", GB_FORMAT), ("kv", GB_FORMAT),
    ("total", GB_FORMAT), ("max_context", COUNT_FORMAT), ("beyond", COUNT_FORMAT), ("lacks_cache", COUNT_FORMAT),
    ("mtp_tokens", COUNT_FORMAT), ("acceptance", "0%"),
)  # fmt: skip
# Figures that follow from the inputs of Plan, below those of the scenario.
_OF_PLAN = ("chosen_users", "chosen_total_gb", "may_buy", "may_rent", "old_sources", "candidate_list")
_ROW = {name: row for row, name in enumerate((*FIELDS, *(name for name, *_ in FIXED)), start=FIRST_ROW)}
_DERIVED_ROW = {name: max(_ROW.values()) + 1 + i for i, name in enumerate(term.name for term in RATES)}
_SCENARIO_HEADER_ROW = max(_DERIVED_ROW.values()) + 2
_SCENARIO_ROW = {key: _SCENARIO_HEADER_ROW + 1 + i for i, (key, _) in enumerate(_OF_SCENARIO)}
_PLAN_ROW = {name: max(_SCENARIO_ROW.values()) + 1 + i for i, name in enumerate(_OF_PLAN)}
_PRESETS_ROW = max(_PLAN_ROW.values()) + 3
_PRESETS = (
    SheetColumn("preset_key", 38, styles.LABEL, None),
    SheetColumn("preset_value", 14, styles.SOURCE_FIGURE, "#,##0.0###"),
    SheetColumn("preset_old", 12, styles.CHECK),
    SheetColumn("preset_currency", 12, styles.LABEL, None),
    SheetColumn("preset_stated", 14, styles.SOURCE_FIGURE, "#,##0.0###"),
    SheetColumn("preset_note", 30, styles.NOTE, None),
    SheetColumn("preset_source", 64, styles.NOTE, None),
    SheetColumn("preset_as_of", 12, styles.SOURCE_FIGURE, "yyyy-mm"),
)
_WIDTHS = (38, 10.5, 10.5, 10.5, 10.5, 13, 40, 8, 9, 26, 14)
# Figures of the chosen scenario that other sheets use → their names.
_CHOSEN = {
    "input_check": "chosen_check", "model": "chosen_model", "context": "chosen_context",
    "output_tokens": "chosen_output_tokens", "precision": "chosen_precision",
    "cache_format": "chosen_kv_precision", "engine": "chosen_engine", "attention_groups": "attention_groups",
    "max_context": "chosen_max_context", "beyond": "chosen_beyond", "lacks_cache": "chosen_lacks_cache",
    "mtp_tokens": "chosen_mtp_tokens", "acceptance": "chosen_acceptance",
}  # fmt: skip


def reserve(book: Book) -> Worksheet:
    """Create the empty sheet and the names of its figures, which other sheets use before it is written."""
    ws = book.sheet("assumptions", _WIDTHS, tab_colour="BF8F00")
    for name, row in _ROW.items():
        book.name(name, ws, f"{'C' if name in FIELDS else 'B'}{row}")
    for name, row in (_DERIVED_ROW | _PLAN_ROW).items():
        book.name(name, ws, f"B{row}")
    for key, name in _CHOSEN.items():
        book.name(name, ws, f"B{_SCENARIO_ROW[key]}")
    return ws


def write(book: Book, ws: Worksheet) -> None:
    """Write the sheet. The sheets Plan and Scenarios must exist."""
    labels = book.labels
    heading(ws, labels("assumptions.title"), labels("assumptions.subtitle"))
    put(ws, "A3", styles.SUBTITLE, labels("assumptions.note"))
    headings = (
        "assumption",
        "own",
        "used",
        "default",
        "of_country",
        "unit",
        "source",
        "as_of",
        "old",
        "name",
        "country_old",
    )
    for column, key in zip("ABCDEFGHIJK", headings):
        known = key in ("assumption", "unit", "source", "as_of")
        put(ws, f"{column}{HEADER_ROW}", styles.HEADING, labels(f"{'procurement' if known else 'assumptions'}.{key}"))
    ws.row_dimensions[HEADER_ROW].height = 58
    _write_fields(book, ws)
    _write_constants(book, ws)
    _write_scenario(book, ws)
    _write_presets(book, ws)
    ws.freeze_panes = f"B{FIRST_ROW}"
    ws.print_title_rows = f"{HEADER_ROW}:{HEADER_ROW}"
    ws.print_area = f"A1:I{max(_PLAN_ROW.values())}"
    protect(ws)


def input_cells() -> dict[str, str]:
    """Return the cells for own values: name → address."""
    return {name: f"B{_ROW[name]}" for name in FIELDS}


def limits_of(name: str) -> Limits:
    """Return the limits of an assumption."""
    return COST_LIMITS.get(name) or Limits(0, 120, True, "Write months, for example 6.")


def number_format(name: str) -> str:
    """Return the number format of an assumption."""
    on_plan = plan_inputs.OF_TERM.get(name)
    return on_plan.number_format or COUNT_FORMAT if on_plan else _FORMATS.get(name, _SHARES)


def _write_fields(book: Book, ws: Worksheet) -> None:
    labels = book.labels
    for name in FIELDS:
        row, default = _ROW[name], cost_defaults()[name]
        shown = number_format(name)
        value = default.value
        if value is not None and shown == COUNT_FORMAT:
            value = int(value)
        source = "; ".join(part for part in (default.source, default.note) if part)
        put(ws, f"A{row}", styles.LABEL, labels(f"procurement.{name}"))
        put(ws, f"B{row}", styles.INPUT, None, shown)
        used = f"IF(LEN(B{row})>0,B{row},IF(ISNUMBER(E{row}),E{row},D{row}))"
        put_formula(ws, f"C{row}", styles.TOTAL, used, shown)
        put(ws, f"D{row}", styles.SOURCE_FIGURE, value, shown)
        found = f.looked_up(f"plan_country&{f.text('|')}&$J{row}", "preset_keys", "preset_values")
        put_formula(ws, f"E{row}", styles.FORMULA, f"IFERROR({found},{terms.MISSING})", shown)
        put(ws, f"F{row}", styles.NOTE, labels(f"procurement.unit_{name}"))
        put(ws, f"G{row}", styles.NOTE, source)
        put(ws, f"H{row}", styles.SOURCE_FIGURE, date_of(default.as_of), "yyyy-mm")
        of_country = f.looked_up(f"plan_country&{f.text('|')}&$J{row}", "preset_keys", "presets_old")
        put_formula(ws, f"K{row}", styles.CHECK, f"IFERROR({of_country},0)", _OLD_FORMAT)
        is_old = f"IF(ISNUMBER(E{row}),K{row},IF(EDATE(H{row},old_after_months)<plan_date,1,0))"
        put_formula(ws, f"I{row}", styles.CHECK, f"IF(LEN(B{row})>0,0,{is_old})", _OLD_FORMAT)
        put(ws, f"J{row}", styles.NOTE, name)
        limits = limits_of(name)
        title, prompt = (
            labels(f"procurement.{name}"),
            labels("prompt.assumption", least=f"{limits.least:g}", most=f"{limits.most:g}"),
        )
        rule = between_rule(f"{limits.least:g}", f"{limits.most:g}", whole=limits.whole)
        validate(ws, f"B{row}", rule, title=title, prompt=prompt, wrong_title=labels("prompt.wrong_title"))
        rule.allow_blank = True


_OLD_FORMAT = '[=1]"▲";[=0]"";General'


def _write_constants(book: Book, ws: Worksheet) -> None:
    labels = book.labels
    for name, value, shown in FIXED:
        row = _ROW[name]
        _line(ws, row, labels(f"procurement.{name}"))
        put(ws, f"B{row}", styles.SOURCE_FIGURE, value, shown)
        put(ws, f"G{row}", styles.NOTE, labels(f"procurement.{name}_source"))
    for term in RATES:
        row = _DERIVED_ROW[term.name]
        _line(ws, row, terms.label(labels, term.name))
        put_formula(ws, f"B{row}", styles.FORMULA, terms.formula(term, str), terms.number_format(term))


def _line(ws: Worksheet, row: int, label: str) -> None:
    put(ws, f"A{row}", styles.LABEL, label)
    for column in "CDEFGHIJK":
        put(ws, f"{column}{row}", styles.NOTE)


def _section(ws: Worksheet, row: int, title: str) -> None:
    put(ws, f"A{row}", styles.SECTION, title)
    for column in "BCDEFGHIJK":
        put(ws, f"{column}{row}", styles.SECTION)


def _write_scenario(book: Book, ws: Worksheet) -> None:
    labels = book.labels
    _section(ws, _SCENARIO_HEADER_ROW, labels("procurement.of_scenario"))
    row_of_scenario = "MATCH(plan_scenario,scenario_names,0)"
    for key, number_format in _OF_SCENARIO:
        row = _SCENARIO_ROW[key]
        _line(ws, row, scenarios.header(labels, key))
        role = styles.LINK if number_format else styles.LINK_TEXT
        looked_up = f"INDEX({scenarios.column(book, key)},{row_of_scenario})"
        if key == "output_tokens":  # blank: the default, a ninth of the context
            looked_up = f"IF({looked_up}>0,{looked_up},{terms.MISSING})"
        put_formula(ws, f"B{row}", role, looked_up, number_format)
    people = terms.formula(PEOPLE["users"], lambda name: {"people": "plan_people", "active": "plan_active_share"}[name])
    kv = f"{_scenario('kv')}*chosen_users/{_scenario('users')}"

    def wanted(key: str) -> str:
        return f.text(plan_inputs.choice_text(labels, key))

    formulas = {
        "chosen_users": f"IF(plan_users>0,plan_users,IF(plan_people>0,{people},{_scenario('users')}))",
        "chosen_total_gb": f"({_scenario('weights')}+{kv})*(1+{_scenario('overhead_rate')})",
        "may_buy": f"IF(plan_way_wanted={wanted('rent')},0,1)",
        "may_rent": f"IF(plan_way_wanted={wanted('buy')},0,1)",
        "old_sources": f"SUM(I{FIRST_ROW}:I{_ROW[FIELDS[-1]]})",
        "candidate_list": '","&SUBSTITUTE(LOWER(plan_candidates)," ","")&","',
    }
    for name in _OF_PLAN:
        row = _PLAN_ROW[name]
        _line(ws, row, labels(f"procurement.{name}" if name.startswith("chosen") else f"assumptions.{name}"))
        is_text = name == "candidate_list"
        shown = GB_FORMAT if name == "chosen_total_gb" else COUNT_FORMAT
        role = styles.FORMULA_TEXT if is_text else styles.FORMULA
        put_formula(ws, f"B{row}", role, formulas[name], None if is_text else shown)


def _scenario(key: str) -> str:
    return f"$B${_SCENARIO_ROW[key]}"


def _write_presets(book: Book, ws: Worksheet) -> None:
    """Write the values of each country, in US dollars and as stated, with their sources."""
    labels = book.labels
    _section(ws, _PRESETS_ROW - 1, labels("assumptions.presets"))
    ws.row_dimensions[_PRESETS_ROW].height = 32
    as_of = f.this_row("Presets", _preset_header(labels, "preset_as_of"))
    old = {"preset_old": f"IF(EDATE({as_of},old_after_months)<plan_date,1,0)"}
    header = partial(_preset_header, labels)
    last = filled_table(ws, "Presets", _PRESETS_ROW, _PRESETS, header, _preset_rows(labels), old)
    for row in range(_PRESETS_ROW + 1, last + 1):
        ws[f"C{row}"].number_format = _OLD_FORMAT
    for name, column in (("preset_keys", "A"), ("preset_values", "B"), ("presets_old", "C")):
        book.name(name, ws, f"{column}{_PRESETS_ROW + 1}:{column}{last}")


def _preset_header(labels: Labels, key: str) -> str:
    return labels(f"assumptions.{key}")


def _preset_rows(labels: Labels) -> Iterator[dict[str, object]]:
    for name, country in countries().items():
        for field, value in country.assumptions.items():
            preset = country.presets[field]
            yield {
                "preset_key": f"{plan_inputs.choice_text(labels, name)}|{field}",
                "preset_value": value,
                "preset_currency": preset.currency or None,
                "preset_stated": preset.value,
                "preset_note": preset.note_zh if labels.lang == "zh" else preset.note_en,
                "preset_source": preset.source,
                "preset_as_of": date_of(preset.as_of),
            }
