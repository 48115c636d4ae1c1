"""Write the sheet of assumptions that all pages share: cost inputs, reserved GPU memory, limits of prices."""

from __future__ import annotations

from xlsxwriter import Workbook

from core.catalog.prices import cost_defaults
from core.catalog.speeds import constants
from core.checks import LIMITS
from core.plan.costs import COST_LIMITS
from core.plan.defaults import ENGINE
from core.plan.demand import MIN_SPEED
from core.plan.money import HOURS_PER_MONTH, MONTHS_PER_YEAR, OPTION_MONEY, RATES
from core.plan.ranking import SAME_COST
from core.plan.replica_figures import CONSTANTS
from workbook import styles, terms
from workbook.book import COUNT_FORMAT, PLAIN_FORMAT
from workbook.export import speeds
from workbook.export.sheet import Cell, Sheet, footer, height_of, quoted_sheet
from workbook.labels import Labels

WIDTHS = (36, 18, 16, 9, 12, 54, 11, 9, 10)
_LAST_PRINTED = 6  # what is right of it only checks
_SOURCE_WIDTH = 66  # characters of the column of sources, in its smaller font
HEADER_ROW = 5
PRICES = ("gpu_usd", "server_per_gpu_usd", "on_demand_usd_per_gpu_hour", "reserved_usd_per_gpu_hour")
SHARE_FORMAT = "0.0%"

# The defaults that the formulas of pages use.
COST_INPUTS = tuple(field for field in cost_defaults() if field in (*RATES.inputs, *OPTION_MONEY.inputs))
_FORMATS = {
    "pue": "0.00", "tariff_usd_per_kwh": "0.000", "hosting_usd_per_kw_month": "#,##0.00",
    "hosting_usd_per_node_month": "#,##0.00", "depreciation_years": "0.0", "horizon_months": COUNT_FORMAT,
    "spare_replicas": COUNT_FORMAT, "whole_nodes": COUNT_FORMAT, "spare_gpus": COUNT_FORMAT, "rent_step": COUNT_FORMAT,
    "may_buy": COUNT_FORMAT, "may_rent": COUNT_FORMAT,
    "min_speed": "0.0", "owned_gpus": COUNT_FORMAT, "hours_per_day": "0.0", "days_per_month": "0.0",
    **{f"{name}_usd_per_month": "#,##0.00" for name in ("staff", "software", "storage", "egress")},
}  # fmt: skip


# Constants that formulas name: name → (sheet of its label, value, number format).
_FIXED = {
    "hours_per_month": ("procurement", HOURS_PER_MONTH, COUNT_FORMAT),
    "months_per_year": ("procurement", MONTHS_PER_YEAR, COUNT_FORMAT),
    "most_gpus": ("procurement", COST_LIMITS["gpus"].most, COUNT_FORMAT),
    "same_cost": ("procurement", SAME_COST, "0.000"),
    **{
        name: ("term", value, {"driver_reserved_share": "0.0%", "memory_utilization": "0%"}.get(name, COUNT_FORMAT))
        for name, value in CONSTANTS.items()
        if name != "most_nodes_per_replica"  # a page has only layouts that nodes take
    },
}
# Workbook-level names of what all sheets share.
INPUTS = (*COST_INPUTS, "min_speed")
NAMES = (*INPUTS, "assumptions_usable", *RATES.by_name, *_FIXED, *speeds.CONSTANTS)


def _rows() -> dict[str, int]:
    return {key: HEADER_ROW + 1 + i for i, key in enumerate((*NAMES, *PRICES))}


_ROW = _rows()


def number_format(field: str) -> str:
    """Return the number format of a cost input."""
    return _FORMATS.get(field, SHARE_FORMAT)


def limits_of(field: str) -> tuple[float, float, bool]:
    """Return the minimum and maximum of a cost input or a price, and whether it must be a whole number."""
    found = LIMITS[field] if field == "min_speed" else COST_LIMITS[field]
    return found.least, found.most, found.whole


def price_limits(sheet_name: str) -> dict[str, tuple[str, str]]:
    """Return field → (cell of the minimum, cell of the maximum) of each price on a page."""
    sheet = quoted_sheet(sheet_name)
    return {field: (f"{sheet}!$D${_ROW[field]}", f"{sheet}!$E${_ROW[field]}") for field in PRICES}


