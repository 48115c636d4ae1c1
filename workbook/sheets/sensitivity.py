"""Write the Sensitivity sheet: total memory and GPUs of one model over context × users, with its break points."""

from __future__ import annotations

from functools import partial

from openpyxl.chart import LineChart, Reference
from openpyxl.formatting.rule import ColorScaleRule, Rule
from openpyxl.styles import Border, Font, Side
from openpyxl.styles.differential import DifferentialStyle
from openpyxl.styles.numbers import NumberFormat
from openpyxl.utils import get_column_letter

from core.checks import LIMITS
from core.plan.estimate import DEFAULT_OVERHEAD_FRACTION
from core.plan.fleet import USUAL_GPUS_PER_NODE
from core.plan.memory import ESTIMATE
from workbook import formulas as f
from workbook import styles, terms
from workbook.book import (
    COUNT_FORMAT,
    PERCENT_FORMAT,
    Book,
    between_rule,
    heading,
    list_rule,
    protect,
    put,
    put_formula,
    validate,
)
from workbook.sheets import models, precisions, scenarios

CONTEXTS = (2_048, 4_096, 8_192, 16_384, 32_768, 65_536, 131_072)
USERS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000)

# (label key, default, number format, list of choices or field of LIMITS)
_INPUTS = (
    ("model", "llama-3.1-70b", None, "model_names"),
    ("precision", "fp16", None, "precision_names"),
    ("kv_precision", "fp16", None, "kv_precision_names"),
    ("overhead_rate", DEFAULT_OVERHEAD_FRACTION, PERCENT_FORMAT, "overhead"),
    ("gpu_memory", 80, COUNT_FORMAT, "gpu_memory_gb"),
    ("gpus_per_node", USUAL_GPUS_PER_NODE, COUNT_FORMAT, "gpus"),
)
_FIRST_INPUT_ROW = 4
_INPUT_ROW = {key: row for row, (key, *_) in enumerate(_INPUTS, start=_FIRST_INPUT_ROW)}
_MODEL_ROW_ROW = _FIRST_INPUT_ROW + len(_INPUTS)
_TOTAL_HEADER_ROW = _MODEL_ROW_ROW + 3
_GPU_HEADER_ROW = _TOTAL_HEADER_ROW + len(USERS) + 3
CHART_ROW = _GPU_HEADER_ROW + len(USERS) + 2
# Workings below the chart: the weights, and the cache of one user in each context, by the terms of `core.plan.memory`.
_WORKINGS_ROW = CHART_ROW + 20
_PRECISION_ROW, _VALUE_BYTES_ROW, _WEIGHTS_ROW = (_WORKINGS_ROW + i for i in (1, 2, 3))
_KV_OF_MODEL = [name for name in ESTIMATE.inputs if name in scenarios.OF_MODEL]
_OF_MODEL = {name: _WEIGHTS_ROW + number for number, name in enumerate(_KV_OF_MODEL, start=1)}
_USER_HEADER_ROW = max(_OF_MODEL.values()) + 2
_USER_TERMS = ("tokens_in_window", "tokens_in_window_2", "user_values", "user_bytes")
_USER_ROW = {name: _USER_HEADER_ROW + i for i, name in enumerate(("allocated_tokens", *_USER_TERMS), start=1)}
_FIRST_COLUMN, _LAST_COLUMN = 2, 1 + len(CONTEXTS)


def write(book: Book) -> None:
    """Write the sheet. The sheets Models and Precisions must exist."""
    labels = book.labels
    ws = book.sheet("sensitivity", [28] + [13] * len(CONTEXTS), tab_colour="BF8F00", one_page=True)
    heading(ws, labels("sensitivity.title"), labels("sensitivity.subtitle"))
    for key, default, number_format, choices in _INPUTS:
        row = _INPUT_ROW[key]
        put(ws, f"A{row}", styles.LABEL, _label(labels, key))
        put(ws, f"B{row}", styles.INPUT if number_format else styles.INPUT_TEXT, default, number_format)
        _validate(labels, ws, f"B{row}", key, choices)
    put(ws, f"A{_MODEL_ROW_ROW}", styles.LABEL, labels("sensitivity.model_row"))
    put_formula(ws, f"B{_MODEL_ROW_ROW}", styles.FORMULA, models.row_of(book, _given("model")), COUNT_FORMAT)
    _write_weights(book, ws)
    _write_user(book, ws)
    ws.column_dimensions["B"].width = 18
    _write_grid(book, ws, _TOTAL_HEADER_ROW, "total", "#,##0.0", _total_formula)
    _write_grid(book, ws, _GPU_HEADER_ROW, "gpus", COUNT_FORMAT, _gpus_formula)
    _colour(ws, _TOTAL_HEADER_ROW)
    _mark_break_points(ws, _GPU_HEADER_ROW)
    _write_chart(book, ws)
    ws.freeze_panes = f"B{_FIRST_INPUT_ROW}"
    ws.print_area = f"A1:{get_column_letter(_LAST_COLUMN)}{_WORKINGS_ROW - 1}"
    protect(ws)


