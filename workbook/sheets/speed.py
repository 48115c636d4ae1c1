"""Write the Speed sheet: how long a step and a prompt take on each GPU and tensor parallel size.

The first rows are the scenarios on the GPUs that they name, in the layout that Scenarios shows. The rows below are the
chosen scenario on every GPU with a price; Options computes from them what users see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from openpyxl.utils import get_column_letter

from core import catalog
from core.catalog.offer_choice import prices
from core.catalog.speeds import constant_values, constants
from core.plan.defaults import ENGINE
from core.plan.demand import TOKENS
from core.plan.fleet import choice_of_gpu
from core.plan.speed import engine_inputs
from core.plan.speed_rows import CLASS_FIGURES, COMMON_FIGURES, FORMAT_FIGURES, TP_SIZES
from core.plan.speed_terms import ATTENTION, FAST, PACE, WEIGHTS
from core.plan.terms import Term
from workbook import formulas as f
from workbook import styles, terms
from workbook.book import COUNT_FORMAT, Book, SheetColumn, filled_table, heading, protect, put
from workbook.labels import Labels
from workbook.sheets import capacity, gpus, scenarios
from workbook.sheets.pace import NAMED, NO_FIGURES, NO_KERNEL, NO_RATE, RUNS

TABLE = "Speed"
TIME_FORMAT = "0.0000E+00"
_CONSTANTS_ROW = 5
_LINK_LATENCIES = ("link_latency_fabric", "link_latency_pcie")
CONSTANTS = {
    **engine_inputs(ENGINE, constant_values()),
    **{name: constant_values()[name] for name in (*_LINK_LATENCIES, "range_first_token")},
}
HEADER_ROW = _CONSTANTS_ROW + len(CONSTANTS) + 2
FIRST_ROW = HEADER_ROW + 1

# Figures that several terms use, looked up once a row.
_FACTS = ("bandwidth_bytes_per_s", "sixteen_bit_flops_per_s", "dense_flops_per_s", "maker_read", "maker_compute")
_LOOKED_UP = ("expert_bytes", "untouched", "touch_rate")
_TOKENS = tuple(term.name for term in TOKENS)
# The longest time of a token is computed here too: it is the same in every layout.
_PACE_TERMS = (*WEIGHTS, *ATTENTION, *PACE, FAST["longest_token_s"])
_COLUMNS = (
    SheetColumn("scenario", 30, styles.FORMULA_TEXT, None),
    SheetColumn("gpu", 22, styles.FORMULA_TEXT, None),
    SheetColumn("tp", 7),
    SheetColumn("runs", 8, styles.TOTAL, "0"),
    SheetColumn("block", 9, styles.SOURCE_FIGURE),
    SheetColumn("given_tp", 9, styles.SOURCE_FIGURE),
    SheetColumn("named_gpu", 20, styles.LABEL, None),
    SheetColumn("slot", 9),
    SheetColumn("scenario_row", 9),
    SheetColumn("is_usable", 9),
    SheetColumn("gpu_row", 9),
    SheetColumn("tp_number", 9),
    SheetColumn("figures_row", 9),
    SheetColumn("served_row", 9),
    SheetColumn("format_class", 9),
    SheetColumn("format_column", 9),
    SheetColumn("own_kind", 9),
    SheetColumn("dense_kind", 9),
    SheetColumn("expert_kind", 9),
    SheetColumn("dense_unit", 9),
    SheetColumn("expert_unit", 9),
    *(SheetColumn(key, 12) for key in ("own_output_tokens", "given_output_tokens", *_TOKENS, "value_bytes")),
    *(SheetColumn(key, 14, styles.FORMULA, "General") for key in (*_FACTS, *_LOOKED_UP)),
    SheetColumn("is_slow_link", 9),
    SheetColumn("link_latency_s", 14, styles.FORMULA, TIME_FORMAT),
    SheetColumn("sequence_s", 14, styles.FORMULA, TIME_FORMAT),
    *(SheetColumn(term.name, 14, styles.FORMULA, TIME_FORMAT) for term in _PACE_TERMS),
)
_LETTER = {column.key: get_column_letter(number) for number, column in enumerate(_COLUMNS, start=1)}
Cell = Callable[[str], str]


def scenario_rows() -> int:
    """Return the number of rows of scenarios, which come first."""
    return scenarios.MOST_SCENARIOS


def option_rows() -> list[tuple[str, int]]:
    """Return (GPU, tensor parallel size) of the chosen scenario's rows: GPUs with a price, sizes within a node."""
    return [
        (gpu.name, tp)
        for gpu in catalog.gpus()
        if prices(gpu.name).has_offer
        for tp in TP_SIZES
        if tp <= choice_of_gpu(gpu).gpus_per_node
    ]