def write(workbook: Workbook, sheet: Sheet, labels: Labels) -> None:
    """Write the sheet and define a workbook-level name for each figure."""
    sheet.row([Cell(0, styles.TITLE, labels("export.assumptions_title"))], 28)
    sheet.row([Cell(0, styles.SUBTITLE, labels("export.assumptions_subtitle"))])
    sheet.row()
    sheet.row()
    headings = ("procurement.assumption", "export.value", "article.unit", "scenarios.least", "scenarios.most",
                "procurement.source", "procurement.as_of", "export.whole",
                "export.usable")  # fmt: skip
    sheet.row([Cell(i, styles.HEADING, labels(key)) for i, key in enumerate(headings)], 46)
    for field in COST_INPUTS:
        default = cost_defaults()[field]
        source = "; ".join(part for part in (default.source, default.note) if part)
        unit = labels(f"procurement.unit_{field}")
        _write_input(sheet, labels, field, labels(f"procurement.{field}"), default.value, unit, source, default.as_of)
    wanted = (labels(f"export.{key}") for key in ("min_speed", "unit_min_speed", "source_min_speed"))
    text, unit, source = wanted
    _write_input(sheet, labels, "min_speed", text, MIN_SPEED, unit, source, "")
    usable = Cell(1, styles.CHECK, 1, _all_usable(), labels("check.format"))
    _write_line(sheet, labels("export.assumptions_usable"), usable, labels("unit.none"), "")
    given = {field: default.value for field, default in cost_defaults().items()}
    rates = RATES.compute(given | {"months_per_year": MONTHS_PER_YEAR, "hours_per_month": HOURS_PER_MONTH})
    for term in RATES:
        cell = Cell(1, styles.FORMULA, rates[term.name], terms.formula(term, str), terms.number_format(term))
        _write_line(sheet, terms.label(labels, term.name), cell, labels("unit.none"), "")
    for key, (group, value, shown) in _FIXED.items():
        source = labels(f"{'precisions' if group == 'term' else group}.{key}_source")
        cell = Cell(1, styles.SOURCE_FIGURE, value, None, shown)
        _write_line(sheet, labels(f"{group}.{key}"), cell, labels("unit.none"), source)
    found = {one.name: one for one in constants()}
    for name, value in speeds.CONSTANTS.items():
        one = found[_CONSTANT_ROWS.get(name, name)]
        source = labels("export.source_constant", rows=f"{one.rows:,}", source=one.fitted_on)
        cell = Cell(1, styles.SOURCE_FIGURE, value, None, PLAIN_FORMAT)
        _write_line(sheet, terms.label(labels, name), cell, labels("unit.none"), source, one.as_of)
    for field in PRICES:
        least, most, _ = limits_of(field)
        _write_line(
            sheet, labels(f"export.price_{field}"), Cell(1, styles.NOTE), labels(f"export.unit_{field}"),
            labels("export.source_price_limits"), "", (least, most),
        )  # fmt: skip
    own = quoted_sheet(sheet.ws.get_name())
    for key in NAMES:
        workbook.define_name(key, f"={own}!$B${_ROW[key]}")
    _set_up(sheet, labels)


# Constants of the engine → their rows in speed_constants.csv, where other engines have their own.
_CONSTANT_ROWS = {"prompt_queue": f"prompt_queue_{ENGINE}", "request_s": f"request_{ENGINE}"}


def _write_input(
    sheet: Sheet, labels: Labels, field: str, text: str, value: object, unit: str, source: str, as_of: str
) -> None:
    least, most, whole = limits_of(field)
    row = _write_line(
        sheet, text, Cell(1, styles.INPUT, value, None, number_format(field)), unit, source, as_of, (least, most),
        int(whole), _usable(field),
    )  # fmt: skip
    assert row == _ROW[field]
    prompt = labels("prompt.assumption", least=f"{least:g}", most=f"{most:g}")
    sheet.ws.data_validation(f"B{row}", between(labels, prompt, f"=$D${row}", f"=$E${row}", whole=whole))


def between(labels: Labels, prompt: str, least: str, most: str, *, whole: bool, may_be_blank: bool = False) -> dict:
    """Return XlsxWriter's data validation rule for a number from `least` to `most`."""
    return {
        "validate": "integer" if whole else "decimal",
        "criteria": "between",
        "minimum": least,
        "maximum": most,
        "ignore_blank": may_be_blank,
        "input_message": prompt,
        "error_title": labels("prompt.wrong_title")[:32],
        "error_message": prompt,
    }


def _write_line(
    sheet: Sheet, label: str, value: Cell, unit: str, source: str, as_of: str = "", limits: tuple | None = None,
    whole: int | None = None, usable: str | None = None,
) -> int:  # fmt: skip
    columns = zip((3, 4), limits or ())
    shown = [Cell(column, styles.SOURCE_FIGURE, limit, None, PLAIN_FORMAT) for column, limit in columns]
    cells = [
        Cell(0, styles.LABEL, label), value, Cell(2, styles.NOTE, unit),
        *(shown or (Cell(column, styles.NOTE) for column in (3, 4))), Cell(5, styles.NOTE, source),
        Cell(6, styles.NOTE, as_of), Cell(7, styles.SOURCE_FIGURE, whole, None, COUNT_FORMAT),
        Cell(8, styles.CHECK, usable and 1, usable, COUNT_FORMAT),
    ]  # fmt: skip
    return sheet.row(cells, max(height_of(source, _SOURCE_WIDTH), height_of(label, WIDTHS[0])))


def _usable(field: str) -> str:
    """Return the formula that is 1 if a cost input is within its limits, else 0."""
    row = _ROW[field]
    value = f"$B{row}"
    within = f"AND({value}>=$D{row},{value}<=$E{row},OR($H{row}=0,{value}=INT({value})))"
    return f"IF(ISNUMBER({value}),IF({within},1,0),0)"


def _all_usable() -> str:
    """Return the formula that is 1 if every cost input is within its limits, else 0."""
    return f"IF(MIN($I${_ROW[INPUTS[0]]}:$I${_ROW[INPUTS[-1]]})=1,1,0)"


def _set_up(sheet: Sheet, labels: Labels) -> None:
    ws = sheet.ws
    ws.freeze_panes(HEADER_ROW, 1)
    ws.set_landscape()
    ws.set_paper(9)  # A4
    ws.fit_to_pages(1, 0)
    ws.repeat_rows(HEADER_ROW - 1)
    ws.print_area(0, 0, max(_ROW.values()) - 1, _LAST_PRINTED)
    ws.set_margins(left=0.4, right=0.4, top=0.5, bottom=0.7)  # inches
    ws.set_footer(footer(labels))
    ws.protect("", {"format_columns": True, "format_rows": True})