def grid_cells() -> dict[tuple[str, int, int], str]:
    """Return the result cells, for the template's own axes: ("total" or "gpus", context, users) → address."""
    return {
        (kind, context, users): f"{get_column_letter(_FIRST_COLUMN + j)}{header + 1 + i}"
        for kind, header in (("total", _TOTAL_HEADER_ROW), ("gpus", _GPU_HEADER_ROW))
        for j, context in enumerate(CONTEXTS)
        for i, users in enumerate(USERS)
    }


def input_cells() -> dict[str, str]:
    """Return the input cells: label key → address."""
    return {key: f"B{row}" for key, row in _INPUT_ROW.items()}


def _write_grid(book: Book, ws, header_row: int, key: str, number_format: str, formula) -> None:
    labels = book.labels
    put(ws, f"A{header_row - 1}", styles.SECTION, labels(f"sensitivity.{key}"))
    for column in range(_FIRST_COLUMN, _LAST_COLUMN + 1):
        put(ws, f"{get_column_letter(column)}{header_row - 1}", styles.SECTION)
    put(ws, f"A{header_row}", styles.HEADING, labels("sensitivity.corner"))
    is_first_grid = header_row == _TOTAL_HEADER_ROW
    for j, context in enumerate(CONTEXTS):
        address = f"{get_column_letter(_FIRST_COLUMN + j)}{header_row}"
        if is_first_grid:
            put(ws, address, styles.INPUT, context, COUNT_FORMAT)
            _validate(labels, ws, address, "context", "context")
        else:
            put_formula(
                ws, address, styles.FORMULA, address.replace(str(header_row), str(_TOTAL_HEADER_ROW)), COUNT_FORMAT
            )
    for i, users in enumerate(USERS):
        row = header_row + 1 + i
        if is_first_grid:
            put(ws, f"A{row}", styles.INPUT, users, COUNT_FORMAT)
            _validate(labels, ws, f"A{row}", "users", "users")
        else:
            put_formula(ws, f"A{row}", styles.FORMULA, f"A{_TOTAL_HEADER_ROW + 1 + i}", COUNT_FORMAT)
        for column in range(_FIRST_COLUMN, _LAST_COLUMN + 1):
            letter = get_column_letter(column)
            put_formula(ws, f"{letter}{row}", styles.FORMULA, formula(book, letter, row), number_format)


def _given(key: str) -> str:
    return f"$B${_INPUT_ROW[key]}"


def _write_weights(book: Book, ws) -> None:
    """Write the rows of the chosen precisions and the weights."""
    labels = book.labels
    put(ws, f"A{_WORKINGS_ROW}", styles.SECTION, labels("sensitivity.workings"))
    put(ws, f"B{_WORKINGS_ROW}", styles.SECTION)

    def precision(number: str) -> str:
        return f"INDEX(precision_{number},$B${_PRECISION_ROW})"

    model = f"$B${_MODEL_ROW_ROW}"
    stored = f"INDEX(format_bytes,{model},{precision('format_column')})"
    nominal = f"{models.field_at(book, 'parameters', model)}*{precision('bytes')}"
    rows = (
        (_PRECISION_ROW, labels("scenarios.precision_row"), precisions.row_of(_given("precision")), COUNT_FORMAT),
        (_VALUE_BYTES_ROW, terms.label(labels, "value_bytes"), precisions.bytes_of(_given("kv_precision")), "0.0###"),
        (_WEIGHTS_ROW, labels("scenarios.weights"), f"IF({precision('format_column')}>0,{stored},{nominal})/{f.GB}", "#,##0.00"),
    )  # fmt: skip
    of_model = [
        (row, terms.label(labels, name), models.field_at(book, scenarios.OF_MODEL[name], model), COUNT_FORMAT)
        for name, row in _OF_MODEL.items()
    ]
    for row, label, formula, number_format in (*rows, *of_model):
        put(ws, f"A{row}", styles.LABEL, label)
        put_formula(ws, f"B{row}", styles.FORMULA, formula, number_format)


def _write_user(book: Book, ws) -> None:
    """Write the cache of one user in each context."""
    labels = book.labels
    put(ws, f"A{_USER_HEADER_ROW}", styles.SECTION, labels("sensitivity.user"))
    for column in range(_FIRST_COLUMN, _LAST_COLUMN + 1):
        put(ws, f"{get_column_letter(column)}{_USER_HEADER_ROW}", styles.SECTION)
    for name, row in _USER_ROW.items():
        put(ws, f"A{row}", styles.LABEL, terms.label(labels, name))
        for column in range(_FIRST_COLUMN, _LAST_COLUMN + 1):
            letter = get_column_letter(column)
            formula = (
                terms.formula(ESTIMATE[name], partial(_user_input, letter))
                if name in _USER_TERMS
                else f"{letter}${_TOTAL_HEADER_ROW}"
            )
            put_formula(ws, f"{letter}{row}", styles.FORMULA, formula, COUNT_FORMAT)