def write(book: Book) -> None:
    """Write the sheet. Speed figures, GPUs, Precisions, Scenarios, and the inputs of Plan must exist."""
    labels = book.labels
    ws = book.sheet("speed", [column.width for column in _COLUMNS], tab_colour="7F7F7F")
    heading(ws, labels("speed.title"), labels("speed.subtitle"))
    put(ws, "A3", styles.SUBTITLE, labels("speed.note"))
    _write_constants(book, ws)
    ws.row_dimensions[HEADER_ROW].height = 58
    last = filled_table(ws, TABLE, HEADER_ROW, _COLUMNS, partial(header, labels), _rows(), _formulas(book))
    for key in NAMED:
        book.name(f"pace_{key}" if key == "runs" else key, ws, f"{_LETTER[key]}{FIRST_ROW}:{_LETTER[key]}{last}")
    ws.freeze_panes = f"D{FIRST_ROW}"
    ws.print_title_rows = f"{HEADER_ROW}:{HEADER_ROW}"
    ws.print_area = f"A1:{_LETTER['runs']}{HEADER_ROW + scenario_rows()}"
    protect(ws)


def header(labels: Labels, key: str) -> str:
    """Return the heading of a column."""
    if key in _CAPACITY_KEYS:
        return labels(f"capacity.{key}")
    return labels(f"speed.{key}") if key in _SHEET_KEYS else terms.label(labels, key)


_CAPACITY_KEYS = {"scenario", "gpu", "block", "named_gpu", "slot", "scenario_row", "is_usable", "gpu_row"}
_SHEET_KEYS = {
    "runs", "given_tp", "tp_number", "figures_row", "served_row", "format_class", "format_column", "own_kind", "dense_kind",
    "expert_kind", "dense_unit", "expert_unit", "own_output_tokens",
}  # fmt: skip


def column(book: Book, key: str) -> str:
    """Return the reference to a whole column."""
    return f.whole_column(TABLE, header(book.labels, key))


def _write_constants(book: Book, ws) -> None:
    """Write the calibration constants of the engine, each with a workbook-level name."""
    sources = {one.name: one for one in constants()}
    renamed = {"prompt_queue": f"prompt_queue_{ENGINE}", "request_s": f"request_{ENGINE}"}
    for letter, key in zip("ABCD", ("constant", "value", "fitted_rows", "fitted_on")):
        put(ws, f"{letter}{_CONSTANTS_ROW - 1}", styles.HEADING, book.labels(f"speed.{key}"))
    for row, (name, value) in enumerate(CONSTANTS.items(), start=_CONSTANTS_ROW):
        source = sources[renamed.get(name, name)]
        put(ws, f"A{row}", styles.LABEL, terms.label(book.labels, name))
        put(ws, f"B{row}", styles.SOURCE_FIGURE, value, "General")
        put(ws, f"C{row}", styles.SOURCE_FIGURE, source.rows, COUNT_FORMAT)
        put(ws, f"D{row}", styles.NOTE, source.fitted_on)
        book.name(name, ws, f"B{row}")


def _rows() -> Iterator[dict[str, object]]:
    for block in range(1, scenario_rows() + 1):
        yield {"block": block, "given_tp": 0, "named_gpu": None}
    for gpu, tp in option_rows():
        yield {"block": 0, "given_tp": tp, "named_gpu": gpu}


def reference(book: Book, cell: Cell, name: str) -> str:
    """Return the cell, look-up or defined name of a name of the terms.

    Args:
        cell: key of a column of the table → its cell in the row that is meant.
    """

    def gpu(key: str) -> str:
        return f"INDEX({gpus.column(book, key)},{cell('gpu_row')})"

    if name in _LETTER:
        return cell(name)
    if name in COMMON_FIGURES:
        return f"INDEX(speed_{name},{cell('figures_row')})"
    if name in CLASS_FIGURES:
        return f"INDEX(speed_{name},{cell('figures_row')},{cell('format_class')})"
    if name in FORMAT_FIGURES:
        return f"INDEX(speed_{name},{cell('figures_row')},{cell('format_column')})"
    inline = {
        "expert_flops_per_s": f"INDEX(gpu_rates,{cell('gpu_row')},{cell('expert_kind')})",
        **{f"{part}_is_{unit}": f"({cell(f'{part}_unit')}={number})" for part in ("dense", "expert")
           for unit, number in (("widened", gpus.WIDENED), ("native", gpus.NATIVE))},
        **{name: gpu(name) for name in ("kernel_s", "step_fixed_s", "own_range")},
        "link_bytes_per_s": f"INDEX(gpu_links,{cell('gpu_row')},{cell('tp_number')})",
        "min_speed": "plan_min_speed",
    }  # fmt: skip
    return inline.get(name, name)


