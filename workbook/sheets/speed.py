"""Write the Speed sheet: how long a step and a prompt take on each GPU and tensor parallel size.

The first table has the scenarios on the GPUs that they name, in the layout that Scenarios shows. The second one has the
chosen scenario on every GPU with a price; Options computes from it what users see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet

from core.catalog.offers import Offer
from core.catalog.speeds import constant_values, constants
from core.plan.defaults import ENGINE
from core.plan.demand import TOKENS
from core.plan.fleet import choice_of_gpu
from core.plan.speed import engine_inputs
from core.plan.speed_rows import CLASS_FIGURES, COMMON_FIGURES, FORMAT_FIGURES, TP_SIZES
from core.plan.speed_terms import DRAFTS, WEIGHTS
from core.plan.terms import MISSING, equal, spreadsheet_formula, v, when
from workbook import formulas as f
from workbook import styles, terms
from workbook.book import COUNT_FORMAT, Book, SheetColumn, filled_table, heading, protect, put
from workbook.joining import Formulas, fits_in_sheet, joined
from workbook.labels import LANGUAGES, Labels
from workbook.sheets import capacity, gpus, scenarios
from workbook.sheets.pace import NAMED, NO_FIGURES, NO_KERNEL, NO_RATE, RUNS, TERMS, USED, name_of

TABLE, SCENARIO_TABLE = "Speed", "ScenarioSpeed"
TIME_FORMAT = "0.0000E+00"
_CONSTANTS_ROW = 5
_LINK_LATENCIES = ("link_latency_fabric", "link_latency_pcie")
CONSTANTS = {
    **engine_inputs(ENGINE, constant_values()),
    **{name: constant_values()[name] for name in (*_LINK_LATENCIES, "range_first_token")},
}
HEADER_ROW = _CONSTANTS_ROW + len(CONSTANTS) + 2
FIRST_ROW = HEADER_ROW + 1

Cell = Callable[[str], str]

# Figures that several terms use, looked up once a row.
_FACTS = ("bandwidth_bytes_per_s", "sixteen_bit_flops_per_s", "dense_flops_per_s", "maker_read", "maker_compute")
_LOOKED_UP = ("expert_bytes",)
_OF_SCENARIO = ("mtp_tokens", *DRAFTS.by_name)
_TOKENS = tuple(term.name for term in TOKENS)
_WORKINGS = (
    "scenario", "gpu", "tp", "runs", "block", "named_gpu", "slot", "scenario_row", "is_usable", "gpu_row", "tp_number",
    "figures_row", "served_row", "format_class", "format_column", "own_kind", "dense_kind", "expert_kind", "dense_unit",
    "expert_unit", *_TOKENS, "value_bytes", *_FACTS, *_LOOKED_UP, "is_slow_link",
    "given_output_tokens", *_OF_SCENARIO,
)  # fmt: skip
_CELLS = frozenset((*_WORKINGS, *(term.name for term in TERMS)))


def reference(labels: Labels, cell: Cell, name: str) -> str:
    """Return the cell, look-up or defined name of a name of the terms.

    Args:
        cell: key of a column of the table → its cell in the row that is meant.
    """

    def gpu(key: str) -> str:
        return f"INDEX({f.whole_column(gpus.TABLE, gpus.header(labels, key))},{cell('gpu_row')})"

    if name in _CELLS:
        return cell(name)
    if name in COMMON_FIGURES:
        return f"INDEX(speed_{name},{cell('figures_row')})"
    if name in CLASS_FIGURES:
        return f"INDEX(speed_{name},{cell('figures_row')},{cell('format_class')})"
    if name in FORMAT_FIGURES:
        return f"INDEX(speed_{name},{cell('figures_row')},{cell('format_column')})"
    if name in ("kernel_s", "step_fixed_s", "sequence_s", "own_range"):
        return gpu(name)
    if name == "shared_tokens":
        return f"INDEX({f.whole_column(scenarios.TABLE, scenarios.header(labels, name))},{cell('scenario_row')})"
    part, _, unit = name.partition("_is_")
    if unit:
        return f"({cell(f'{part}_unit')}={gpus.WIDENED if unit == 'widened' else gpus.NATIVE})"
    inline = {
        "expert_flops_per_s": f"INDEX(gpu_rates,{cell('gpu_row')},{cell('expert_kind')})",
        "link_latency_s": f"IF({cell('is_slow_link')}=1,link_latency_pcie,link_latency_fabric)",
        "link_bytes_per_s": f"INDEX(gpu_links,{cell('gpu_row')},{cell('tp_number')})",
        "min_speed": "plan_min_speed",
    }
    return inline.get(name, name)


def _cell(labels: Labels, table: str, key: str) -> str:
    return f.this_row(table, header(labels, key))


def header(labels: Labels, key: str) -> str:
    """Return the heading of a column."""
    if key in _CAPACITY_KEYS:
        return labels(f"capacity.{key}")
    return labels(f"speed.{key}") if key in _SHEET_KEYS else terms.label(labels, key)


_CAPACITY_KEYS = {"scenario", "gpu", "block", "named_gpu", "slot", "scenario_row", "is_usable", "gpu_row"}
_SHEET_KEYS = {
    "runs", "tp_number", "figures_row", "served_row", "format_class", "format_column", "own_kind", "dense_kind",
    "expert_kind", "dense_unit", "expert_unit",
}  # fmt: skip


def _shown() -> Formulas:
    """Return the formula of each column of the terms, the same in every language."""
    declared = {term.name: when(equal(v.runs, RUNS), term.formula, MISSING) for term in TERMS}
    references = [partial(reference, labels, partial(_cell, labels, TABLE)) for labels in map(Labels, LANGUAGES)]
    return joined(declared, KEPT & declared.keys(), fits_in_sheet(*references))


# Columns that stay: what other sheets use; Sensitivity computes with other contexts from the figures of the weights.
KEPT = USED | {term.name for term in WEIGHTS}
_TERMS = _shown()
_COLUMNS = (
    SheetColumn("scenario", 30, styles.FORMULA_TEXT, None),
    SheetColumn("gpu", 22, styles.FORMULA_TEXT, None),
    SheetColumn("tp", 7),
    SheetColumn("runs", 8, styles.TOTAL, "0"),
    SheetColumn("block", 9, styles.SOURCE_FIGURE),
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
    *(SheetColumn(key, 12) for key in ("given_output_tokens", *_TOKENS, "value_bytes")),
    *(SheetColumn(key, 14, styles.FORMULA, "General") for key in (*_FACTS, *_LOOKED_UP, *_OF_SCENARIO)),
    SheetColumn("is_slow_link", 9),
    *(SheetColumn(name, 14, styles.FORMULA, TIME_FORMAT) for name in _TERMS),
)
_LETTER = {column.key: get_column_letter(number) for number, column in enumerate(_COLUMNS, start=1)}


def option_rows(offers: Sequence[Offer] = ()) -> list[tuple[str, int]]:
    """Return (GPU, tensor parallel size) of the chosen scenario's rows: GPUs with a price, sizes within a node.

    Args:
        offers: of a user; their GPUs have rows too.
    """
    return [
        (gpu.name, tp)
        for gpu in capacity.option_gpus(offers)
        for tp in TP_SIZES
        if tp <= choice_of_gpu(gpu).gpus_per_node
    ]


def write(book: Book) -> None:
    """Write the sheet. Speed figures, GPUs, Precisions, Scenarios, and the inputs of Plan must exist."""
    labels = book.labels
    ws = book.sheet("speed", [column.width for column in _COLUMNS], tab_colour="7F7F7F")
    heading(ws, labels("speed.title"), labels("speed.subtitle"))
    put(ws, "A3", styles.SUBTITLE, labels("speed.note"))
    write_constants(book, ws, _CONSTANTS_ROW)
    ws.row_dimensions[HEADER_ROW].height = 58
    last = _write_table(book, ws, HEADER_ROW, of_scenarios=True)
    ws.print_area = f"A1:{_LETTER['runs']}{last}"
    put(ws, f"A{last + 2}", styles.SECTION, labels("speed.of_options"))
    ws.row_dimensions[last + 3].height = 58
    _write_table(book, ws, last + 3, of_scenarios=False)
    ws.freeze_panes = "D4"  # below the title: the table begins too far down for its headings to stay in view
    ws.print_title_rows = f"{HEADER_ROW}:{HEADER_ROW}"
    protect(ws)


def _write_table(book: Book, ws: Worksheet, header_row: int, *, of_scenarios: bool) -> int:
    """Write the table of the scenarios or that of the options, define its names, and return its last row."""
    rows = _scenario_rows() if of_scenarios else _option_rows(book.offers)
    name = SCENARIO_TABLE if of_scenarios else TABLE
    formulas = _formulas(book, of_scenarios=of_scenarios)
    columns = [column if column.key in formulas else _constant(column) for column in _COLUMNS]
    last = filled_table(ws, name, header_row, columns, partial(header, book.labels), rows, formulas)
    for key in NAMED:
        cells = f"{_LETTER[key]}{header_row + 1}:{_LETTER[key]}{last}"
        book.name(name_of(key, of_scenarios=of_scenarios), ws, cells)
    return last


def _constant(column: SheetColumn) -> SheetColumn:
    return replace(column, role=styles.SOURCE_FIGURE) if column.role == styles.FORMULA else column


def column(book: Book, key: str) -> str:
    """Return the reference to a whole column of the options."""
    return f.whole_column(TABLE, header(book.labels, key))


def scenario_column(book: Book, key: str) -> str:
    """Return the reference to a whole column of the scenarios."""
    return f.whole_column(SCENARIO_TABLE, header(book.labels, key))


def write_constants(book: Book, ws: Worksheet, first_row: int) -> None:
    """Write the calibration constants of the engine below their headings, each with a workbook-level name."""
    sources = {one.name: one for one in constants()}
    renamed = {"prompt_queue": f"prompt_queue_{ENGINE}", "request_s": f"request_{ENGINE}"}
    ws.row_dimensions[first_row - 1].height = 58
    for letter, key in zip("ABCD", ("constant", "value", "fitted_rows", "fitted_on")):
        put(ws, f"{letter}{first_row - 1}", styles.HEADING, book.labels(f"speed.{key}"))
    for row, (name, value) in enumerate(CONSTANTS.items(), start=first_row):
        source = sources[renamed.get(name, name)]
        put(ws, f"A{row}", styles.LABEL, terms.label(book.labels, name))
        put(ws, f"B{row}", styles.SOURCE_FIGURE, value, "General")
        put(ws, f"C{row}", styles.SOURCE_FIGURE, source.rows, COUNT_FORMAT)
        put(ws, f"D{row}", styles.PLAN_GREY, source.fitted_on)  # may run over the next cells
        book.name(name, ws, f"B{row}")


def _scenario_rows() -> Iterator[dict[str, object]]:
    for block in range(1, scenarios.MOST_SCENARIOS + 1):
        yield {"block": block, "named_gpu": None}


def _option_rows(offers: Sequence[Offer]) -> Iterator[dict[str, object]]:
    for gpu, tp in option_rows(offers):
        yield {"block": 0, "tp": tp, "named_gpu": gpu}


def _formulas(book: Book, *, of_scenarios: bool) -> dict[str, str]:
    labels, table = book.labels, SCENARIO_TABLE if of_scenarios else TABLE

    def cell(key: str) -> str:
        return f.this_row(table, header(labels, key))

    def scenario(key: str) -> str:
        return f"INDEX({scenarios.column(book, key)},{cell('scenario_row')})"

    def of_tokens(name: str) -> str:
        return cell(name) if name in _LETTER else scenario(name)

    own = f"IF({scenario('output_tokens')}>0,{scenario('output_tokens')},{terms.MISSING})"
    best = scenario("best_row")
    figures_row = figures_row_of(scenario("model_at"), cell("tp_number"))
    return {
        **capacity.scenario_of_row(book, cell),
        **({"tp": f"IF({best}>0,INDEX({capacity.scenario_column(book, 'tp')},{best}),1)"} if of_scenarios else {}),
        "figures_row": f"INDEX(speed_rows,{figures_row},{scenario('groups_column')})",
        "served_row": scenario("served_row"),
        "given_output_tokens": own if of_scenarios else f"IF(plan_output_tokens>0,plan_output_tokens,{own})",
        **{term.name: terms.formula(term, of_tokens) for term in TOKENS},
        **{name: scenario(name) for name in ("value_bytes", *_OF_SCENARIO)},
        **lookups(labels, cell, scenario("weights_column"), scenario("served_row")),
        "runs": runs_of(cell, cell("is_usable")),
        **{name: spreadsheet_formula(formula, partial(reference, labels, cell)) for name, formula in _TERMS.items()},
    }  # fmt: skip


def figures_row_of(model: str, tp_number: str) -> str:
    """Return the formula of the row on Speed figures of a model and a tensor parallel size, without groups.

    Args:
        model: the row of the model on Models.
        tp_number: the place of the size in `TP_SIZES`, from 1.
    """
    return f"({model}-1)*{len(TP_SIZES)}+{tp_number}+1"


def lookups(labels: Labels, cell: Cell, weights_column: str, served_row: str = "") -> dict[str, str]:
    """Return the formulas of what is looked up for a model, GPU, format and tensor parallel size.

    Args:
        cell: `tp`, `figures_row`, `served_row`, `gpu_row` or the key of one of these formulas → its cell.
        weights_column: the column of the format on Layouts.
        served_row: what the cell `served_row` refers to, where that makes a shorter chain.
    """
    served = served_row or cell("served_row")

    def gpu(key: str) -> str:
        return f"INDEX({f.whole_column(gpus.TABLE, gpus.header(labels, key))},{cell('gpu_row')})"

    def rate(kind: str) -> str:
        return f"INDEX(gpu_rates,{cell('gpu_row')},{kind})"

    def kind(part: str) -> str:
        stored = f"INDEX(speed_{part}_kind,{row},{cell('own_kind')})"
        return f"MAX(1,IF({cell('own_kind')}>0,{stored},INDEX(precision_speed_kind,{cell('served_row')})))"

    row = cell("figures_row")
    return {
        "tp_number": f"ROUND(LOG({cell('tp')},1+1),0)+1",
        "format_class": f"MAX(1,INDEX(precision_speed_class,{cell('served_row')}))",
        "format_column": f"MAX(1,{weights_column})",
        "own_kind": f"INDEX(precision_own_kind,{served})",
        **{f"{part}_kind": kind(part) for part in ("dense", "expert")},
        **{f"{part}_unit": f"INDEX(gpu_units,{cell('gpu_row')},{kind(part)})" for part in ("dense", "expert")},
        "bandwidth_bytes_per_s": f"IF(ISNUMBER({gpu('bandwidth')}),{gpu('bandwidth')}*10^9,{terms.MISSING})",
        "sixteen_bit_flops_per_s": f"IF(ISNUMBER({rate('1')}),{rate('1')},{terms.MISSING})",
        "dense_flops_per_s": rate(cell("dense_kind")),
        **{name: gpu(name) for name in ("maker_read", "maker_compute")},
        "expert_bytes": f"INDEX(speed_expert_bytes,{row},{cell('format_column')})",
        "is_slow_link": f"INDEX(gpu_slow_links,{cell('gpu_row')},{cell('tp_number')})",
        "runs": runs_of(cell),
    }


def runs_of(cell: Cell, is_usable: str = "") -> str:
    """Return the formula of what runs on a GPU, one of those in `pace`; for rows that are not usable `NO_FIGURES`.

    Args:
        is_usable: the cell that is 1 if a row is usable; "" if all are.
    """
    usable = f"{is_usable}*" if is_usable else ""
    has_figures = f"{usable}INDEX(speed_gathered_values,{cell('figures_row')})>0"
    units = f"MIN({cell('dense_unit')},{cell('expert_unit')})"
    rates = f"ISNUMBER({cell('bandwidth_bytes_per_s')}*{cell('sixteen_bit_flops_per_s')})"
    return f"IF({has_figures},IF({rates},IF({units}>0,{RUNS},{NO_KERNEL}),{NO_RATE}),{NO_FIGURES})"