def _user_input(letter: str, name: str) -> str:
    """Return the cell of an input of the terms, in the column `letter`."""
    if name in _USER_ROW:
        return f"{letter}{_USER_ROW[name]}"
    if name == "value_bytes":
        return f"$B${_VALUE_BYTES_ROW}"
    return f"$B${_OF_MODEL[name]}"


def _total_formula(book: Book, letter: str, row: int) -> str:
    kv = f"$A{row}*{letter}${_USER_ROW['user_bytes']}/{f.GB}"
    return f"($B${_WEIGHTS_ROW}+{kv})*(1+{_given('overhead_rate')})"


def _gpus_formula(book: Book, letter: str, row: int) -> str:
    total = f"{letter}{row - _GPU_HEADER_ROW + _TOTAL_HEADER_ROW}"
    return f.gpus_by_division(total, _given("gpu_memory"))


def _validate(labels, ws, cell: str, key: str, choices: str) -> None:
    if choices in LIMITS:
        limits = LIMITS[choices]
        rule = between_rule(f"{limits.least:f}", f"{limits.most:.0f}", whole=limits.whole)
        prompt = labels(f"prompt.{key}")
    else:
        rule, prompt = list_rule(choices), labels("prompt.pick")
    title = _label(labels, key)
    validate(ws, cell, rule, title=title, prompt=prompt, wrong_title=labels("prompt.wrong_title"))


def _label(labels, key: str) -> str:
    return labels(f"sensitivity.{key}" if key in ("gpu_memory", "gpus_per_node") else f"scenarios.{key}")


def _body(header_row: int) -> str:
    last = get_column_letter(_LAST_COLUMN)
    return f"{get_column_letter(_FIRST_COLUMN)}{header_row + 1}:{last}{header_row + len(USERS)}"


def _colour(ws, header_row: int) -> None:
    """Colour the grid from white to blue; the numbers have a contrast of at least 4.5:1 on both."""
    scale = ColorScaleRule(start_type="min", start_color="FFFFFF", end_type="max", end_color="9DC3E6")
    ws.conditional_formatting.add(_body(header_row), scale)


def _mark_break_points(ws, header_row: int) -> None:
    """Mark cells that need more GPUs (▲) or nodes (■) than the cell above, in bold with a line above."""
    first = f"{get_column_letter(_FIRST_COLUMN)}{header_row + 1}"
    above = f"{get_column_letter(_FIRST_COLUMN)}{header_row}"
    node = _given("gpus_per_node")
    more_nodes = f"ROUNDUP({first}/{node},0)>ROUNDUP({above}/{node},0)"
    for number, (sign, more) in enumerate((("■", more_nodes), ("▲", f"{first}>{above}"))):
        style = DifferentialStyle(
            font=Font(bold=True),
            border=Border(top=Side(style="thin", color=styles.INK)),
            numFmt=NumberFormat(numFmtId=170 + number, formatCode=f'"{sign} "#,##0'),
        )
        marked = f"IF(ROW({first})>{header_row + 1},{more},FALSE)"
        rule = Rule(type="expression", formula=[marked], dxf=style, stopIfTrue=True)
        ws.conditional_formatting.add(_body(header_row), rule)


def _write_chart(book: Book, ws) -> None:
    labels = book.labels
    chart = LineChart()
    chart.title = labels("sensitivity.chart")
    chart.height, chart.width = 9, 25
    chart.x_axis.title, chart.y_axis.title = labels("scenarios.users"), labels("scenarios.total")
    chart.x_axis.delete = chart.y_axis.delete = False
    chart.y_axis.number_format = "#,##0"
    chart.y_axis.scaling.logBase = 10  # from one user to a thousand
    data = Reference(
        ws,
        min_col=_FIRST_COLUMN,
        max_col=_LAST_COLUMN,
        min_row=_TOTAL_HEADER_ROW,
        max_row=_TOTAL_HEADER_ROW + len(USERS),
    )
    chart.add_data(data, titles_from_data=True)
    chart.set_categories(
        Reference(ws, min_col=1, min_row=_TOTAL_HEADER_ROW + 1, max_row=_TOTAL_HEADER_ROW + len(USERS))
    )
    for series, marker in zip(chart.series, ("circle", "square", "diamond", "triangle", "x", "star", "plus")):
        series.smooth = False
        series.marker.symbol = marker  # lines must differ in more than colour
    book.add_chart(ws, chart, f"A{CHART_ROW}", labels("sensitivity.chart_alt"))