def _formulas(book: Book) -> dict[str, str]:
    labels = book.labels

    def cell(key: str) -> str:
        return f.this_row(TABLE, header(labels, key))

    def scenario(key: str) -> str:
        return f"INDEX({scenarios.column(book, key)},{cell('scenario_row')})"

    def gpu(key: str) -> str:
        return f"INDEX({gpus.column(book, key)},{cell('gpu_row')})"

    def printed(term: Term) -> str:
        return f"IF({cell('runs')}=1,{terms.formula(term, partial(reference, book, cell))},{terms.MISSING})"

    def rate(kind: str) -> str:
        return f"INDEX(gpu_rates,{cell('gpu_row')},{kind})"

    def of_tokens(name: str) -> str:
        return cell(name) if name in _LETTER else scenario(name)

    row = cell("figures_row")
    best = scenario("best_row")
    has_figures = f"INDEX(speed_gathered_values,{row})>0"
    units = f"MIN({cell('dense_unit')},{cell('expert_unit')})"
    rates = f"ISNUMBER({cell('bandwidth_bytes_per_s')}*{cell('sixteen_bit_flops_per_s')})"

    def kind(part: str) -> str:
        stored = f"INDEX(speed_{part}_kind,{row},{cell('own_kind')})"
        return f"MAX(1,IF({cell('own_kind')}>0,{stored},INDEX(precision_speed_kind,{cell('served_row')})))"

    return {
        **capacity.scenario_of_row(book, cell),
        "tp": f"IF({cell('given_tp')}>0,{cell('given_tp')},IF({best}>0,INDEX({capacity.column(book, 'tp')},{best}),1))",
        "tp_number": f"ROUND(LOG({cell('tp')},1+1),0)+1",
        "figures_row": f"IF({cell('is_usable')}=1,({scenario('model_at')}-1)*{len(TP_SIZES)}+{cell('tp_number')}+1,1)",
        "served_row": scenario("served_row"),
        "format_class": f"MAX(1,INDEX(precision_speed_class,{cell('served_row')}))",
        "format_column": f"MAX(1,{scenario('weights_column')})",
        "own_kind": f"INDEX(precision_own_kind,{cell('served_row')})",
        **{f"{part}_kind": kind(part) for part in ("dense", "expert")},
        **{f"{part}_unit": f"INDEX(gpu_units,{cell('gpu_row')},{cell(f'{part}_kind')})" for part in ("dense", "expert")},
        "runs": f"IF({has_figures},IF({rates},IF({units}>0,{RUNS},{NO_KERNEL}),{NO_RATE}),{NO_FIGURES})",
        "own_output_tokens": f"IF({scenario('output_tokens')}>0,{scenario('output_tokens')},{terms.MISSING})",
        "given_output_tokens": f"IF({cell('block')}=0,IF(plan_output_tokens>0,plan_output_tokens,"
        f"{cell('own_output_tokens')}),{cell('own_output_tokens')})",
        **{term.name: terms.formula(term, of_tokens) for term in TOKENS},
        "value_bytes": scenario("value_bytes"),
        "bandwidth_bytes_per_s": f"IF(ISNUMBER({gpu('bandwidth')}),{gpu('bandwidth')}*10^9,{terms.MISSING})",
        "sixteen_bit_flops_per_s": f"IF(ISNUMBER({rate('1')}),{rate('1')},{terms.MISSING})",
        "dense_flops_per_s": rate(cell("dense_kind")),
        **{name: gpu(name) for name in ("maker_read", "maker_compute", "sequence_s")},
        "expert_bytes": f"INDEX(speed_expert_bytes,{row},{cell('format_column')})",
        **{name: f"INDEX(speed_{name},{row})" for name in ("untouched", "touch_rate")},
        "is_slow_link": f"INDEX(gpu_slow_links,{cell('gpu_row')},{cell('tp_number')})",
        "link_latency_s": f"IF({cell('is_slow_link')}=1,link_latency_pcie,link_latency_fabric)",
        **{term.name: printed(term) for term in _PACE_TERMS},
    }  # fmt: skip
